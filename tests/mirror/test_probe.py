"""Sources are asked: what they have is understood, what they remember is used, and nobody holds anybody up."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from builder.errors import FlatdexError
from builder.signing import sealed
from builder.sources.transport import Transport
from sync.mirror import asking
from sync.mirror.model import Found, Probed, Source
from sync.mirror.patience import Limits
from sync.mirror.probe import probe
from tests.builder.helpers import Answer
from tests.mirror import hosts
from tests.mirror.hosts import raw, serving
from tests.mirror.lists import REMOTE, described, mirrors, sha256
from tests.real.keys import key, public
from tests.real.process import free_port
from tests.real.tokens import Authority, Ear, Heard, listening

LIST = "/snapshot.json"
UPSTREAM = "/upstream/snapshot.json"
# A busy machine may take seconds for what takes none: only what is to be given up has to wait for this.
SHORT = Limits(connect=2.0, answer=1.0, rate=100_000, longest=20.0, longest_of_others=20.0)
LONG = Limits(answer=20.0)


def asked(url: str, *trusted: str, found: Found = Found.CONFIGURED, limits: Limits = LONG) -> Probed:
    [each] = probe([Source(url, found)], trusted, limits=limits)
    return each


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def test_an_origin() -> None:
    data = described(7)
    with serving({LIST: data}) as host:
        found = asked(f"{host.url}/")
    assert found.listed is not None and found.listed.data == data and found.own is None
    assert found.listed.snapshot.version == 7 and found.listed.signed_by == ""
    assert (found.fault, found.why) == ("", "")


def test_a_mirror_gives_the_origins_list_as_it_is() -> None:
    data = described(7)
    own = mirrors(data, {"some/file": b"text"})
    with serving({LIST: own, UPSTREAM: data}) as host:
        found = asked(f"{host.url}/")
    assert found.listed is not None and found.listed.data == data
    assert found.own is not None and "some/file" in found.own.by_path


@pytest.mark.parametrize("found", [Found.CONFIGURED, Found.MOUNTED])
def test_a_folder(tmp_path: Path, found: Found) -> None:
    place = folder(tmp_path / "a stick, 100% ü", {"snapshot.json": described(7)})
    got = asked(f"{place.as_uri()}/", found=found)
    assert got.listed is not None and got.listed.snapshot.version == 7 and not got.is_stick
    (place / "export.json").write_text("{}")
    assert asked(f"{place.as_uri()}/").is_stick


def test_a_folder_with_a_mirror(tmp_path: Path) -> None:
    data = described(7)
    place = folder(tmp_path, {"snapshot.json": mirrors(data), "upstream/snapshot.json": data})
    found = asked(f"{place.as_uri()}/")
    assert found.listed is not None and found.listed.data == data and found.own is not None


@pytest.mark.parametrize("mirror", [False, True])
def test_signatures_are_checked(tmp_path: Path, mirror: bool) -> None:
    trusted, other = (public(key(tmp_path, name)) for name in ("one", "other"))
    signed = described(7, keys=(tmp_path / "one",))
    held = {LIST: mirrors(signed), UPSTREAM: signed} if mirror else {LIST: signed}
    with serving(held) as host:
        listed = asked(f"{host.url}/", other, trusted).listed
        stranger = asked(f"{host.url}/", other).listed
        held[UPSTREAM if mirror else LIST] = signed.replace(b'"version": 7', b'"version": 8')
        forged = asked(f"{host.url}/", trusted).listed
    assert listed is not None and listed.signed_by == trusted
    assert listed.snapshot.version == 7 and "signatures" not in listed.snapshot.document
    assert stranger is not None and stranger.signed_by == ""
    assert forged is not None and forged.signed_by == ""


def test_nothing_behind_the_signatures_is_read(tmp_path: Path) -> None:
    key(tmp_path, "one")
    signed = described(7, keys=(tmp_path / "one",))
    more = signed[:-3] + b',\n"version": 9\n}\n'
    assert json.loads(more)["version"] == 9
    with serving({LIST: more}) as host:
        found = asked(f"{host.url}/", public(tmp_path / "one"))
    assert found.fault == "corrupt" and "something else follows" in found.why


def test_a_key_that_is_none_is_nobodys_fault_but_ours() -> None:
    with pytest.raises(FlatdexError, match="is no public key"):
        probe([Source("http://127.0.0.1:1/")], ["no key"])


def answers(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Ear:
    return lambda request: Answer(body, status, headers=headers or {})


def redirects(place: str) -> Ear:
    return answers(302, headers={"Location": place})


@pytest.mark.parametrize(
    ("ear", "code", "why"),
    [
        (answers(404), "missing", "answered 404 Not Found: is that the URL of the remote"),
        (answers(410), "missing", "answered 410 Gone"),
        (answers(403), "http", "answered 403 Forbidden"),
        (answers(500), "http", "answered 500"),
        (answers(206, b"{}"), "http", "answered with 206"),
        (answers(304), "http", "answered 304"),
        (answers(200, described(7)[:-20]), "corrupt", "damaged, or no such file"),
        (answers(200, b"<html>a portal</html>"), "corrupt", "a web page in place of its snapshot.json"),
        (answers(200, b"[" * 100_000), "corrupt", "damaged, or no such file"),
        (answers(200, b'{"format": 1, "x": [' + b"{}," * 2**20 + b"0]}"), "corrupt", "more parts than a list"),
        (answers(200, b'{"format": 2}'), "corrupt", "format 2 is not known"),
        (answers(200, gzip.compress(described(7)), {"Content-Encoding": "gzip"}), "corrupt", "damaged"),
        (redirects("/again"), "redirect", "too many redirects"),
        (redirects("file:///etc/passwd"), "redirect", "neither http:// nor https://"),
        (lambda request: None, "unreachable", "the connection was cut"),
    ],
)
def test_answers_that_are_none(ear: Ear, code: str, why: str) -> None:
    with listening(ear) as host:
        found = asked(f"{host.url}/")
    assert (found.fault, found.listed, found.own) == (code, None, None)
    assert why in found.why


def test_a_mirror_without_the_origins_list() -> None:
    with serving({LIST: mirrors(described(7))}) as host:
        found = asked(f"{host.url}/")
    assert found.fault == "missing" and f"{host.url}/upstream/snapshot.json answered 404" in found.why


def test_a_mirror_with_a_damaged_list() -> None:
    with serving({LIST: mirrors(described(7)), UPSTREAM: b"{"}) as host:
        found = asked(f"{host.url}/")
    assert found.fault == "corrupt" and "its upstream/snapshot.json is damaged" in found.why


def test_nobody_listens() -> None:
    found = asked(f"http://127.0.0.1:{free_port()}/")
    assert found.fault == "refused" and found.why == "connection refused: no server is running there"


def test_no_such_host() -> None:
    found = asked("http://nowhere.invalid/")
    assert found.fault == "dns" and "is the name right" in found.why


def test_tls_of_somebody_else(tmp_path: Path) -> None:
    with listening(answers(200, described(7)), Authority(tmp_path).issue("host")) as host:
        found = asked(f"{host.url}/")
        plain = asked(f"{host.url.replace('https', 'http')}/")
    assert found.fault == "tls" and "certificate is not trusted" in found.why and "`ca`" not in found.why
    assert plain.fault == "unreachable"
    with listening(answers(200, described(7))) as host:
        assert asked(f"{host.url.replace('http', 'https')}/").fault == "tls"


def test_a_login_and_an_authority_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for registries: auth.json and certs.d. A peer on the LAN is sent no login."""
    authority = Authority(tmp_path / "ca")

    def ear(request: Heard) -> Answer:
        if request.authorization == f"Basic {base64.b64encode(b'me:secret').decode()}":
            return Answer(described(7))
        return Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="mirror"'})

    with listening(ear, authority.issue("host")) as host:
        certs = tmp_path / "home/.config/containers/certs.d" / host.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(authority.certificate.read_bytes())
        login = {"auths": {host.host: {"auth": base64.b64encode(b"me:secret").decode()}}}
        (tmp_path / "auth.json").write_text(json.dumps(login))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        assert asked(f"{host.url}/").listed is not None
        found = asked(f"{host.url}/", found=Found.LAN)
        assert found.fault == "http" and "401 Unauthorized" in found.why
        (certs / "ca.crt").write_text("no certificate")
        broken = asked(f"{host.url}/")
    assert broken.fault == "tls" and "holds no certificate" in broken.why


