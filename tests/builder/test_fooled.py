"""What a registry, an image or a layout may hold to fool a build: the bad image is left out, the others are served.

Beside test_hostile.py: there, what is odd on disk and on the terminal; here, what is odd on the wire and in the bytes.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

import flatdex
from builder import flatpak, oci, writing
from builder.appdata import reading
from builder.build import build
from builder.description import Snapshot, is_inside
from builder.errors import FlatdexError
from builder.outcome import Built
from builder.sources import answers, auth, connection, registry, transport
from builder.sources.answers import FetchError
from builder.sources.auth import Authorizer, origin_of
from builder.sources.cache import Cache
from builder.sources.connection import ForbiddenPeerError, Peers, is_public
from builder.sources.tls import Tls
from builder.sources.transport import Transport
from builder.store import Store
from tests.builder.helpers import (
    Answer,
    Blobs,
    Json,
    Script,
    as_registry,
    digest,
    flatpak_labels,
    hello_layout,
    icon_uri,
    loaded,
    ref_of,
    scripted,
    tagged,
    write,
)
from tests.builder.test_build import report
from tests.builder.test_hostile import within
from tests.builder.validity import assert_index_is_valid
from tests.real.images import png

OWN_SCRIPT = re.compile(rb'<script src="(?:\.\./)*assets/[0-9a-f]{64}\.js" defer></script>')
"""The one script that pages name."""

SITE = """\
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1:8080/"}
sources:
  main: {registry: "URL"}
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest], sources: [main], annotations: true, max_shrink: 100}
  files: {tags: [local], sources: [local]}
