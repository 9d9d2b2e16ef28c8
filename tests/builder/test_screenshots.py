"""Screenshots are fetched once, from whom they may be, and hold up no build: real servers, and ones that misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builder.config import Pages, Screenshots
from builder.content import InMemory, OnDisk
from builder.description import FileEntry, Snapshot, spells_hash
from builder.report import Report
from builder.screenshots import mirror, notes, shots, web, webp
from builder.screenshots.lanes import Lanes
from builder.screenshots.mirror import mirrored
from builder.screenshots.notes import Note, Notes
from builder.screenshots.shots import Known, KnownShot, Shot, Trouble
from builder.sources.answers import CutError, cause_of
from builder.sources.connection import ForbiddenPeerError, PublicPeers
from builder.sources.transport import Patience
from tests.builder.test_webp import picture
from tests.real.nginx import Nginx

NAMED = ("127.0.0.1",)
DAY = 86400


def pages(*hosts: str) -> Pages:
    """A configuration that allows these hosts of a private network."""
    return Pages(screenshots=Screenshots.MIRROR, picture_hosts=hosts)


def fetch(
    folder: Path, *urls: str, hosts: tuple[str, ...] = NAMED, previous: Snapshot | None = None, **how: bool
) -> tuple[Mapping[str, Shot], tuple[Trouble, ...]]:
    """What becomes of screenshots."""
    return mirrored(urls, pages(*hosts), folder, previous, Report(-1), how.pop("offline", False), **how)


def why(folder: Path, url: str, **how: Any) -> str:
    """Why there is no picture of one."""
    found, troubles = fetch(folder, url, **how)
    assert not found
    (trouble,) = troubles
    assert trouble.url == url
    return trouble.why


def data_of(content: OnDisk | InMemory) -> bytes:
    """The bytes of a picture, which are those that its entry tells of."""
    data = content.file.read_bytes() if isinstance(content, OnDisk) else content.data
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (content.sha256, content.size)
    return data


def published(folder: Path, found: Mapping[str, Shot], now: int | None = None) -> Snapshot:
    """A snapshot that has these screenshots."""
    entries = {}
    for each in {each for shot in found.values() for each in (shot.full, shot.small)}:
        file = folder / each.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data_of(each.content))
        os.utime(file, (1_000_000, 1_000_000))
        entries[each.path] = FileEntry(each.path, each.content.size, each.content.sha256, 1_000_000)
    document = json.loads(json.dumps({shots.KEY: shots.described(found)}))
    return Snapshot(folder, folder.name, 1, now or int(time.time()), None, tuple(entries.values()), (), document)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Puts the clock forward."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


# A server that does what a real one won't

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], None]
"""Answers one request, or not."""


@dataclass
class Faulty:
    """A running server, and the paths and headers that it was asked with."""

    url: str
    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0

    @property
    def host(self) -> str:
        """With its port."""
        return self.url.removeprefix("http://")


@contextmanager
def faulty(script: Script | Mapping[str, Script]) -> Iterator[Faulty]:
    """Serves a script, or one for each path, on a free port of loopback."""
    lock = threading.Lock()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                running.asked.append(self.path)
                running.headers.append(dict(self.headers.items()))
                running.at_once += 1
                running.most_at_once = max(running.most_at_once, running.at_once)
            try:
                with contextlib.suppress(OSError):  # the client has had enough
                    (script if callable(script) else script[self.path])(self)
            finally:
                with lock:
                    running.at_once -= 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        running = Faulty(f"http://127.0.0.1:{server.server_port}")
        Answering.over = running.over  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.over.set()
            server.shutdown()
            thread.join()


def gives(data: bytes, status: int = 200, /, **headers: str) -> Script:
    """An answer; underscores in names of headers stand for hyphens."""

    def script(handler: Handler) -> None:
        handler.send_response_only(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(data)), **named}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return script


def unchanged(data: bytes, **headers: str) -> Script:
    """An answer to who asks without conditions."""

    def script(handler: Handler) -> None:
        conditional = "If-None-Match" in handler.headers or "If-Modified-Since" in handler.headers
        (gives(b"", 304) if conditional else gives(data, 200, **headers))(handler)

    return script


def hangs(handler: Any) -> None:
    """Says nothing until the test is over."""
    handler.over.wait(20)
    handler.close_connection = True


def breaks(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def drips(handler: Any) -> None:
    """Sends a byte now and then, without an end."""
    gives(b"", Content_Length="100000")(handler)
    while not handler.over.wait(0.1):
        handler.wfile.write(b"x")


def floods(handler: Any) -> None:
    """Sends without an end, as fast as it can."""
    gives(b"", Content_Length=str(10**12))(handler)
    while not handler.over.is_set():
        handler.wfile.write(bytes(65536))


def cuts(handler: Handler) -> None:
    """Promises more than it sends."""
    gives(picture()[:50], Content_Length="5000")(handler)
    handler.close_connection = True


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(web, "_PATIENCE", Patience(connect=0.5, read=0.5, whole=1.0, retries=0))


# What is good, from a real server


@pytest.fixture
def served(real_tmp: Path) -> Iterator[tuple[Nginx, Path]]:
    """A real server, and the folder that it serves."""
    root = real_tmp / "root"
    root.mkdir()
    with Nginx(real_tmp / "nginx", root) as server:
        yield server, root


def test_a_screenshot_becomes_two_pictures_named_by_their_bytes(served: tuple[Nginx, Path], tmp_path: Path) -> None:
    server, root = served
    (root / "a.png").write_bytes(picture(size=(1920, 1080)))
    (root / "b.jpg").write_bytes(picture("JPEG", (500, 300)))
    found, troubles = fetch(tmp_path, f"{server.url}a.png", f"{server.url}b.jpg", f"{server.url}a.png")
    assert troubles == ()
    assert list(found) == [f"{server.url}a.png", f"{server.url}b.jpg"]
    one, two = found.values()
    assert [(each.width, each.height) for each in (one.full, one.small)] == [(1600, 900), (640, 360)]
    assert two.small is two.full
    assert (two.full.width, two.full.height) == (500, 300)
    for each in (one.full, one.small, two.full):
        assert data_of(each.content)[8:12] == b"WEBP"
        assert each.path.startswith("screenshots/")
        assert spells_hash(FileEntry(each.path, each.content.size, each.content.sha256, 0))
        assert (tmp_path / "pictures" / each.path.removeprefix("screenshots/")).stat().st_mode & 0o77 == 0
    assert len(server.access_log()) == 2


def test_what_is_here_is_not_asked_for_again(served: tuple[Nginx, Path], tmp_path: Path) -> None:
    server, root = served
    (root / "a.png").write_bytes(picture())
    first = fetch(tmp_path, f"{server.url}a.png")
    assert fetch(tmp_path, f"{server.url}a.png") == first
    assert len(server.access_log()) == 1


def test_after_two_weeks_it_is_asked_whether_it_has_changed(
    served: tuple[Nginx, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, root = served
    url = f"{server.url}a.png"
    (root / "a.png").write_bytes(picture())
    first = fetch(tmp_path, url)
    later(monkeypatch, 6.9 * DAY)
    assert fetch(tmp_path, url) == first
    assert len(server.access_log()) == 1
    later(monkeypatch, 8 * DAY)
    monkeypatch.setattr(webp, "made", None)
    assert fetch(tmp_path, url) == first
    assert [line.split('" ')[1][:3] for line in server.access_log()] == ["200", "304"]
    assert fetch(tmp_path, url) == first
    assert len(server.access_log()) == 2
    monkeypatch.undo()
    later(monkeypatch, 30 * DAY)
    (root / "a.png").write_bytes(picture(size=(50, 30)))
    found, _ = fetch(tmp_path, url)
    assert found[url].full.width == 50
    assert found[url] != first[0][url]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}, {"Last_Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}])
def test_a_change_is_asked_for_as_the_server_has_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    """Where it told nothing, the same bytes are still known again."""
    with faulty(unchanged(picture(), **headers)) as server:
        first = fetch(tmp_path, f"{server.url}/a")
        later(monkeypatch, 15 * DAY)
        monkeypatch.setattr(webp, "made", None)
        assert fetch(tmp_path, f"{server.url}/a") == first
        assert Notes(tmp_path / "notes", NAMED)[f"{server.url}/a"].failed == 0
    names = {"ETag": "If-None-Match", "Last_Modified": "If-Modified-Since"}
    said = {name: value for name, value in server.headers[1].items() if name.startswith("If-")}
    assert said == {names[name]: value for name, value in headers.items()}


def test_nobody_learns_more_than_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    scripts = {"/a": gives(b"", 302, Location="/b", Set_Cookie="who=you"), "/b": gives(picture(), Set_Cookie="who=me")}
    with faulty(scripts) as server:
        fetch(tmp_path / "cache", f"{server.url}/a", f"{server.url}/b")
    assert len(server.headers) == 3
    for headers in server.headers:
        assert headers["User-Agent"] == "flatdex"
        assert headers.keys() <= {"Host", "User-Agent", "Accept", "Accept-Encoding"}


# Lost caches


def test_a_lost_cache_costs_no_request_if_a_snapshot_has_it(tmp_path: Path) -> None:
    with faulty(gives(picture(size=(700, 30)))) as server:
        url = f"{server.url}/a"
        first, _ = fetch(tmp_path / "one", url)
        snapshot = published(tmp_path / "site", first)
        again, _ = fetch(tmp_path / "two", url, previous=snapshot)
        whole, _ = fetch(tmp_path / "three", url, previous=snapshot, full=True)
    assert len(server.asked) == 1
    assert shots.described(again) == shots.described(whole) == shots.described(first)
    content = again[url].full.content
    assert isinstance(content, OnDisk)
    assert content.file == snapshot.folder / again[url].full.path


def test_what_was_made_before_stays_as_it_is_whatever_pillow_would_make_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are those of the snapshot, also when it is fetched again without a cache and without conditions."""
    with faulty(gives(picture(size=(700, 30)))) as server:
        url = f"{server.url}/a"
        first, _ = fetch(tmp_path / "one", url)
        snapshot = published(tmp_path / "site", first)
        fetch(tmp_path / "two", url, previous=snapshot)
        later(monkeypatch, 8 * DAY)
        monkeypatch.setattr(webp, "_QUALITY", 20)
        again, _ = fetch(tmp_path / "two", url, previous=snapshot)
        assert len(server.asked) == 2
        assert "If-None-Match" not in server.headers[1]
        fetch(tmp_path / "two", url, previous=snapshot)
        assert len(server.asked) == 2
    assert shots.described(again) == shots.described(first)


