"""The whole flow, from sources to a snapshot: what lies where, and what does not stop it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder import configfile, flatpak, oci
from builder.build import build
from builder.config import Config
from builder.description import Snapshot
from builder.errors import FlatdexError, SourceError
from builder.outcome import Built
from builder.report import Report
from builder.sources import transport
from builder.store import Store
from tests.builder.helpers import (
    GOOD,
    Answer,
    Blobs,
    Json,
    as_registry,
    blob_file,
    flatpak_labels,
    hello_layout,
    icon_uri,
    loaded,
    ref_of,
    scripted,
    tagged,
    write,
)
from tests.builder.test_regindexer import OLD
from tests.builder.validity import assert_index_is_valid

NASTY = """\
store: ./store
pages: false
remote: {name: nasty, title: "Grüße «日本語»", url: "https://example.org/flatpaks/", comment: 'back\\slash'}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  defaults: {architectures: [amd64, arm64], annotations: true}
  stable: {tags: [latest]}
  testing: {tags: [testing], extract_icons: false}
"""
ICON = "org.freedesktop.appstream.icon-64"


def report() -> Report:
    """Says nothing."""
    return Report(-1, io.StringIO(), io.StringIO())


def built(config: Config) -> tuple[Built, Snapshot]:
    """Builds, and reads what was built."""
    store = Store(config.store)
    with store.locked("build", create=True):
        done = build(config, report())
    return done, store.find(done.snapshot)


def files(one: Snapshot) -> dict[str, bytes]:
    """The files of a snapshot, by their paths."""
    return {entry.path: (one.folder / entry.path).read_bytes() for entry in one.files}


def nasty_images(folder: Path) -> None:
    """Layouts with everything that is allowed and much that is not."""
    appdata = "<components><component><name>Grüße 🐧 \u2028</name></component></components>"
    blobs = Blobs()
    multi = blobs.index(
        {**blobs.image({}, config={}), "platform": {"os": "unknown", "architecture": "unknown"}},
        blobs.image(flatpak_labels(ref_of("Multi"), **{ICON: icon_uri(), flatpak.APPDATA: appdata})),
        blobs.image(flatpak_labels(ref_of("Multi", "aarch64"), **{ICON: icon_uri()}), architecture="arm64"),
    )
    only_annotated = blobs.image({}, annotations=flatpak_labels(ref_of("Annotated"), **{ICON: icon_uri(128)}))
    blobs.layout(folder / "images" / "Multi", tagged(multi, "latest"), tagged(only_annotated, "testing"))
    hello_layout(folder / "images" / "one", "app/org.flatdex.Hello/x86_64/stable")
    hello_layout(folder / "images" / "two", "latest", **{ICON: "data:image/png;base64,broken"})
    more = Blobs()
    more.layout(
        folder / "images" / "three",
        tagged(more.image({"maintainer": "me"}), "latest"),
        tagged(more.image(flatpak_labels(ref_of("Docker")), media_type=oci.DOCKER_MANIFEST), "testing"),
        tagged(more.image(flatpak_labels(ref_of("Bad"), **{flatpak.METADATA: "other"})), "latest"),
    )


def codes(done: Built) -> list[str]:
    """The codes of all skips, sorted."""
    return sorted(skip.code for skip in done.skips)


@pytest.fixture
def nasty(tmp_path: Path) -> Config:
    """A configuration with images that are not all good."""
    nasty_images(tmp_path)
    return loaded(tmp_path, NASTY)


def test_every_index_of_a_site_is_what_clients_take(nasty: Config) -> None:
    _, one = built(nasty)
    found = files(one)
    indexes = [path for path in found if path.endswith((".json", "/static"))]
    assert len(indexes) > 20
    for path in indexes:
        assert_index_is_valid(found[path])
    for path in [path for path in found if path.endswith(".gz")]:
        assert "sha256/" in path or gzip.decompress(found[path]) == found[path.removesuffix(".gz")]
        assert_index_is_valid(gzip.decompress(found[path]))


def test_a_site_has_all_its_files(nasty: Config) -> None:
    _, one = built(nasty)
    paths = [path for path in files(one) if not path.startswith(("v2/", "icons/")) and "/sha256/" not in path]
    variants = [
        f"index/{tag}{arch}{form}.json{gz}"
        for tag in ("latest", "testing")
        for arch in ("", "-amd64", "-arm64")
        for form in ("", ".annotations")
        for gz in ("", ".gz")
    ]
    folders = [f"{tag}/index/{name}" for tag in ("latest", "testing") for name in (".htaccess", "static", "static.gz")]
    others = [".htaccess", "index/.htaccess", "index/static", "nasty.flatpakrepo", "nasty-testing.flatpakrepo"]
    others += [f"refs/org.flatdex.{name}.flatpakref" for name in ("Annotated", "Docker", "Hello", "Multi")]
    assert sorted(paths) == sorted([*variants, *folders, *others])


def test_rules_name_files_that_are_there_by_the_hash_of_their_bytes(nasty: Config) -> None:
    _, one = built(nasty)
    found = files(one)
    for rules in ("index/.htaccess", "latest/index/.htaccess", "testing/index/.htaccess"):
        folder = rules.removesuffix(".htaccess")
        targets = [word for word in found[rules].decode().split() if word.startswith("sha256/")]
        assert targets
        for target in targets:
            digest = hashlib.sha256(found[folder + target]).hexdigest()
            assert target.split("/")[2].startswith(f"{digest}.json")


def test_each_variant_has_the_images_of_its_architecture(nasty: Config) -> None:
    _, one = built(nasty)

    def refs(name: str) -> list[str]:
        index = json.loads(files(one)[f"index/{name}.json"])
        return [image["Labels"][flatpak.REF] for result in index["Results"] for image in result["Images"]]

    multi, arm, hello = ref_of("Multi"), ref_of("Multi", "aarch64"), ref_of()
    assert sorted(refs("latest")) == sorted([multi, arm, hello])
    assert sorted(refs("latest-amd64")) == sorted([multi, hello])
    assert refs("latest-arm64") == [arm]
    assert refs("testing-arm64") == []
    assert sorted(refs("testing")) == [ref_of("Annotated"), ref_of("Docker")]


def test_what_is_left_out_has_its_reason(nasty: Config) -> None:
    done, _ = built(nasty)
    assert codes(done) == ["attestation", "duplicate-ref", "icon-rejected", "metadata-mismatch", "not-a-flatpak"]
    assert [skip.code for skip in done.skips if skip.act] == ["metadata-mismatch"]
    assert not done.whole and not done.stale


def test_icons_become_files_where_that_is_wanted(nasty: Config) -> None:
    _, one = built(nasty)
    found = files(one)
    (path,) = [path for path in found if path.startswith("icons/") and path.endswith(".png")]
    assert found[path] == base64.b64decode(icon_uri().partition(",")[2])
    assert path == "icons/" + "/".join([(digest := hashlib.sha256(found[path]).hexdigest())[:2], f"{digest[2:]}.png"])
    assert f'"{ICON}":"../{path}"' in found["index/latest.json"].decode()
    assert f'"{ICON}":"../../{path}"' in found["latest/index/static"].decode()
    assert f'"{ICON}":"data:image/png;base64,' in found["index/testing.json"].decode()


def test_blobs_of_layouts_become_a_registry_of_files(nasty: Config) -> None:
    _, one = built(nasty)
    found = files(one)
    index = json.loads(found["index/latest.json"])
    assert index["Registry"] == "../"
    assert json.loads(found["testing/index/static"])["Registry"] == "../../"
    for result in index["Results"]:
        for image in result["Images"]:
            manifest = found[f"v2/{result['Name']}/manifests/{image['Digest']}"]
            assert oci.digest_of(manifest) == image["Digest"]
            value = json.loads(manifest)
            for blob in (value["config"], *value["layers"]):
                data = found[f"v2/{result['Name']}/blobs/{blob['digest']}"]
                assert (oci.digest_of(data), len(data)) == (blob["digest"], blob["size"])
    assert oci.DOCKER_MANIFEST in found["v2/.htaccess"].decode()
    assert not [path for path in found if path.startswith("v2/three/") and "other" in path]


def test_an_image_that_is_left_out_brings_no_files(nasty: Config) -> None:
    done, one = built(nasty)
    bad = next(skip for skip in done.skips if skip.code == "metadata-mismatch")
    assert not [path for path in files(one) if bad.reference in path]


def test_layouts_need_no_token(nasty: Config) -> None:
    _, one = built(nasty)
    for result in json.loads(files(one)["index/latest.json"])["Results"]:
        for image in result["Images"]:
            assert image["Labels"][flatpak.TOKEN_TYPE] == flatpak.TOKEN_NONE


def test_building_again_changes_nothing(nasty: Config) -> None:
    first, one = built(nasty)
    second, _ = built(nasty)
    assert (first.changed, second.changed, second.snapshot) == (True, False, one.id)


def test_a_new_image_changes_only_what_it_must(nasty: Config, tmp_path: Path) -> None:
    _, one = built(nasty)
    blobs = Blobs()
    blobs.layout(tmp_path / "images" / "new", tagged(blobs.image(flatpak_labels(ref_of("New"))), "latest"))
    done, two = built(nasty)
    assert done.changed
    changed = {entry.path for entry in two.files if one.by_path.get(entry.path) != entry}
    unchanged = {entry.path for entry in two.files} - changed
    assert {"index/latest.json", "index/latest-amd64.json", "index/static", "latest/index/static.gz"} <= changed
    assert {"index/latest-arm64.json", "index/testing.json", "nasty.flatpakrepo", ".htaccess"} <= unchanged
    assert all((one.folder / path).samefile(two.folder / path) for path in unchanged)


def test_a_layer_that_was_published_stays_when_its_layout_s_copy_breaks(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    folder = blobs.layout(tmp_path / "images" / "hello", tagged(descriptor, "latest"))
    config = loaded(tmp_path, NASTY)
    built(config)
    layer = json.loads(blobs.data[descriptor["digest"]])["layers"][0]
    blob_file(folder, layer).write_bytes(b"x" * layer["size"])
    hello_layout(tmp_path / "images" / "other", "testing", **{flatpak.REF: ref_of("Other")})
    _, two = built(config)
    assert files(two)[f"v2/hello/blobs/{layer['digest']}"] == blobs.data[layer["digest"]]


def test_a_hostile_type_breaks_out_of_no_rule(tmp_path: Path) -> None:
    hostile = "application/x]\nRedirect / https://evil.example.org/\n#"
    blobs = Blobs()
    told = blobs.image(flatpak_labels(ref_of("Told")), media_type=hostile)
    untold = {**blobs.image(flatpak_labels(ref_of("Untold")), media_type=None), "mediaType": hostile}
    blobs.layout(tmp_path / "images" / "hello", tagged(blobs.image(), "latest"), told, untold)
    _, one = built(loaded(tmp_path, NASTY))
    assert all(b"evil.example.org" not in data for path, data in files(one).items() if path.endswith(".htaccess"))


@pytest.mark.parametrize("changes", [{"os": "\ud800"}, {"architecture": "a\udfff"}, {"created": "\ud800"}])
def test_text_that_no_index_can_hold_leaves_one_image_out(tmp_path: Path, changes: Json) -> None:
    blobs = Blobs()
    config: dict[str, Any] = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Labels": flatpak_labels(ref_of("Bad"))},
    }
    bad = blobs.image(config={**config, **changes})
    blobs.layout(tmp_path / "images" / "hello", tagged(blobs.image(), "latest"), tagged(bad, "latest"))
    _, one = built(loaded(tmp_path, NASTY))
    assert ref_of() in files(one)["index/latest.json"].decode()


def test_two_sources_whose_layouts_have_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("images", "others"):
        hello_layout(tmp_path / folder / "hello", "latest")
    text = NASTY.replace('images/*"]}', 'images/*"]}\n  other: {layouts: ["./others/*"]}')
    with pytest.raises(SourceError, match="the repository hello is that of another source's layout too"):
        built(loaded(tmp_path, text))


def test_a_source_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_RETRIES", 0)
    hello_layout(tmp_path / "images" / "unused")
    blobs = Blobs()
    tags = {"hello": {"latest": blobs.image()}}
    script = as_registry(blobs, tags)
    down = [True]
    with scripted(lambda path: Answer(b"", 500) if down else script(path)) as server:
        config = loaded(tmp_path, GOOD.replace("http://127.0.0.1:5000", server.url))
        with pytest.raises(FlatdexError, match="answered 500"):
            built(config)
        assert list(Store(config.store).complete()) == [], "half a first site is none"
        down.clear()
        first, one = built(config)
        assert first.whole
        down.append(True)
        again, _ = built(config)
    assert not again.changed and not again.whole
    assert [(each.source, each.repository, each.code, each.kept) for each in again.stale] == [
        ("main", "", "server-error", 1)
    ]
    assert [each.id for each in Store(config.store).complete()] == [one.id] == [again.snapshot]


def test_a_registry_s_images_bring_no_files(tmp_path: Path) -> None:
    hello_layout(tmp_path / "images" / "unused")
    blobs = Blobs()
    with scripted(as_registry(blobs, {"hello": {"latest": blobs.image()}})) as server:
        _, one = built(loaded(tmp_path, GOOD.replace("http://127.0.0.1:5000", server.url)))
        assert json.loads(files(one)["index/static"])["Registry"] == server.url + "/"
    assert not [path for path in files(one) if path.startswith("v2/")]


def test_a_source_that_no_index_takes_is_not_asked(tmp_path: Path) -> None:
    hello_layout(tmp_path / "images" / "hello", "latest")
    with scripted(lambda path: Answer(b"", 500)) as server:
        text = GOOD.replace("http://127.0.0.1:5000", server.url).replace("sources: [main]", "sources: [local]")
        built(loaded(tmp_path, text))
        assert server.asked == []


def test_layouts_that_no_index_takes_need_not_be_there(tmp_path: Path) -> None:
    blobs = Blobs()
    with scripted(as_registry(blobs, {"hello": {"latest": blobs.image()}})) as server:
        done, _ = built(loaded(tmp_path, GOOD.replace("http://127.0.0.1:5000", server.url)))
    assert done.changed


# The older form


def test_the_older_form_gives_its_own_files(tmp_path: Path) -> None:
    blobs = Blobs()
    latest = blobs.image(flatpak_labels(**{ICON: icon_uri()}))
    other = blobs.image(flatpak_labels(ref_of("Other", "aarch64"), **{ICON: icon_uri()}), architecture="arm64")
    tags = {"hello": {"latest": latest}, "other": {"latest": other, "testing": other}}
    with scripted(as_registry(blobs, tags)) as server:
        file = write(tmp_path, OLD.replace("http://127.0.0.1:5000", server.url), "config.yaml")
        _, one = built(configfile.load(file, {}, str(tmp_path / "store")))
        inner = server.url
    found = files(one)
    for name in ("flatpak", "flatpak-testing", "flatpak-amd64", "flatpak-testing-amd64"):
        index = assert_index_is_valid(found[f"index/{name}.json"])
        assert index["Registry"] == "/"
    assert [result["Name"] for result in json.loads(found["index/flatpak.json"])["Results"]] == ["hello", "other"]
    assert [result["Name"] for result in json.loads(found["index/flatpak-amd64.json"])["Results"]] == ["hello"]
    (icon,) = [path for path in found if path.endswith(".png")]
    assert icon.startswith("app-icons/")
    assert f'"{ICON}":"/{icon}"' in found["index/flatpak.json"].decode()
    assert found["index/static"] == found["index/flatpak.json"]
    assert not [path for path in found if path.endswith(".flatpakrepo")]
    document = (one.folder / "snapshot.json").read_text()
    assert inner not in document, "everyone can read it"


def test_nothing_of_a_build_depends_on_where_it_runs(tmp_path: Path) -> None:
    trees = []
    for name in ("one", "two"):
        nasty_images(tmp_path / name)
        (tmp_path / name).joinpath("flatdex.yaml").write_text(NASTY)
        _, one = built(configfile.load(tmp_path / name / "flatdex.yaml", {}))
        trees.append(files(one))
        text = (one.folder / "snapshot.json").read_text() + "".join(map(repr, files(one).values()))
        assert str(tmp_path) not in text
        assert os.uname().nodename not in text or os.uname().nodename in NASTY
    assert trees[0] == trees[1]