"""
LAYOUTS = """\
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest], sources: [local]}
"""
GOOD_REF, LOCAL_REF, BAD_REF = ref_of("Good"), ref_of("Local"), ref_of("Bad")
ICON = "org.freedesktop.appstream.icon-64"
ROOT = Path(flatdex.__file__).parent


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login of whoever runs the tests is sent to anybody, no proxy of theirs is asked, and no disk is waited for."""
    monkeypatch.setattr(writing, "make_durable", lambda folder: None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up soon."""
    monkeypatch.setattr(transport, "_RETRIES", 0)
    monkeypatch.setattr(transport, "_READ", 0.8)
    monkeypatch.setattr(transport, "_LONGEST_REQUEST", 1.2)
    monkeypatch.setattr(connection, "_TICK", 0.05)


def build_site(folder: Path, url: str, text: str = SITE, seconds: float = 30) -> tuple[Built, Snapshot]:
    """A build of a registry and of a layout with one good image, and what it wrote, looked through."""
    if not (folder / "images").exists():
        hello_layout(folder / "images" / "local", "local", **{"org.flatpak.ref": LOCAL_REF})
    config = loaded(folder, text.replace("URL", url))
    before = {path for path in folder.rglob("*") if "store" not in path.parts}
    store = Store(config.store)
    with within(seconds), store.locked("build", create=True):
        done = build(config, report())
    one = store.find(done.snapshot)
    assert {path for path in folder.rglob("*") if "store" not in path.parts} == before, "a file beside the store"
    look_through(one)
    return done, one


def look_through(one: Snapshot) -> None:
    """All indexes are what clients take, and all files lie where they may."""
    for entry in one.all_files:
        assert is_inside(entry.path)
        assert re.fullmatch(r"[\x21-\x7e]+", entry.path), ascii(entry.path)
        data = (one.folder / entry.path).read_bytes()
        if re.search(r"(?:^|/)index/.*(?:\.json|/static)$|(?:^|/)index/static$", entry.path):
            assert_index_is_valid(data)
        if entry.path.endswith((".html", ".htm", ".svg", ".xhtml")):
            assert b"<script" not in OWN_SCRIPT.sub(b"", data)
    text = (one.folder / "snapshot.json").read_text()
    assert "\0" not in text and "\x1b" not in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def bad_codes(done: Built) -> set[str]:
    """The codes of what was left out of the bad repository, and of why it could not be read."""
    return {skip.code for skip in done.skips if skip.repository == "bad"} | {
        stale.code for stale in done.stale if stale.repository == "bad"
    }


Make = Callable[[Blobs], Json]
"""Puts an image into blobs; its descriptor."""


def with_good(bad: Make, replaced: Mapping[str, Answer | None] | None = None) -> Script:
    """A registry with a good image and a bad one."""
    blobs = Blobs()
    good = blobs.image(flatpak_labels(GOOD_REF), layers=(b"good",))
    return as_registry(blobs, {"bad": {"latest": bad(blobs)}, "good": {"latest": good}}, replaced)


def harmless(blobs: Blobs) -> Json:
    """The image of the bad repository, where its bytes are not what is bad."""
    return blobs.image(flatpak_labels(BAD_REF), layers=(b"bad",))


def fooled(folder: Path, script: Script, seconds: float = 30) -> tuple[set[str], Built, Snapshot]:
    """What a build makes of a bad image beside good ones: codes of the bad one. The good ones must be there."""
    with scripted(script) as server:
        done, one = build_site(folder, server.url, seconds=seconds)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    return bad_codes(done), done, one


# JSON


def raw_manifest(data: bytes) -> Make:
    """A tag that leads to any bytes."""
    return lambda blobs: {"mediaType": oci.MANIFEST, **blobs.add(data)}


def raw_config(data: bytes) -> Make:
    """An image whose config is any bytes."""

    def make(blobs: Blobs) -> Json:
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", **blobs.add(data)}
        value = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": []}
        return {"mediaType": oci.MANIFEST, **blobs.json(value)}

    return make


LABELS = json.dumps(flatpak_labels(BAD_REF)).encode()
NO_JSON = {
    "nothing": b"",
    "null": b"null",
    "a number": b"5",
    "a list": b"[]",
    "lists in lists": b"[" * 100_000,
    "lists in lists, closed": b"[" * 100_000 + b"]" * 100_000,
    "objects in objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in a key": b'{"config":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of many digits": b'{"schemaVersion":2,"config":{"size":' + b"9" * 5_000 + b"}}",
    "infinity": b'{"schemaVersion":1e400}',
    "nan": b'{"schemaVersion":NaN,"config":NaN}',
    "a byte order mark": b'\xef\xbb\xbf{"schemaVersion":2}',
    "utf-16": '{"schemaVersion":2}'.encode("utf-16"),
    "utf-32": '{"schemaVersion":2}'.encode("utf-32-le"),
    "latin-1": b'{"os":"\xe4"}',
    "a nul": b'{"schemaVersion":2}\0',
    "a lone surrogate": b'{"mediaType":"\\ud800","os":"\\udfff"}',
    "a surrogate in a key": b'{"annotations":{"\\ud800":"x"},"config":{"Labels":{"\\ud800":"x"}}}',
    "a nul in a text": b'{"mediaType":"\\u0000","os":"\\u0000"}',
    "proto": b'{"__proto__":{"schemaVersion":2},"constructor":{},"__class__":"x"}',
    "two values": b'{"schemaVersion":2}{"schemaVersion":2}',
    "gzip": gzip.compress(b'{"schemaVersion":2}'),
    "html": b"<html><script>alert(1)</script></html>",
}


@pytest.mark.parametrize("what", NO_JSON)
def test_a_manifest_that_is_no_json_leaves_one_image_out(tmp_path: Path, what: str) -> None:
    codes, _, _ = fooled(tmp_path, with_good(raw_manifest(NO_JSON[what])))
    assert codes == {"malformed"}


@pytest.mark.parametrize("what", NO_JSON)
def test_a_config_that_is_no_json_leaves_one_image_out(tmp_path: Path, what: str) -> None:
    codes, _, _ = fooled(tmp_path, with_good(raw_config(NO_JSON[what])))
    assert codes and codes <= {"malformed", "not-a-flatpak"}


WRONG: dict[str, Any] = {
    "a number": 5,
    "a fraction": 5.5,
    "true": True,
    "a text": "x",
    "a list": [[]],
    "an object": {"x": {}},
    "a text with a nul": "x\0",
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", ["schemaVersion", "mediaType", "config", "layers", "annotations"])
def test_a_manifest_s_key_of_a_wrong_type_leaves_one_image_out(tmp_path: Path, key: str, wrong: str) -> None:
    def make(blobs: Blobs) -> Json:
        bad = harmless(blobs)
        return {**bad, **blobs.json({**json.loads(blobs.data[bad["digest"]]), key: WRONG[wrong]})}

    codes, done, _ = fooled(tmp_path, with_good(make))
    assert codes == {"malformed"}
    assert BAD_REF not in done.refs


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", ["mediaType", "digest", "size", "platform", "annotations", "urls", "data"])
def test_an_index_entry_s_key_of_a_wrong_type_leaves_one_entry_out(tmp_path: Path, key: str, wrong: str) -> None:
    def make(blobs: Blobs) -> Json:
        return blobs.index({**blobs.image(flatpak_labels(ref_of("Spoilt"))), key: WRONG[wrong]}, harmless(blobs))

    codes, done, _ = fooled(tmp_path, with_good(make))
    assert BAD_REF in done.refs
    taken = ref_of("Spoilt") in done.refs
    assert taken == (not codes)
    ignored = key in ("urls", "data", "platform") or (key == "mediaType" and wrong == "a text")
    if key == "platform" and wrong == "an object":
        return
    assert taken == ignored


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", ["os", "architecture", "created", "config", "labels", "label", "ref label", "icon"])
def test_a_config_s_key_of_a_wrong_type_leaves_one_image_out(tmp_path: Path, key: str, wrong: str) -> None:
    value = WRONG[wrong]
    labels: Any = flatpak_labels(BAD_REF)
    labels = {"label": {**labels, "x": value}, "ref label": {**labels, flatpak.REF: value}, "labels": value}.get(
        key, {**labels, ICON: value} if key == "icon" else labels
    )
    config = {"os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z", "config": {"Labels": labels}}
    if key in config:
        config[key] = value
    codes, done, _ = fooled(tmp_path, with_good(lambda blobs: blobs.image(config=config)))
    if wrong == "a text" and key == "architecture":
        assert BAD_REF not in done.refs and codes == {"architecture-mismatch"}
    elif wrong == "a text" and key in ("os", "created", "label", "icon"):
        assert BAD_REF in done.refs and codes == ({"icon-rejected"} if key == "icon" else set())
    else:
        assert BAD_REF not in done.refs
        assert codes and codes <= {"malformed", "not-a-flatpak", "bad-ref"}


SIZES = ["-1", "-0.5", "true", "1.0", "1e400", "-1e400", "NaN", "null", '"5"', "9" * 5_000, "9" * 4_000, "[]", "1e2"]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size[:10] + str(len(size)))
@pytest.mark.parametrize("part", ["config", "layer", "entry"])
def test_a_size_that_is_none_leaves_one_image_out(tmp_path: Path, part: str, size: str) -> None:
    def make(blobs: Blobs) -> Json:
        inner = harmless(blobs)
        listed = blobs.index(inner) if part == "entry" else inner
        value = json.loads(blobs.data[listed["digest"]])
        {
            "config": lambda: value["config"],
            "layer": lambda: value["layers"][0],
            "entry": lambda: value["manifests"][0],
        }[part]()["size"] = "SIZE"
        return {**listed, **blobs.add(json.dumps(value).replace('"SIZE"', size).encode())}

    codes, done, _ = fooled(tmp_path, with_good(make))
    assert BAD_REF not in done.refs
    assert codes == {"malformed"}


def test_keys_that_are_given_twice_are_one_key(tmp_path: Path) -> None:
    """The last one counts, as it does for clients; the index has it once."""
    twice = b'{"os":"x","os":"linux","architecture":"amd64","config":{"Labels":%s,"Labels":%s}}' % (b"{}", LABELS)
    _, done, one = fooled(tmp_path, with_good(raw_config(twice)))
    assert BAD_REF in done.refs
    index = assert_index_is_valid((one.folder / "index/static").read_bytes())
    assert [image["OS"] for result in index["Results"] for image in result["Images"]] == ["linux"] * 2


PAGES = {
    **{name: data for name, data in NO_JSON.items() if name not in ("a lone surrogate",)},
    "numbers": b'{"repositories":[1],"tags":[1]}',
    "lists": b'{"repositories":[["bad"]],"tags":[["latest"]]}',
    "a text": b'{"repositories":"bad","tags":"latest"}',
    "an object": b'{"repositories":{"bad":1},"tags":{"latest":1}}',
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("what", PAGES)
def test_a_catalog_that_is_none_keeps_what_was_there(tmp_path: Path, what: str) -> None:
    state: dict[str, Answer | None] = {}
    script = with_good(harmless)
    with scripted(lambda path: state.get("x") if "_catalog" in path and state else script(path)) as server:
        build_site(tmp_path, server.url)
        state["x"] = Answer(PAGES[what])
        done, _ = build_site(tmp_path, server.url)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)
    assert [(stale.source, stale.repository, stale.code) for stale in done.stale] == [("main", "", "bad-answer")]


MANY_TAGS = SITE.replace("[latest]", "[latest, one, two]")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("what", PAGES)
def test_tags_that_are_none_fail_one_repository(tmp_path: Path, what: str) -> None:
    with scripted(with_good(harmless, {"/bad/tags/list": Answer(PAGES[what])})) as server:
        done, _ = build_site(tmp_path, server.url, MANY_TAGS)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert BAD_REF not in done.refs
    assert bad_codes(done) == {"bad-answer"}


NAMES = [
    "../x",
    ".htaccess",
    "a/../../b",
    "a\0b",
    "a\u202eb",
    "Bad",
    "e\u0301",
    "\u00e9",
    "a" * 300,
    "a//b",
    "/a",
    "a/",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_catalog_with_a_name_that_is_none_keeps_what_was_there(tmp_path: Path, name: str) -> None:
    state: list[Answer] = []
    script = with_good(harmless)
    with scripted(lambda path: state[0] if "_catalog" in path and state else script(path)) as server:
        build_site(tmp_path, server.url)
        state.append(Answer(json.dumps({"repositories": ["good", name]}).encode()))
        done, _ = build_site(tmp_path, server.url)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)


# HTTP, byte by byte

Wire = bytes | Callable[[socket.socket], bool | None] | None
"""What goes over the wire: bytes, or what a function sends, which says whether to go on; None: a usual answer."""


@contextmanager
def raw_server(wire: Callable[[str], Wire], script: Script) -> Iterator[tuple[str, list[str]]]:
    """A registry on loopback that answers with any bytes; its URL, and what it was asked."""
    asked: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    open_sockets: list[socket.socket] = [listener]

    def usual(path: str) -> bytes:
        answer = script(path) or Answer(b"", 404)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + answer.body

    def serve(peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as lines:
            while request := lines.readline():
                while lines.readline().strip():
                    pass
                path = request.split()[1].decode()
                asked.append(path)
                found = wire(path)
                try:
                    if callable(found):
                        if not found(peer):
                            return
                        continue
                    peer.sendall(usual(path) if found is None else found)
                except OSError:
                    return

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(peer)
            threading.Thread(target=quietly, args=(peer,), daemon=True).start()

    def quietly(peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            serve(peer)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        for each in open_sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def forever(start: bytes, again: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Sends the start, then something again and again, until nobody listens."""

    def send(peer: socket.socket) -> None:
        peer.sendall(start)
        while True:
            peer.sendall(again)
            time.sleep(pause)

    return send


def once(data: bytes) -> Callable[[socket.socket], None]:
    """Sends it and closes the connection."""
    return lambda peer: peer.sendall(data)


def silent(peer: socket.socket) -> None:
    """Says nothing, until nobody listens."""
    peer.recv(1)


OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b" " * 30_000_000)
LEFT_OUT = {"malformed", "size-mismatch", "digest-mismatch", "too-large", "missing-blob"}
FAILED = {"unreachable", "bad-answer", "server-error", "rate-limited", "unauthorized", "forbidden"}
WIRES: dict[str, Wire] = {
    "a gzip bomb": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "a deflate bomb": OK + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "a length too long": once(OK + b"Content-Length: 100\r\n\r\n{}"),
    "a length too short": OK + b"Content-Length: 1\r\n\r\n{}",
    "a length below zero": once(OK + b"Content-Length: -5\r\n\r\n{}"),
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "two lengths in one": OK + b"Content-Length: 2, 9\r\n\r\n{}",
    "a length of words": once(OK + b"Content-Length: many\r\n\r\n{}"),
    "a length of 5000 digits": once(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"),
    "a length of 4000 digits": once(OK + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\n{}"),
    "no length": once(OK + b"\r\n{}"),
    "more than anybody reads": forever(OK + b"\r\n", b"x" * 65536),
    "chunks without end": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    "chunks of one byte": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
    "a chunk of no size": once(OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"),
    "a chunk below zero": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"x" * 4096),
    "a chunk of a huge size": once(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 60 + b"\r\n{}"),
    "a chunk size without end": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 4096),
    "trailers without end": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "chunked and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": once(OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "a dripping body": forever(OK + b"Content-Length: 9999\r\n\r\n", b"x", 0.02),
    "a dripping status line": forever(b"", b"H", 0.02),
    "dripping headers": forever(OK, b"X-A: b\r\n", 0.05),
    "silence": silent,
    "nothing": once(b""),
    "10,000 headers": once(OK + b"X-A: b\r\n" * 10_000 + b"Content-Length: 2\r\n\r\n{}"),
    "a header of a megabyte": once(OK + b"X-A: " + b"b" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\n{}"),
    "a header without end": forever(OK + b"X-A: ", b"b" * 65536),
    "headers that are none": once(OK + b"\x00\xff no header\r\nContent-Length: 2\r\n\r\n{}"),
    "no status line": once(b"hello\r\n\r\n{}"),
    "a status of words": once(b"HTTP/1.1 OK fine\r\n\r\n{}"),
    "a status of 99999": once(b"HTTP/1.1 99999 X\r\n\r\n{}"),
    "a status of -1": once(b"HTTP/1.1 -1 X\r\n\r\n{}"),
    "a status of 999": once(b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"),
    "a status of 600": once(b"HTTP/1.1 600 \x1b[31m\r\nContent-Length: 0\r\n\r\n"),
    "a status line of a megabyte": once(b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\n\r\n{}"),
    "another version": once(b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "another protocol": once(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "http 0.9": once(b"{}"),
    "100 for ever": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102": once(b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 for ever": forever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"),
    "101": once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n{}"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "206": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\n{}",
    "300": b"HTTP/1.1 300 Multiple Choices\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "304 with another etag": b'HTTP/1.1 304 Not Modified\r\nETag: "sha256:%s"\r\n\r\n' % (b"a" * 64),
    "a redirect without a place": b"HTTP/1.1 307 X\r\nContent-Length: 0\r\n\r\n",
    "a redirect to nothing": b"HTTP/1.1 307 X\r\nLocation: \r\nContent-Length: 0\r\n\r\n",
    "a redirect with a huge body": once(b"HTTP/1.1 307 X\r\nLocation: /x\r\n\r\n" + b"x" * 1_000_000),
    "an error page without end": forever(b"HTTP/1.1 404 X\r\n\r\n", b"x" * 65536),
    "an error page that drips": forever(b"HTTP/1.1 500 X\r\nContent-Length: 9999\r\n\r\n", b"x", 0.02),
    "a retry in a billion seconds": b"HTTP/1.1 503 X\r\nRetry-After: 999999999\r\nContent-Length: 0\r\n\r\n",
    "a retry of many digits": b"HTTP/1.1 429 X\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % (b"9" * 5000),
    "a retry with a control character": b"HTTP/1.1 503 X\r\nRetry-After: 5\x1f\r\nContent-Length: 0\r\n\r\n",
    "a retry below zero": b"HTTP/1.1 503 X\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n",
    "a retry in the year 9999": (
        b"HTTP/1.1 503 X\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"
    ),
    "a retry on no day": b"HTTP/1.1 503 X\r\nRetry-After: Fri, 99 Foo 0000 99:99:99 GMT\r\nContent-Length: 0\r\n\r\n",
    "a challenge": b'HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm="http://[x"\r\nContent-Length: 0\r\n\r\n',
    "a challenge of nobody": b"HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
    "a challenge for a file": (
        b'HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm="file:///etc/passwd"\r\nContent-Length: 0\r\n\r\n'
    ),
    "many challenges": b"HTTP/1.1 401 X\r\nWWW-Authenticate: " + b"Bearer," * 9000 + b"\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("what", WIRES)
def test_an_odd_answer_for_a_manifest_costs_one_repository(tmp_path: Path, what: str) -> None:
    wire = WIRES[what]
    with raw_server(lambda path: wire if "/bad/manifests/" in path else None, with_good(harmless)) as (url, _):
        done, _ = build_site(tmp_path, url, seconds=15)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert BAD_REF not in done.refs
    if what not in ("an error page without end", "a redirect with a huge body"):  # a 404: there is no such tag
        assert bad_codes(done) & (LEFT_OUT | FAILED), done


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "what",
    ["a gzip bomb", "chunks without end", "100 for ever", "a length too short", "a dripping body", "304", "206", "204"],
)
def test_an_odd_answer_for_a_config_costs_one_repository(tmp_path: Path, what: str) -> None:
    wire = WIRES[what]
    with raw_server(lambda path: wire if "/bad/blobs/" in path else None, with_good(harmless)) as (url, _):
        done, _ = build_site(tmp_path, url, seconds=15)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert BAD_REF not in done.refs
    assert bad_codes(done) & (LEFT_OUT | FAILED)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("what", [what for what in WIRES if "challenge" not in what or what == "a challenge"])
def test_an_odd_answer_for_the_catalog_keeps_what_was_there(tmp_path: Path, what: str) -> None:
    on: list[bool] = []
    wire = WIRES[what]
    with raw_server(lambda path: wire if on and "_catalog" in path else None, with_good(harmless)) as (url, _):
        build_site(tmp_path, url)
        on.append(True)
        done, _ = build_site(tmp_path, url, seconds=15)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)
    assert [stale.repository for stale in done.stale] == [""]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("etag", ["", '"other"', 'W/"x"'])
def test_an_answer_that_nothing_changed_is_what_was_known(tmp_path: Path, etag: str) -> None:
    on: list[bool] = []
    answer = b"HTTP/1.1 304 Not Modified\r\n" + (f"ETag: {etag}\r\n".encode() if etag else b"") + b"\r\n"
    with raw_server(lambda path: answer if on and "/manifests/" in path else None, with_good(harmless)) as (url, _):
        first, _ = build_site(tmp_path, url)
        on.append(True)
        second, _ = build_site(tmp_path, url)
    assert not second.changed
    assert second.refs == first.refs


@pytest.mark.usefixtures("hasty")
def test_an_answer_behind_an_answer_is_nobody_s(tmp_path: Path) -> None:
    """What follows a whole answer on a kept connection must not become that of the next request."""
    forged = b'{"repositories":["forged"],"tags":["forged"],"schemaVersion":2}'
    behind = OK + b"Content-Length: %d\r\n\r\n" % len(forged) + forged
    script = with_good(harmless)

    def wire(path: str) -> Wire:
        if "_catalog" in path or "/bad/" in path:
            answer = script(path)
            assert answer
            kind = answer.headers.get("Content-Type", "application/json").encode()
            head = OK + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(answer.body))
            return head + answer.body + behind * 3
        return None

    text = SITE.replace('registry: "URL"', 'registry: "URL", connections: 1')
    with raw_server(wire, script) as (url, _):
        done, _ = build_site(tmp_path, url, text)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} == set(done.refs)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [102, 103])
def test_an_answer_after_a_hint_is_not_that_of_the_next_request(tmp_path: Path, status: int) -> None:

    # taken for that of another repository.
    script = with_good(harmless)

    def hinted(peer: socket.socket) -> bool:
        answer = script("/v2/bad/manifests/latest")
        assert answer
        peer.sendall(b"HTTP/1.1 %d Hint\r\nLink: </x>; rel=preload\r\n\r\n" % status)
        time.sleep(0.1)
        kind = answer.headers["Content-Type"].encode()
        head = OK + b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(answer.body))
        peer.sendall(head + answer.body)
        return True

    text = SITE.replace('registry: "URL"', 'registry: "URL", connections: 1, repositories: [bad, good]')
    with raw_server(lambda path: hinted if "/bad/manifests/latest" in path else None, script) as (url, _):
        done, one = build_site(tmp_path, url, text)
    assert GOOD_REF in done.refs
    index = json.loads((one.folder / "index/static").read_text())
    found = {
        (result["Name"], image["Labels"][flatpak.REF]) for result in index["Results"] for image in result["Images"]
    }
    assert found <= {("good", GOOD_REF), ("bad", BAD_REF)}


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "data:application/json,{}",
        "javascript:alert(1)",
        "FILE:/etc/passwd",
        "//[/x",
        "http://",
        "http:",
        "//",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:-1/",
        "http://a b/",
        "http://\u00e4\u2100/",
        "x" * 60_000,
        "http://" + "x" * 60_000 + "/",
        "http://127.0.0.1:1/" + "../" * 10_000,
        "/v2/bad/manifests/latest",
        "#x",
        "?x",
    ],
    ids=lambda location: ascii(location[:30]),
)
@pytest.mark.usefixtures("hasty")
def test_a_redirect_to_what_is_no_place_costs_one_repository(tmp_path: Path, location: str) -> None:
    answer = b"HTTP/1.1 307 X\r\nLocation: " + location.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    with raw_server(lambda path: answer if "/bad/" in path else None, with_good(harmless)) as (url, asked):
        done, _ = build_site(tmp_path, url)
    assert {GOOD_REF, LOCAL_REF} == set(done.refs)
    assert bad_codes(done) & FAILED or "missing" in location
    assert len([path for path in asked if "bad" in path]) <= 7


