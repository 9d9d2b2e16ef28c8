"""What another site's list says becomes the configuration of a copy, and what it may not say becomes an error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder import mirrored
from builder.config import Config, MirrorSource, Screenshots
from builder.description import Snapshot, parse
from builder.errors import FlatdexError
from tests.builder.helpers import loaded
from tests.builder.test_build import built, nasty_images

ORIGIN = """\
store: ./origin
remote: {name: example, title: Example, url: "http://127.0.0.1:8080/", comment: Words, homepage: "https://example.org/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest], architectures: [amd64, arm64], annotations: true}
  testing: {tags: [testing, beta], extract_icons: false}
languages: [en, de]
theme: {accent: "#a02060", footer: Of the north, links: {Help: "https://example.org/help"}}
screenshots: mirror
"""
COPY = 'store: ./copy\nmirror: {from: ["http://127.0.0.1:8080/"]%s}\n%s'


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A `snapshot.json` of an origin."""
    folder = tmp_path_factory.mktemp("origin")
    nasty_images(folder)
    found: dict[str, Any] = json.loads((built(loaded(folder, ORIGIN))[1].folder / "snapshot.json").read_bytes())
    return found


def listed(document: dict[str, Any], change: Callable[[dict[str, Any]], object] = lambda found: None) -> Snapshot:
    """What it says, after a change."""
    found = copy.deepcopy(document)
    change(found)
    return parse(json.dumps(found).encode())


def copied(tmp_path: Path, snapshot: Snapshot, more: str = "", own: str = "") -> Config:
    """The configuration of a copy."""
    return mirrored.of_list(loaded(tmp_path, COPY % (more, own)), snapshot, partial=False)


def test_a_copy_is_called_and_looks_as_its_origin(tmp_path: Path, document: dict[str, Any]) -> None:
    origin = loaded(tmp_path, ORIGIN)
    config = copied(tmp_path, listed(document))
    assert config.remote == origin.remote
    assert config.variants == origin.variants
    assert config.dispatch == origin.dispatch
    assert config.tag_folders == origin.tag_folders
    assert config.pages == origin.pages
    assert [(each.tags, each.architectures, each.extract_icons, each.annotations) for each in config.indexes] == [
        (each.tags, each.architectures, each.extract_icons, each.annotations) for each in origin.indexes
    ]
    assert config.sources == (
        MirrorSource("mirror", tmp_path / "copy/mirror", document["id"], document["version"], False),
    )


def test_what_a_copy_says_itself_comes_first_but_for_its_identity(tmp_path: Path, document: dict[str, Any]) -> None:
    own = 'remote: {url: "http://lan/", title: Ours}\nlanguages: [fr]\nscreenshots: link\ngrace: 3d\n'
    config = copied(tmp_path, listed(document), own=own)
    assert config.remote is not None and config.pages is not None
    assert (config.remote.url, config.remote.title, config.remote.name) == ("http://lan/", "Ours", "example")
    assert config.remote.id == "http://127.0.0.1:8080/"
    assert (config.pages.languages, config.pages.screenshots) == (("fr",), Screenshots.LINK)
    assert config.pages.theme.accent == "#a02060"
    assert config.grace == 3 * 86400
    without = copied(tmp_path, listed(document), own="pages: false\n")
    assert without.pages is None


def test_only_some_tags_and_architectures_are_answered(tmp_path: Path, document: dict[str, Any]) -> None:
    config = copied(tmp_path, listed(document), ", tags: [beta, latest], architectures: [arm64]")
    assert config.dispatch.tags == ("latest", "beta")
    assert config.dispatch.answer("tag=latest&architecture=arm64&label%3Ax") == "latest-arm64"
    assert config.dispatch.answer("tag=latest&architecture=amd64&label%3Ax") == "latest"
    assert config.dispatch.answer("tag=testing") is None
    assert isinstance(config.sources[0], MirrorSource)
    assert config.sources[0].tags == ("latest", "beta")


def test_a_default_tag_that_is_not_taken_gives_way(tmp_path: Path, document: dict[str, Any]) -> None:
    assert copied(tmp_path, listed(document), ", tags: [beta]").dispatch.default_tag == "beta"


def test_no_such_tag_is_an_error_that_names_those_that_are_there(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(FlatdexError, match=r"none of the tags stable\b") as caught:
        copied(tmp_path, listed(document), ", tags: [stable]")
    assert "latest, testing, beta" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no indexes", lambda found: found.pop("indexes")),
        ("indexes that are none", lambda found: found.update(indexes=7)),
        ("an index without tags", lambda found: found["indexes"][0].pop("tags")),
        ("a tag that breaks rules", lambda found: found["indexes"][0].update(tags=["a\nRedirect / http://evil/"])),
        ("a tag with the name of a folder", lambda found: found["indexes"][0].update(tags=["icons"])),
        ("an architecture that breaks rules", lambda found: found["indexes"][0].update(architectures=["a] [P"])),
        ("a name that leaves the folder", lambda found: found["remote"].update(name="../../evil")),
        ("a title of two lines", lambda found: found["remote"].update(title="a\nUrl=oci+http://evil/")),
        ("a URL that is none", lambda found: found["remote"].update(url="javascript:alert(1)")),
        ("a remote without a name", lambda found: found["remote"].pop("name")),
        ("a colour that is code", lambda found: found["pages"].update(accent="red;}body{")),
        ("a link that is code", lambda found: found["pages"].update(links=[["Help", "javascript:x"]])),
        ("links that are none", lambda found: found["pages"].update(links=[1])),
        ("a language that leaves the folder", lambda found: found["pages"].update(languages=["../.."])),
    ],
)
def test_what_no_operator_may_write_no_list_may_say(
    tmp_path: Path, document: dict[str, Any], name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(FlatdexError) as caught:
        copied(tmp_path, listed(document, change))
    assert document["id"] in caught.value.what
    assert "\n" not in caught.value.what


def test_what_a_later_version_says_of_a_remote_is_passed_over(tmp_path: Path, document: dict[str, Any]) -> None:
    config = copied(tmp_path, listed(document, lambda found: found["remote"].update(novelty="x")))
    assert config.remote == loaded(tmp_path, ORIGIN).remote


def test_a_remote_without_pages_is_copied_without(tmp_path: Path, document: dict[str, Any]) -> None:
    assert copied(tmp_path, listed(document, lambda found: found.update(pages=None))).pages is None