def test_each_picture_lies_on_the_disk_once(tmp_path: Path) -> None:
    """Once a snapshot has it, the cache needs it no more; nor what it has of no URL."""
    with faulty(gives(picture(size=(700, 30)))) as server:
        cache, url = tmp_path / "cache", f"{server.url}/a"
        first, _ = fetch(cache, url)
        (cache / "pictures" / "ab").mkdir(exist_ok=True)
        (cache / "pictures" / "ab" / ("c" * 62 + ".webp")).write_bytes(b"of nothing")
        (cache / "pictures" / "ab" / ("c" * 62 + ".webp.123")).write_bytes(b"unfinished")
        fetch(cache, url)
        assert len([file for file in (cache / "pictures").rglob("*") if file.is_file()]) == 2
        snapshot = published(tmp_path / "site", first)
        again, _ = fetch(cache, url, previous=snapshot)
        assert [file for file in (cache / "pictures").rglob("*") if file.is_file()] == []
        data_of(again[url].full.content)
        assert len(server.asked) == 1


def test_a_new_url_of_an_old_picture_shares_its_file(tmp_path: Path) -> None:
    """What is taken from the cache as the snapshot has it must not be what is handed out."""
    with faulty(gives(picture(size=(700, 30)))) as server:
        first, _ = fetch(tmp_path / "cache", f"{server.url}/a")
        snapshot = published(tmp_path / "site", first)
        both, _ = fetch(tmp_path / "cache", f"{server.url}/a", f"{server.url}/b", previous=snapshot)
    assert both[f"{server.url}/a"] == both[f"{server.url}/b"]
    for shot in both.values():
        data_of(shot.full.content)
        data_of(shot.small.content)


