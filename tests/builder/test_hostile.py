"""Sources that mean harm: no hang, no empty site, nothing raw on a terminal, no credentials, no way into the rules."""

from __future__ import annotations

import base64
import gc
import gzip
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import flatdex
from builder import oci
from builder.build import build
from builder.catalog import Skip
from builder.config import LayoutSource
from builder.description import Snapshot
from builder.errors import FlatdexError, SourceError
from builder.site.rules import apache as rules
from builder.sources import layouts, transport, walk
from builder.store import Store
from tests.builder.helpers import (
    GOOD,
    Answer,
    Blobs,
    Json,
    Script,
    as_registry,
    blob_file,
    codes_of,
    described,
    flatpak_labels,
    hello_layout,
    images_of,
    loaded,
    ref_of,
    scripted,
    tagged,
    write,
)
from tests.builder.test_build import report
from tests.builder.test_layouts import read as read_layouts
from tests.builder.test_registry import (
    SEVERAL,
    failed_to_list_repositories,
    failure,
    good,
    read,
    repositories,
    source_of,
)
from tests.builder.test_walk import PLACE, InBlobs
from tests.e2e.site import get
from tests.real.apache import Apache
from tests.real.files import readable_folder
from tests.real.process import run

LOCAL = GOOD.replace("sources: [main]", "sources: [local]")
ICON = "org.freedesktop.appstream.icon-64"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails, also out of a call that hangs, after that many seconds."""

    def late(*_: object) -> None:
        raise AssertionError(f"still busy after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once."""
    monkeypatch.setattr(transport, "_RETRIES", 0)


# Layouts with other things than plain files


def put(kind: str, place: Path) -> None:
    """Something that is no plain file, in place of one."""
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "terminal":
        place.symlink_to("/dev/tty")
    else:
        with socket.socket(socket.AF_UNIX) as listener, pushd(place.parent):
            listener.bind(place.name)


@contextmanager
def pushd(folder: Path) -> Iterator[None]:
    """In a folder: a socket's path may be no longer than 107 bytes."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def part_of(layout: Path, blobs: Blobs, descriptor: Json, part: str) -> Path:
    """A file of a layout by what it is."""
    manifest = json.loads(blobs.data[descriptor["digest"]])
    parts = {"manifest": descriptor, "config": manifest["config"], "layer": manifest["layers"][0]}
    return blob_file(layout, parts[part]) if part in parts else layout / part


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("oci-layout", "not-a-layout"),
        ("index.json", "not-a-layout"),
        ("manifest", "missing-blob"),
        ("config", "missing-blob"),
        ("layer", "missing-blob"),
    ],
)
def test_what_is_no_plain_file_leaves_the_others_at_once(tmp_path: Path, kind: str, part: str, code: str) -> None:
    hello_layout(tmp_path / "good")
    blobs = Blobs()
    descriptor = blobs.image(layers=(b"other",))
    bad = blobs.layout(tmp_path / "bad", descriptor)
    put(kind, part_of(bad, blobs, descriptor, part))
    with within(1):
        found = read_layouts(tmp_path)
    assert [each.repository for each in images_of(found)] == ["good"]
    (skip,) = [item for item in found if isinstance(item, Skip)]
    assert (skip.repository, skip.code) == ("bad", code)
    assert "is no plain file" in skip.why


@pytest.mark.parametrize("part", ["oci-layout", "index.json", "manifest", "config", "layer"])
def test_a_socket_is_an_error_at_once(tmp_path: Path, part: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    put("socket", part_of(blobs.layout(tmp_path / "bad", descriptor), blobs, descriptor, part))
    with within(1), pytest.raises(FlatdexError, match=r"cannot be read: No such device or address"):
        read_layouts(tmp_path)


def test_a_pipe_in_place_of_a_layer_that_was_published_before_is_no_hang(tmp_path: Path) -> None:
    """What an earlier build has checked is not looked at again, but copied again if the store's own copy is broken."""
    blobs = Blobs()
    descriptor = blobs.image()
    folder = blobs.layout(tmp_path / "images" / "hello", tagged(descriptor, "latest"))
    config = loaded(tmp_path, LOCAL)
    store = Store(config.store)
    with store.locked("build", create=True):
        one = store.find(build(config, report()).snapshot)
        layer = json.loads(blobs.data[descriptor["digest"]])["layers"][0]
        (one.folder / "v2" / "hello" / "blobs" / layer["digest"]).write_bytes(b"cut")
        put("pipe", blob_file(folder, layer))
        hello_layout(tmp_path / "images" / "other", "latest", **{"org.flatpak.ref": ref_of("Other")})
        with within(1):
            try:
                found = build(config, report())
            except FlatdexError:
                return
    assert "missing-blob" in [skip.code for skip in found.skips]