def test_a_redirect_from_https_down_is_refused() -> None:
    request = answers.Request("GET", "https://a.example/", {}, 0, "")
    for place in ("http://a.example/", "HTTP://a.example/", "http:/x"):
        if place.startswith("http:/x"):
            continue
        with pytest.raises(FetchError, match="down to http"):
            transport.next_place(request, "https://a.example/", place)


# Regular expressions and parsers that somebody else's text goes through

LONG = 100_000
LINKS = [
    "<" * LONG,
    "<" + "a" * LONG,
    "<>" + ";" * LONG,
    "<>" + "; " * LONG,
    "<>;a" + " " * LONG + "x",
    "<>;" + " " * LONG + "=",
    "<>;a=" + " " * LONG + '"',
    '<>;a="' * LONG,
    "<>;rel" + " " * LONG,
    "<>" + ";rel=" * LONG,
    "<>" + ";rel='" * LONG,
    "<>" + " " * LONG + ";",
    ("<>" + " " * 300) * 300,
    "<>;rel=x," * LONG,
    '<>;rel="' + "next " * LONG,
    "<>" + ";a=b" * LONG + '"',
    "\t" * LONG,
]


@pytest.mark.parametrize("number", range(len(LINKS)))
def test_a_link_header_takes_no_time(number: int) -> None:
    with within(2):
        registry._following(LINKS[number])