@pytest.mark.parametrize("where", ["cache", "snapshot", "snapshot of the same size and date"])
def test_a_damaged_picture_is_fetched_again(tmp_path: Path, where: str) -> None:
    with faulty(unchanged(picture(), ETag='"x"')) as server:
        cache, url = tmp_path / "cache", f"{server.url}/a"
        first, _ = fetch(cache, url)
        snapshot = published(tmp_path / "site", first) if where != "cache" else None
        if snapshot:
            fetch(cache, url, previous=snapshot)
        place = snapshot.folder / first[url].full.path if snapshot else next((cache / "pictures").glob("*/*"))
        data = bytearray(place.read_bytes())
        data[-5] ^= 255
        place.write_bytes(data if where != "snapshot" else data + b"more")
        if "same" in where:
            os.utime(place, (1_000_000, 1_000_000))
        again, troubles = fetch(cache, url, previous=snapshot, full="same" in where)
        assert (len(server.asked), troubles) == (2, ())
    data_of(again[url].full.content)
    assert shots.described(again) == shots.described(first)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"nonsense\n",
        b"[]\n{}\n5\n",
        b'{"of": "URL"}\n',
        b'{"of": "URL", "asked": -5, "shot": 3}\n',
        b'{"of": "URL", "shot": {"full": ["../../x", 1, 1], "small": ["x", 1, 1], "source": ""}}\n',
        b'{"of": "URL", "again": 99999999999, "why": "never"}\n',
        b'{"of": "URL", "asked": 1e999}\n',
        b"\xff\xfe\n" + b"[" * 100_000,
    ],
)
def test_damaged_notes_do_no_harm(tmp_path: Path, damage: bytes) -> None:
    with faulty(gives(picture())) as server:
        tmp_path.joinpath("notes").write_bytes(
            b'{"hosts": ["127.0.0.1"]}\n' + damage.replace(b"URL", server.url.encode())
        )
        found, troubles = fetch(tmp_path, server.url)
        assert (len(found), troubles) == (1, ())
        assert fetch(tmp_path, server.url) == (found, troubles)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"URL": None},
        {"URL": {"full": [], "small": [], "source": ""}},
        {"URL": {"full": ["a" * 64, 0, 1], "small": ["a" * 64, 1, 1], "source": ""}},
        {"URL": {"full": ["a" * 64, 1, 1], "small": ["a" * 64, 1, 1], "source": ""}},
        {"URL": {"full": ["a" * 63 + "/", 1, 1], "small": ["a" * 64, 1, True], "source": 3}},
    ],
)
def test_what_a_snapshot_tells_is_believed_if_it_has_the_files(tmp_path: Path, told: Any) -> None:
    with faulty(gives(picture())) as server:
        text = json.dumps({shots.KEY: told}).replace("URL", server.url)
        snapshot = Snapshot(tmp_path / "site", "x", 1, 0, None, (), (), json.loads(text))
        assert len(fetch(tmp_path / "cache", server.url, previous=snapshot)[0]) == 1
        assert len(server.asked) == 1


