"""The receiver of notifications, with a real registry and real web servers before it, and with those who mean harm."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import requests

from builder.errors import FlatdexError
from sync.events.kept.journal import Journal
from sync.events.model import Hint
from sync.events.settings import Listen
from sync.events.settings import Webhook as Settings
from sync.events.web import crowd, door, webhook, wire
from sync.events.web.webhook import Webhook
from tests.real.apache import Apache
from tests.real.images import app_layout
from tests.real.nginx import Nginx
from tests.real.process import free_port, wait_for
from tests.real.registry import DockerRegistry

SECRET = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {SECRET}"}


def nothing() -> None:
    """What an event that needs no acknowledgement is done with."""


class Inbox:
    """Notes what it is told. `take` is what the configuration has; an offer is done at once if it is not among it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.offers: list[tuple[Hint, Callable[[], None]]] = []
        self.counted: list[Hint] = []
        self.refusals: list[tuple[str, str]] = []
        self.states: list[str] = []
        self.kept: list[int] = []
        self.waits = False
        self.take: Callable[[Hint], bool] = lambda hint: True

    def offer(self, origin: str, hint: Hint, done: Callable[[], None] = nothing) -> str:
        """As an inbox does."""
        assert origin == "webhook"
        if done is nothing:
            self.counted.append(hint)
            return ""
        self.kept.append(len(self.files()))
        self.offers.append((hint, done))
        return "id"

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        """As an inbox does."""
        assert origin == "webhook"
        self.refusals.append((reason, detail))

    def state(self, origin: str, state: str, up: bool = True) -> None:
        """As an inbox does."""
        assert origin == "webhook"
        self.states.append(state)

    def files(self) -> list[str]:
        """What the journal keeps."""
        return [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []

    @property
    def names(self) -> list[str]:
        """The repositories that were offered, in order."""
        return [name for hint, _ in self.offers for name in sorted(hint.repositories)]


class House:
    """A receiver with all that it needs, in a folder. Use it with `with`."""

    def __init__(self, folder: Path, listen: Listen | None = None) -> None:
        self.folder = folder
        self.secret = folder / "webhook.secret"
        self.secret.write_text(f"{SECRET}\n")
        self.secret.chmod(0o600)
        self.listen = listen or Listen("127.0.0.1", free_port())
        self.inbox = Inbox(folder / "events")
        self.origin = self.another()

    def another(self) -> Webhook:
        """One more receiver of the same settings."""
        return Webhook(
            self.inbox,
            Settings(self.listen, self.secret),
            Journal(self.inbox.folder),
            wanted=lambda hint: self.inbox.take(hint),
            waiting=lambda hint: self.inbox.waits,
        )

    def connect(self) -> socket.socket:
        """A connection to it."""
        if self.listen.socket:
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            found.connect(str(self.listen.socket))
        else:
            found = socket.create_connection((self.listen.host, self.listen.port))
        found.settimeout(20)
        return found

    def post(self, body: bytes, headers: dict[str, str] | None = None, path: str = "/") -> tuple[int, str]:
        """The status and the text that a notification is answered with."""
        with closing(http.client.HTTPConnection("127.0.0.1")) as client:
            client.sock = self.connect()
            client.request("POST", path, body, headers if headers is not None else BEARER)
            answer = client.getresponse()
            return answer.status, answer.read().decode().strip()

    def say(self, data: bytes) -> bytes:
        """All that is answered to these bytes until the connection ends; what can't be sent any more is left out."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return everything(connection)

    def __enter__(self) -> House:
        self.origin.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.origin.stop()


def everything(connection: socket.socket) -> bytes:
    """All that still comes until the connection ends, however it does."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A receiver at a port."""
    with House(tmp_path) as found:
        yield found


def push(repository: str = "apps/hello", tag: str = "latest") -> bytes:
    """A notification of docker-registry."""
    target = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "repository": repository, "tag": tag}
    return json.dumps({"events": [{"id": "1", "action": "push", "target": target}]}).encode()


