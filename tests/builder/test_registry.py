"""Registries: a real one, and one that does what a real one won't. A failure is never an empty answer."""

from __future__ import annotations

import fnmatch
import itertools
import json
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import oci
from builder.catalog import Failure, Image, Skip
from builder.config import RegistrySource, is_glob
from builder.errors import SourceError
from builder.sources import access, transport, walk
from builder.sources import registry as module
from builder.sources.cache import Cache
from builder.sources.reading import RegistryReading
from tests.builder.helpers import (
    Answer,
    Blobs,
    Json,
    Script,
    as_registry,
    codes_of,
    flatpak_labels,
    images_of,
    scripted,
)
from tests.real.files import readable_folder
from tests.real.registry import DockerRegistry

LATEST = frozenset({"latest"})
SEVERAL = frozenset({"latest", "beta", "nightly"})
"""So many that a repository of which nothing is known is asked for the list of its tags."""


def source_of(url: str, *repositories: str, exclude: tuple[str, ...] = ()) -> RegistrySource:
    """A source; all repositories unless some are named."""
    return RegistrySource("main", url, f"{url}/", repositories or ("*",), exclude)


def read(source: RegistrySource, tags: frozenset[str] = LATEST) -> list[Image | Skip]:
    """All that a registry holds. Raises SourceError for what could not be read, with the failure's code."""
    found = items(source, tags)
    for item in found:
        if isinstance(item, Failure):
            raise SourceError(item.source, "read", item.why, code=item.code)
    return [item for item in found if not isinstance(item, Failure)]


def items(source: RegistrySource, tags: frozenset[str] = LATEST) -> list[Image | Skip | Failure]:
    """All that a registry holds, and what could not be read of it, from an empty cache."""
    with (
        tempfile.TemporaryDirectory(prefix="flatdex-test-") as folder,
        Cache(Path(folder)) as cache,
        access.opened(source, cache, {"HOME": folder}) as registry,
    ):
        reading = RegistryReading(registry, source, tags, cache, lambda what: lambda done, total: None)
        reading.look()
        return list(reading.items())


def repositories(source: RegistrySource) -> list[str]:
    """The repositories that a source takes."""
    with (
        tempfile.TemporaryDirectory(prefix="flatdex-test-") as folder,
        Cache(Path(folder)) as cache,
        access.opened(source, cache, {"HOME": folder}) as registry,
    ):
        return registry.repositories()


# A real registry. Tests share it, so each has repositories of its own.


@pytest.fixture(scope="module")
def real() -> Iterator[DockerRegistry]:
    """A docker-registry."""
    with readable_folder() as folder, DockerRegistry(folder / "registry") as server:
        yield server


@pytest.fixture
def name() -> str:
    """The start of the names of a test's own repositories."""
    return f"t{secrets.token_hex(4)}"


def put(url: str, repository: str, blobs: Blobs, descriptor: Json, *tags: str) -> None:
    """Pushes all blobs, then what `descriptor` stands for, under `tags`."""
    with requests.Session() as session:
        for digest, data in blobs.data.items():
            place = session.post(f"{url}/v2/{repository}/blobs/uploads/", timeout=10).headers["Location"]
            answer = session.put(place, data=data, params={"digest": digest}, timeout=10)
            assert answer.status_code == 201, answer.text
        for entry in _leaves_first(blobs, descriptor):
            for reference in (str(entry["digest"]), *(tags if entry is descriptor else ())):
                answer = session.put(
                    f"{url}/v2/{repository}/manifests/{reference}",
                    data=blobs.data[entry["digest"]],
                    headers={"Content-Type": entry["mediaType"]},
                    timeout=10,
                )
                assert answer.status_code == 201, answer.text


def _leaves_first(blobs: Blobs, descriptor: Json) -> Iterator[Json]:
    for inner in json.loads(blobs.data[descriptor["digest"]]).get("manifests", []):
        yield from _leaves_first(blobs, inner)
    yield descriptor