def test_a_source_may_lead_elsewhere_but_not_one_of_the_lan() -> None:
    with serving({LIST: described(7)}) as host, listening(redirects(f"{host.url}{LIST}")) as lead:
        assert asked(f"{lead.url}/").listed is not None
        found = asked(f"{lead.url}/", found=Found.LAN)
    assert found.fault == "redirect" and "another place" in found.why
    with listening(_moved) as host:
        assert asked(f"{host.url}/", found=Found.LAN).listed is not None, "on the same host it may"


def _moved(request: Heard) -> Answer:
    if request.path == LIST:
        return Answer(status=301, headers={"Location": "/there.json"})
    return Answer(described(7))


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (hosts.hangs, "no answer within 1 seconds"),
        (hosts.drips_headers, "no answer within 1 seconds"),
        (hosts.drips(1000, 0.1), "it all but stopped"),
        (hosts.stalls(5_000_000), "no answer in time"),
    ],
)
def test_who_hangs_is_given_up(talk: hosts.Talk, why: str) -> None:
    started = time.monotonic()
    with raw(talk) as url:
        found = asked(url, limits=SHORT)
        assert time.monotonic() - started < 10
    assert found.fault == "timeout" and why in found.why and "far too slow" in found.why


def test_who_is_given_up_is_cut() -> None:
    gone = threading.Event()

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.settimeout(20)
        if not connection.recv(1):
            gone.set()

    with raw(talk) as url:
        asked(url, limits=SHORT)
        assert gone.wait(10), "a connection that nobody waits for is closed"


