"""A remote that means harm: it can't hold doctor up, fill its memory, or write to its terminal."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.doctor import asking
from builder.doctor.checks import findings
from builder.doctor.listing import parse
from builder.doctor.seen import LARGEST_INDEX, Answer, Site, Visit
from builder.oci import Malformed
from tests.builder.helpers import Answer as Sent
from tests.builder.helpers import Json, flatpak_labels, scripted
from tests.doctor.site import codes, found
from tests.real.process import run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
MEMORY = 3 * 1024**3 // 2  # bytes that all of it may take
_LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
import flatdex
sys.exit(flatdex.main(["doctor", "--json", "--timeout", "20", sys.argv[1]]))
"""


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server whose every connection is answered, byte by byte, by `answer`, which may do so for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b" " * 65536)


def dripping_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)


def dripping_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.1)


def silent(connection: socket.socket) -> None:
    time.sleep(30)


@pytest.mark.parametrize("answer", [dripping_body, dripping_headers, silent])
def test_nobody_holds_it_up(answer: Callable[[socket.socket], None]) -> None:
    started = time.monotonic()
    with raw(answer) as url:
        assert codes(url, seconds=1.0) == {"too-slow"}
    assert time.monotonic() - started < 15


def test_what_drips_is_left_long_before_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer may have an hour, but not byte by byte."""
    monkeypatch.setattr(asking, "_PATIENCE", 0.5)
    started = time.monotonic()
    with raw(dripping_body) as url:
        assert codes(url, seconds=600.0) == {"too-slow"}
    assert time.monotonic() - started < 30


def test_patience_ends() -> None:
    """Also where each single answer comes in time."""
    from builder.doctor.asking import Asker, Question

    with scripted(lambda path: Sent(b"{}")) as server, Asker(5.0, patience=-1.0) as asker:
        assert "too long" in asker.ask(Question(server.url, 10)).why and not server.asked


@functools.cache
def _packed() -> bytes:
    """Four times as much as an index may hold, in a megabyte."""
    return 64 * gzip.compress(b" " * (LARGEST_INDEX // 16), 1)  # one after the other they are one file


def bomb(connection: socket.socket) -> None:
    packed = _packed()
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def saying(data: bytes) -> Callable[[socket.socket], None]:
    """Answers all with some bytes."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data)

    return answer


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("too-large", endless),
        ("too-large", bomb),
        ("index-unreadable", saying(b"[" * 1_000_000)),
        ("index-unreadable", saying(b'{"Results":' + b"[" * 1_000_000)),
        ("index-unreadable", saying(b'{"Results":[' + b"{}," * 24_000_000 + b"{}]}")),
        ("index-unreadable", saying(b'{"Results":' + b"9" * 1_000_000 + b"}")),
    ],
    ids=["endless", "bomb", "deep list", "deep object", "objects", "number"],
)
def test_nobody_fills_the_memory(code: str, answer: Callable[[socket.socket], None]) -> None:
    with raw(answer) as url:
        ended = run([sys.executable, "-c", _LIMITED, url], check=False, timeout=100)
    assert ended.returncode == 1, ended.stderr
    assert code in {each["code"] for each in json.loads(ended.stdout)["findings"]}


def an_index(*images: Json, **more: Any) -> bytes:
    """An index with one repository."""
    return json.dumps({"Registry": "/", "Results": [{"Name": "one", "Images": list(images)}], **more}).encode()


def an_image(number: int = 0, **more: Any) -> Json:
    """An image of it."""
    given = {"Digest": f"sha256:{number:064x}", "MediaType": "x", "OS": "linux", "Architecture": "amd64", "Tags": []}
    return {**given, "Labels": flatpak_labels(f"app/org.flatdex.App{number}/x86_64/stable"), "Annotations": {}, **more}


def test_five_hundred_alike_are_one_line() -> None:
    from builder.doctor.cli import table

    images = [an_image(number, Digest="sha256:short") for number in range(500)]
    with scripted(lambda path: Sent(an_index(*images)) if "index/static" in path else Sent(b"", 404)) as server:
        told = found(server.url)
    lines = [line for line in table(told) if "digest-malformed" in line]
    assert len(lines) == 1 and lines[0].endswith("(and 499 more)")
    assert sum(each.code == "digest-malformed" for each in told) == 500


def test_no_word_of_theirs_reaches_the_terminal(tmp_path: Path) -> None:
    nasty = "app/\x1b[2J\x1b]0;title\x07\n\u202eerror"
    image = an_image(Labels={**flatpak_labels(), "org.flatpak.ref": nasty}, Architecture="\x1b[31m")
    with scripted(lambda path: Sent(an_index(image), headers={"ETag": "\x1b[2J"})) as server:
        ended = run([sys.executable, "-c", "import flatdex; flatdex.main()", "doctor", server.url], check=False)
    assert "ref-malformed" in ended.stdout
    assert all(character.isprintable() or character == "\n" for character in ended.stdout + ended.stderr)


_NO_URLS = """\
http://[::1
http://a b/
//x:99999999/
http://127.0.0.1:1:2/
ftp://x/y
file:///etc/passwd
data:image/png;base64,AAAA
data:text/html,x
http://\u00e9\u2044.example/
?
http://%00/
"""


@pytest.mark.parametrize("url", [*_NO_URLS.splitlines(), "\ud800", "\0"], ids=ascii)
def test_urls_that_are_none(url: str) -> None:
    icons = {"org.freedesktop.appstream.icon-64": url}
    image = an_image(Labels={**flatpak_labels(), **icons})
    for index in (an_index(image), an_index(an_image(), Registry=url)):
        with scripted(lambda path, index=index: Sent(index) if "index/static" in path else None) as server:  # type: ignore[misc]
            assert found(server.url, seconds=5.0)


def test_redirects_go_nowhere_else() -> None:
    for location in ("ftp://127.0.0.1/", "file:///etc/passwd", "http://[", ""):
        answer = Sent(b"", 302, {"Location": location})
        with scripted(lambda path, answer=answer: answer) as server:  # type: ignore[misc]
            assert codes(server.url) <= {"redirect-broken", "index-failing"}


_KEYS = ["Registry", "Results", "Name", "Images", "Digest", "OS", "Architecture", "Tags", "Labels", "Annotations"]
_LABELS = ["org.flatpak.ref", "org.flatpak.metadata", "org.freedesktop.appstream.appdata"]
_TEXTS = ["sha256:0", "app/a.b.c/x/y", "/", "latest"]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(_TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*_KEYS, *_LABELS]), inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(_VALUES)
def test_any_json_can_be_judged(value: object) -> None:
    given = {"Registry": "/", "Results": [{"Name": "x", "Images": [value]}]}
    for each in (value, given):
        try:
            listing = parse(json.dumps(each).encode())
        except Malformed:
            continue
        answer = Answer("http://127.0.0.1/index/static?x", 200)
        visit = Visit("latest", "amd64", answer, answer, listing, annotations=listing, content="x")
        for told in findings(Site("http://127.0.0.1/", "http://127.0.0.1/", ("latest",), (visit,))):
            json.dumps(told.as_json).encode()