def test_a_full_disk_costs_the_cache_alone(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_bytes(b"in the way of the folder")
    with faulty(gives(picture())) as server:
        found, troubles = fetch(cache, server.url)
    assert troubles == ()
    assert isinstance(found[server.url].full.content, InMemory)
    data_of(found[server.url].full.content)


# Failures


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (gives(b"", 404), "answered 404 Not Found"),
        (gives(b"", 403), "answered 403 Forbidden"),
        (gives(b"", 401, WWW_Authenticate="Basic"), "answered 401 Unauthorized"),
        (gives(b"", 500), "answered 500 Internal Server Error"),
        (gives(b"", 304), "answered 304 Not Modified"),
        (gives(b"", 204), "answered 204 No Content"),
        (gives(b""), "an empty file"),
        (gives(b"<!doctype html><title>Log in</title>", Content_Type="image/png"), "a web page, not a picture"),
        (gives(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "an SVG, which is not taken: it can hold scripts"),
        (gives(picture()[:-40]), "a broken picture: "),
        (gives(b"", 302, Location="ftp://127.0.0.1/"), "a redirect to something that is neither http:// nor https://"),
        (gives(b"", 302, Location="/"), "too many redirects"),
        (gives(bytes(11 * 1024**2)), "more than 10 MiB"),
        (floods, "more than 10 MiB"),
        (hangs, "no answer in time"),
        (breaks, "the connection was cut"),
        (cuts, "the connection was cut"),
        (drips, "only |no whole answer in 1 sec"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_what_can_not_be_had_is_told_with_its_reason(tmp_path: Path, script: Script, reason: str) -> None:
    with faulty(script) as server:
        started = time.monotonic()
        assert why(tmp_path, f"{server.url}/").startswith(tuple(reason.split("|")))
        assert time.monotonic() - started < 8
        asked = len(server.asked)
        assert why(tmp_path, f"{server.url}/").startswith(tuple(reason.split("|")))
        assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "neither http:// nor https://"),
        ("ftp://127.0.0.1/a.png", "neither http:// nor https://"),
        ("file:///etc/passwd", "neither http:// nor https://"),
        ("data:image/png;base64,AAAA", "neither http:// nor https://"),
        ("//127.0.0.1/a.png", "neither http:// nor https://"),
        ("http:///a.png", "not a URL"),
        ("http://[::1/a.png", "not a URL"),
        ("http://127.0.0.1:99999/", "not a URL"),
        ("http://127.0.0.1/a b", "not a URL"),
        ("http://127.0.0.1/\r\nX: y", "not a URL"),
        ("http://me@127.0.0.1/", "a URL with a login, which would be everybody's"),
        ("http://me:secret@127.0.0.1/", "a URL with a login, which would be everybody's"),
        ("http://127.0.0.1/" + "a" * 2000, "a URL of 2017 characters"),
    ],
)
def test_what_is_no_url_of_a_picture_is_not_asked_for(tmp_path: Path, url: str, reason: str) -> None:
    assert why(tmp_path, url) == reason
    assert not (tmp_path / "notes").exists()


def test_what_is_not_there_is_asked_for_again_later_and_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty(gives(b"", 404)) as server:
        for days in (0, 0.9, 1.1, 3.0, 3.2, 7.1, 7.3, 14.2, 14.4, 21.3, 21.5):
            with monkeypatch.context() as patch:
                later(patch, days * DAY)
                assert why(tmp_path, server.url) == "answered 404 Not Found"
            server.asked.append(str(days))
    assert "".join(each if each == "/" else " " for each in server.asked) == "/  /  /  /  /  / "