def test_what_keeps_coming_may_take_longer() -> None:
    """Two seconds for an answer that has to be there in one, but for its size."""
    body = described(7, files={f"f{number}": b"" for number in range(4000)})
    assert len(body) > 400_000
    with raw(hosts.slowly(body, pieces=20, pause=0.1)) as url:
        limits = Limits(answer=1.0, rate=100_000)
        assert asked(url, limits=limits).listed is not None
        strict = Limits(answer=1.0, rate=100_000_000)
        assert asked(url, limits=strict).fault == "timeout"


def test_what_never_ends_does_end() -> None:
    with raw(hosts.drips(200_000, 0.1)) as url:
        assert asked(url, limits=Limits(answer=1.0, rate=1000, longest=2.0)).fault == "timeout"


@pytest.mark.parametrize(("found", "fault"), [(Found.CONFIGURED, ""), (Found.LAN, "large")])
def test_others_may_say_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Found, fault: str) -> None:
    monkeypatch.setattr(asking, "_LARGEST_OF_OTHERS", 100)
    with serving({LIST: described(7)}) as host:
        assert asked(f"{host.url}/", found=found).fault == fault
    place = folder(tmp_path, {"snapshot.json": described(7)})
    assert asked(f"{place.as_uri()}/", found=found).fault == fault


@pytest.mark.parametrize(
    ("files", "code", "why"),
    [
        (None, "missing", "there is no folder"),
        ({"other": b""}, "missing", "has no snapshot.json"),
        ({"snapshot.json": mirrors(described(7))}, "missing", "has no upstream/snapshot.json"),
        ({"snapshot.json": b"{"}, "corrupt", "damaged"),
        ({"snapshot.json/inside": b""}, "unreadable", "can't be read"),
    ],
)
def test_folders_that_are_no_source(tmp_path: Path, files: Mapping[str, bytes] | None, code: str, why: str) -> None:
    place = folder(tmp_path / "there", files) if files else tmp_path / "nowhere"
    found = asked(f"{place.as_uri()}/")
    assert found.fault == code and why in found.why
    assert str(place) in found.why or code == "corrupt"


def test_a_file_that_never_ends_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").symlink_to("/dev/zero")
    assert asked(f"{tmp_path.as_uri()}/").fault == "unreadable"
    (tmp_path / "snapshot.json").unlink()
    os.mkfifo(tmp_path / "snapshot.json")
    assert asked(f"{tmp_path.as_uri()}/").fault == "unreadable"


def test_a_dead_file_system_is_given_up(tmp_path: Path) -> None:
    """Nothing gets out of a read from a server that is gone: here the thread that reads just never comes back."""
    folder(tmp_path, {"snapshot.json": described(7)})
    dead = threading.Event()
    with mock.patch("builder.files.opened", side_effect=lambda file: dead.wait(30)):
        started = time.monotonic()
        found = asked(f"{tmp_path.as_uri()}/", limits=SHORT)
        assert time.monotonic() - started < 10
        dead.set()
    assert found.fault == "timeout" and "no answer within 1 seconds" in found.why


# ---- What is remembered


@pytest.fixture
def remembering(tmp_path: Path) -> Callable[..., Probed]:
    """Asks one source, and remembers in the test's folder."""

    def ask(url: str, *trusted: str) -> Probed:
        [found] = probe([Source(url)], trusted, tmp_path / "memory", limits=LONG)
        return found

    return ask