def test_images_come_out_as_they_were_pushed(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image(annotations={"a": "b"})
    put(real.url, f"{name}/hello", blobs, descriptor, "latest")
    (one,) = images_of(read(source_of(real.url, f"{name}/*")))
    assert (one.repository, one.digest, one.media_type) == (f"{name}/hello", descriptor["digest"], oci.MANIFEST)
    assert (dict(one.labels), dict(one.annotations), one.tags) == (flatpak_labels(), {"a": "b"}, LATEST)
    assert one.blobs == ()


def test_catalog_and_tags_are_read_page_by_page(
    real: DockerRegistry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    tags = [f"v{number}" for number in range(5)]
    for letter in "abcde":
        put(real.url, f"{name}/{letter}", blobs, descriptor, *tags)
    monkeypatch.setattr(module, "_PAGE", 2)
    # So many that their list is read: the last of them is on its last page.
    found = images_of(read(source_of(real.url, f"{name}/*"), frozenset({"v0", "v2", "v4"})))
    assert [(each.repository, sorted(each.tags)[0]) for each in found] == [
        (f"{name}/{letter}", tag) for letter in "abcde" for tag in ("v0", "v2", "v4")
    ]


@pytest.mark.parametrize("media_type", oci.INDEX_TYPES)
def test_an_index_of_two_platforms_and_an_attestation(real: DockerRegistry, name: str, media_type: str) -> None:
    blobs = Blobs()
    inner = oci.MANIFEST if media_type == oci.IMAGE_INDEX else oci.DOCKER_MANIFEST
    platforms = [("linux", "amd64"), ("linux", "arm64"), ("unknown", "unknown")]
    entries = [
        {
            **blobs.image(architecture=architecture, media_type=inner),
            "platform": {"os": system, "architecture": architecture},
        }
        for system, architecture in platforms
    ]
    put(real.url, f"{name}/hello", blobs, blobs.index(*entries, media_type=media_type), "latest")
    found = read(source_of(real.url, f"{name}/hello"))
    assert [(each.architecture, each.media_type) for each in images_of(found)] == [("amd64", inner), ("arm64", inner)]
    assert codes_of(found) == ["attestation"]


def test_schema_2_as_skopeo_writes_it(real: DockerRegistry, name: str, tmp_path: Path) -> None:
    blobs = Blobs()
    layout = blobs.layout(tmp_path / "hello", blobs.image())
    digest = real.copy(layout, f"{name}/hello:latest", convert_to="v2s2")
    (one,) = images_of(read(source_of(real.url, f"{name}/hello")))
    assert (one.digest, one.media_type, one.labels) == (digest, oci.DOCKER_MANIFEST, flatpak_labels())


def test_a_repository_whose_last_image_was_deleted_is_empty(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    for letter in "ab":
        put(real.url, f"{name}/{letter}", blobs, descriptor, "latest")
    url = f"{real.url}/v2/{name}/a"
    assert requests.delete(f"{url}/manifests/{descriptor['digest']}", timeout=10).status_code == 202
    assert requests.get(f"{url}/tags/list", timeout=10).json()["tags"] is None, "the registry behaves otherwise"
    assert [each.repository for each in images_of(read(source_of(real.url, f"{name}/*")))] == [f"{name}/b"]


def test_a_repository_to_which_somebody_is_just_pushing_has_no_images_yet(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    put(real.url, f"{name}/b", blobs, blobs.image(), "latest")
    url = f"{real.url}/v2/{name}/a"
    place = requests.post(f"{url}/blobs/uploads/", timeout=10).headers["Location"]
    digest = oci.digest_of(b"a layer")
    assert requests.put(place, data=b"a layer", params={"digest": digest}, timeout=10).status_code == 201
    assert f"{name}/a" in requests.get(f"{real.url}/v2/_catalog", timeout=10).json()["repositories"]
    assert requests.get(f"{url}/tags/list", timeout=10).status_code == 404, "the registry behaves otherwise"
    found = read(source_of(real.url, f"{name}/*"))
    assert [each.repository for each in images_of(found)] == [f"{name}/b"]
    assert not [item for item in found if isinstance(item, Skip) and item.act]


def test_one_tag_in_two_repositories_is_two_images(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    for letter in "ab":
        put(real.url, f"{name}/{letter}", blobs, descriptor, "latest", "other")
    found = images_of(read(source_of(real.url, f"{name}/b", f"{name}/*")))
    assert [(each.repository, each.rank) for each in found] == [(f"{name}/a", 1), (f"{name}/b", 0)]


def test_excluded_repositories_are_not_read(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    for letter in "ab":
        put(real.url, f"{name}/{letter}", blobs, descriptor, "latest")
    assert repositories(source_of(real.url, f"{name}/*", exclude=("*/a",))) == [f"{name}/b"]


@pytest.mark.parametrize("tags", [LATEST, SEVERAL], ids=["one tag", "several tags"])
def test_a_repository_that_is_named_and_not_there_is_told(
    real: DockerRegistry, name: str, tags: frozenset[str]
) -> None:
    blobs = Blobs()
    put(real.url, f"{name}/hello", blobs, blobs.image(), "latest")
    found = items(source_of(real.url, f"{name}/none", f"{name}/hello"), tags)
    assert [each.repository for each in images_of(found)] == [f"{name}/hello"]
    (skip,) = [item for item in found if not isinstance(item, Image)]
    assert isinstance(skip, Skip) and skip.act
    assert (skip.repository, skip.code) == (f"{name}/none", "no-such-repository")
    assert "the configuration names it" in skip.why


def test_a_repository_that_is_there_without_a_wanted_tag_is_fine(real: DockerRegistry, name: str) -> None:
    blobs = Blobs()
    put(real.url, f"{name}/hello", blobs, blobs.image(), "other")
    assert items(source_of(real.url, f"{name}/hello")) == []


# A registry that misbehaves


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once."""
    monkeypatch.setattr(transport, "_RETRIES", 0)


def good() -> tuple[Blobs, dict[str, dict[str, Json]]]:
    """Two repositories of a registry."""
    blobs = Blobs()
    other = blobs.image(flatpak_labels("app/org.flatdex.Other/x86_64/stable"))
    return blobs, {"bad": {"latest": blobs.image()}, "good": {"latest": other}}


def failure(script: Script, *names: str, tags: frozenset[str] = LATEST) -> Failure:
    """The one failure that a registry leads to. If it is one repository's, `good` has its image all the same."""
    with scripted(script) as server:
        found = items(source_of(server.url, *names), tags)
    (failed,) = [item for item in found if isinstance(item, Failure)]
    assert [each.repository for each in images_of(found)] == (["good"] if failed.repository else [])
    assert failed.source == "main" and codes_of(found) == []
    return failed


def failed_to_list_repositories(failed: Failure) -> bool:
    """Whether nothing could be read, since the catalog could not."""
    return not failed.repository and failed.why.startswith("source main: failed to list the repositories: ")


def test_the_scripted_registry_is_a_registry() -> None:
    with scripted(as_registry(*good())) as server:
        found = read(source_of(server.url))
    assert [each.repository for each in images_of(found)] == ["bad", "good"]


GONE = Answer(b"{}", 404)
CODES = {401: "unauthorized", 403: "forbidden", 404: "not-found", 429: "rate-limited"}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 429, 451, 499, 500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("part", ["_catalog", "/tags/list", "/manifests/latest", "/blobs/"])
def test_a_failure_is_a_failure_and_never_an_empty_answer(status: int, part: str) -> None:
    script = as_registry(*good())
    tags = SEVERAL if part == "/tags/list" else LATEST

    def failing(path: str) -> Answer | None:
        return Answer(b"{}", status) if part in path and "good" not in path else script(path)

    if status == 404 and part != "_catalog":  # an answer: there is no such thing
        with scripted(failing) as server:
            found = items(source_of(server.url), tags)
        assert [each.repository for each in images_of(found)] == ["good"]
        assert [item.code for item in found if not isinstance(item, Image)] == ["missing-blob"] * (part == "/blobs/")
        return
    failed = failure(failing, tags=tags)
    assert failed.repository == ("" if part == "_catalog" else "bad")
    assert failed.code == CODES.get(status, "server-error" if status >= 500 else "bad-answer")
    assert f": answered {status}" in failed.why


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_registry_without_a_catalog_says_what_to_do(status: int) -> None:
    failed = failure(as_registry(*good(), {"_catalog": Answer(b"{}", status)}))
    assert failed_to_list_repositories(failed)
    fix = "If this registry has no catalog, list its repositories by name: `repositories: [NAME, ..]`."
    assert failed.why.endswith(fix)
    assert ("It wants a login" in failed.why) == (status == 401)


def test_without_a_glob_the_catalog_is_not_asked() -> None:
    with scripted(as_registry(*good(), {"_catalog": None})) as server:
        assert len(images_of(read(source_of(server.url, "good", "bad")))) == 2
        assert not [path for path in server.asked if "_catalog" in path]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("part", ["_catalog", "bad/tags/list", "bad/manifests/latest", "bad/blobs/"])
@pytest.mark.parametrize("answer", [None, Answer(b'{"repositories":', cut=5)], ids=["silence", "cut"])
def test_a_cut_connection_is_a_failure(part: str, answer: Answer | None) -> None:
    script = as_registry(*good())
    failed = failure(lambda path: answer if part in path else script(path), tags=SEVERAL if "tags" in part else LATEST)
    assert (failed.repository, failed.code) == ("" if part == "_catalog" else "bad", "unreachable")
    fix = "Is the registry running, and is its URL in the configuration right?"
    assert failed.why.endswith(f": the connection was cut\n  {fix}")


def test_a_connection_that_is_cut_once_is_tried_again() -> None:
    script = as_registry(*good())
    cut: set[str] = set()

    def once(path: str) -> Answer | None:
        if path in cut:
            return script(path)
        cut.add(path)
        return None

    with scripted(once) as server:
        assert len(images_of(read(source_of(server.url, "good")))) == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("names", [(), ("bad", "good")], ids=["catalog", "by name"])
def test_nobody_there_is_a_failure(names: tuple[str, ...]) -> None:
    with scripted(lambda path: None) as server:
        url = server.url
    found = items(source_of(url, *names))
    failed = [item for item in found if isinstance(item, Failure)]
    assert {(item.repository, item.code) for item in failed} == {(name, "unreachable") for name in names or ("",)}
    assert len(failed) == len(found) and all("connection refused" in item.why for item in failed)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"[]", b"\xff", b'{"repositories":5}', b'{"repositories":[5]}', b'{"repositories":["../x"]}'),
        b'{"repositories":["UPPER"]}',
    ],
)
def test_a_catalog_that_is_none_is_a_failure(body: bytes) -> None:
    failed = failure(as_registry(*good(), {"_catalog": Answer(body)}))
    assert failed_to_list_repositories(failed) and failed.code == "bad-answer"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"tags":{}}', b'{"tags":[null]}'])
@pytest.mark.parametrize("named", [False, True], ids=["several tags", "named, nothing found"])
def test_tags_that_are_none_are_a_failure(body: bytes, named: bool) -> None:
    script = as_registry(*good(), {"bad/tags/list": Answer(body), **({"bad/manifests": GONE} if named else {})})
    failed = failure(script, *(("bad", "good") if named else ()), tags=LATEST if named else SEVERAL)
    assert (failed.repository, failed.code) == ("bad", "bad-answer")
    assert failed.why.startswith("source main: failed to list the tags of bad: ")


@pytest.mark.parametrize("body", [b'{"tags":null}', b'{"tags":[]}'])
@pytest.mark.parametrize("named", [False, True], ids=["several tags", "named, nothing found"])
def test_no_tags_are_no_failure(body: bytes, named: bool) -> None:
    script = as_registry(*good(), {"bad/tags/list": Answer(body), **({"bad/manifests": GONE} if named else {})})
    with scripted(script) as server:
        found = items(source_of(server.url, *(("bad", "good") if named else ())), LATEST if named else SEVERAL)
        assert [path for path in server.asked if "bad/tags/list" in path]
    assert [each.repository for each in images_of(found)] == ["good"] and len(found) == 1


# Pages


def paged(link: str) -> Script:
    """A catalog whose first page has a `Link`."""
    script = as_registry(*good())

    def answer(path: str) -> Answer | None:
        if path.startswith("/v2/_catalog?n="):
            return Answer(b'{"repositories":["bad"]}', headers={"Link": link})
        return script(path)

    return answer


@pytest.mark.parametrize(
    "link", ['</v2/_catalog?last=bad>; rel="next"', "</v2/_catalog?last=bad>; rel=next", '<_catalog?x=1>;rel="next"']
)
def test_the_next_page_is_asked_for(link: str) -> None:
    with scripted(paged(link)) as server:
        assert repositories(source_of(server.url)) == ["bad", "good"]


def test_another_link_is_no_next_page() -> None:
    with scripted(paged('</v2/_catalog?first>; rel="prev"')) as server:
        assert repositories(source_of(server.url)) == ["bad"]


@pytest.mark.parametrize("place", ["http://127.0.0.2:1/v2/_catalog", "//example.org/v2/_catalog", "file:///etc/passwd"])
def test_a_next_page_at_another_place_is_refused(place: str) -> None:
    failed = failure(paged(f'<{place}>; rel="next"'))
    assert failed_to_list_repositories(failed) and "its next page is at another place" in failed.why


def test_a_next_page_that_is_no_url_is_a_failure() -> None:
    assert failed_to_list_repositories(failure(paged('<http://[>; rel="next"')))


def test_pages_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PAGES", 5)
    number = itertools.count()

    def endless(path: str) -> Answer:
        headers = {"Link": f'</v2/_catalog?last={next(number)}>; rel="next"'}
        return Answer(b'{"repositories":["a"]}', headers=headers)

    with scripted(endless) as server:
        with pytest.raises(SourceError, match="more than 5 pages"):
            repositories(source_of(server.url))
        assert len(server.asked) == 5


def test_pages_that_lead_round_in_a_circle_are_an_error() -> None:
    with scripted(paged('</v2/_catalog?n=1>; rel="next"')) as server:
        with pytest.raises(SourceError, match="circle"):
            repositories(source_of(server.url))
        assert len(server.asked) == 2


# Lies about images


def lying(change: dict[str, Any], part: str) -> list[Image | Skip]:
    """What is found when the answers whose path has `part` are changed."""
    script = as_registry(*good())

    def answer(path: str) -> Answer | None:
        real = script(path)
        if real is None or part not in path:
            return real
        return Answer(**{"body": real.body, "status": real.status, "headers": {**real.headers}, **change})

    with scripted(answer) as server:
        return read(source_of(server.url))


@pytest.mark.parametrize(
    ("change", "part", "code"),
    [
        ({"headers": {"Docker-Content-Digest": "sha256:" + "0" * 64}}, "bad/manifests/latest", "digest-mismatch"),
        ({"body": b"{}"}, "bad/manifests/latest", "digest-mismatch"),
        ({"body": b"{}", "headers": {}}, "bad/manifests/latest", "malformed"),
        ({"body": b"<html>", "headers": {}}, "bad/manifests/latest", "malformed"),
        ({"body": b"{}"}, "bad/blobs/", "size-mismatch"),
    ],
)
def test_a_lie_leaves_one_image_out(change: dict[str, Any], part: str, code: str) -> None:
    found = lying(change, part)
    assert [each.repository for each in images_of(found)] == ["good"]
    assert codes_of(found) == [code]


def test_other_bytes_of_the_same_size_are_noticed() -> None:
    script = as_registry(*good())

    def answer(path: str) -> Answer | None:
        real = script(path)
        return Answer(real.body.replace(b"linux", b"linuz")) if real and "bad/blobs/" in path else real

    with scripted(answer) as server:
        found = read(source_of(server.url))
    assert [each.repository for each in images_of(found)] == ["good"]
    assert codes_of(found) == ["digest-mismatch"]


def test_a_manifest_that_is_gone_from_an_index_leaves_the_others() -> None:
    blobs = Blobs()
    gone = blobs.image()
    index = blobs.index(gone, blobs.image(architecture="arm64"))
    del blobs.data[gone["digest"]]
    with scripted(as_registry(blobs, {"hello": {"latest": index}})) as server:
        found = read(source_of(server.url))
    assert [each.architecture for each in images_of(found)] == ["arm64"]
    assert codes_of(found) == ["missing-blob"]


@pytest.mark.parametrize("part", ["bad/manifests/latest", "bad/blobs/"])
def test_one_answer_that_is_too_large_leaves_one_image_out(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(walk, "LARGEST_MANIFEST", 10_000)
    monkeypatch.setattr(walk, "LARGEST_CONFIG", 10_000)
    found = lying({"body": b" " * 20_000, "headers": {}}, part)
    assert [each.repository for each in images_of(found)] == ["good"]
    assert codes_of(found) == ["too-large"]


def test_a_type_with_parameters_is_a_type() -> None:
    blobs = Blobs()
    descriptor = {**blobs.image(media_type=None), "mediaType": f"{oci.MANIFEST}; charset=utf-8"}
    with scripted(as_registry(blobs, {"hello": {"latest": descriptor}})) as server:
        (one,) = images_of(read(source_of(server.url)))
    assert one.media_type == oci.MANIFEST


def test_a_redirect_that_is_no_url_is_a_failure() -> None:
    failed = failure(as_registry(*good(), {"bad/blobs": Answer(b"", 307, {"Location": "http://["})}))
    assert failed.repository == "bad" and "a redirect to something that is no URL" in failed.why


@pytest.mark.usefixtures("hasty")
def test_redirects_without_end_are_a_failure() -> None:
    script = as_registry(*good())

    def answer(path: str) -> Answer | None:
        return Answer(b"", 307, {"Location": path}) if "bad/blobs" in path else script(path)

    failed = failure(answer)
    assert failed.repository == "bad" and "too many redirects" in failed.why


def test_a_blob_that_lies_elsewhere_is_followed() -> None:
    blobs, tags = good()
    with scripted(lambda path: Answer(blobs.data[path.removeprefix("/")])) as elsewhere:
        script = as_registry(blobs, tags)

        def answer(path: str) -> Answer | None:
            place = f"{elsewhere.url}/{path.rpartition('/')[2]}"
            return Answer(b"", 307, {"Location": place}) if "/blobs/" in path else script(path)

        with scripted(answer) as server:
            assert len(images_of(read(source_of(server.url)))) == 2
        assert len(elsewhere.asked) == 2


def test_one_image_under_several_tags_is_read_once() -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    with scripted(as_registry(blobs, {"hello": {"latest": descriptor, "v1": descriptor}})) as server:
        assert len(images_of(read(source_of(server.url), frozenset({"latest", "v1"})))) == 2
        assert len([path for path in server.asked if "/blobs/" in path]) == 1


def test_only_the_wanted_tags_are_read() -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    with scripted(as_registry(blobs, {"hello": {"latest": descriptor, "v1": descriptor}})) as server:
        assert [sorted(each.tags) for each in images_of(read(source_of(server.url)))] == [["latest"]]
        assert not [path for path in server.asked if path.endswith("/v1")]


# Globs

PARTS = st.text(alphabet="ab/", min_size=1, max_size=4)
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "?", "[ab]", "[!a]"]), min_size=1, max_size=5).map("".join)


def matches(name: str, pattern: str) -> bool:
    """A glob by the standard library's own regular expression."""
    return re.fullmatch(fnmatch.translate(pattern), name) is not None


@settings(max_examples=200)
@given(PARTS, st.lists(PATTERNS, min_size=1, max_size=3), st.lists(PATTERNS, max_size=2))
def test_a_repository_is_taken_that_a_pattern_matches_and_none_excludes(
    name: str, patterns: list[str], exclude: list[str]
) -> None:
    source = source_of("http://x", *patterns, exclude=tuple(exclude))
    wanted = [number for number, pattern in enumerate(patterns) if matches(name, pattern)]
    assert source.takes(name) == (bool(wanted) and not any(matches(name, pattern) for pattern in exclude))
    if wanted:
        assert source.rank(name) == wanted[0]


@given(PARTS)
def test_a_name_without_wildcards_matches_itself_alone(name: str) -> None:
    assert not is_glob(name)
    assert source_of("http://x", name).takes(name)
    assert not source_of("http://x", name).takes(name + "a")


@pytest.mark.parametrize("pattern", ["*", "a?", "[ab]"])
def test_wildcards_make_a_glob(pattern: str) -> None:
    assert is_glob(pattern)