def test_what_was_a_passing_failure_is_asked_once_more_at_once_and_in_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [gives(b"", 503), gives(b"", 500), gives(b"", 500), gives(picture())]
    with faulty(lambda handler: answers.pop(0)(handler)) as server:
        assert why(tmp_path, server.url) == "answered 500 Internal Server Error"
        assert why(tmp_path, server.url) == "answered 500 Internal Server Error"
        assert len(server.asked) == 2
        later(monkeypatch, 3700)
        found, troubles = fetch(tmp_path, server.url)
        assert (len(found), troubles, len(server.asked)) == (1, (), 4)


def test_what_was_there_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [gives(picture()), gives(b"", 404), gives(b"<html>parked</html>"), gives(picture(size=(50, 30)))]
    with faulty(lambda handler: answers.pop(0)(handler)) as server:
        first = fetch(tmp_path, server.url)
        for days in (15, 17):
            with monkeypatch.context() as patch:
                later(patch, days * DAY)
                assert fetch(tmp_path, server.url) == first
                assert fetch(tmp_path, server.url) == first
        assert len(server.asked) == 3
        later(monkeypatch, 30 * DAY)
        assert fetch(tmp_path, server.url)[0][server.url].full.width == 50


def test_offline_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty({"/a": gives(picture()), "/b": gives(picture()), "/c": gives(b"", 404)}) as server:
        first, _ = fetch(tmp_path, f"{server.url}/a", f"{server.url}/c")
        later(monkeypatch, 60 * DAY)
        found, troubles = fetch(tmp_path, *(f"{server.url}/{each}" for each in "abc"), offline=True)
        assert len(server.asked) == 2
    assert found == first
    assert [each.why for each in troubles] == ["not fetched yet", "answered 404 Not Found"]