CHALLENGES = [
    "Bearer " + "," * LONG,
    "Bearer " + "a," * LONG,
    "Bearer " + 'a="' * LONG,
    'Bearer realm="' + "\\" * LONG,
    'Bearer realm="' + '\\"' * LONG,
    "Bearer " + " " * LONG,
    "," + " " * LONG + "Basi",
    ("," + " " * 300) * 300,
    "Bearer " * LONG,
    "Basic," * LONG,
    "a" * LONG,
    "a" + " " * LONG,
    "a=" * LONG,
    "Bearer realm=" + "=" * LONG,
    'Bearer realm="http://x' + "\\x" * LONG + '"',
]


@pytest.mark.parametrize("number", range(len(CHALLENGES)))
def test_a_challenge_takes_no_time(number: int) -> None:
    with within(3):
        list(auth.challenges(CHALLENGES[number]))


def test_names_and_refs_take_no_time() -> None:
    long = "a" * LONG
    with within(3):
        for text in (long, f"{long}!", "a." * LONG, "a-" * LONG, "-" * LONG, "a/" * LONG, "_" * LONG, "a__" * LONG):
            oci.is_repository(text)
            oci.is_tag(text)
            for ref in (text, f"app/{text}/x/y", f"app/a.b.c/{text}/y", f"app/a.b.c/x/{text}"):
                with contextlib.suppress(oci.Malformed):
                    flatpak.parse_ref(ref)


@pytest.mark.parametrize(
    "text", ["-1", "1e9", "NaN", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 -9999", "1 Jan 1 0:0:0 -0000", ",", "0 0 0 0 0"]
)
def test_a_retry_that_is_no_time_is_none(text: str) -> None:
    found = answers.retry_after(text)
    assert found is None or found >= 0


def test_a_retry_at_a_date_is_so_many_seconds() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=20)
    assert 15 < (answers.retry_after(format_datetime(soon, usegmt=True)) or 0) <= 20


# Pages without end


@pytest.mark.usefixtures("hasty")
def test_other_pages_without_end_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MOST_PAGES", 50)
    script = with_good(harmless)
    count = iter(range(10**9))
    on: list[bool] = []

    def answer(path: str) -> Answer | None:
        if on and "_catalog" in path:
            page = json.dumps({"repositories": ["good"]}).encode()
            return Answer(page, headers={"Link": f'</v2/_catalog?last={next(count)}>; rel="next"'})
        return script(path)

    with scripted(answer) as server:
        build_site(tmp_path, server.url)
        on.append(True)
        done, _ = build_site(tmp_path, server.url)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)
    assert [stale.code for stale in done.stale] == ["bad-answer"]
    assert next(count) <= 51


def test_a_page_that_follows_itself_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(registry, "_MOST_PAGES", 300)
    script = with_good(harmless)
    on: list[bool] = []

    def answer(path: str) -> Answer | None:
        if on and "_catalog" in path:
            return Answer(b'{"repositories":["good"]}', headers={"Link": '</v2/_catalog?last=x>; rel="next"'})
        return script(path)

    with scripted(answer) as server:
        build_site(tmp_path, server.url)
        on.append(True)
        server.asked.clear()
        done, _ = build_site(tmp_path, server.url)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)
    assert len(server.asked) < 200


# Registries that take a request and keep it


def many(number: int) -> Script:
    """A registry with a good image and many others."""
    blobs = Blobs()
    good = blobs.image(flatpak_labels(GOOD_REF), layers=(b"good",))
    bad = harmless(blobs)
    names = {f"bad{each:03}": {"latest": bad} for each in range(number)}
    return as_registry(blobs, {"agood": {"latest": good}, **names})


def test_a_registry_that_keeps_requests_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(transport, "_READ", 0.4)
    monkeypatch.setattr(transport, "_LONGEST_REQUEST", 0.5)
    monkeypatch.setattr(transport, "_BACKOFF", 0.01)
    monkeypatch.setattr(connection, "_TICK", 0.05)
    with raw_server(lambda path: silent if "/bad" in path else None, many(200)) as (url, asked):
        done, _ = build_site(tmp_path, url)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert len(done.stale) == 200
    assert len([path for path in asked if "/bad" in path]) < 100


def test_a_registry_that_drips_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(transport, "_LONGEST_REQUEST", 0.4)
    monkeypatch.setattr(transport, "_BACKOFF", 0.01)
    monkeypatch.setattr(connection, "_TICK", 0.05)
    drip = forever(OK + b"Content-Length: 9999\r\n\r\n", b"x", 0.02)
    with raw_server(lambda path: drip if "/bad" in path else None, many(200)) as (url, asked):
        done, _ = build_site(tmp_path, url)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert len([path for path in asked if "/bad" in path]) < 100


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_says_later_each_time_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:

    monkeypatch.setattr(transport, "retry_after", lambda text: 0.01 if text else None)
    answer = b"HTTP/1.1 %d X\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n" % status
    on: list[bool] = []
    with raw_server(lambda path: answer if on and "/bad" in path else None, many(200)) as (url, asked):
        build_site(tmp_path, url)
        on.append(True)
        asked.clear()
        done, _ = build_site(tmp_path, url)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert done.stale
    assert len([path for path in asked if "/bad" in path]) < 200


# Private addresses


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 is of the internet, all else is private."""
    monkeypatch.setattr(connection, "is_public", lambda address: address == "127.0.0.1")


@contextmanager
def private_server(host: str = "127.0.0.2") -> Iterator[tuple[int, list[bytes]]]:
    """A listener on an address that counts as private: its port, and all that was ever sent to it."""
    said: list[bytes] = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:

        def accept() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(2)
                    try:
                        said.append(peer.recv(65536))
                        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    except OSError:
                        said.append(b"")

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], said
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.usefixtures("hasty", "public")
@pytest.mark.parametrize(
    "host", ["127.0.0.2", "127.2", "0x7f.0.0.2", "2130706434", "0177.0.0.2", "[::1]", "inside.test"]
)
@pytest.mark.parametrize("how", ["redirect", "realm"])
def test_a_public_registry_leads_to_no_private_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, how: str
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda name, *rest, **named: look_up("127.0.0.2" if name == "inside.test" else name, *rest, **named),
    )
    with private_server("::1" if host == "[::1]" else "127.0.0.2") as (port, said):
        place = f"http://{host}:{port}/latest/meta-data"
        answers = {
            "redirect": b"HTTP/1.1 307 X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % place.encode(),
            "realm": b'HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm="%s"\r\nContent-Length: 0\r\n\r\n'
            % place.encode(),
        }
        on: list[bool] = []
        with raw_server(lambda path: answers[how] if on and "/bad/" in path else None, with_good(harmless)) as (url, _):
            build_site(tmp_path, url)
            on.append(True)
            done, _ = build_site(tmp_path, url)
    assert {GOOD_REF, LOCAL_REF, BAD_REF} <= set(done.refs)
    assert not any(said), "something was sent"
    assert any(re.search("private address|looked up", stale.why) for stale in done.stale), done.stale


@pytest.mark.usefixtures("hasty")
def test_a_private_registry_may_lead_to_private_addresses(tmp_path: Path) -> None:
    blobs = Blobs()
    script = as_registry(blobs, {"good": {"latest": blobs.image(flatpak_labels(GOOD_REF))}})
    with scripted(script) as elsewhere:

        def moved(path: str) -> Answer | None:
            return Answer(b"", 307, {"Location": elsewhere.url + path}) if "/blobs/" in path else script(path)

        with scripted(moved) as server:
            done, _ = build_site(tmp_path, server.url.replace("127.0.0.1", "localhost"))
    assert set(done.refs) == {GOOD_REF, LOCAL_REF}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "::127.0.0.1",
        "fec0::1",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_an_address_of_a_private_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "8.8.8.8"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_a_public_registry_does_not_become_private_by_another_answer_of_its_name_server() -> None:

    peers = Peers("registry.example")
    peers.check("registry.example", "1.1.1.1")
    with pytest.raises(ForbiddenPeerError):
        peers.check("registry.example", "127.0.0.1")
        peers.check("other.example", "169.254.169.254")
    with pytest.raises(ForbiddenPeerError):
        peers.check("other.example", "169.254.169.254")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", ["registry.test.", "REGISTRY.test", "b\u00fccher.test"])
def test_a_public_registry_is_known_however_its_name_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:

    look_up = socket.getaddrinfo

    def found(host: Any, *rest: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return look_up("127.0.0.1" if text.rstrip(".").endswith(".test") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(connection, "is_public", lambda address: address == "127.0.0.1")
    with private_server() as (port, said):
        answer = b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.2:%d/\r\nContent-Length: 0\r\n\r\n" % port
        with raw_server(lambda path: answer, with_good(harmless)) as (url, _):
            home = url.replace("127.0.0.1", name)
            with Transport(1, home) as fetching, pytest.raises(FetchError):
                fetching.get(f"{home}/v2/", 100)
    assert not any(said)


# Logins


def test_a_client_certificate_is_for_the_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(Tls, "context", lambda self, with_certificate: None)
    with Transport(1, "https://registry.example", tls=Tls((), ((Path("c"), None),))) as fetching:
        own = fetching._session.get_adapter("https://registry.example/")
        assert own is not fetching._session.get_adapter("https://other.example/")
        for other in ("https://registry.example.evil.org/", "https://registry.example:8443/"):
            assert own is not fetching._session.get_adapter(other), other


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example\\@registry.example/",
        "http://evil.example#@registry.example/",
        "http://evil.example?@registry.example/",
        "http://registry.example@evil.example/",
        "http://registry.example:80@evil.example/",
        "http://registry.example\t.evil.example/",
        "http://registry.example\x00.evil.example/",
        "http:registry.example/",
        "http:///registry.example/",
        "http://registry.example.evil.example/",
        "http://registry.example:8080/",
        "https://registry.example/",
        "//registry.example/",
    ],
    ids=ascii,
)
def test_a_url_that_programs_read_differently_is_not_the_registry_s(url: str) -> None:
    assert origin_of(url) != "http://registry.example"
    assert not Authorizer("http://registry.example", lambda scope: None, ("http://registry.example/auth",)).trusts(url)


@pytest.mark.parametrize("realm", ["http://[x", "http://[::1", "http://a:b/", "http://\u2100/", "http://x:99999/"])
def test_a_realm_that_is_no_url_is_refused_where_others_are_allowed(tmp_path: Path, realm: str) -> None:
    answer = b'HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm="%s"\r\nContent-Length: 0\r\n\r\n'
    text = SITE.replace('registry: "URL"', 'registry: "URL", auth_realms: ["https://auth.example/"]')
    on: list[bool] = []
    with raw_server(lambda path: answer % realm.encode() if on and "/bad/" in path else None, with_good(harmless)) as (
        url,
        _,
    ):
        build_site(tmp_path, url, text)
        on.append(True)
        done, _ = build_site(tmp_path, url, text)
    assert {GOOD_REF, LOCAL_REF} <= set(done.refs)
    assert bad_codes(done) & FAILED


TOKENS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"token":5}',
    b'{"token":""}',
    b'{"token":"a b"}',
    b'{"token":"a\\r\\nX: y"}',
    b'{"token":"\\u0000"}',
    b'{"token":"\\ud800"}',
    b'{"token":"' + b"x" * 100_000 + b'"}',
    b"[" * 100_000,
    b'{"token":"x","expires_in":"soon"}',
    b'{"token":"x","expires_in":[]}',
    b'{"token":"x","expires_in":' + b"9" * 400 + b"}",
    b'{"token":"x","expires_in":' + b"9" * 5_000 + b"}",
]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("number", range(len(TOKENS)))
def test_a_token_that_is_none_costs_one_repository(tmp_path: Path, number: int) -> None:
    token = Answer(TOKENS[number])

    def make(path: str) -> Answer | None:
        if path.startswith("/token"):
            return token
        if on and "/bad/" in path:
            return Answer(b"", 401, {"WWW-Authenticate": f'Bearer realm="{place[0]}/token"'})
        return script(path)

    place: list[str] = []
    on: list[bool] = []
    script = with_good(harmless)
    text = SITE.replace('registry: "URL"', 'registry: "URL", connections: 1, repositories: [good, bad]')
    with scripted(make) as server:
        place.append(server.url)
        build_site(tmp_path, server.url, text)
        on.append(True)
        done, _ = build_site(tmp_path, server.url, text)
    assert LOCAL_REF in done.refs
    assert bad_codes(done) & FAILED


@pytest.mark.parametrize("status", [401, 403, 500])
def test_one_repository_behind_a_login_leaves_the_open_ones(tmp_path: Path, status: int) -> None:

    # token service refuses, the whole source fails.
    place: list[str] = []
    script = with_good(harmless)

    def answer(path: str) -> Answer | None:
        if path.startswith("/token"):
            return Answer(b"", status)
        if "/bad/" in path:
            return Answer(b"", 401, {"WWW-Authenticate": f'Bearer realm="{place[0]}/token"'})
        return script(path)

    text = SITE.replace('registry: "URL"', 'registry: "URL", connections: 1, repositories: [bad, good]')
    with scripted(answer) as server:
        place.append(server.url)
        done, _ = build_site(tmp_path, server.url, text)
    assert set(done.refs) == {GOOD_REF, LOCAL_REF}
    assert [stale.repository for stale in done.stale] == ["bad"]


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEAD = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")
GOOD_PNG = png(64, (1, 2, 3))


def header(width: int = 64, height: int = 64, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    """The first chunk."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def within_png(*chunks: bytes) -> bytes:
    """A good PNG with more chunks before its data."""
    return HEAD + header() + b"".join(chunks) + GOOD_PNG[GOOD_PNG.index(b"IDAT") - 4 :]