@pytest.mark.parametrize("target", ["nowhere", "../nowhere/hello", "bad"], ids=["beside", "elsewhere", "itself"])
@pytest.mark.parametrize("pattern", ["*", "bad", "[b]ad"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, target: str, pattern: str) -> None:
    """Its disk is probably not mounted: that is no reason to take its applications away."""
    hello_layout(tmp_path / "good")
    (tmp_path / "bad").symlink_to(target)
    source = LayoutSource("local", (str(tmp_path / "good"), str(tmp_path / pattern)))
    with pytest.raises(FlatdexError, match=r"/bad leads to .*, which is not there"):
        layouts.folders(source)


def test_a_link_that_leads_nowhere_on_the_way_to_layouts_is_an_error(tmp_path: Path) -> None:
    hello_layout(tmp_path / "one" / "good")
    (tmp_path / "two").symlink_to("/nowhere/disk")
    with pytest.raises(FlatdexError, match="which is not there"):
        layouts.folders(LayoutSource("local", (str(tmp_path / "*" / "*"),)))


READ_AS_ANOTHER_USER = """
import os, sys
from builder.config import LayoutSource
from builder.sources.layouts import LayoutReading
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
reading = LayoutReading(LayoutSource("local", (sys.argv[1],)), frozenset({"latest"}), lambda *_: False)
inputs = reading.look()
print(*reading.items(), f"inputs: {bool(inputs)}", sep="\\n")
"""


@pytest.mark.parametrize("part", [".", "oci-layout", "index.json", "blobs", "manifest", "config", "layer"])
def test_what_may_not_be_read_is_a_failure(real_tmp: Path, part: str) -> None:
    """A mistake in permissions must not look like an application that is gone."""
    images = real_tmp / "images"
    hello_layout(images / "good")
    blobs = Blobs()
    descriptor = blobs.image(layers=(b"other",))
    bad = blobs.layout(images / "bad", descriptor)
    repository = Path(layouts.__file__).parent.parent.parent
    command = [sys.executable, "-c", READ_AS_ANOTHER_USER, f"{images}/*"]
    *before, inputs = run(command, cwd=repository).stdout.splitlines()
    assert [item.partition("(")[0] for item in before] == ["Image", "Image"] and inputs == "inputs: True"
    part_of(bad, blobs, descriptor, part).chmod(0)
    *found, inputs = run(command, cwd=repository).stdout.splitlines()
    failed = [item for item in found if not item.startswith("Image(")]
    assert len(failed) == 1 and failed[0].startswith("Failure(source='local', repository='', code='unreadable', why=")
    assert "cannot be read: Permission denied" in failed[0]
    assert inputs == f"inputs: {part not in ('.', 'oci-layout', 'index.json')}", "what was not seen is never unchanged"


@pytest.mark.parametrize("text", ["{}", '{"schemaVersion":2}', '{"schemaVersion":2,"repositories":[]}'])
def test_an_index_json_without_manifests_is_no_empty_layout(tmp_path: Path, text: str) -> None:
    hello_layout(tmp_path / "good")
    (hello_layout(tmp_path / "bad") / "index.json").write_text(text)
    assert codes_of(read_layouts(tmp_path)) == ["not-a-layout"]
    assert len(images_of(read_layouts(tmp_path))) == 1


# Image indexes without end


def found(blobs: Blobs, descriptor: Json) -> list[Any]:
    """All that a descriptor leads to."""
    return list(walk.images(InBlobs(blobs), PLACE, described(descriptor)))


def test_a_child_that_is_listed_ten_thousand_times_is_read_once() -> None:
    blobs = Blobs()
    child = blobs.image()
    index = blobs.index(*[child] * 10_000)
    asked: list[str] = []

    class Counting(InBlobs):
        def manifest(self, descriptor: oci.Descriptor) -> bytes:
            asked.append(descriptor.digest)
            return super().manifest(descriptor)

    with within(5):
        listed = list(walk.images(Counting(blobs), PLACE, described(index)))
    assert len(listed) == len(images_of(listed)) == 1
    assert asked == [index["digest"], child["digest"]]


def test_a_graph_that_is_wide_and_deep_is_left_in_time() -> None:
    """Each of 30 indexes lists all of 30 others, each of which lists the same 2,000 images: 1.8 million ways."""
    blobs = Blobs()
    images = [{"mediaType": oci.MANIFEST, "digest": f"sha256:{number:064x}", "size": 2} for number in range(2_000)]

    def named(number: int, *entries: Json) -> Json:
        value = {"schemaVersion": 2, "mediaType": oci.IMAGE_INDEX, "manifests": list(entries), "number": number}
        return {"mediaType": oci.IMAGE_INDEX, **blobs.json(value)}

    lowest = [named(number, *images) for number in range(30)]
    middle = [named(number, *lowest) for number in range(30)]
    with within(10):
        listed = found(blobs, named(0, *middle))
    assert images_of(listed) == []
    assert {"missing-blob", "too-large"} == set(codes_of(listed))


def test_deep_indexes_are_left_where_they_get_too_deep() -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    for _ in range(400):
        descriptor = blobs.index(descriptor, descriptor)
    with within(5):
        assert codes_of(found(blobs, descriptor)) == ["malformed"]


@pytest.mark.parametrize("entries", ["distinct", "broken"])
def test_one_tag_can_not_flood_a_description_with_skips(entries: str) -> None:
    """Each skip is a line of cron's mail, and of what every mirror reads."""
    blobs = Blobs()
    if entries == "broken":
        index = {"mediaType": oci.IMAGE_INDEX, **blobs.json({"schemaVersion": 2, "manifests": [0] * 20_000})}
    else:
        many = [{"mediaType": oci.MANIFEST, "digest": f"sha256:{number:064x}", "size": 2} for number in range(20_000)]
        index = blobs.index(*many)
    with within(10):
        assert len(found(blobs, index)) <= 1_000


# Registries that answer 200 and nothing


@pytest.mark.parametrize("body", [b"{}", b'{"errors":[]}', b'{"Repositories":["bad"]}', b'{"tags":["latest"]}'])
def test_a_catalog_without_repositories_is_a_failure(body: bytes) -> None:
    failed = failure(as_registry(*good(), {"_catalog": Answer(body)}))
    assert failed_to_list_repositories(failed) and failed.code == "bad-answer"
    assert "`repositories` is not a list of names" in failed.why


@pytest.mark.parametrize("body", [b"{}", b'{"errors":[]}', b'{"name":"bad"}', b'{"repositories":["x"]}'])
def test_an_answer_without_tags_is_a_failure(body: bytes) -> None:
    failed = failure(as_registry(*good(), {"bad/tags/list": Answer(body)}), tags=SEVERAL)
    assert (failed.repository, failed.code) == ("bad", "bad-answer")
    assert failed.why.startswith("source main: failed to list the tags of bad: ")
    assert "`tags` is not a list of names" in failed.why


@pytest.mark.parametrize("body", [b'{"repositories":[]}', b'{"repositories":null}'])
def test_an_empty_catalog_is_a_failure(body: bytes) -> None:
    failed = failure(as_registry(*good(), {"_catalog": Answer(body)}))
    assert (failed.repository, failed.code) == ("", "nothing-taken")
    assert "none of the registry's 0 repositories is taken" in failed.why
    assert "An empty remote is not published by accident." in failed.why


def test_a_catalog_of_which_nothing_is_taken_is_a_failure() -> None:
    failed = failure(as_registry(*good()), "flatpaks/*")
    assert (failed.repository, failed.code) == ("", "nothing-taken")
    assert "none of the registry's 2 repositories is taken by the configuration" in failed.why
    with scripted(as_registry(*good())) as server, pytest.raises(SourceError, match="none of the registry's 2"):
        repositories(source_of(server.url, exclude=("*",)))


NEXT = "/v2/_catalog?last=bad"


@pytest.mark.parametrize(
    "link",
    [
        f"<{NEXT}>; rel='next'",
        f'<{NEXT}>; REL="next"',
        f'<{NEXT}>; Rel="NEXT"',
        f'<{NEXT}>;rel="next";',
        f'</v2/_catalog?first>; rel="prev", <{NEXT}>; rel="next"',
        f'<{NEXT}>; rel="next", </v2/_catalog?first>; rel="prev"',
        f'</v2/_catalog?first>; rel="first",<{NEXT}>; rel=next',
        f'<{NEXT}>; title="a=b"; rel="next"',
        f'<{NEXT}>; rel="next last"',
        f'<{NEXT};x=1>; rel="next"',
        f'</help>; rel="help"\r\nLink: <{NEXT}>; rel="next"',
    ],
)
def test_no_way_to_write_a_next_page_loses_it(link: str) -> None:
    """A page that is not read is half the applications gone, and nobody told."""
    script = as_registry(*good())

    def answer(path: str) -> Answer | None:
        if path.startswith("/v2/_catalog?n="):
            return Answer(b'{"repositories":["bad"]}', headers={"Link": link})
        return script(path)

    with scripted(answer) as server:
        assert repositories(source_of(server.url)) == ["bad", "good"]


# What reaches the terminal

RAW = "\x1b[31m\x9b7m\x07\x85"
BIDI = "\u202e\u2066"
IN_JSON = f"{RAW}{BIDI}\r\nFORGED all is well\n"
IN_HEADER = f"{RAW}{BIDI.encode().decode('latin-1')}\r\n FORGED all is well"


def lies() -> dict[str, Callable[[Blobs], Script]]:
    """Registries that put harmful text wherever there is room for text."""

    def changed(part: str, answer: Answer) -> Callable[[Blobs], Script]:
        def make(blobs: Blobs) -> Script:
            script = as_registry(blobs, {"hello": {"latest": blobs.image()}})
            return lambda path: answer if part in path else script(path)

        return make

    def headers(part: str, status: int = 200, **named: str) -> Callable[[Blobs], Script]:
        def make(blobs: Blobs) -> Script:
            script = as_registry(blobs, {"hello": {"latest": blobs.image()}})

            def answer(path: str) -> Answer | None:
                real = script(path)
                if real is None or part not in path:
                    return real
                given = {name.replace("_", "-"): value for name, value in named.items()}
                return replace(real, status=status, headers={**real.headers, **given})

            return answer

        return make

    def image(**values: Any) -> Callable[[Blobs], Script]:
        return lambda blobs: as_registry(blobs, {"hello": {"latest": blobs.image(**values)}})

    def index(*entries: Any) -> Callable[[Blobs], Script]:
        return lambda blobs: as_registry(blobs, {"hello": {"latest": blobs.index(*entries)}})

    text = json.dumps(IN_JSON)
    ref = f"app/{IN_JSON}/x86_64/stable"
    return {
        "digest header": headers("/manifests/latest", Docker_Content_Digest=f"sha256:{IN_HEADER}"),
        "content type": headers("/manifests/latest", Content_Type=IN_HEADER),
        "next page elsewhere": headers("_catalog", Link=f'<ftp://x/{IN_HEADER}>; rel="next"'),
        "next page is no URL": headers("_catalog", Link=f'<http://[{IN_HEADER}>; rel="next"'),
        "next page is here": headers("_catalog", Link=f'</v2/{IN_HEADER}>; rel="next"'),
        "redirect": headers("/manifests/latest", 307, Location=f"http://127.0.0.1:1/{IN_HEADER}"),
        "redirect is no URL": headers("/manifests/latest", 307, Location=f"http://[{IN_HEADER}"),
        "redirect without host": headers("/manifests/latest", 307, Location=f"http:///{IN_HEADER}"),
        "redirect by another protocol": headers("/manifests/latest", 307, Location=f"gopher://x/{IN_HEADER}"),
        "redirect to another port": headers("/manifests/latest", 307, Location=f"http://127.0.0.1:x{IN_HEADER}/"),
        "retry": headers("/manifests/latest", 503, Retry_After=IN_HEADER),
        "transfer": headers("/manifests/latest", Transfer_Encoding=f"chunked{IN_HEADER}"),
        "repository": changed("_catalog", Answer(f'{{"repositories":[{text}]}}'.encode())),
        "tags": changed("/tags/list", Answer(f'{{"tags":[{text}]}}'.encode())),
        "tags are none": changed("/tags/list", Answer(f'{{"tags":{text}}}'.encode())),
        "catalog is no JSON": changed("_catalog", Answer(IN_JSON.encode())),
        "error page": changed("_catalog", Answer(IN_JSON.encode(), 404)),
        "media type": image(media_type=IN_JSON),
        "ref": image(labels=flatpak_labels(ref)),
        "label's name": image(labels={IN_JSON: 5}),
        "annotation's name": image(annotations={IN_JSON: 5}),
        "icon": image(labels=flatpak_labels(**{ICON: IN_JSON})),
        "architecture": image(architecture=IN_JSON),
        "digest in an index": index({"digest": IN_JSON, "size": 1}),
        "size in an index": index({"digest": "sha256:" + "a" * 64, "size": IN_JSON}),
    }


LIES = lies()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("lie", LIES)
def test_nothing_raw_from_a_registry_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lie: str
) -> None:
    with scripted(LIES[lie](Blobs())) as server:
        # So many tags that their list is read, too.
        text = GOOD.replace("http://127.0.0.1:5000", server.url).replace("[latest]", "[latest, beta, nightly]")
        file = write(tmp_path, text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # what is said counts here, not when sockets are closed
            flatdex.main(["-v", "-c", str(file), "build"])
            gc.collect()
    assert_harmless("".join(capsys.readouterr()))


@pytest.mark.usefixtures("hasty", "capsys")
@pytest.mark.parametrize("location", ["gopher://x/", "http://[", "http:///", "http://127.0.0.1:x/"])
def test_a_redirect_that_leads_nowhere_leaves_no_connection_open(tmp_path: Path, location: str) -> None:
    script = as_registry(*good())
    redirect = Answer(b"", 307, {"Location": location})
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with scripted(lambda path: redirect if "/manifests/" in path else script(path)) as server:
            file = write(tmp_path, GOOD.replace("http://127.0.0.1:5000", server.url))
            flatdex.main(["-c", str(file), "build"])
            gc.collect()
    assert [str(each.message) for each in told] == []


def assert_harmless(said: str) -> None:
    """Nothing that a terminal acts on, no line that somebody else wrote, and no bug."""
    assert said.endswith("\n")
    assert all(character.isprintable() or character == "\n" for character in said), ascii(said)
    assert "this is a bug" not in said, said
    assert not re.search(r"^\W*FORGED", said, re.MULTILINE), said


@pytest.mark.parametrize("what", ["folder", "version", "name", "missing blob", "twins"])
def test_nothing_raw_from_a_layout_reaches_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    images = tmp_path / "images"
    hello_layout(images / "good", "latest")
    name = f"bad{RAW}{BIDI}\nFORGED all is well"
    blobs = Blobs()
    descriptor = blobs.image()
    bad = blobs.layout(images / (name if what != "version" else "bad"), tagged(descriptor, IN_JSON))
    if what == "folder":
        (bad / "index.json").unlink()
    elif what == "version":
        (bad / "oci-layout").write_text(json.dumps({"imageLayoutVersion": IN_JSON}))
    elif what == "missing blob":
        blob_file(bad, descriptor).unlink()
    elif what == "twins":
        (images / name.upper()).mkdir()
    flatdex.main(["-v", "-c", str(write(tmp_path, LOCAL)), "build"])
    assert_harmless("".join(capsys.readouterr()))


def test_one_answer_can_not_fill_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    (hello_layout(images / "long") / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "x" * 1_000_000}))
    flatdex.main(["-v", "-c", str(write(tmp_path, LOCAL)), "build"])
    assert len("".join(capsys.readouterr())) < 5_000