# Hosts that hold up


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("script", [hangs, drips, breaks])
def test_a_dead_host_holds_up_one_build_for_a_moment_and_the_next_one_not_at_all(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(script) as dead, faulty(gives(picture())) as good:
        urls = [f"{dead.url}/{number}" for number in range(50)]
        started = time.monotonic()
        found, troubles = fetch(tmp_path, *urls, f"{good.url}/a")
        assert time.monotonic() - started < 15
        assert len(dead.asked) == 2
        assert list(found) == [f"{good.url}/a"]
        assert {each.why for each in troubles} == {troubles[0].why}
        assert len(troubles) == 50
        (told,) = shots.advice(troubles)
        assert told.about == dead.host
        assert told.what.startswith("pages link to 50 screenshots in place of showing them, such as http://127")
        assert fetch(tmp_path, *urls, f"{good.url}/a") == (found, troubles)
        assert (len(dead.asked), len(good.asked)) == (2, 1)
        for hours, asked in ((0.9, 2), (1.1, 4), (3.0, 4), (3.4, 6)):
            with monkeypatch.context() as patch:
                later(patch, hours * 3600)
                fetch(tmp_path, *urls)
                assert len(dead.asked) == asked, hours


@pytest.mark.usefixtures("impatient")
def test_a_host_that_is_back_is_asked_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = threading.Event()
    dead.set()
    with faulty(lambda handler: breaks(handler) if dead.is_set() else gives(picture())(handler)) as server:
        urls = [f"{server.url}/{number}" for number in range(10)]
        assert fetch(tmp_path, *urls)[0] == {}
        dead.clear()
        later(monkeypatch, 3700)
        assert len(fetch(tmp_path, *urls)[0]) == 10
        monkeypatch.undo()
        assert len(fetch(tmp_path, *urls, f"{server.url}/new")[0]) == 11


@pytest.mark.usefixtures("impatient")
def test_one_page_that_hangs_does_not_take_its_host_with_it(tmp_path: Path) -> None:
    def script(handler: Handler) -> None:
        (hangs if handler.path == "/0" else gives(picture()))(handler)

    with faulty(script) as server:
        found, (trouble,) = fetch(tmp_path, *(f"{server.url}/{number}" for number in range(20)))
        assert len(found) == 19
        assert (trouble.url, trouble.why) == (f"{server.url}/0", "no answer in time")
        again, (trouble,) = fetch(tmp_path, *(f"{server.url}/{number}" for number in range(21)))
        assert len(again) == 20
        assert server.asked.count("/0") == 2


def test_a_host_that_wants_no_more_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty(gives(b"", 429, Retry_After="7200")) as server:
        urls = [f"{server.url}/{number}" for number in range(9)]
        for hours in (0, 1.9):
            with monkeypatch.context() as patch:
                later(patch, hours * 3600)
                _, troubles = fetch(tmp_path, *urls)
                assert {each.why for each in troubles} == {"answered 429 Too Many Requests"}
                assert len(server.asked) == 1
        later(monkeypatch, 2.1 * 3600)
        fetch(tmp_path, *urls)
        assert len(server.asked) == 2


@pytest.mark.usefixtures("impatient")
def test_many_dead_hosts_hold_up_no_longer_than_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_STALL", 1.0)
    monkeypatch.setattr(mirror, "_THREADS", 4)
    with contextlib.ExitStack() as stack:
        dead = [stack.enter_context(faulty(hangs)) for _ in range(30)]
        started = time.monotonic()
        found, troubles = fetch(tmp_path, *(f"{server.url}/a" for server in dead))
        assert time.monotonic() - started < 8
        assert (len(found), len(troubles)) == (0, 30)
        assert {each.why for each in troubles} == {"no answer in time", "not asked: others took too long"}
        asked = sum(len(server.asked) for server in dead)
        assert 4 <= asked <= 20
        assert [each.why for each in troubles].count("no answer in time") >= 4
        # The next build asks those that were not asked, and the others not again.
        _, troubles = fetch(tmp_path, *(f"{server.url}/a" for server in dead))
        assert max(len(server.asked) for server in dead) <= 2


def test_a_host_is_not_asked_for_all_at_once(tmp_path: Path) -> None:
    def script(handler: Handler) -> None:
        time.sleep(0.05)
        gives(picture())(handler)

    with faulty(script) as server:
        fetch(tmp_path, *(f"{server.url}/{number}" for number in range(40)))
        assert 2 <= server.most_at_once <= 4


# Whom to ask


def test_private_addresses_are_not_asked(tmp_path: Path) -> None:
    with faulty(gives(picture())) as server:
        port = server.host.partition(":")[2]
        for host in ("127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]"):
            reason = why(tmp_path / host, f"http://{host}:{port}/", hosts=())
            assert "private address" in reason, (host, reason)
        assert server.asked == []


@pytest.mark.parametrize("named", ["{port}", "10.0.0.1", "127.0.0.1:1", "localhost:{port}", "127.0.0.2"])
def test_a_host_that_is_named_is_that_one_alone(tmp_path: Path, named: str) -> None:
    with faulty(gives(picture())) as server:
        port = server.host.partition(":")[2]
        assert "private address" in why(tmp_path, server.url, hosts=(named.format(port=port),))
        assert server.asked == []
        hosts = (f"127.0.0.1:{port}",)
        assert "private address" in why(tmp_path, f"http://localhost:{port}", hosts=hosts)
        found, _ = fetch(tmp_path, server.url, hosts=hosts)  # it is asked as soon as it is named
        assert len(found) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_to_no_private_address(tmp_path: Path, status: int) -> None:
    with faulty(gives(picture())) as inner:
        for place in (inner.url, inner.url.replace("127.0.0.1", "localhost"), inner.url.replace("http:", "")):
            with faulty(gives(b"", status, Location=f"{place}/admin")) as outer:
                assert "private address" in why(tmp_path / str(len(place)), outer.url, hosts=(outer.host,))
                assert len(outer.asked) == 1
        assert inner.asked == []
        with faulty(gives(b"", status, Location=f"{inner.url}/a")) as outer:
            assert len(fetch(tmp_path / "named", outer.url, hosts=(outer.host, inner.host))[0]) == 1


def test_a_name_that_leads_home_at_last_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a name was looked up: it is the connection's own address that counts."""
    real = socket.getaddrinfo

    def rebound(host: str, *args: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "pictures.example" else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with faulty(gives(picture())) as server:
        url = server.url.replace("127.0.0.1", "pictures.example")
        assert why(tmp_path, url) == "pictures.example is a private address: 127.0.0.1"
        assert server.asked == []
        assert len(fetch(tmp_path, url, hosts=("Pictures.Example",))[0]) == 1


def test_a_proxy_is_not_sent_to_private_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty(gives(picture())) as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert len(fetch(tmp_path, "http://pictures.example/a", hosts=())[0]) == 1
        for host in ("169.254.169.254", "10.0.0.1:8080", "[fe80::1]", "127.0.0.2"):
            assert "private address" in why(tmp_path, f"http://{host}/a", hosts=())
        assert proxy.asked == ["http://pictures.example/a"]


def test_public_peers() -> None:
    peers = PublicPeers(("files.lan", "fd00::1", "here.lan:8080"))
    for host, address, port in (
        ("example.org", "93.184.215.14", 443),
        ("files.lan", "10.0.0.1", 80),
        ("FILES.lan.", "10.0.0.1", 80),
        ("here.lan", "10.0.0.1", 8080),
        ("fd00::1", "fd00::1", 80),
    ):
        peers.check(host, address, port)
    for host, address, port in (
        ("example.org", "10.0.0.1", 443),
        ("here.lan", "10.0.0.1", 80),
        ("example.org", "::ffff:127.0.0.1", 443),
        ("example.org", "fe80::1%eth0", 443),
        ("files.lan.example.org", "10.0.0.1", 80),
    ):
        with pytest.raises(ForbiddenPeerError, match="private address"):
            peers.check(host, address, port)


# Interrupted runs

_RUN = """
import sys
from pathlib import Path
from builder.config import Pages
from builder.report import Report
from builder.screenshots.mirror import mirrored
found, _ = mirrored(sys.argv[2:], Pages(picture_hosts=("127.0.0.1",)), Path(sys.argv[1]), None, Report(-1), False)
print(len(found))
"""


def run(cache: Path, urls: list[str]) -> subprocess.Popen[str]:
    """A build of its own process."""
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(cache), *urls],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_run_loses_nothing_that_was_done(tmp_path: Path) -> None:
    slow = threading.Event()

    def script(handler: Any) -> None:
        number = int(handler.path[1:])
        if number >= 10 and not slow.is_set():
            hangs(handler)
        gives(picture(size=(700 + number, 30)))(handler)

    with faulty(script) as server:
        urls = [f"{server.url}/{number:02}" for number in range(20)]
        killed = run(tmp_path, urls)
        try:
            wait_for(lambda: (tmp_path / "notes").exists() and (tmp_path / "notes").read_text().count('"source"') == 10)
        finally:
            killed.kill()
            killed.communicate()
        with (tmp_path / "notes").open("a") as opened:
            opened.write('{"of": "http://cut')
        slow.set()
        server.asked.clear()
        found, troubles = fetch(tmp_path, *urls)
        assert (len(found), troubles) == (20, ())
        assert sorted(server.asked) == [f"/{number}" for number in range(10, 20)]
        for number, url in enumerate(urls):
            assert found[url].full.width == 700 + number
            data_of(found[url].full.content)
        assert fetch(tmp_path, *urls) == (found, ())
        assert len(server.asked) == 10


def test_ctrl_c_ends_it_promptly(tmp_path: Path) -> None:
    """As the installed command ends it, without waiting for threads."""
    with faulty(hangs) as server:
        code = f"import os\ntry:\n exec({_RUN!r})\nexcept KeyboardInterrupt:\n os._exit(130)"
        running = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), f"{server.url}/a", f"{server.url}/b"],
            cwd=Path(__file__).parents[2],
        )
        try:
            wait_for(lambda: bool(server.asked))
            running.send_signal(signal.SIGINT)
            started = time.monotonic()
            assert running.wait(10) == 130
            assert time.monotonic() - started < 5
        finally:
            running.kill()
            running.wait()