ZEROS = zlib.compress(bytes(200_000_000), 9)
PNGS: dict[str, tuple[bytes, bool | None]] = {
    "an IDAT bomb": (HEAD + header() + chunk(b"IDAT", ZEROS) + END, None),
    "an iCCP bomb": (within_png(chunk(b"iCCP", b"x\0\0" + ZEROS)), None),
    "a zTXt bomb": (within_png(chunk(b"zTXt", b"x\0\0" + ZEROS)), None),
    "an iTXt bomb": (within_png(chunk(b"iTXt", b"x\0\x01\0\0\0" + ZEROS)), None),
    "many zTXt bombs": (within_png(*[chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1_000_000), 9))] * 700), None),
    "many small chunks": (within_png(*[chunk(b"tEXt", b"x\0y")] * 60_000), None),
    "an APNG of thousands": (
        within_png(chunk(b"acTL", struct.pack(">II", 5000, 0)), *[chunk(b"fcTL", bytes(26))] * 5000),
        None,
    ),
    "huge": (HEAD + header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"") + END, False),
    "larger than said": (HEAD + header(2**32 - 1, 1) + END, False),
    "no pixels": (HEAD + header(0, 0) + chunk(b"IDAT", zlib.compress(b"")) + END, False),
    "truncated": (GOOD_PNG[:-30], None),
    "only a header": (HEAD + header() + END, False),
    "a bad checksum": (GOOD_PNG[:29] + b"\0\0\0\0" + GOOD_PNG[33:], False),
    "a jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100), False),
    "a gif": (b"GIF89a\x01\0\x01\0\0\0\0;", False),
    "an svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", False),
    "html behind the mark": (HEAD + b"<html><script>alert(1)</script></html>", False),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) run\n", False),
    "nothing": (b"", False),
    "a length beyond the end": (HEAD + struct.pack(">I", 2**32 - 1) + b"IHDR", False),
    "17 bits": (HEAD + header(depth=17) + END, False),
    "16 bits, interlaced": (HEAD + header(512, 512, 16, 6, 1) + chunk(b"IDAT", zlib.compress(bytes(100))) + END, None),
}


@pytest.mark.parametrize("what", PNGS)
def test_an_icon_that_is_odd_takes_little_and_spoils_nothing(tmp_path: Path, what: str) -> None:
    data, taken = PNGS[what]
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    bad = with_good(lambda blobs: blobs.image(flatpak_labels(BAD_REF, **{ICON: uri})))
    codes, done, one = fooled(tmp_path, bad, seconds=10)
    assert BAD_REF in done.refs, "an image is not left out for its icon"
    icons = [entry for entry in one.files if entry.path.endswith(".png")]
    assert codes == (set() if icons else {"icon-rejected"})
    if taken is not None:
        assert bool(icons) == taken
    for entry in icons:
        assert (one.folder / entry.path).read_bytes().startswith(HEAD)


@pytest.mark.parametrize(
    "uri",
    [
        icon_uri()[:40] + "\n" + icon_uri()[40:],
        icon_uri() + " ",
        icon_uri() + "=",
        icon_uri() + "\u00e9",
        icon_uri().replace("base64,", "base64,\u2028"),
        icon_uri().replace("image/png", "image/svg+xml"),
        icon_uri().upper(),
        "javascript:alert(1)",
        "https://evil.example/x.png",
        "../../etc/passwd",
        "data:text/html,<script>alert(1)</script>",
        "data:image/png;base64,",
        "",
    ],
    ids=lambda uri: ascii(uri[:30]) + str(len(uri)),
)
def test_an_icon_that_is_no_data_is_left_out(tmp_path: Path, uri: str) -> None:
    codes, done, one = fooled(tmp_path, with_good(lambda blobs: blobs.image(flatpak_labels(BAD_REF, **{ICON: uri}))))
    assert BAD_REF in done.refs
    assert codes == {"icon-rejected"}
    assert ICON not in (one.folder / "index/static").read_text()


# XML