# Credentials


@contextmanager
def observed(script: Script) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server, and the path and the credentials of each request."""
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            answer = script(self.path) or Answer(b"", 404)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("login", ["machine 127.0.0.1", "machine localhost", "default"])
@pytest.mark.parametrize("moved", ["not", "to another path", "to another host"])
def test_what_stands_in_netrc_goes_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str, moved: str
) -> None:
    """A login is taken from where the tools for containers keep theirs, and from nowhere else."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"{login} login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    blobs = Blobs()
    script = as_registry(blobs, {"hello": {"latest": blobs.image()}})
    place: list[str] = []

    def answer(path: str) -> Answer | None:
        if path.startswith("/moved/"):
            return script(path.removeprefix("/moved"))
        if "/blobs/" in path and moved != "not":
            host = place[0] if moved == "to another path" else place[0].replace("127.0.0.1", "localhost")
            return Answer(b"", 307, {"Location": f"{host}/moved{path}"})
        return script(path)

    with observed(answer) as (url, seen):
        place.append(url)
        assert len(images_of(read(source_of(url)))) == 1
    assert len(seen) == 3 + (moved != "not")
    assert [credentials for _, credentials in seen] == [None] * len(seen)


# Icons


def header_of(width: int, height: int) -> str:
    """A PNG that promises more than it holds, as a `data:` URI."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(4000))) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (100_000_000, 1), (513, 1), (0, 0)])
def test_an_icon_with_a_huge_header_is_left_out_at_once(tmp_path: Path, size: tuple[int, int]) -> None:
    hello_layout(tmp_path / "images" / "hello", "latest", **{ICON: header_of(*size)})
    config = loaded(tmp_path, LOCAL)
    with within(2):
        done, one = built(tmp_path / "store", config)
    assert done == ["icon-rejected"]
    index = json.loads((one.folder / "index" / "latest.json").read_text())
    assert ICON not in index["Results"][0]["Images"][0]["Labels"]
    assert not [entry for entry in one.files if entry.path.endswith(".png")]


def built(store: Path, config: Any) -> tuple[list[str], Snapshot]:
    """The codes of what a build leaves out, and its snapshot."""
    with Store(store).locked("build", create=True):
        done = build(config, report())
    return [skip.code for skip in done.skips], Store(store).find(done.snapshot)


# A real Apache

TAGS = ("v1.gz", "x.php", "1.var", "a.cgi", "b.json.gz", "c.tgz", "d.br", "e.shtml")
DIRECTIVES = 'x"\n</FilesMatch>\nRedirect 302 / https://evil.example.org/\nSetHandler server-status\n# \\\n'
NAMES = f"""\
store: ./store
remote: {{name: example, url: "http://127.0.0.1:8080/"}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  stable: {{tags: [latest, {", ".join(TAGS)}], architectures: [amd64]}}
"""
# What distributions and admins switch on for other sites of a server.
SURROUNDINGS = """
AddEncoding x-gzip .gz .tgz
AddEncoding br .br
AddHandler type-map .var
AddHandler cgi-script .cgi .php
AddType application/x-httpd-php .php
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
AddLanguage de .de
"""


@pytest.fixture(scope="module")
def odd() -> Iterator[tuple[Path, Any]]:
    """A site whose tags look like types of files, and whose image carries directives wherever there is room."""
    with readable_folder() as folder:
        blobs = Blobs()
        labels = flatpak_labels(**{"org.freedesktop.appstream.appdata": "<!--#echo var='DATE_GMT' -->" + DIRECTIVES})
        told = blobs.image(labels, media_type=None, annotations={DIRECTIVES: DIRECTIVES}, artifactType=DIRECTIVES)
        docker = blobs.image(flatpak_labels(ref_of("Docker")), media_type=oci.DOCKER_MANIFEST)
        untold = {**told, "mediaType": DIRECTIVES}
        entries = [tagged(untold, tag) for tag in ("latest", *TAGS)]
        blobs.layout(folder / "images" / "hello", *entries, tagged(docker, "latest"))
        config = loaded(folder, NAMES)
        with pytest.MonkeyPatch.context() as patch:  # Apache's ETags are weak in a file's first second
            patch.setattr("time.time", lambda: 1_700_000_000.0)
            _, one = built(config.store, config)
        (config.store / "current").symlink_to(f"snapshots/{one.id}")
        yield config.store / "current", config


@pytest.fixture(scope="module", params=[".htaccess", "server"])
def apache(request: pytest.FixtureRequest, odd: tuple[Path, Any]) -> Iterator[Apache]:
    """Apache with the rules in either place, between other sites' settings."""
    root, config = odd
    state = root.parent.parent / f"apache-{request.param.strip('.')}"
    given: Mapping[str, Any] = {"modules": ("negotiation", "cgid", "filter", "include"), "extra": SURROUNDINGS}
    if request.param == "server":
        extra = SURROUNDINGS + rules.server(config, str(root), "/")
        given = {**given, "extra": extra, "allow_override": "None"}
    with Apache(state, root, options="FollowSymLinks ExecCGI MultiViews Includes", **given) as server:
        yield server


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_that_looks_like_a_file_s_type_is_served_right(
    apache: Apache, odd: tuple[Path, Any], tag: str, encoding: str
) -> None:
    root, _ = odd
    places = {
        f"index/static?tag={tag}": f"index/{tag}.json",
        f"index/static?os=linux&architecture=amd64&tag={tag}": f"index/{tag}-amd64.json",
        f"{tag}/index/static?tag=other": f"{tag}/index/static",
    }
    for place, file in places.items():
        answer = get(apache.url + place, Accept_Encoding=encoding)
        assert answer.status == 200, place
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers.get("content-encoding") == (None if encoding == "identity" else "gzip"), place
        body = gzip.decompress(answer.body) if encoding == "gzip" else answer.body
        assert body == (root / file).read_bytes(), place
        assert answer.headers["etag"].startswith('"')
        again = get(apache.url + place, Accept_Encoding=encoding, If_None_Match=answer.headers["etag"])
        assert again.status == 304, place


def test_a_type_with_directives_gets_into_no_rule(apache: Apache, odd: tuple[Path, Any]) -> None:
    root, _ = odd
    manifests = sorted((root / "v2" / "hello" / "manifests").iterdir())
    answers = [get(f"{apache.url}v2/hello/manifests/{file.name}") for file in manifests]
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.body for answer in answers] == [file.read_bytes() for file in manifests]
    types = {answer.headers["content-type"] for answer in answers}
    assert oci.MANIFEST in types and types <= {oci.MANIFEST, oci.DOCKER_MANIFEST}
    for file in root.rglob(".htaccess"):
        assert "evil.example.org" not in file.read_text(), file
    assert get(f"{apache.url}index/static").status == 200