# Decisions


def shot(number: int = 1) -> KnownShot:
    """Any."""
    known = Known(f"{number:064x}", 3, 2)
    return KnownShot(known, replace(known, width=1), "s")


def test_notes_are_read_as_they_were_written(tmp_path: Path) -> None:
    one = Note(1000, 'W/"x"', "yesterday", shot(), 2000, 3, "why", 3000)
    for closing in (True, False):
        written = Notes(tmp_path / str(closing), ("a",))
        written.put("http://a/", Note(5))
        written.put("http://a/", one)
        written.put("http://b/ü", Note(failed=1, why="ü"))
        if closing:
            written.close({"http://a/"}, now=1 + 30 * DAY)
            assert list(written.named()) == [shot().full.sha256, shot().small.sha256]
        read = Notes(tmp_path / str(closing), ("a",))
        assert read["http://a/"] == one
        assert read["http://b/ü"] == (Note() if closing else Note(failed=1, why="ü"))
        other = Notes(tmp_path / str(closing), ("a", "b"))["http://a/"]
        assert other == Note(1000, 'W/"x"', "yesterday", shot())


def test_what_is_noted_after_a_line_that_was_cut_off_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text('{"hosts": ["a"]}\n{"of": "http://cu')
    Notes(tmp_path / "notes", ("b",)).put("http://a/", Note(failed=1, why="why"))
    assert Notes(tmp_path / "notes", ("b",))["http://a/"] == Note(failed=1, why="why")


@pytest.mark.parametrize(
    "size", [(0, 1), (1, -1), (16384, 1), (1, True), (1.0, 1), ("1", 1), (None, 1), (1,), (1, 1, 1)]
)
def test_what_is_no_size_of_a_picture_is_not_believed(size: tuple[Any, ...]) -> None:
    good = ["a" * 64, 1, 1]
    assert shots.from_document({"full": good, "small": good, "source": ""})
    with pytest.raises((ValueError, TypeError)):
        shots.from_document({"full": good, "small": ["a" * 64, *size], "source": ""})


def test_what_is_told_of_a_certificate_is_no_advice_on_sources() -> None:
    for sign in ("CERTIFICATE_VERIFY_FAILED", "CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE"):
        told = web._failed(CutError("https://a.example/", cause_of(Exception(sign)), "GET")).why
        assert "`" not in told
        assert told[-1].isalnum()