def laughs(deep: int = 9) -> str:
    """A billion of them."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, deep + 1))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><components>&l{deep};</components>'


XMLS = {
    "a billion laughs": laughs(),
    "an entity of a file": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><components>&e;</components>',
    "an entity of a site": '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:1/">]><components>&e;</components>',
    "a parameter entity": '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:1/"> %e;]><components/>',
    "a dtd": '<!DOCTYPE components SYSTEM "http://127.0.0.1:1/"><components/>',
    "an unknown entity": "<components>&e;</components>",
    "depth": "<a>" * 100_000,
    "depth, closed": "<components>" + "<a>" * 100_000 + "</a>" * 100_000 + "</components>",
    "two roots": "<components/><components/>",
    "another root": "<component/>",
    "html": "<html><script>alert(1)</script></html>",
    "no root": "",
    "words": "hello",
    "a version of 9": '<?xml version="9.9"?><components></components',
    "a control character": "<components>\x01</components>",
    "no character": "<components>\ufffe</components>",
    "cut": "<components><component>",
    "an attribute twice": '<components a="1" a="2"/>',
    "a megabyte": "<components>" + "x" * 1_100_000 + "</components>",
    "a huge attribute": f'<components a="{"x" * 1_100_000}"/>',
}
FINE = {
    "a root in a namespace": '<components xmlns="http://x"/>',
    "utf-16 is said": '<?xml version="1.0" encoding="UTF-16"?><components/>',
    "utf-7 is said": '<?xml version="1.0" encoding="UTF-7"?><components/>',
    "ebcdic is said": '<?xml version="1.0" encoding="cp037"?><components/>',
    "no encoding is said": '<?xml version="1.0" encoding="nonsense"?><components/>',
    "rot13 is said": '<?xml version="1.0" encoding="rot13"?><components/>',
    "zlib is said": '<?xml version="1.0" encoding="zlib_codec"?><components/>',
    "punycode is said": '<?xml version="1.0" encoding="punycode"?><components/>',
    "idna is said": '<?xml version="1.0" encoding="idna"?><components/>',
    "undefined is said": '<?xml version="1.0" encoding="undefined"?><components/>',
    "a script": "<components><script>alert(1)</script></components>",
    "an instruction": '<?xml-stylesheet href="http://127.0.0.1:1/x.xsl"?><components/>',
    "xinclude": '<components xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></components>',
    "many elements": "<components>" + "<a/>" * 200_000 + "</components>",
    "many attributes": "<components " + " ".join(f'a{number}=""' for number in range(60_000)) + "/>",
    "cdata": "<components><![CDATA[<script>]]></components>",
    "a comment": "<!-- <script> --><components/>",
}


@pytest.mark.parametrize("what", XMLS)
def test_appdata_that_clients_could_choke_on_is_left_out(tmp_path: Path, what: str) -> None:
    labels = flatpak_labels(BAD_REF, **{flatpak.APPDATA: XMLS[what]})
    codes, done, one = fooled(tmp_path, with_good(lambda blobs: blobs.image(labels)), seconds=10)
    assert BAD_REF in done.refs, "an image is not left out for its appdata"
    assert codes == {"appdata-broken"}
    assert flatpak.APPDATA not in (one.folder / "index/static").read_text()


@pytest.mark.parametrize("what", FINE)
def test_appdata_that_is_merely_odd_takes_little(tmp_path: Path, what: str) -> None:
    labels = flatpak_labels(BAD_REF, **{flatpak.APPDATA: FINE[what]})
    codes, done, _ = fooled(tmp_path, with_good(lambda blobs: blobs.image(labels)), seconds=10)
    assert BAD_REF in done.refs
    assert codes <= {"appdata-broken"}


def test_all_odd_appdata_is_looked_through_at_once() -> None:
    with within(2):
        assert all(reading.fault(text) for text in XMLS.values())
        assert all(isinstance(reading.fault(text), str) for text in FINE.values())


# Names


REFS = [
    "app/../x86_64/stable",
    "app/org.x.Y/../stable",
    "app/org.x.Y/x86_64/..",
    "app/org.x.Y/x86_64/.htaccess",
    "app/org.x.Y/x86_64/a b",
    "app/org.x.Y/x86_64/a\nb",
    "app/org.x.Y/x86_64/a\u202eb",
    "app/org.x.Y/x86 64/stable",
    'app/org.x.Y/x86"64/stable',
    "app/org.x.Y//stable",
    "app/org.x.\u00c9/x86_64/stable",
    "app/org.x.E\u0301/x86_64/stable",
    "app/org.x.Y/x86_64/stable/x",
    "App/org.x.Y/x86_64/stable",
    "ostree/org.x.Y/x86_64/stable",
    " app/org.x.Y/x86_64/stable",
    "app/org.x.Y/x86_64/stable\n",
    "app/" + "a." * 200 + "b/x86_64/stable",
    "",
    "\x1b[31m",
    "app/org.x.Y/x86_64/" + "b" * 100_000,
    "app/org.x.Y/" + "x" * 100_000 + "/stable",
]


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: ascii(ref[:30]) + str(len(ref)))
def test_a_ref_that_is_none_leaves_one_image_out(tmp_path: Path, ref: str) -> None:
    labels = {**flatpak_labels(BAD_REF), flatpak.REF: ref}
    codes, done, _ = fooled(tmp_path, with_good(lambda blobs: blobs.image(labels)))
    assert codes == {"bad-ref"}
    assert set(done.refs) == {GOOD_REF, LOCAL_REF}


def test_refs_that_differ_in_case_only_are_two(tmp_path: Path) -> None:
    other = GOOD_REF.replace("Good", "good")
    codes, done, one = fooled(tmp_path, with_good(lambda blobs: blobs.image(flatpak_labels(other))))
    assert codes == set()
    assert set(done.refs) == {GOOD_REF, LOCAL_REF, other}
    paths = [entry.path for entry in one.files]
    assert len({path.lower() for path in paths}) == len(paths), "files that a Mac could not tell apart"


ARCHITECTURES = [
    "a/b",
    "../..",
    "a b",
    "a\nb",
    'a"b',
    "amd64 ",
    "\u202e",
    "x" * 10_000,
    "$(id)",
    "</FilesMatch>",
    "%00",
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("key", ["architecture", "os"])
def test_an_architecture_is_no_part_of_a_path_or_a_rule(tmp_path: Path, key: str, architecture: str) -> None:
    config = {"os": "linux", "architecture": "amd64", "config": {"Labels": flatpak_labels(BAD_REF)}, key: architecture}
    _, _, one = fooled(tmp_path, with_good(lambda blobs: blobs.image(config=config)))
    for entry in one.files:
        assert architecture not in entry.path
        if entry.path.endswith(".htaccess") and architecture not in ("a b", "</FilesMatch>"):
            assert architecture not in (one.folder / entry.path).read_text(), entry.path


@pytest.mark.parametrize("name", ["bad..", "x.htaccess", "a b", "b\u00e9", "be\u0301", "BAD", "a\nb", 'a"b', "x" * 250])
def test_a_layout_s_folder_is_no_part_of_a_rule(tmp_path: Path, name: str) -> None:
    images = tmp_path / "images"
    hello_layout(images / "local", "latest", **{"org.flatpak.ref": LOCAL_REF})
    hello_layout(images / name, "latest", **{"org.flatpak.ref": BAD_REF})
    done, one = build_site(tmp_path, "", LAYOUTS)
    assert set(done.refs) == {LOCAL_REF, BAD_REF}
    assert all(re.fullmatch(r"[A-Za-z0-9._:/-]+", entry.path) for entry in one.files)


@pytest.mark.parametrize("names", [("b\u00e9", "be\u0301"), ("bad", "BAD"), ("a b", "a  b")], ids=ascii)
def test_layouts_that_would_be_one_repository_are_an_error(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        hello_layout(tmp_path / "images" / name, "latest")
    if names[0] == "b\u00e9":  # "b-" loses its end, "be-" does too: they are b and be
        done, _ = build_site(tmp_path, "", LAYOUTS)
        assert len({skip.repository for skip in done.skips}) == 1
        return
    with pytest.raises(FlatdexError, match="two layouts are the repository"):
        build_site(tmp_path, "", LAYOUTS)


@pytest.mark.parametrize("name", ["a\nFORGED all is well", "a\rFORGED", "a\x1b[31mx"], ids=ascii)
def test_a_layout_s_folder_forges_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:

    images = tmp_path / "images"
    hello_layout(images / "local", "latest", **{"org.flatpak.ref": LOCAL_REF})
    (hello_layout(images / name, "latest") / "index.json").unlink()
    flatdex.main(["-v", "-c", str(write(tmp_path, LAYOUTS)), "build"])
    said = "".join(capsys.readouterr())
    assert not re.search(r"^\W*FORGED", said, re.MULTILINE), said
    assert all(character.isprintable() or character == "\n" for character in said), ascii(said)


MEDIA_TYPES = [
    "",
    "x",
    "x\ny",
    'x"y',
    "</FilesMatch>",
    "application/json",
    "text/html",
    "x" * 10_000,
    oci.MANIFEST + "\n",
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES, ids=lambda text: ascii(text[:20]) + str(len(text)))
def test_a_media_type_in_a_descriptor_is_nobody_s_rule(tmp_path: Path, media_type: str) -> None:
    images = tmp_path / "images"
    hello_layout(images / "local", "latest", **{"org.flatpak.ref": LOCAL_REF})
    blobs = Blobs()
    inner = {**blobs.image(flatpak_labels(BAD_REF), media_type=None), "mediaType": media_type}
    blobs.layout(images / "bad", tagged(blobs.index(inner), "latest"))
    done, one = build_site(tmp_path, "", LAYOUTS)
    assert set(done.refs) == {LOCAL_REF, BAD_REF}
    index = json.loads((one.folder / "index/static").read_text())
    kinds = {image["MediaType"] for result in index["Results"] for image in result["Images"]}
    assert kinds == {oci.MANIFEST}
    assert "FilesMatch>\n</FilesMatch" not in (one.folder / "v2/.htaccess").read_text()


# Digests

HEX = "a" * 64
DIGESTS = [
    f"sha512:{'a' * 128}",
    f"sha256:{HEX.upper()}",
    f"SHA256:{HEX}",
    f"sha256:{HEX[:-1]}",
    f"sha256:{HEX}a",
    f"sha256:{HEX}\n",
    f" sha256:{HEX}",
    HEX,
    "sha256:",
    "",
    "sha256:../../../../etc/passwd",
    "sha256:" + "\u0661" * 64,
    f"sha256+b64u:{HEX}",
    "md5:" + "a" * 32,
]


@pytest.mark.parametrize("wrong", DIGESTS, ids=lambda text: ascii(text[:24]) + str(len(text)))
@pytest.mark.parametrize("part", ["config", "layers", "manifests"])
def test_a_digest_that_is_none_leaves_one_image_out(tmp_path: Path, part: str, wrong: str) -> None:
    entry = {"mediaType": oci.MANIFEST, "digest": wrong, "size": 2}

    def make(blobs: Blobs) -> Json:
        if part == "manifests":
            return blobs.index(entry)
        bad = harmless(blobs)
        value = json.loads(blobs.data[bad["digest"]])
        return {**bad, **blobs.json({**value, part: entry if part == "config" else [entry]})}

    codes, _, _ = fooled(tmp_path, with_good(make))
    assert codes == {"malformed"}


@pytest.mark.parametrize("wrong", [-1, 1, 10_000])
@pytest.mark.parametrize("part", ["config", "entry"])
def test_a_size_that_is_another_leaves_one_image_out(tmp_path: Path, part: str, wrong: int) -> None:
    def make(blobs: Blobs) -> Json:
        inner = harmless(blobs)
        if part == "entry":
            return blobs.index({**inner, "size": inner["size"] + wrong})
        value = json.loads(blobs.data[inner["digest"]])
        value["config"]["size"] += wrong
        return {**inner, **blobs.json(value)}

    codes, _, _ = fooled(tmp_path, with_good(make))
    assert codes == {"size-mismatch"}


def test_what_has_no_bytes_is_no_image(tmp_path: Path) -> None:
    codes, _, _ = fooled(tmp_path, with_good(lambda blobs: blobs.index({"mediaType": oci.MANIFEST, **blobs.add(b"")})))
    assert codes == {"malformed"}


def test_foreign_places_are_not_asked(tmp_path: Path) -> None:
    with private_server() as (port, said):
        urls = {"urls": [f"http://127.0.0.2:{port}/x"]}

        def make(blobs: Blobs) -> Json:
            inner = harmless(blobs)
            value = json.loads(blobs.data[inner["digest"]])
            value["config"].update(urls)
            value["layers"][0].update(urls)
            gone = {"mediaType": oci.MANIFEST, "digest": digest("gone"), "size": 4, **urls}
            return blobs.index({**inner, **blobs.json(value), **urls}, gone)

        codes, done, one = fooled(tmp_path, with_good(make))
    assert codes == {"missing-blob"}
    assert BAD_REF in done.refs
    assert said == []
    assert str(port) not in (one.folder / "index/static").read_text()


def test_an_index_that_lists_itself_is_no_loop(tmp_path: Path) -> None:
    """No index can have its own digest, but a registry can say so."""
    blobs = Blobs()
    good = blobs.image(flatpak_labels(GOOD_REF))
    inner = harmless(blobs)
    loop = {"mediaType": oci.IMAGE_INDEX, "digest": digest("loop"), "size": 500}
    outer = blobs.index(loop, inner)
    blobs.data[digest("loop")] = blobs.data[outer["digest"]].ljust(500)
    script = as_registry(blobs, {"bad": {"latest": outer}, "good": {"latest": good}})
    codes, done, _ = fooled(tmp_path, script)
    assert BAD_REF in done.refs
    assert codes == {"digest-mismatch"}


@pytest.mark.parametrize("number", [40_000, 60_000])
def test_an_index_of_very_many_entries_costs_one_repository(tmp_path: Path, number: int) -> None:
    value = {"manifests": [{"digest": f"sha256:{each:064x}", "size": 2} for each in range(number)]}
    data = json.dumps(value, separators=(",", ":")).encode()
    codes, _, _ = fooled(tmp_path, with_good(raw_manifest(data)), seconds=20)
    assert codes and codes <= {"too-large", "missing-blob", "malformed"}


def test_one_digest_with_two_sizes_and_types_is_one_image_at_most(tmp_path: Path) -> None:
    def make(blobs: Blobs) -> Json:
        inner = harmless(blobs)
        return blobs.index(
            {**inner, "size": inner["size"] + 1}, inner, {**inner, "mediaType": oci.IMAGE_INDEX}, {**inner, "size": 0}
        )

    codes, done, _ = fooled(tmp_path, with_good(make))
    assert codes <= {"size-mismatch"}
    assert list(done.refs).count(BAD_REF) <= 1


@pytest.mark.parametrize(
    "value", [{}, {"schemaVersion": 2}, {"schemaVersion": 2, "manifests": []}, {"manifests": None}], ids=json.dumps
)
def test_an_image_index_of_nothing_is_told(tmp_path: Path, value: Json) -> None:

    def make(blobs: Blobs) -> Json:
        return {"mediaType": oci.IMAGE_INDEX, **blobs.json({**value, "mediaType": oci.IMAGE_INDEX})}

    codes, _, _ = fooled(tmp_path, with_good(make))
    assert codes == {"malformed"}


@pytest.mark.parametrize(
    "created",
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T24:00:00",
        "now",
        "2026-01-01",
        "20260101T000000Z",
        "\u0662\u0660\u0662\u0666-01-01",
        "2026-W01-1",
        "2026-01-01T00:00:00.123456789Z",
        "x" * 100_000,
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_a_time_that_is_none_stops_nothing(tmp_path: Path, created: str) -> None:
    """Two images of one ref, so that times are compared."""

    def make(blobs: Blobs) -> Json:
        config = {"os": "linux", "architecture": "amd64", "config": {"Labels": flatpak_labels(GOOD_REF)}}
        one, two = blobs.image(config={**config, "created": created}), blobs.image(config={**config, "created": "x"})
        return blobs.index(one, two)

    codes, done, _ = fooled(tmp_path, with_good(make))
    assert codes <= {"duplicate-ref"}
    assert sorted(done.refs) == sorted({GOOD_REF, LOCAL_REF})


# Layouts that cost


def layouts_alone(folder: Path, seconds: float = 30) -> tuple[Built, Snapshot]:
    """A build of the layouts, the good one among them."""
    hello_layout(folder / "images" / "local", "latest", **{"org.flatpak.ref": LOCAL_REF})
    return build_site(folder, "", LAYOUTS, seconds)


def test_a_layer_that_is_listed_ten_thousand_times_is_read_once(tmp_path: Path) -> None:

    blobs = Blobs()
    layer = {"mediaType": "x", **blobs.add(os.urandom(4_000_000))}
    descriptor = blobs.image(flatpak_labels(BAD_REF), layers=())
    value = json.loads(blobs.data[descriptor["digest"]])
    descriptor = {**descriptor, **blobs.json({**value, "layers": [layer] * 10_000})}
    blobs.layout(tmp_path / "images" / "bad", tagged(descriptor, "latest"))
    done, _ = layouts_alone(tmp_path, 5)
    assert LOCAL_REF in done.refs


def test_an_image_that_a_layout_lists_a_thousand_times_is_read_once(tmp_path: Path) -> None:

    blobs = Blobs()
    descriptor = blobs.image(flatpak_labels(BAD_REF), layers=(os.urandom(20_000_000),))
    blobs.layout(tmp_path / "images" / "bad", *[tagged(descriptor, "latest")] * 2_000)
    done, _ = layouts_alone(tmp_path, 5)
    assert set(done.refs) == {LOCAL_REF, BAD_REF}


def test_a_layer_without_bytes_is_a_file(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image(flatpak_labels(BAD_REF), layers=())
    value = json.loads(blobs.data[descriptor["digest"]])
    descriptor = {**descriptor, **blobs.json({**value, "layers": [{"mediaType": "x", **blobs.add(b"")}]})}
    blobs.layout(tmp_path / "images" / "bad", tagged(descriptor, "latest"))
    done, one = layouts_alone(tmp_path)
    assert set(done.refs) == {LOCAL_REF, BAD_REF}
    assert 0 in {entry.size for entry in one.files}


# Memory and files, measured in a process of its own

MEASURED = """
import os, re, sys
import flatdex
code = flatdex.main(["-q", "-c", sys.argv[1], "build"])
print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], "code", code)
"""


@dataclass(frozen=True)
class Run:
    """A build in a process of its own: its peak of memory in MB, and what it said."""

    peak: int
    code: int
    said: str


def measured(folder: Path, url: str, text: str = SITE) -> Run:
    """Builds; the good layout must be in the site."""
    hello_layout(folder / "images" / "local", "local", **{"org.flatpak.ref": LOCAL_REF})
    file = write(folder, text.replace("URL", url))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    found = re.search(r"peak (\d+) code (\d+)", done.stdout)
    assert found, done.stderr
    one = Store(folder / "store").newest()
    assert one, done.stderr
    assert LOCAL_REF in {image["ref"] for image in one.document["images"]}
    return Run(int(found[1]) // 1024, int(found[2]), done.stderr)


def test_many_large_images_behind_one_tag_take_bounded_memory(tmp_path: Path) -> None:

    blobs = Blobs()
    images = [
        blobs.image(
            {**flatpak_labels(ref_of(f"Bad{number}")), "x": "abcdefghijklmnopqrstuvwxyzABCD"[number] * 14_000_000}
        )
        for number in range(30)
    ]
    with scripted(as_registry(blobs, {"bad": {"latest": blobs.index(*images)}})) as server:
        run = measured(tmp_path, server.url)
    assert run.peak < 400, run


def test_configs_full_of_empty_lists_take_bounded_memory(tmp_path: Path) -> None:

    blobs = Blobs()
    tags = {}
    for number in range(6):
        data = b'{"os":"linux","architecture":"amd64","n":%d,"x":[' % number + b"[]," * 5_300_000 + b"[]]}"
        tags[f"bad{number}"] = {"latest": raw_config(data)(blobs)}
    with scripted(as_registry(blobs, tags)) as server:
        run = measured(tmp_path, server.url)
    assert run.peak < 600, run


def test_tags_of_megabytes_take_bounded_memory(tmp_path: Path) -> None:

    blobs = Blobs()
    good = blobs.image(flatpak_labels(GOOD_REF))
    script = as_registry(blobs, {"good": {"latest": good}, "bad": {}})
    count = iter(range(1, 10**6))

    def answer(path: str) -> Answer | None:
        if "/bad/tags/list" in path:
            number = next(count)
            link = {"Link": f'</v2/bad/tags/list?last={number}>; rel="next"'} if number < 100 else {}
            return Answer(b'{"tags":["%s%d"]}' % (b"x" * 8_000_000, number), headers=link)
        return script(path)

    with scripted(answer) as server:
        text = SITE.replace('registry: "URL"', f'registry: "{server.url}", repositories: [good, bad]')
        run = measured(tmp_path, server.url, text)
    assert run.peak < 400, run


def test_icons_that_are_bombs_take_bounded_memory(tmp_path: Path) -> None:
    blobs = Blobs()
    tags = {}
    for number, what in enumerate(("an IDAT bomb", "an iCCP bomb", "a zTXt bomb", "many zTXt bombs")):
        uri = "data:image/png;base64," + base64.b64encode(PNGS[what][0]).decode()
        tags[f"bad{number}"] = {"latest": blobs.image(flatpak_labels(ref_of(f"Bad{number}"), **{ICON: uri}))}
    with scripted(as_registry(blobs, tags)) as server:
        run = measured(tmp_path, server.url)
    assert run.peak < 400, run


def files_open() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_redirects_to_ever_other_hosts_keep_few_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    look_up = socket.getaddrinfo

    def found(host: Any, *rest: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return look_up("127.0.0.1" if text.endswith(".cdn.test") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    blobs = Blobs()
    names = {f"r{number:03}": {"latest": blobs.image(flatpak_labels(ref_of(f"R{number}")))} for number in range(150)}
    script = as_registry(blobs, names)
    count = iter(range(10**6))
    most: list[int] = [0]

    def moved(path: str) -> Answer | None:
        if path.startswith("/moved/"):
            return script(path.removeprefix("/moved"))
        if "/blobs/" in path:
            most[0] = max(most[0], files_open())
            return Answer(b"", 307, {"Location": f"http://h{next(count)}.cdn.test:{port[0]}/moved{path}"})
        return script(path)

    port: list[str] = []
    with scripted(moved) as server:
        port.append(server.url.rpartition(":")[2])
        before = files_open()
        done, _ = build_site(tmp_path, server.url)
    assert len(done.refs) == 151
    assert most[0] - before < 160, "both ends are ours: 16 connections to the registry, and not many others"


# What is said of it


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:x/?Signature=SECRET", "http://[?Signature=SECRET", "ftp://x/?SECRET"]
)
def test_a_signature_in_a_redirect_is_told_to_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], location: str
) -> None:
    hello_layout(tmp_path / "images" / "local", "local", **{"org.flatpak.ref": LOCAL_REF})
    answer = b"HTTP/1.1 307 X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location.encode()
    with raw_server(lambda path: answer if "/bad/" in path else None, with_good(harmless)) as (url, _):
        flatdex.main(["-v", "-c", str(write(tmp_path, SITE.replace("URL", url))), "build", "--json"])
    said = "".join(capsys.readouterr())
    assert "stale" in said
    assert "SECRET" not in said


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "what", ["a next page", "a next page elsewhere", "a redirect", "a redirect to a long host", "a size", "sizes"]
)
def test_one_answer_does_not_fill_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:

    long = b"x" * 60_000
    hello_layout(tmp_path / "images" / "local", "local", **{"org.flatpak.ref": LOCAL_REF})
    blobs = Blobs()
    size = int("9" * 4_000)
    entries = [{"mediaType": oci.MANIFEST, "digest": digest(str(each)), "size": size} for each in range(5)]
    bad: Make = lambda blobs: blobs.index(*entries[: 1 if what == "a size" else 5])  # noqa: E731
    if "size" not in what:
        bad = harmless
    wires: dict[str, tuple[str, bytes]] = {
        "a next page": ("_catalog?n=", b'Link: </v2/_catalog?%s>; rel="next"' % long),
        "a next page elsewhere": ("_catalog?n=", b'Link: <http://%s/>; rel="next"' % long),
        "a redirect": ("/bad/", b"Location: http://127.0.0.1:1:1/%s" % long),
        "a redirect to a long host": ("/bad/", b"Location: http://%s/" % long),
    }
    on: list[bool] = []

    def wire(path: str) -> Wire:
        part, line = wires.get(what, ("nothing", b""))
        if on and "_catalog?x" in path:
            return b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"
        if on and part in path:
            status, body = (b"307", b"") if "redirect" in what else (b"200", b'{"repositories":["good"]}')
            return b"HTTP/1.1 %s X\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (status, line, len(body), body)
        return None

    del blobs
    with raw_server(wire, with_good(bad)) as (url, _):
        file = str(write(tmp_path, SITE.replace("URL", url)))
        flatdex.main(["-q", "-c", file, "build"])
        on.append(True)
        flatdex.main(["-v", "-c", file, "build"])
    assert len("".join(capsys.readouterr())) < 5_000


# What was kept by an earlier build

SOUND = {"asked": 5, "tags": {"latest": [oci.MANIFEST, digest("x"), 5]}}
KEPT: list[Any] = [
    None,
    [],
    {"repositories": []},
    {"repositories": {"bad": None}},
    {"repositories": {"bad": {"asked": 1, "tags": []}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"latest": 5}}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"latest": []}}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"latest": [1, 2, 3]}}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"latest": ["x", "sha256:x", 3]}}}},
    {"repositories": {"bad": {**SOUND, "asked": "soon"}}},
    {"repositories": {"bad": {**SOUND, "asked": float("nan")}}},
    {"repositories": {"bad": {**SOUND, "asked": float("inf")}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"latest": ["\ud800", digest("x"), 3]}}}},
    {"repositories": {"bad": {"asked": 1, "tags": {"\ud800": [oci.MANIFEST, digest("x"), 3]}}}},
    {"repositories": {"../bad": SOUND}},
    {"repositories": {"bad": {**SOUND, "tags": {"latest": [oci.MANIFEST, digest("x"), 3, {}, {}]}}}},
    {"repositories": {"bad": {**SOUND, "tags": {"latest": [oci.MANIFEST, digest("x"), 3, {}, {}, {}]}}}},
]


@pytest.mark.parametrize("number", range(len(KEPT)))
def test_a_cache_that_was_tampered_with_costs_time_alone(tmp_path: Path, number: int) -> None:
    with scripted(with_good(harmless)) as server:
        first, _ = build_site(tmp_path, server.url)
        with Cache(tmp_path / "store" / "cache") as cache:
            name = f"main {server.url}"
            assert cache.look(name).tags
            cache._write(cache._tags_file(name), KEPT[number])
        second, _ = build_site(tmp_path, server.url)
    assert set(second.refs) == set(first.refs)


TOKEN_FILES = [
    {"identitytoken": "\ud800"},
    {"auth": "\ud800"},
    {"auth": "eA=="},
    {"auth": 5},
    {"auth": {}},
    {"identitytoken": [5]},
    {"auth": base64.b64encode(b"a:\xff").decode()},
    {"auth": base64.b64encode(b"a\r\nX: y:b").decode()},
    [],
    None,
]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("number", range(len(TOKEN_FILES)))
def test_a_login_that_is_none_costs_one_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    place: list[str] = []
    on: list[bool] = []
    script = with_good(harmless)

    def answer(path: str) -> Answer | None:
        if path.startswith("/token"):
            return Answer(b"", 403)
        if on and "/bad/" in path:
            return Answer(b"", 401, {"WWW-Authenticate": f'Bearer realm="{place[0]}/token"'})
        return script(path)

    with scripted(answer) as server:
        place.append(server.url)
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": {server.url.removeprefix("http://") + "/bad": TOKEN_FILES[number]}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
        text = SITE.replace('registry: "URL"', 'registry: "URL", connections: 1, repositories: [good, bad]')
        build_site(tmp_path, server.url, text)
        on.append(True)
        done, _ = build_site(tmp_path, server.url, text)
    assert LOCAL_REF in done.refs
    assert bad_codes(done) & FAILED