@pytest.mark.parametrize("mirror", [False, True])
def test_what_did_not_change_costs_one_conditional_request(
    tmp_path: Path, remembering: Callable[..., Probed], mirror: bool
) -> None:
    data = described(7)
    with serving({LIST: mirrors(data), UPSTREAM: data} if mirror else {LIST: data}) as host:
        first = remembering(f"{host.url}/")
        before = len(host.heard)
        assert before == (2 if mirror else 1)
        times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        for _ in range(3):
            assert remembering(f"{host.url}/") == first
        [one, two, three] = host.heard[before:]
    assert {each.path for each in (one, two, three)} == {LIST}
    assert "if-none-match" in one.headers
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times, "nothing is written"


def test_dates_do_where_there_are_no_etags(remembering: Callable[..., Probed]) -> None:
    date = "Thu, 26 Nov 2026 07:00:00 GMT"

    def ear(request: Heard) -> Answer:
        if request.headers.get("if-modified-since") == date:
            return Answer(status=304)
        return Answer(described(7), headers={"Last-Modified": date})

    with listening(ear) as host:
        first = remembering(f"{host.url}/")
        assert remembering(f"{host.url}/") == first
        assert [each.headers.get("if-modified-since") for each in host.heard] == [None, date]


def test_what_changed_is_taken(remembering: Callable[..., Probed]) -> None:
    held = {LIST: described(7)}
    with serving(held) as host:
        remembering(f"{host.url}/")
        held[LIST] = described(8)
        found = remembering(f"{host.url}/")
    assert found.listed is not None and found.listed.snapshot.version == 8


def test_a_list_that_is_known_is_not_asked_for_again(remembering: Callable[..., Probed]) -> None:
    """A mirror that fetched more of the same list, and another one that has it, too."""
    data = described(7)
    held = {LIST: mirrors(data), UPSTREAM: data}
    with serving(held) as host, serving({LIST: mirrors(data, {"x": b""}), UPSTREAM: data}) as other:
        remembering(f"{host.url}/")
        held[LIST] = mirrors(data, {"more": b"text"})
        found = remembering(f"{host.url}/")
        assert len(host.asked("upstream")) == 1
        assert found.own is not None and "more" in found.own.by_path and found.listed is not None
        assert remembering(f"{other.url}/").listed == found.listed and not other.asked("upstream")


def test_a_mirror_that_is_updated_between_two_requests_is_asked_again() -> None:
    old, new = described(7), described(8)
    first = threading.Event()

    def ear(request: Heard) -> Answer:
        if request.path == UPSTREAM:
            return Answer(new)
        again = first.is_set()
        first.set()
        return Answer(mirrors(new if again else old))

    with listening(ear) as host:
        found = asked(f"{host.url}/")
        assert len(host.heard) == 4
    assert found.listed is not None and found.listed.data == new
    assert found.own is not None and found.own.document["mirror"]["version"] == 8


def test_a_mirror_that_never_agrees_with_itself_is_not_remembered(remembering: Callable[..., Probed]) -> None:
    with serving({LIST: mirrors(described(7)), UPSTREAM: described(8)}) as host:
        for _ in range(2):
            found = remembering(f"{host.url}/")
            assert found.listed is not None and found.listed.snapshot.version == 8, "which the decision will notice"
        assert len(host.heard) == 8
        assert not any("if-none-match" in each.headers for each in host.heard)


def test_what_was_forged_once_is_not_remembered(tmp_path: Path, remembering: Callable[..., Probed]) -> None:
    """Somebody in between gave another list with the true one's ETag: then the true server would say: unchanged."""
    trusted = public(key(tmp_path, "one"))
    true = described(7, keys=(tmp_path / "one",))
    held = {LIST: described(9)}
    etag = '"always"'

    def ear(request: Heard) -> Answer:
        if request.headers.get("if-none-match") == etag:
            return Answer(status=304)
        return Answer(held[LIST], headers={"ETag": etag})

    with listening(ear) as host:
        forged = remembering(f"{host.url}/", trusted)
        assert forged.listed is not None and not forged.listed.signed_by
        held[LIST] = true
        found = remembering(f"{host.url}/", trusted)
    assert found.listed is not None and found.listed.signed_by == trusted


def test_what_is_remembered_is_checked_again(tmp_path: Path, remembering: Callable[..., Probed]) -> None:
    one, other = (public(key(tmp_path, name)) for name in ("one", "other"))
    with serving({LIST: described(7, keys=(tmp_path / "one",))}) as host:
        remembering(f"{host.url}/", one)
        found = remembering(f"{host.url}/", other)
        assert len(host.heard) == 2 and "if-none-match" in host.heard[1].headers
    assert found.listed is not None and found.listed.signed_by == ""