def test_what_a_header_may_hold_that_is_sent_back() -> None:
    for bad in ("a\r\nX: y", "é", "x" * 301):
        assert Note.answered(shot(), {"ETag": bad, "Last-Modified": bad}, 5).conditions == {}


def test_a_clock_that_was_put_back_blocks_nothing() -> None:
    failed = Note().failing("why", 10**9 + 60 * DAY, lasting=True)
    assert failed.waits(10**9 + 60 * DAY + 5)
    assert not failed.waits(10**9)
    assert notes.is_due("u", Note(asked=10**9 + 60 * DAY), 10**9)


def test_requests_for_changes_are_spread_over_a_week() -> None:
    urls = [f"http://example.org/{number}" for number in range(700)]
    for note in (Note(asked=100 * DAY), notes.adopted(shot(), 107 * DAY)):
        due = [sum(notes.is_due(url, note, day * DAY) for url in urls) for day in range(107, 115)]
        assert due[0] <= 1
        assert due[-1] == 700
        assert all(50 < after - before < 150 for before, after in itertools.pairwise(due))


def test_lanes_begin_with_one_request_a_host() -> None:
    lanes = Lanes([("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("a", "5"), ("c", "6")], at_once=2)
    assert [lanes.take(), lanes.take()] == [("a", "1"), ("b", "4")]
    lanes.answered("a")
    assert [lanes.take(), lanes.take()] == [("c", "6"), ("a", "2")]
    for _ in range(5):
        assert not lanes.unanswered("c")
        lanes.answered("c")
    assert not lanes.unanswered("c")
    lanes.done("c")
    lanes.done("a")
    assert lanes.take() == ("a", "3")
    assert not lanes.unanswered("b")
    assert lanes.put_back("b", "4")
    lanes.done("b")
    assert lanes.take() == ("b", "4")
    assert lanes.unanswered("b")
    assert lanes.close("b") == []
    assert not lanes.unanswered("b")
    assert not lanes.put_back("b", "4")
    for host in ("b", "a", "a"):
        lanes.done(host)
    assert lanes.take() == ("a", "5")
    lanes.done("a")
    assert lanes.take() is None


def test_a_host_is_never_given_more_than_it_may_have() -> None:
    lanes = Lanes([("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")], at_once=2)
    lanes.take()
    lanes.answered("a")
    assert [lanes.take(), lanes.take()] == [("b", "4"), ("a", "2")]
    taken: list[object] = []
    waiting = threading.Thread(target=lambda: taken.append(lanes.take()))
    waiting.start()
    time.sleep(0.05)
    assert taken == []
    lanes.done("a")
    waiting.join(5)
    assert taken == [("a", "3")]


def test_after_an_error_of_ours_nobody_is_asked_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(webp, "made", broken)
    monkeypatch.setattr(mirror, "_THREADS", 2)

    def script(handler: Handler) -> None:
        time.sleep(0.05)
        gives(b"x" if handler.path == "/0" else b"", 200 if handler.path == "/0" else 404)(handler)

    with faulty(script) as server:
        with pytest.raises(ZeroDivisionError):
            fetch(tmp_path, *(f"{server.url}/{number}" for number in range(60)))
        assert len(server.asked) < 20


def test_a_thread_that_waits_learns_that_there_is_nothing_left() -> None:
    lanes = Lanes([("a", "1"), ("a", "2")], at_once=2)
    lanes.take()
    taken: list[object] = []
    waiting = threading.Thread(target=lambda: taken.append(lanes.take()))
    waiting.start()
    time.sleep(0.05)
    assert taken == []
    lanes.stop()
    waiting.join(5)
    assert taken == [None]


def test_what_is_told_of_a_host() -> None:
    troubles = [
        Trouble("https://a.example/1", "answered 404 Not Found"),
        Trouble("https://a.example/2", "answered 404 Not Found"),
        Trouble("https://a.example/3", "an empty file"),
        Trouble("nonsense", "neither http:// nor https://"),
    ]
    one, two = shots.advice(troubles)
    assert one.code == two.code == "screenshot-missing"
    assert one.about == "a.example"
    assert one.what == (
        "pages link to 3 screenshots in place of showing them, such as https://a.example/1: answered 404 Not Found;"
        " of 1: an empty file"
    )
    assert two.about == "nonsense"


def test_progress_is_shown(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Watching(Report):
        def progress(self, what: str) -> Callable[[int, int], None]:
            assert what == "screenshots"
            return lambda done, total: seen.append((done, total))

    with faulty({"/a": gives(picture()), "/b": gives(b"", 404), "/c": breaks}) as server:
        urls = [f"{server.url}/{each}" for each in "abc"]
        mirrored(urls, pages(*NAMED), tmp_path, None, Watching(-1, io.StringIO(), io.StringIO()), False)
    assert seen[-1] == (3, 3)
