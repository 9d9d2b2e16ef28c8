"""The search finds what it looks in on any host: on those with rules, and on those that know nothing but files."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.served import KINDS, served
from tests.e2e.site import Flatdex
from tests.pages import shop
from tests.pages.conftest import Shop
from tests.preview.server import preview
from tests.real.chromium import Watched, window
from tests.real.files import readable_folder
from tests.real.plain import PlainHost
from tests.sync.site import Site

PACKED, PLAIN = "search.json.gz", "search.json"


def finds(page: Page) -> None:
    """That the search works."""
    page.locator("#q").fill("skechbook")
    expect(page.locator("#results strong")).to_have_text(["Sketchbook"])


def read(watched: Watched) -> list[str]:
    """The files that the search has asked for."""
    names = [urlsplit(url).path.rpartition("/")[2] for url in watched.asked]
    return [name for name in names if name in (PACKED, PLAIN)]


@pytest.mark.parametrize("kind", [*KINDS, "preview", "plain"])
def test_the_packed_form_is_read_from_any_server(site: Shop, browser: Browser, kind: str) -> None:
    with _shown(site, kind) as url, window(browser, url) as watched:
        for path in ("index.html", f"de/apps/{shop.SKETCH}/index.html"):
            finds(watched.open(path))
        assert read(watched) == [PACKED, PACKED]
        assert (watched.complaints, watched.elsewhere) == ([], [])


@contextmanager
def _shown(site: Shop, kind: str) -> Iterator[str]:
    """The URL of the shop on a server of this kind."""
    folder = site.root.parents[1]
    with readable_folder() as state:
        if kind == "plain":
            with PlainHost(state, site.root) as host:
                yield host.url
        elif kind == "preview":
            with preview(Site(folder)) as running:
                yield running.url
        else:
            flatdex = Flatdex(folder, (folder / "flatdex.yaml").read_text())
            with served(flatdex, kind, site.root, state) as server:
                yield server.url


class _Says(SimpleHTTPRequestHandler):
    """A host that says of whatever ends in `.gz` that it is another file, packed: browsers unpack it."""

    encoding = "gzip"

    def end_headers(self) -> None:
        if self.path.endswith(".gz"):
            self.send_header("Content-Encoding", self.encoding)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _SaysOldly(_Says):
    """The same with the older name, and without a type."""

    encoding = "x-gzip"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".gz": ""}  # noqa: RUF012


@contextmanager
def _host(root: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("handler", [_Says, _SaysOldly])
def test_what_was_unpacked_on_its_way_is_not_unpacked_again(
    site: Shop, browser: Browser, handler: type[SimpleHTTPRequestHandler]
) -> None:
    with _host(site.root, handler) as url, window(browser, url) as watched:
        finds(watched.open())
        assert read(watched) == [PACKED]
        assert watched.complaints == []


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def _replace(file: Path) -> None:
    """As hosts of applications do, whose one page answers for whatever is not there."""
    file.write_text("<!doctype html><title>Welcome</title>")


@pytest.mark.parametrize("harm", [Path.unlink, _cut, _damage, _replace])
def test_the_plain_file_is_read_where_the_packed_one_is_no_good(
    site: Shop, browser: Browser, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    root = tmp_path / "site"
    shutil.copytree(site.root.resolve(), root)
    harm(root / PACKED)
    with PlainHost(tmp_path / "state", root) as host, window(browser, host.url) as watched:
        finds(watched.open())
        assert read(watched) == [PACKED, PLAIN]
        assert [each for each in watched.complaints if PACKED not in each] == []


def test_a_browser_that_can_t_unpack_reads_the_plain_file(site: Shop, browser: Browser) -> None:
    with window(browser, site.url) as watched:
        watched.page.add_init_script("delete window.DecompressionStream")
        finds(watched.open())
        assert read(watched) == [PLAIN]
        assert watched.complaints == []
