"""The preview shows pages as a web server with the generated rules does."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.description import DESCRIPTION
from tests.e2e.served import ASSET, PAGES, PICTURE
from tests.preview.server import Preview, preview
from tests.real.files import readable_folder
from tests.sync.site import NEW, with_snapshots


def with_pages(snapshot: Path) -> None:
    """Adds pages to a snapshot, and to its description."""
    document = json.loads((snapshot / DESCRIPTION).read_text())
    mtime = document["files"][0]["mtime"]
    for path, content in PAGES.items():
        data = content.encode() if isinstance(content, str) else content
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_bytes(data)
        entry = {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "mtime": mtime}
        document["files"].append(entry)
    document["files"].sort(key=lambda entry: entry["path"])
    (snapshot / DESCRIPTION).unlink()
    (snapshot / DESCRIPTION).write_text(json.dumps(document))


@pytest.fixture(scope="module")
def server() -> Iterator[Preview]:
    """One server for all that only asks."""
    with readable_folder() as folder:
        site = with_snapshots(folder)
        with_pages(site.snapshot(NEW))
        site.promote(NEW)
        with preview(site) as running:
            yield running


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("", "index.html", "text/html; charset=utf-8"),
        ("?x", "index.html", "text/html; charset=utf-8"),
        ("index.html", "index.html", "text/html; charset=utf-8"),
        ("de/", "de/index.html", "text/html; charset=utf-8"),
        ("apps/org.flatdex.Demo/", "apps/org.flatdex.Demo/index.html", "text/html; charset=utf-8"),
        ("feed.atom", "feed.atom", "application/atom+xml"),
        ("search.json", "search.json", "application/json"),
        (f"assets/{ASSET}.css", f"assets/{ASSET}.css", "text/css; charset=utf-8"),
        (f"assets/{ASSET}.js", f"assets/{ASSET}.js", "text/javascript; charset=utf-8"),
        (f"assets/{ASSET}.svg", f"assets/{ASSET}.svg", "image/svg+xml"),
        (f"screenshots/ab/{PICTURE}.webp", f"screenshots/ab/{PICTURE}.webp", "image/webp"),
        ("refs/org.flatdex.gz.php.html.flatpakref",) * 2 + ("application/vnd.flatpak.ref",),
    ],
)
def test_pages_have_their_types(server: Preview, path: str, file: str, kind: str) -> None:
    answer = server.get("/" + path)
    content = PAGES[file]
    assert (answer.status, answer.body) == (200, content.encode() if isinstance(content, str) else content)
    assert answer.headers["Content-Type"] == kind
    forever = "public, max-age=31536000, immutable"
    assert answer.headers["Cache-Control"] == (forever if path.startswith(("assets", "screenshots")) else "no-cache")
    assert server.get("/" + path, If_None_Match=answer.headers["ETag"]).status == 304


def test_every_file_has_the_headers_of_the_site_s_rules(server: Preview) -> None:
    for path in ("/", "/index/static", f"/assets/{ASSET}.svg", "/example.flatpakrepo"):
        headers = server.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; ")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers.get_all("Cache-Control") is not None and len(headers.get_all("Cache-Control") or ()) == 1


@pytest.mark.parametrize("path", ["search.json", "search.json.gz", "de/search.json", "de/search.json.gz"])
def test_what_is_searched_is_sent_as_it_is(server: Preview, path: str) -> None:
    content = PAGES[path]
    for encoding in ("gzip", "identity"):
        answer = server.get(f"/{path}", Accept_Encoding=encoding)
        assert answer.headers["Content-Type"] == ("application/gzip" if path.endswith(".gz") else "application/json")
        assert "Content-Encoding" not in answer.headers
        assert answer.body == (content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("path", ["index/static", "latest/index/static", "index/latest.json"])
def test_an_index_is_sent_packed_to_those_who_take_it(server: Preview, path: str) -> None:
    packed = server.get(f"/{path}", Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip" and packed.headers["Content-Type"] == "application/json"
    assert gzip.decompress(packed.body) == server.get(f"/{path}").body


def test_a_folder_without_its_slash_leads_to_the_folder(server: Preview) -> None:
    answer = server.get("/apps/org.flatdex.Demo")
    assert (answer.status, answer.headers["Location"]) == (301, "/apps/org.flatdex.Demo/")


@pytest.mark.parametrize("path", ["/de/apps/", "/categories/Game/", "/index.html/", "/de/nothing/", "/assets/"])
def test_a_folder_without_a_page_is_not_found(server: Preview, path: str) -> None:
    assert server.get(path).status == 404
