"""After the flip a target's web server is asked: a copy that no reader sees is a failure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.process import free_port
from tests.real.rsyncd import Rsyncd
from tests.sync.site import DONE, NEW, OLD, PARTLY, Site, one_line


@contextmanager
def web_server(answer: bytes, status: int = 200) -> Iterator[str]:
    """A server that has one answer to everything; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", [Apache, Nginx])
def test_a_target_that_a_real_web_server_shows_is_good(site: Site, kind: type[Apache | Nginx]) -> None:
    target = site.folder / "target"
    with kind(site.folder / "server", target / "current") as server:
        site.configure({"web": {"rsync": "./target", "url": server.url}})
        for start in (OLD, NEW, OLD):
            identifier = site.promote(start)
            assert site.flatdex("push", code=DONE).stdout == f"web: serves {identifier}\n"


def failure(site: Site, url: str, folder: str = "./target") -> str:
    """What is said of a push whose files arrive, but are not served at the URL."""
    site.configure({"web": {"rsync": folder, "url": url}})
    site.promote(NEW)
    result = site.flatdex("push", code=PARTLY)
    line = one_line(result.stderr)
    assert line.startswith("web: failed: copied, but "), line
    return line


def test_a_web_server_that_shows_another_folder(site: Site) -> None:
    other = site.folder / "other"
    other.mkdir()
    with Nginx(site.folder / "server", other) as server:
        line = failure(site, server.url)
    assert f"{server.url}snapshot.json" in line and "404" in line


def test_a_web_server_that_shows_an_old_snapshot(site: Site) -> None:
    with Apache(site.folder / "server", site.snapshot(OLD)) as server:
        line = failure(site, server.url)
    assert f"{server.url}snapshot.json" in line and site.snapshot(OLD).name in line


def test_no_web_server_at_all(site: Site) -> None:
    line = failure(site, f"http://127.0.0.1:{free_port()}")
    assert "connection refused" in line


@pytest.mark.parametrize(
    "answer",
    [b"<!DOCTYPE html>", b"[]", b"null", b"{}", b'"id"', b"\xff\xfe", b"[" * 200_000],
    ids=["html", "list", "null", "empty", "string", "binary", "deep"],
)
def test_a_web_server_that_shows_something_else(site: Site, answer: bytes) -> None:
    with web_server(answer) as url:
        line = failure(site, url)
    assert f"{url}snapshot.json" in line


@pytest.mark.parametrize("identifier", [7, None, [], "other\nweb: serves all", "\x1b[31mred", "x" * 100_000])
def test_what_a_web_server_calls_its_snapshot_is_not_trusted(site: Site, identifier: object) -> None:
    with web_server(json.dumps({"id": identifier}).encode()) as url:
        line = failure(site, url)
    assert len(line) < 1000


def test_a_daemon_that_rewrites_links_is_found_out(site: Site) -> None:
    """Such a daemon reports success, and its web server finds nothing behind `current`."""
    root = site.folder / "web"
    with (
        Rsyncd(site.folder / "rsyncd", root, munge=True) as daemon,
        Nginx(site.folder / "server", root / "current") as server,
    ):
        line = failure(site, server.url, daemon.url())
    assert (root / "current").readlink() == Path(f"/rsyncd-munged/snapshots/{site.snapshot(NEW).name}")
    assert "munge symlinks = no" in line, "what to do is said"


def test_the_url_is_asked_after_the_flip(site: Site) -> None:
    target = site.folder / "target"
    with Nginx(site.folder / "server", target / "current") as server:
        site.configure({"web": {"rsync": "./target"}})
        site.promote(OLD)
        site.flatdex("push", code=DONE)
        site.configure({"web": {"rsync": "./target", "url": server.url}})
        site.promote(NEW)
        site.flatdex("push", code=DONE)
        lines = server.access_log()
    asked = ["/snapshot.json", "/index/static"]
    assert [f'"GET {path} HTTP/1.1" 200' in line for path, line in zip(asked, lines, strict=True)] == [True, True]