def request(body: bytes, *more: str, start: str = "POST / HTTP/1.1", length: bool = True) -> bytes:
    """A request, byte by byte; it is a good one unless `more` spoils it."""
    lines = [start, "Host: x", f"Authorization: Bearer {SECRET}", *more]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def statuses(answers: bytes) -> list[int]:
    """The status of each answer."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


# -- a notification and what becomes of it --------------------------------------------------------------------------


def test_what_matters_is_kept_before_it_is_answered_and_until_it_is_done(house: House) -> None:
    assert house.post(push()) == (202, "accepted")
    assert house.inbox.offers[0][0] == Hint(
        frozenset({"apps/hello"}), about="push of apps/hello:latest (docker-distribution)"
    )
    assert house.inbox.kept == [1], "it has to be kept before anybody works on it"
    left = Journal(house.inbox.folder).hints()
    assert [hint.repositories for _, hint in left] == [{"apps/hello"}], "after a crash it is still known"
    house.inbox.offers[0][1]()
    assert house.inbox.files() == []
    assert not house.inbox.refusals


def test_nothing_new_costs_no_file(house: House) -> None:
    assert house.post(b'{"events": []}')[0] == 202
    house.inbox.take = lambda hint: hint.repositories == {"apps/hello"}
    assert house.post(push("games/chess"))[0] == 202
    assert not house.inbox.offers
    assert house.inbox.files() == []
    assert [hint.repositories for hint in house.inbox.counted] == [set(), {"games/chess"}]


def test_what_waits_already_is_not_kept_twice(house: House) -> None:
    assert house.post(push())[0] == 202
    house.inbox.waits = True
    assert [house.post(push())[0] for _ in range(20)] == [202] * 20
    assert len(house.inbox.files()) == 1
    house.inbox.waits = False
    assert house.post(push())[0] == 202
    assert len(house.inbox.files()) == 2, "a round may have begun without it"


def test_the_same_one_twice_is_harmless(house: House) -> None:
    for _ in range(2):
        assert house.post(push())[0] == 202
    for _, done in house.inbox.offers:
        done()
        done()
    assert house.inbox.files() == []


def test_a_sender_tries_again_when_nothing_can_be_kept(house: House) -> None:
    house.inbox.folder.write_text("this is no folder")
    with closing(http.client.HTTPConnection("127.0.0.1", house.listen.port)) as client:
        client.request("POST", "/", push(), BEARER)
        answer = client.getresponse()
        assert (answer.status, answer.getheader("Retry-After")) == (503, "10")
        answer.read()
        assert not house.inbox.offers, "what is answered 503 comes again: it must not be worked on twice"
        assert house.inbox.refusals == [("not-kept", f"can't keep it: {os.strerror(errno.ENOTDIR)}")]
        house.inbox.folder.unlink()
        client.request("POST", "/", push(), BEARER)
        assert client.getresponse().status == 202, "on the same connection, too"


def test_a_mistake_of_ours_ends_one_connection_and_is_told(house: House) -> None:
    house.inbox.take = lambda hint: bool(1 // 0)
    assert house.say(request(push())) == b""
    wait_for(lambda: house.inbox.refusals == [("failed", "ZeroDivisionError")], "the refusal")
    house.inbox.take = lambda hint: True
    assert house.post(push())[0] == 202


# -- who may tell ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": SECRET},
        {"Authorization": "Basic " + base64.b64encode(f"x:{SECRET}".encode()).decode()},
        {"X-Gitlab-Token": SECRET},
        {"X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), push(), hashlib.sha256).hexdigest()},
    ],
)
def test_each_way_of_proof(house: House, headers: dict[str, str]) -> None:
    assert house.post(push(), headers)[0] == 202
    assert house.inbox.names == ["apps/hello"]


def test_forged_notifications(house: House) -> None:
    signed = "sha256=" + hmac.new(SECRET.encode(), push("apps/other"), hashlib.sha256).hexdigest()
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"X-Hub-Signature-256": signed}):
        assert house.post(push(), headers) == (401, "unauthorized")
    assert not house.inbox.offers
    assert not house.inbox.counted
    assert house.inbox.files() == []
    assert house.inbox.refusals == [
        ("unauthorized", "no secret"),
        ("unauthorized", "wrong secret in Authorization"),
        ("unauthorized", "wrong secret in X-Hub-Signature-256"),
    ]


def test_nobody_learns_what_is_known_without_a_secret(house: House) -> None:
    answers = {house.post(body, {}) for body in (b"", b"nonsense", b"{}", push(), push("games/chess"))}
    assert answers == {(401, "unauthorized")}


def test_secrets_change_while_it_runs(house: House) -> None:
    new = "f" * 32
    house.secret.write_text(f"# the new one\n{new}\n{SECRET}\n")
    assert house.post(push(), {"X-Gitlab-Token": new})[0] == 401
    house.origin.reload()
    assert house.post(push(), {"X-Gitlab-Token": new})[0] == 202
    assert house.post(push())[0] == 202
    house.secret.write_text("short\n")
    with pytest.raises(FlatdexError, match="shorter than 16"):
        house.origin.reload()
    assert house.post(push(), {"X-Gitlab-Token": new})[0] == 202, "a broken file changes nothing"
    house.secret.write_text(f"{new}\n")
    house.origin.reload()
    assert house.post(push())[0] == 401


def test_it_tells_where_it_listens_and_who_reads_along(house: House) -> None:
    house.secret.chmod(0o644)
    house.origin.reload()
    place = f"listening on 127.0.0.1:{house.listen.port}"
    assert house.inbox.states == [place, f"{place}, but all users can read the secrets: chmod o= {house.secret}"]


def test_without_a_secret_it_does_not_start(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.secret.unlink()
    with pytest.raises(FlatdexError, match="can't be read"):
        house.origin.start()
    house.origin.stop()
    with pytest.raises(ConnectionRefusedError):
        house.connect()


# -- what a request has to be ---------------------------------------------------------------------------------------


def test_a_look_at_its_health(house: House) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", house.listen.port)) as client:
        client.request("GET", "/")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"flatdex\n")
        assert answer.getheader("Server") is None
        assert answer.getheader("Connection") == "keep-alive"
        client.request("GET", "/metrics")
        assert client.getresponse().status == 404


@pytest.mark.parametrize("path", ["/", "/hooks/registry", "/hooks/registry?x=1"])
def test_any_path(house: House, path: str) -> None:
    assert house.post(push(), path=path)[0] == 202


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"hello\r\n\r\n", 400, "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300) + b"\r\n\r\n", 400, "malformed"),
        (request(b"", start="POST / HTTP/2.0"), 400, "malformed"),
        (request(b"", start="POST /"), 400, "malformed"),
        (request(b"", start="POST  / HTTP/1.1"), 400, "malformed"),
        (request(b"", start="PUT / HTTP/1.1"), 405, "malformed"),
        (request(b"", start="HEAD / HTTP/1.1"), 405, "malformed"),
        (request(b"", start="DELETE / HTTP/1.1"), 405, "malformed"),
        (request(b"x", start="GET / HTTP/1.1"), 405, "malformed"),
        (request(push(), length=False), 411, "no-length"),
        (request(b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False), 411, "no-length"),
        (request(push(), "Transfer-Encoding: chunked"), 400, "malformed"),
        (request(push(), "Transfer-Encoding: identity"), 400, "malformed"),
        (request(push(), "Content-Length: 1"), 400, "malformed"),
        (request(push(), f"Content-Length: {len(push())}"), 400, "malformed"),
        (request(push(), "Content-Length: -1", length=False), 400, "malformed"),
        (request(push(), "Content-Length: +5", length=False), 400, "malformed"),
        (request(push(), "Content-Length: 5, 5", length=False), 400, "malformed"),
        (request(push(), "Content-Length: 0x10", length=False), 400, "malformed"),
        (request(push(), "Content-Length:", length=False), 400, "malformed"),
        (request(push(), "Content-Length: " + "9" * 30, length=False), 400, "malformed"),
        (request(push(), "Content-Length : 5", length=False), 400, "malformed"),
        (request(push(), "Content-Length: 99999999999", length=False), 413, "too-large"),
        (request(push(), "Content-Length: 1048577", length=False), 413, "too-large"),
        (request(push(), "X-A: b\r\n Content-Length: 5"), 400, "malformed"),
        (request(push(), "X-A: b\rContent-Length: 5"), 400, "malformed"),
        (request(push(), "X-A: b\nContent-Length: 5"), 400, "malformed"),
        (request(push(), "X-A: b\0c"), 400, "malformed"),
        (request(push(), "X A: b"), 400, "malformed"),
        (request(push(), ": b"), 400, "malformed"),
        (request(push(), "no header"), 400, "malformed"),
        (request(push(), "Authorization: Bearer x"), 400, "malformed"),
        (request(push(), "Host: y"), 400, "malformed"),
        (request(push(), *(f"X-{number}: a" for number in range(120))), 400, "malformed"),
        (request(push(), "X-Long: " + "a" * 20_000), 431, "too-large"),
        (b"a" * 100_000, 431, "too-large"),
        (request(b"nonsense"), 400, "malformed"),
        (request(b"{}"), 400, "malformed"),
    ],
)
def test_what_is_refused(house: House, sent: bytes, status: int, reason: str) -> None:
    assert statuses(house.say(sent)) == [status], "one answer, and what follows is no request"
    assert [each for each, _ in house.inbox.refusals] == [reason]
    assert SECRET not in str(house.inbox.refusals)
    assert not house.inbox.offers
    assert house.post(push())[0] == 202, "the next one is served as ever"


def test_a_second_request_hidden_in_a_body_is_no_request(house: House) -> None:
    hidden = request(push("games/chess"))
    assert statuses(house.say(request(push(), "Content-Length: 3") + hidden)) == [400]
    assert statuses(house.say(request(b"0\r\n\r\n" + hidden, "Transfer-Encoding: chunked"))) == [400]
    assert statuses(house.say(request(hidden))) == [400], "that is a body, and no JSON"
    assert not house.inbox.offers


def test_requests_one_after_the_other(house: House) -> None:
    three = b"".join(request(push(f"apps/{number}")) for number in range(3))
    assert statuses(house.say(three)) == [202] * 3
    assert house.inbox.names == ["apps/0", "apps/1", "apps/2"]


def test_a_refused_one_does_not_end_the_connection_if_its_end_is_known(house: House) -> None:
    wrong = request(push("games/chess")).replace(SECRET.encode(), b"x" * 32)
    assert statuses(house.say(wrong + request(b"nonsense") + request(push()))) == [401, 400, 202]


@pytest.mark.parametrize(
    ("start", "headers", "count"),
    [
        ("POST / HTTP/1.1", ["Connection: close"], 1),
        ("POST / HTTP/1.1", ["Connection: Keep-Alive, Close"], 1),
        ("POST / HTTP/1.0", [], 1),
        ("POST / HTTP/1.0", ["Connection: keep-alive"], 2),
        ("POST / HTTP/1.1", [], 2),
    ],
)
def test_who_may_go_on(house: House, start: str, headers: list[str], count: int) -> None:
    answers = house.say(request(push(), *headers, start=start) * 2)
    assert statuses(answers) == [202] * count
    assert answers.count(b"Connection: close") == (1 if count == 1 else 0)


def test_a_sender_that_asks_first(house: House) -> None:
    with house.connect() as connection:
        connection.sendall(request(b"", "Expect: 100-continue", f"Content-Length: {len(push())}", length=False))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(push())
        assert statuses(connection.recv(1000)) == [202]
    with house.connect() as connection:
        connection.sendall(request(b"", "Expect: 100-continue", "Content-Length: 2000000", length=False))
        assert statuses(everything(connection)) == [413], "what is too large is not asked for"


def test_a_large_body_is_taken_and_a_larger_one_is_not_read(house: House) -> None:
    body = push().ljust(webhook.LARGEST_BODY)
    assert house.post(body)[0] == 202
    assert statuses(house.say(request(body + b" "))) == [413]


def test_a_body_that_never_ends(house: House) -> None:
    assert house.say(request(push(), f"Content-Length: {len(push()) + 1}", length=False)) == b""
    assert not house.inbox.offers


# -- many, and slow ones --------------------------------------------------------------------------------------------


def test_slow_senders_are_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "REQUEST_SECONDS", 0.4)
    whole = request(push())
    for sent in (whole[:30], whole[:-5]):
        began = time.monotonic()
        with house.connect() as connection:
            connection.sendall(sent)
            assert statuses(everything(connection)) == [408]
        assert time.monotonic() - began < 2
    with house.connect() as connection:
        began = time.monotonic()
        assert everything(connection) == b"", "who says nothing is told nothing"
        assert time.monotonic() - began < 2
    assert [reason for reason, _ in house.inbox.refusals] == ["slow", "slow"]


def test_a_byte_now_and_then_gains_no_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "REQUEST_SECONDS", 0.5)
    began = time.monotonic()
    with house.connect() as connection, pytest.raises(OSError):
        for byte in request(push()):
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - began < 3
    assert not house.inbox.offers


def test_an_idle_connection_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "IDLE_SECONDS", 0.3)
    with house.connect() as connection:
        connection.sendall(request(push()))
        assert statuses(connection.recv(1000)) == [202]
        began = time.monotonic()
        assert connection.recv(1000) == b""
        assert time.monotonic() - began < 2
    assert not house.inbox.refusals


def test_slow_senders_do_not_keep_others_out(house: House) -> None:
    with ExitStack() as stack:
        for number in range(60):
            slow = stack.enter_context(house.connect())
            slow.sendall(request(push())[: 20 + number])
        began = time.monotonic()
        assert house.post(push("games/chess"))[0] == 202
        assert time.monotonic() - began < 8, "at ten seconds each, it would be forty"
        assert house.inbox.names == ["games/chess"]


def test_senders_of_a_byte_now_and_then_do_not_keep_others_out(house: House) -> None:
    done = threading.Event()

    def drip(connections: list[socket.socket]) -> None:
        for byte in request(push()):
            for connection in connections:
                with suppress(OSError):
                    connection.sendall(bytes([byte]))
            if done.wait(0.2):
                return

    with ExitStack() as stack:
        slow = [stack.enter_context(house.connect()) for _ in range(20)]
        dripping = threading.Thread(target=drip, args=(slow,))
        dripping.start()
        time.sleep(0.3)
        began = time.monotonic()
        try:
            assert house.post(push("games/chess"))[0] == 202
            assert time.monotonic() - began < 6
        finally:
            done.set()
            dripping.join()


def test_idle_connections_do_not_keep_others_out(house: House) -> None:
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(house.connect())
        began = time.monotonic()
        assert house.post(push())[0] == 202
        assert time.monotonic() - began < 6


def test_connections_with_an_answer_make_room_at_once(house: House) -> None:
    with ExitStack() as stack:
        for number in range(16):
            kept = stack.enter_context(house.connect())
            if number < 8:
                kept.sendall(request(push()))
                assert b"keep-alive" in kept.recv(1000)
        began = time.monotonic()
        assert house.post(push())[0] == 202
        assert time.monotonic() - began < 0.8


def test_who_has_just_come_is_not_cut(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read = wire.Wire.head

    def late(self: wire.Wire, patience: float, seconds: float) -> tuple[wire.Head, float]:
        time.sleep(1.3)
        return read(self, patience, seconds)

    monkeypatch.setattr(wire.Wire, "head", late)
    with ExitStack() as stack:
        crowded = [stack.enter_context(house.connect()) for _ in range(20)]
        for connection in crowded:
            connection.sendall(request(push(), "Connection: close"))
        for connection in crowded:
            assert statuses(everything(connection)) == [202], "its thread had not come to read it"


def test_who_has_just_come_has_a_moment_to_speak(house: House) -> None:
    with ExitStack() as stack:
        crowded = [stack.enter_context(house.connect()) for _ in range(24)]
        time.sleep(0.4)
        for connection in crowded:
            connection.sendall(request(push(), "Connection: close"))
        for connection in crowded:
            assert statuses(everything(connection)) == [202]


def test_at_most_sixteen_at_once_and_all_are_served(house: House) -> None:
    most = 0
    counted = threading.Lock()
    now = 0

    def busy(hint: Hint) -> bool:
        nonlocal most, now
        with counted:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with counted:
            now -= 1
        return True

    house.inbox.take = busy
    with ExitStack() as stack:
        crowded = [stack.enter_context(house.connect()) for _ in range(200)]
        for number, connection in enumerate(crowded):
            connection.sendall(request(push(f"apps/{number}"), "Connection: close"))
        for connection in crowded:
            assert statuses(everything(connection)) == [202]
    assert sorted(house.inbox.names) == sorted(f"apps/{number}" for number in range(200))
    assert 2 <= most <= 16
    assert len(house.inbox.files()) == 200
    wait_for(lambda: sum(thread.name.startswith("webhook") for thread in threading.enumerate()) <= 2, "threads to end")


def test_nobody_keeps_a_place_while_it_is_crowded(house: House) -> None:
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(house.connect()).sendall(b"P")
        inside = "webhook-"
        wait_for(lambda: sum(each.name.startswith(inside) for each in threading.enumerate()) >= 9, "nine to be inside")
        answer = house.say(request(push()) * 2)
    assert statuses(answer) == [202]
    assert b"Connection: close" in answer


def test_a_burst_for_one_repository_is_kept_once(house: House) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", house.listen.port)) as client:
        for number in range(1000):
            client.request("POST", "/", push(tag=str(number)), BEARER)
            answer = client.getresponse()
            assert answer.status == 202
            answer.read()
            house.inbox.waits = True
    assert len(house.inbox.files()) == 1
    assert len(house.inbox.counted) == 999


def test_threads_and_descriptors_do_not_grow(house: House) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    house.inbox.waits = True
    house.post(push())
    before = count()
    for _ in range(50):
        house.post(push())
        house.post(push(), {})
        house.say(b"nonsense\r\n\r\n")
        house.say(request(push())[:40])
    wait_for(lambda: count() <= before, "descriptors to be closed")


def test_without_descriptors_it_waits_until_there_are_some(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "_TROUBLE_SECONDS", 0.01)
    fails = [20]

    def wire_or_not(connection: socket.socket) -> wire.Wire:
        if fails[0]:
            fails[0] -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return wire.Wire(connection)

    monkeypatch.setattr(crowd, "Wire", wire_or_not)
    for _ in range(20):
        assert house.say(request(push())) == b""
    assert [house.post(push())[0] for _ in range(20)] == [202] * 20, "no place may be lost"
    assert house.inbox.refusals == [("no-room", "[Errno 24] Too many open files")] * 20


# -- its beginning and its end --------------------------------------------------------------------------------------


def test_it_stops_within_a_second_whatever_is_open(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house, ExitStack() as stack:
        for number in range(30):
            connection = stack.enter_context(house.connect())
            connection.sendall(request(push())[: number * 3])
        began = time.monotonic()
        house.origin.stop()
        assert time.monotonic() - began < 0.7, "those who keep it waiting are not waited for"
        with pytest.raises(ConnectionRefusedError):
            house.connect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("webhook")]
    house.origin.start()
    assert house.post(push())[0] == 202, "and it may start again"
    house.origin.stop()


def test_what_is_being_answered_is_answered(tmp_path: Path) -> None:
    house = House(tmp_path)
    began, go = threading.Event(), threading.Event()

    def slowly(hint: Hint) -> bool:
        began.set()
        return go.wait(10)

    house.inbox.take = slowly
    with house, house.connect() as connection:
        connection.sendall(request(push()))
        assert began.wait(10)
        threading.Timer(0.2, go.set).start()
        house.origin.stop()
        answer = everything(connection)
    assert statuses(answer) == [202]
    assert b"Connection: close" in answer


def test_a_port_that_is_taken(house: House) -> None:
    other = house.another()
    with pytest.raises(FlatdexError, match=f"can't listen at 127.0.0.1:{house.listen.port}: Address already in use"):
        other.start()
    other.stop()
    assert house.post(push())[0] == 202


def test_a_port_that_there_is_not() -> None:
    with pytest.raises(FlatdexError, match="ports end at 65535"):
        door.Door(Listen("127.0.0.1", 99999))


def test_the_sixth_version_of_the_internet(tmp_path: Path) -> None:
    with House(tmp_path, Listen("::1", free_port())) as house:
        assert house.post(push())[0] == 202


@pytest.fixture
def unix(real_tmp: Path) -> Iterator[House]:
    """A receiver at a socket."""
    with House(real_tmp, Listen(socket=real_tmp / "webhook.sock")) as found:
        yield found


def test_a_socket_is_for_its_owner_and_group(unix: House) -> None:
    assert unix.listen.socket is not None
    assert unix.post(push())[0] == 202
    assert stat.S_IMODE(unix.listen.socket.stat().st_mode) == 0o660
    assert sorted(path.name for path in unix.folder.iterdir()) == ["events", "webhook.secret", "webhook.sock"]
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(unix.connect())
        began = time.monotonic()
        unix.origin.stop()
        assert time.monotonic() - began < 1
    assert not unix.listen.socket.exists()


def test_a_socket_of_a_dead_process_is_replaced(real_tmp: Path) -> None:
    path = real_tmp / "webhook.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    assert path.exists()
    with House(real_tmp, Listen(socket=path)) as house:
        assert house.post(push())[0] == 202


def test_a_socket_that_is_in_use_is_left_alone(unix: House) -> None:
    other = unix.another()
    with pytest.raises(FlatdexError, match="another process listens there"):
        other.start()
    other.stop()
    assert unix.post(push())[0] == 202


def test_a_file_in_the_way_is_left_alone(real_tmp: Path) -> None:
    path = real_tmp / "webhook.sock"
    path.write_text("precious")
    with pytest.raises(FlatdexError, match="no socket"):
        House(real_tmp, Listen(socket=path)).origin.start()
    assert path.read_text() == "precious"


def test_a_socket_that_somebody_else_put_there_since_is_left_alone(unix: House) -> None:
    assert unix.listen.socket is not None
    unix.listen.socket.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(unix.listen.socket))
        unix.origin.stop()
        assert unix.listen.socket.exists()


@pytest.mark.parametrize(
    ("path", "words", "fix"),
    [("none/webhook.sock", "No such file", "mkdir -p"), ("x" * 120, "too long for a socket", "")],
)
def test_where_no_socket_can_be(real_tmp: Path, path: str, words: str, fix: str) -> None:
    with pytest.raises(FlatdexError, match=words) as caught:
        door.Door(Listen(socket=real_tmp / path))
    assert fix in caught.value.fix
    assert list(real_tmp.iterdir()) == []


def test_a_socket_that_can_not_be_made_leaves_nothing(real_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", refuse)
        with pytest.raises(FlatdexError, match="not permitted"):
            door.Door(Listen(socket=real_tmp / "webhook.sock"))
    assert list(real_tmp.iterdir()) == []


# -- behind a web server --------------------------------------------------------------------------------------------

NGINX = """
location /hooks/ {{
    proxy_pass http://{place};
    client_max_body_size 1m;
    proxy_read_timeout 10s;
}}
"""
APACHE = """
ProxyPass "/hooks/" "{place}" timeout=10
LimitRequestBody 1048576
"""


def through(house: House, url: str) -> None:
    """Notifications through a web server: good ones, forged ones, such as come in chunks, and such as are too large."""

    def post(body: object, headers: dict[str, str] = BEARER) -> int:
        return requests.post(f"{url}hooks/registry", data=body, headers=headers, timeout=20).status_code  # type: ignore[arg-type]

    assert requests.get(f"{url}hooks/", timeout=20).status_code == 200 or house.listen.socket
    assert post(push()) == 202
    assert post(push(), {}) == 401
    assert post(push(), {"X-Gitlab-Token": SECRET}) == 202
    assert post(push().ljust(900_000)) == 202
    assert post(push().ljust(1_100_000)) == 413
    assert post(b"{}") == 400
    assert house.inbox.names == ["apps/hello"] * 3
    assert post(iter([push()[:10], push()[10:]])) == 202, "a proxy knows the length of what came in chunks"


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_behind_nginx(real_tmp: Path, kind: str) -> None:
    listen = Listen(socket=real_tmp / "webhook.sock") if kind == "socket" else None
    with House(real_tmp, listen) as house:
        place = f"unix:{house.listen.socket}:/" if house.listen.socket else f"127.0.0.1:{house.listen.port}/"
        let_in(house)
        (real_tmp / "root").mkdir()
        with Nginx(real_tmp / "nginx", real_tmp / "root", extra=NGINX.format(place=place)) as server:
            through(house, server.url)


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_behind_apache(real_tmp: Path, kind: str) -> None:
    listen = Listen(socket=real_tmp / "webhook.sock") if kind == "socket" else None
    with House(real_tmp, listen) as house:
        at = house.listen.socket
        place = f"unix:{at}|http://localhost/" if at else f"http://127.0.0.1:{house.listen.port}/"
        let_in(house)
        (real_tmp / "root").mkdir()
        extra = APACHE.format(place=place)
        modules = ("proxy", "proxy_http")
        with Apache(real_tmp / "apache", real_tmp / "root", modules=modules, extra=extra) as server:
            through(house, server.url)


def let_in(house: House) -> None:
    """Gives the socket to the group that web servers of tests have."""
    if house.listen.socket and os.geteuid() == 0:
        shutil.chown(house.listen.socket, group="nogroup")


# -- a real registry ------------------------------------------------------------------------------------------------


def test_a_real_registry_tells_of_pushes_and_deletions(real_tmp: Path) -> None:
    with House(real_tmp) as house:
        url = f"http://127.0.0.1:{house.listen.port}/"
        layout = app_layout(real_tmp)
        with DockerRegistry(real_tmp / "registry", notifications=(url, BEARER)) as registry:
            digest = registry.copy(layout, "apps/hello:latest")
            wait_for(lambda: len(house.inbox.offers) == 1, "the push")
            assert house.inbox.offers[0][0].about == "push of apps/hello:latest (docker-distribution)"
            assert len(house.inbox.counted) >= 2, "blobs are told of, too"
            registry.copy(layout, "apps/hello:stable")
            wait_for(lambda: len(house.inbox.offers) == 2, "the second tag")
            requests.get(f"{registry.url}/v2/apps/hello/manifests/{digest}", headers={"Accept": "*/*"}, timeout=20)
            requests.delete(f"{registry.url}/v2/apps/hello/manifests/{digest}", timeout=20).raise_for_status()
            wait_for(lambda: len(house.inbox.offers) == 5, "the manifest and both tags to go")
            assert house.inbox.names == ["apps/hello"] * 5, "and a pull is no news"
            assert not house.inbox.refusals


def test_a_real_registry_tells_again_what_was_not_taken(real_tmp: Path) -> None:
    with House(real_tmp) as house:
        house.secret.write_text("f" * 32)
        house.origin.reload()
        url = f"http://127.0.0.1:{house.listen.port}/"
        with DockerRegistry(real_tmp / "registry", notifications=(url, BEARER)) as registry:
            registry.copy(app_layout(real_tmp), "apps/hello:latest")
            wait_for(lambda: len(house.inbox.refusals) >= 3, "several tries")
            assert not house.inbox.offers
            house.secret.write_text(SECRET)
            house.origin.reload()
            wait_for(lambda: house.inbox.names == ["apps/hello"], "the right secret")
            house.origin.stop()
            registry.copy(app_layout(real_tmp, version="2.0"), "apps/hello:latest")
            time.sleep(0.5)
            house.origin.start()
            wait_for(lambda: house.inbox.names == ["apps/hello"] * 2, "what was told while nobody listened")
