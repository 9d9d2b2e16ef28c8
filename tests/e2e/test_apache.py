"""The generated rules in a real Apache: every query gets the file that was decided on, and can be cached."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator

import pytest

from builder import description, preview
from demo.images import write_application, write_runtime
from tests.e2e.site import Answer, Flatdex, get
from tests.real.apache import Apache
from tests.real.files import readable_folder

CONFIG = """
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1/"}
sources:
  stable: {layouts: ["./images/*"]}
  testing: {layouts: ["./images-testing/*"], tag: testing}
  odd: {layouts: ["./images-odd/*"], tag: v1.0-b_2}
indexes:
  defaults: {architectures: [amd64, arm64], annotations: true}
  stable: {tags: [latest], sources: [stable]}
  testing: {tags: [testing], sources: [testing], annotations: false}
  odd: {tags: [v1.0-b_2], sources: [odd], architectures: []}
cache: {index: 0s, icons: 1y}
"""

# What a server has switched on for its other sites must not break this one.
HOSTILE = """
SetOutputFilter DEFLATE
ExpiresActive On
ExpiresDefault "access plus 3 hours"
AddEncoding x-gzip .gz
AddDefaultCharset utf-8
"""
HOSTILE_MODULES = ("filter", "deflate", "expires", "env", "setenvif", "negotiation")

TAGS = (
    "",
    "tag=",
    "tag=latest",
    "tag=testing",
    "tag=v1.0-b_2",
    "tag=v1x0-b_2",
    "tag=nothing",
    "tag=latest2",
    "mytag=testing",
)
ARCHITECTURES = (
    "",
    "architecture=",
    "architecture=amd64",
    "architecture=arm64",
    "architecture=s390x",
    "xarchitecture=arm64",
)
FORMS = (
    "",
    "label%3Aorg.flatpak.ref%3Aexists=1",
    "label:org.flatpak.ref:exists=1",
    "annotation%3Aorg.flatpak.ref%3Aexists=1",
    "annotation%3aorg.flatpak.ref%3aexists=1&label%3aorg.flatpak.ref%3aexists=1",
    "annotation:org.flatpak.ref:exists=1",
)


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flatdex]:
    """One site with several tags, of which the tests change nothing."""
    with readable_folder() as folder:
        for images, version in (("images", "1.0"), ("images-testing", "2.0"), ("images-odd", "3.0")):
            place = folder / images / version
            write_application(place, version=version, created="2026-01-02T03:04:05Z")
            (place / "org.flatdex.Demo").rename(folder / images / f"demo-{version}")
            place.rmdir()
        write_runtime(folder / "images")
        flatdex = Flatdex(folder, CONFIG)
        flatdex.run("build")
        flatdex.run("promote")
        yield flatdex


@pytest.fixture(scope="module", params=["plain", "mounted", "hostile", "server", "server-mounted"])
def apache(request: pytest.FixtureRequest, built: Flatdex) -> Iterator[Apache]:
    """Apache with the rules as `.htaccess` files and as its own configuration, in different surroundings."""
    state = built.folder / f"apache-{request.param}"
    if request.param.startswith("server"):
        rules = built.run("rules", "apache").stdout
        mount = "/a/b/" if request.param == "server-mounted" else "/"
        server = Apache(state, built.root, allow_override="None", extra=rules, mount=mount)
    elif request.param == "hostile":
        server = Apache(state, built.root, modules=HOSTILE_MODULES, extra=HOSTILE, allow_override="FileInfo")
    else:
        server = Apache(state, built.root, mount="/a/b c/" if request.param == "mounted" else "/")
    with server:
        yield server


def url(apache: Apache, path: str) -> str:
    """The URL of a path of the site."""
    return apache.url.replace(" ", "%20") + path


def queries() -> Iterator[str]:
    """Queries with their parameters in every order, repeated, and beside others."""
    for parts in itertools.product(TAGS, ARCHITECTURES, FORMS):
        given = [part for part in parts if part]
        yield "&".join(given)
        yield "&".join([*reversed(given), "os=linux"])
    yield "tag=latest&tag=testing"
    yield "tag=testing&tag=latest&architecture=arm64&architecture=amd64"
    yield "tag&tag=testing"
    yield "&&tag=testing&&"
    yield "os=linux&tag=testing&architecture=amd64&tag=nothing"
    yield "x=tag=testing"
    yield "tag=latest%0a"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_every_query_gets_what_was_decided(apache: Apache, built: Flatdex, encoding: str) -> None:
    snapshot = preview.published(built.store)
    dispatch = preview.dispatch_of(snapshot)
    wrong = []
    for query in queries():
        file = dispatch.answer(query)
        answer = get(url(apache, f"index/static?{query}"), Accept_Encoding=encoding)
        expected = 404 if file is None else (snapshot.folder / f"index/{file}.json").read_bytes()
        if (answer.status if answer.status != 200 else _plain(answer)) != expected:
            wrong.append((query, file, answer.status))
    assert not wrong


def _plain(answer: Answer) -> bytes:
    return gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["index/static?tag=latest&architecture=amd64", "latest/index/static?tag=other"])
def test_an_index_is_cached_as_clients_need_it(apache: Apache, encoding: str, path: str) -> None:
    first = get(url(apache, path), Accept_Encoding=encoding)
    assert first.status == 200
    assert first.headers["cache-control"] == "no-cache"
    assert "expires" not in first.headers
    assert first.headers["content-type"] == "application/json"
    assert first.headers.get("content-encoding") == (None if encoding == "identity" else "gzip")
    assert first.headers["vary"].lower() == "accept-encoding"
    etag = first.headers["etag"]
    assert etag.startswith('"') and "gzip" not in etag
    again = get(url(apache, path), Accept_Encoding=encoding, If_None_Match=etag)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == etag
    assert again.headers["cache-control"] == "no-cache"
    by_date = get(url(apache, path), Accept_Encoding=encoding, If_Modified_Since=first.headers["last-modified"])
    assert by_date.status == 304
    assert get(url(apache, path), Accept_Encoding=encoding, If_None_Match='"other"').status == 200


def test_gzip_is_sent_only_to_those_who_take_it(apache: Apache) -> None:
    path = url(apache, "index/static")
    takes = {
        encoding: "content-encoding" in get(path, Accept_Encoding=encoding).headers
        for encoding in (
            "gzip",
            "deflate, gzip;q=1.0",
            "gzip;q=0",
            "gzip;q=0.000, identity",
            "identity",
            "xgzip",
            "br,gzip",
        )
    }
    assert [encoding for encoding, taken in takes.items() if taken] == ["gzip", "deflate, gzip;q=1.0", "br,gzip"]


def test_icons_are_kept_for_a_year(apache: Apache, built: Flatdex) -> None:
    icon = next(built.root.glob("icons/*/*.png")).relative_to(built.root)
    answer = get(url(apache, str(icon)), Accept_Encoding="gzip")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = get(url(apache, str(icon)), Accept_Encoding="gzip", If_None_Match=answer.headers["etag"])
    assert again.status == 304


def test_manifests_and_blobs_are_served_as_they_are(apache: Apache, built: Flatdex) -> None:
    snapshot = description.read_snapshot(built.root.resolve())
    paths = [entry.path for entry in snapshot.files if entry.path.startswith("v2/") and "sha256:" in entry.path]
    kinds = {"manifests": "application/vnd.oci.image.manifest.v1+json", "blobs": "application/octet-stream"}
    assert len(paths) >= 6
    for path in paths:
        answer = get(url(apache, path), Accept_Encoding="gzip")
        assert answer.status == 200
        assert answer.body == (built.root / path).read_bytes()
        assert answer.headers["content-type"] == kinds[path.split("/")[-2]]
        assert "content-encoding" not in answer.headers
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_other_files_have_their_types(apache: Apache) -> None:
    repo = get(url(apache, "example.flatpakrepo"))
    assert repo.headers["content-type"] == "application/vnd.flatpak.repo"
    assert repo.headers["cache-control"] == "no-cache"
    assert repo.body.startswith(b"[Flatpak Repo]\nTitle=Example\nUrl=oci+http://127.0.0.1/\n")
    assert get(url(apache, "example-testing.flatpakrepo")).body.count(b"#testing") == 1
    description = get(url(apache, "snapshot.json"))
    assert description.json["format"] == 1
    assert description.headers["cache-control"] == "no-cache"


def test_rules_are_not_served(apache: Apache) -> None:
    assert [get(url(apache, path)).status for path in (".htaccess", "index/.htaccess", "icons/.htaccess")] == [403] * 3


def test_only_the_modules_that_are_promised_are_needed(built: Flatdex) -> None:
    """Every directive of another module stands inside IfModule: the harness loads just rewrite, headers and mime."""
    with Apache(built.folder / "apache-bare", built.root) as apache:
        loaded = {line.split()[1] for line in apache.config().splitlines() if line.startswith("LoadModule")}
        assert not loaded & {"expires_module", "env_module", "setenvif_module", "deflate_module"}
        assert get(f"{apache.url}index/static").status == 200


def test_the_lifetimes_of_the_configuration_are_sent(built: Flatdex) -> None:
    folder = built.folder / "lifetimes"
    folder.mkdir()
    for images in ("images", "images-testing", "images-odd"):
        (folder / images).symlink_to(built.folder / images)
    flatdex = Flatdex(folder, CONFIG.replace("{index: 0s, icons: 1y}", "{index: 30m, icons: 2d}"))
    flatdex.run("publish")
    with Apache(folder / "apache", flatdex.root) as apache:
        assert get(f"{apache.url}index/static").headers["cache-control"] == "public, max-age=1800"
        icon = next(flatdex.root.glob("icons/*/*.png")).relative_to(flatdex.root)
        assert get(f"{apache.url}{icon}").headers["cache-control"] == "public, max-age=172800, immutable"