def _empty(memory: Path) -> None:
    for file in (memory / "documents").iterdir():
        file.write_bytes(b"")


def _cut(memory: Path) -> None:
    (memory / "sources.json").write_bytes((memory / "sources.json").read_bytes()[:-5])


def _swap(memory: Path) -> None:
    [file] = (memory / "documents").iterdir()
    file.write_bytes(described(99))


def _lie(memory: Path) -> None:
    """A document of its own, under its true hash, that is none."""
    (memory / "documents" / sha256(b"no JSON")).write_bytes(b"no JSON")
    notes = json.loads((memory / "sources.json").read_bytes())
    for note in notes["sources"].values():
        note["own"] = sha256(b"no JSON")
    (memory / "sources.json").write_text(json.dumps(notes))


def _lead_away(memory: Path) -> None:
    (memory / "etc").write_bytes(described(99))
    text = (memory / "sources.json").read_text()
    [file] = (memory / "documents").iterdir()
    (memory / "sources.json").write_text(text.replace(file.name, "../etc"))


def _other_types(memory: Path) -> None:
    text = (memory / "sources.json").read_text()
    (memory / "sources.json").write_text(text.replace('"etag": "', '"etag": 3, "more": "'))


def _control(memory: Path) -> None:
    text = (memory / "sources.json").read_text()
    (memory / "sources.json").write_text(text.replace('"etag": "', '"etag": "\\r\\nX: y'))


@pytest.mark.parametrize("breaks", [_empty, _cut, _swap, _lie, _lead_away, _other_types, _control])
def test_a_broken_memory_costs_a_whole_request(
    tmp_path: Path, remembering: Callable[..., Probed], breaks: Callable[[Path], None]
) -> None:
    with serving({LIST: described(7)}) as host:
        first = remembering(f"{host.url}/")
        breaks(tmp_path / "memory")
        assert remembering(f"{host.url}/") == first
        assert "if-none-match" not in host.heard[1].headers
        assert remembering(f"{host.url}/") == first
        assert "if-none-match" in host.heard[2].headers, "it was mended"


def test_memory_holds_what_was_asked_last(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    with serving({f"/{number}/snapshot.json": described(number + 1) for number in range(80)}) as host:
        sources = [Source(f"{host.url}/{number}/") for number in range(80)]
        probe(sources[:20], (), memory, limits=LONG)
        probe(sources[20:], (), memory, limits=LONG)
        notes = json.loads((memory / "sources.json").read_text())["sources"]
        assert len(notes) == 64 and {each.url for each in sources[20:]} <= notes.keys()
        assert len(list((memory / "documents").iterdir())) == 64


def test_a_memory_that_can_not_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file")
    with serving({LIST: described(7)}) as host:
        [found] = probe([Source(f"{host.url}/")], (), tmp_path / "memory", limits=LONG)
    assert found.listed is not None


def test_all_are_asked_at_once_and_told_in_their_order() -> None:
    with raw(hosts.hangs) as url, serving({LIST: described(7)}) as host:
        sources = [Source(f"{url}{number}/") for number in range(8)] + [Source(f"{host.url}/")]
        started = time.monotonic()
        found = probe(sources, limits=SHORT)
        assert time.monotonic() - started < 6, "eight, one after the other, would take eight"
    assert [each.source for each in found] == sources
    assert [each.fault for each in found] == ["timeout"] * 8 + [""]


def test_the_transport_is_the_callers() -> None:
    opened: list[Source] = []

    def opens(source: Source, limits: Limits) -> Transport:
        opened.append(source)
        return asking.open_transport(source, limits)

    with serving({LIST: described(7)}) as host:
        source = Source(f"{host.url}/")
        probe([source], opened=partial(opens, limits=LONG), limits=LONG)
    assert opened == [source]


def test_an_error_of_ours_is_not_hidden() -> None:
    def opens(source: Source) -> Transport:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        probe([Source("http://127.0.0.1:1/")], opened=opens)


def test_a_sealed_list_of_a_remote_is_its_payload(tmp_path: Path) -> None:
    """What is listed is parsed from what was signed, and passed on with its signature."""
    data = sealed(described(7), [key(tmp_path, "one")])
    with serving({LIST: data}) as host:
        listed = asked(f"{host.url}/").listed
    assert listed is not None and listed.data == data and listed.snapshot.document["remote"]["id"] == REMOTE
