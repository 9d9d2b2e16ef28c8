"""A broker's messages become hints, and stay with the broker until these are done: with a real RabbitMQ."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import FlatdexError
from sync.events import settings
from sync.events.broker import frames
from sync.events.broker.acks import Acks, due
from sync.events.broker.address import HEARTBEAT, Broker, address, broker, own_queue
from sync.events.broker.amqp import Amqp, delay
from sync.events.broker.trouble import short
from sync.events.model import Hint
from tests.real.files import readable_folder
from tests.real.process import free_port, wait_for
from tests.real.rabbitmq import Depth, RabbitMQ
from tests.real.tokens import Authority

TOO_LONG = 60.0  # seconds that anything here may take on a busy machine


@dataclass
class Box:
    """An inbox that keeps what comes in; `done` is called at once if it is not `patient`."""

    patient: bool = True
    hints: list[Hint] = field(default_factory=list)
    dones: list[Callable[[], None]] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def offer(self, origin: str, hint: Hint, done: Callable[[], None] = lambda: None) -> str:
        """As `Inbox` says."""
        self.hints.append(hint)
        if self.patient:
            self.dones.append(done)
        else:
            done()
        return "id"

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        """As `Inbox` says."""
        self.bad.append((reason, detail))

    def state(self, origin: str, state: str, up: bool = True) -> None:
        """As `Inbox` says."""
        assert origin == "amqp"
        assert up == state.startswith("connected")
        self.states.append(state)

    def wait(self, number: int) -> None:
        """Waits for so many hints."""
        wait_for(lambda: len(self.hints) >= number, f"{number} hints, {self.states}", TOO_LONG)
        assert len(self.hints) == number

    def wait_state(self, text: str, number: int = 1) -> str:
        """Waits for a state with this text in it, told so many times."""
        wait_for(lambda: len(self.found(text)) >= number, f"{text!r} in {self.states}", TOO_LONG)
        return self.found(text)[-1]

    def found(self, text: str) -> list[str]:
        """The states with this text."""
        return [state for state in self.states if text in state]


def read(topic: str, headers: Mapping[str, Any], body: bytes) -> Hint:
    """What the tests' messages say."""
    return Hint(repositories=frozenset([json.loads(body)["repository"]]), about=topic)


@contextmanager
def reading(box: Box, broker: Broker, read: Callable[..., Hint | None] = read) -> Iterator[Amqp]:
    """The origin at work, and connected."""
    origin = Amqp(box, broker, read)
    before = len(box.found("connected to 127"))
    origin.start()
    try:
        box.wait_state("connected to 127", before + 1)
        yield origin
    finally:
        origin.stop()


def said(repository: object) -> bytes:
    """A message."""
    return json.dumps({"repository": repository}).encode()


def names(box: Box) -> list[str]:
    """What was hinted at, in order."""
    return [name for hint in box.hints for name in hint.repositories]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the servers of this module."""
    with readable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """The authority of the broker's certificate, and of its clients'."""
    return Authority(folder / "ca")


@pytest.fixture(scope="module")
def running(folder: Path, authority: Authority) -> Iterator[RabbitMQ]:
    """The broker; `limited` may read, and declare or bind nothing."""
    users = {"limited": ("s3cret", "^$", "^$", ".*"), "shown": ("unused", ".*", ".*", ".*")}
    tls = authority.issue("broker")
    with RabbitMQ(folder / "rabbitmq", tls=tls, clients=authority.certificate, users=users) as server:
        yield server


@pytest.fixture
def server(running: RabbitMQ) -> RabbitMQ:
    """The broker, which a test may have stopped, or left halted."""
    running.start()
    return running


@pytest.fixture
def ours(server: RabbitMQ, request: pytest.FixtureRequest) -> Broker:
    """A queue of this test's own, with a topic of the same name."""
    name: str = request.node.name
    return broker(settings.Amqp(url=server.url, exchange="amq.topic", topics=(f"{name}.#",)), f"test {name}")


def topic(ours: Broker) -> str:
    """One that gets there."""
    return ours.topics[0].replace("#", "x")


# ---- Without a broker


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://127.0.0.1:5673/", ("127.0.0.1", 5673, "/", "", "", False, HEARTBEAT)),
        ("amqp://broker", ("broker", 5672, "/", "", "", False, HEARTBEAT)),
        ("amqps://u%40x:p%2Fw@broker/%2Fpublic?heartbeat=7", ("broker", 5671, "/public", "u@x", "p/w", True, 7)),
        ("amqps://fedora:@[::1]:1/a/b?heartbeat=0", ("::1", 1, "a/b", "fedora", "", True, HEARTBEAT)),
    ],
)
def test_urls_are_taken_apart(url: str, expected: tuple[object, ...]) -> None:
    found = address(url)
    seen = (found.host, found.port, found.vhost, found.user, found.password, found.tls, found.heartbeat)
    assert seen == expected


@pytest.mark.parametrize(
    "url", ["amqp://u:hidden@", "http://u:hidden@h/", "amqp://u:hidden@h:x/", "amqp://u:hidden@[/"]
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(FlatdexError) as error:
        address(url)
    assert "hidden" not in str(error.value)


def test_no_text_has_the_password() -> None:
    made = broker(settings.Amqp(url="amqp://u:hidden@h/v", queue="q"), "me")
    assert "hidden" not in f"{made} {address(made.url)!r} {address(made.url)}"
    assert str(address(made.url)) == "h:5672/v"


def test_our_own_queue_is_the_same_each_time_and_nobody_elses() -> None:
    assert own_queue("org.example /srv/store here") == own_queue("org.example /srv/store here")
    others = {own_queue(f"org.example {'x' * 60} {number}") for number in range(9)}
    assert len(others) == 9
    assert all(name.startswith("flatdex.org-example-") and len(name) < 70 for name in others)


def test_a_named_queue_is_declared_as_it_stands_and_one_of_ours_goes_away_when_unused() -> None:
    given = settings.Amqp(url="amqp://h/", exchange="e", topics=("#",), prefetch=5, ca=Path("/ca"))
    made = broker(given, "me")
    assert (made.queue, made.exchange, made.topics, made.prefetch) == (own_queue("me"), "e", ("#",), 5)
    assert (made.durable, made.exclusive, made.auto_delete, made.passive) == (True, False, False, False)
    assert made.arguments["x-expires"] >= 7 * 86400 * 1000
    assert made.ca == Path("/ca")
    assert broker(replace(given, queue="q"), "me").arguments == {}


def test_no_broker_is_named() -> None:
    with pytest.raises(FlatdexError, match="names no broker"):
        broker(settings.Amqp(queue="q"), "me")


def test_tries_get_rarer_and_start_again() -> None:
    assert [delay(tries, 1) for tries in (1, 2, 3, 6, 7, 1000)] == [2, 4, 8, 60, 60, 60]
    assert [delay(tries, 0) for tries in (1, 2, 3, 1000)] == [1, 2, 4, 30]


@given(st.data())
def test_what_is_acknowledged_is_what_is_done(data: st.DataObject) -> None:
    """Against a broker's own book-keeping, in whatever order messages are done."""
    last = data.draw(st.integers(1, 20))
    acks = Acks(lambda: None)
    dones = {tag: acks.taken(tag) for tag in range(1, last + 1)}
    at_the_broker, finished = set(dones), set()
    for tag in data.draw(st.permutations(range(1, last + 1))):
        dones[tag]()
        finished.add(tag)
        if data.draw(st.booleans()):
            for acknowledged, multiple in acks.due():
                assert acknowledged in at_the_broker, "unknown delivery tag: the broker would close the channel"
                at_the_broker -= (
                    {each for each in at_the_broker if each <= acknowledged} if multiple else {acknowledged}
                )
            assert at_the_broker == set(dones) - finished


def test_many_are_acknowledged_at_once() -> None:
    assert due(range(1, 10_001), set(range(1, 10_001))) == [(10_000, True)]
    assert due(range(1, 6), {1, 2, 4}) == [(2, True), (4, False)]
    assert due(range(1, 6), {5}) == [(5, False)]
    assert due([], set()) == []


def test_done_twice_or_too_late_is_nothing() -> None:
    woken: list[int] = []
    acks = Acks(lambda: woken.append(1))
    done, late = acks.taken(1), acks.taken(2)
    done()
    done()
    assert (acks.due(), len(woken)) == ([(1, True)], 1)
    done()
    assert acks.due() == []
    acks.end()
    late()
    assert (acks.due(), len(woken)) == ([], 1)


def test_texts_of_others_become_part_of_a_line() -> None:
    assert short("a\n\x1b[31mb\u2028c") == "a [31mb c"
    assert len(short("x" * 10_000_000)) == 300


def test_without_pika_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    with pytest.raises(FlatdexError) as error:
        Amqp(Box(), Broker("amqp://127.0.0.1/", "q"), read).start()
    assert "pip install 'flatdex[amqp]'" in error.value.fix


def test_a_bad_certificate_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for name, what in (("ca.pem", "no certificate in PEM"), ("gone.pem", "No such file")):
        with pytest.raises(FlatdexError, match=what):
            Amqp(Box(), Broker("amqps://127.0.0.1/", "q", ca=tmp_path / name), read).start()


def test_a_broker_that_is_not_there_is_told_once() -> None:
    box = Box()
    port = free_port()
    origin = Amqp(box, Broker(f"amqp://u:hidden@127.0.0.1:{port}/", "q"), read)
    origin.start()
    time.sleep(3.5)  # two tries at least
    origin.stop()
    assert box.states == [f"not connected: 127.0.0.1:{port}: connection refused; tried again within a minute"]


# ---- With a broker


def test_messages_wait_for_us_and_are_acknowledged_when_done(server: RabbitMQ, ours: Broker) -> None:
    with reading(Box(), ours):
        pass
    server.publish(topic(ours), *map(said, "abc"))
    box = Box()
    with reading(box, ours):
        assert box.states == [f"connected to 127.0.0.1:{server.port}, queue {ours.queue}"]
        box.wait(3)
        assert names(box) == ["a", "b", "c"]
        assert box.hints[0].about == topic(ours)
        assert server.depth(ours.queue) == Depth(0, 3, 1)
        box.dones[1]()
        wait_for(lambda: server.depth(ours.queue) == Depth(0, 2, 1), "the acknowledgement of one", TOO_LONG)
        box.dones[2]()
        box.dones[0]()
        box.dones[0]()
        wait_for(lambda: server.depth(ours.queue) == Depth(0, 0, 1), "the acknowledgement of all", TOO_LONG)
        server.publish(topic(ours), said("d"))
        box.wait(4)
        box.dones[3]()  # just before the end: it counts
    assert server.depth(ours.queue) == Depth(0, 0, 0)


def test_a_stop_is_quick_and_leaves_what_is_not_done(server: RabbitMQ, ours: Broker) -> None:
    box = Box()
    with reading(box, ours) as origin:
        server.publish(topic(ours), *map(said, "abc"))
        box.wait(3)
        box.dones[1]()
        began = time.monotonic()
        origin.stop()
        assert time.monotonic() - began < 1
        assert all(thread.name != "flatdex-amqp" for thread in threading.enumerate())
    wait_for(lambda: server.depth(ours.queue) == Depth(2, 0, 0), "messages to go back", TOO_LONG)
    box.dones[0]()  # too late: it comes again
    again = Box(patient=False)
    with reading(again, ours):
        again.wait(2)
    assert names(again) == ["a", "c"]
    assert server.depth(ours.queue) == Depth(0, 0, 0)


@pytest.mark.parametrize("how", ["closed", "killed", "stopped"])
def test_a_lost_connection_brings_messages_again(server: RabbitMQ, ours: Broker, how: str) -> None:
    box = Box()
    with reading(box, ours):
        server.publish(topic(ours), *map(said, "ab"))
        box.wait(2)
        early = list(box.dones)
        if how == "closed":
            server.ctl("close_all_connections", "an exercise")
        else:
            assert server.child is not None
            if how == "killed":
                server.child.signal(signal.SIGKILL)
            server.stop()
            wait_for(lambda: bool(box.found("connection refused")), "another try", TOO_LONG)
            server.start()
        for done in early:
            done()
        box.wait_state("connected to 127", 2)
        box.wait(4)
        assert names(box) == ["a", "b", "a", "b"]
        for done in box.dones:
            done()
        wait_for(lambda: server.depth(ours.queue) == Depth(0, 0, 1), "acknowledgements", TOO_LONG)
    assert all(before != after for before, after in zip(box.states, box.states[1:], strict=False))
    assert box.states[1].startswith("not connected: ")
    assert {"closed": "an exercise", "killed": "lost", "stopped": "CONNECTION_FORCED"}[how] in box.states[1]


def test_a_broker_that_hangs_is_noticed_and_holds_up_no_stop(server: RabbitMQ, ours: Broker) -> None:
    assert server.child is not None
    box = Box()
    impatient = replace(ours, url=f"{server.url}?heartbeat=1")
    with reading(box, impatient) as origin:
        server.publish(topic(ours), said("a"))
        box.wait(1)
        time.sleep(4)
        assert len(box.states) == 1, "a message that waits long is no reason for missing heartbeats"
        server.child.signal(signal.SIGSTOP)
        try:
            box.wait_state("has not given a sign of life for 1 s")
            began = time.monotonic()
            origin.stop()
            assert time.monotonic() - began < 1.2
        finally:
            server.child.signal(signal.SIGCONT)
    wait_for(lambda: server.depth(ours.queue) == Depth(1, 0, 0), "the message to go back", TOO_LONG)


def test_a_stop_while_the_broker_hangs_is_quick_too(server: RabbitMQ, ours: Broker) -> None:
    assert server.child is not None
    with reading(Box(), replace(ours, url=f"{server.url}?heartbeat=2")) as origin:
        server.child.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            origin.stop()
            assert time.monotonic() - began < 1.2
        finally:
            server.child.signal(signal.SIGCONT)
    wait_for(lambda: all(each.name != "flatdex-amqp" for each in threading.enumerate()), "the thread to end", TOO_LONG)


class Remote(datetime):
    """A date that no calendar has."""

    def utctimetuple(self) -> Any:
        """As pika asks for it."""
        return (1970, 1, 10**12, 0, 0, 0)


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@contextmanager
def deeper() -> Iterator[None]:
    """Lets pika write what it could not read."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def test_poisoned_messages_are_refused_and_stop_nothing(server: RabbitMQ, ours: Broker) -> None:
    def picky(topic: str, headers: Mapping[str, Any], body: bytes) -> Hint | None:
        if body == b"stop":
            raise MemoryError("made up\nin two lines")
        return None if body == b"nothing" else read(topic, headers, body)

    with reading(Box(), ours):
        pass
    name = topic(ours)
    bodies = [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 500_000, said(["list"]), b"stop", b"x" * (frames.MOST + 1)]
    server.publish(name, *bodies, b"y" * 50_000_000, said("a"))
    server.publish(name, said("b"), headers={"": "", "x" * 255: None, "n": {"n": [1, {"n": b"\xff"}]}})
    server.publish(name, said("date"), headers={"date": Remote(2000, 1, 1)})
    with deeper():
        server.publish(name, said("deep"), headers={"deep": nested(3000)})
        server.publish(name, b"x" * (frames.MOST + 1), headers={"deep": nested(3000)})
    with server.channel() as channel:
        channel.basic_publish("amq.topic", name.encode() + b"\xff\xfe", said("c"))
    server.publish(name, b"nothing", said("d"))
    box = Box(patient=False)
    with reading(box, ours, picky):
        box.wait(5)
        wait_for(lambda: server.depth(ours.queue) == Depth(0, 0, 1), "acknowledgements", TOO_LONG)
    assert [next(iter(hint.repositories), None) for hint in box.hints] == ["a", "b", "c", None, "d"]
    assert [reason for reason, _ in box.bad] == [
        *["malformed"] * 7,
        *["too-large"] * 2,
        *["malformed"] * 2,
        "too-large",
    ]
    assert box.bad[6][1] == f"{name}: MemoryError: made up in two lines"
    assert box.bad[8][1] == f"{name}: 50000000 bytes"
    assert box.bad[9][1] == f"{name}: headers that can't be read"
    assert len(box.states) == 1, "not one of them broke the connection"


def test_a_body_of_the_longest_length_is_read(server: RabbitMQ, ours: Broker) -> None:
    box = Box(patient=False)
    with reading(box, ours):
        padded = said("long") + b" " * (frames.MOST - len(said("long")))
        server.publish(topic(ours), padded, padded + b" ", said("short"))
        box.wait(2)
    assert names(box) == ["long", "short"]
    assert [reason for reason, _ in box.bad] == ["too-large"]


def test_a_flood_waits_at_the_broker(server: RabbitMQ, ours: Broker) -> None:
    number, most = 10_000, 1000
    box = Box()
    with reading(box, replace(ours, prefetch=most)):
        server.flood(topic(ours), [said(f"r{each}") for each in range(number)])
        began, finished = time.monotonic(), 0
        while finished < number:
            wanted = min(finished + most, number)
            wait_for(lambda least=wanted: len(box.dones) >= least, "the next messages", TOO_LONG)  # type: ignore[misc]
            time.sleep(0.02)
            assert len(box.dones) - finished <= most
            batch = box.dones[finished:]
            finished += len(batch)
            for done in batch:
                done()
        assert time.monotonic() - began < 20
        wait_for(lambda: server.depth(ours.queue) == Depth(0, 0, 1), "acknowledgements", TOO_LONG)
    assert names(box) == [f"r{each}" for each in range(number)]


def test_a_deleted_queue_is_made_again(server: RabbitMQ, ours: Broker) -> None:
    box = Box()
    with reading(box, ours):
        server.ctl("delete_queue", ours.queue)
        assert box.wait_state("not connected") == (
            f"not connected: the queue '{ours.queue}' was deleted, or has moved; tried again within a minute"
        )
        box.wait_state("connected to 127", 2)
        server.publish(topic(ours), said("a"))
        box.wait(1)


def test_a_broker_that_loses_patience_is_read_anew(server: RabbitMQ, ours: Broker) -> None:
    """Brokers close the channel of who acknowledges nothing for long; half an hour, unless told otherwise."""
    change = (
        "application:set_env(rabbit, channel_tick_interval, {}), application:set_env(rabbit, consumer_timeout, {})."
    )
    box = Box()
    server.ctl("eval", change.format(500, 1000))
    try:
        with reading(box, ours):
            server.publish(topic(ours), said("a"))
            assert "PRECONDITION_FAILED" in box.wait_state("not connected")
            server.ctl("eval", change.format(60_000, 1_800_000))
            wait_for(lambda: len(box.dones) > 1, "the message again", TOO_LONG)

            def taken() -> bool:
                while box.dones:  # of a channel that was closed it means nothing; the message comes once more
                    box.dones.pop(0)()
                return server.depth(ours.queue) == Depth(0, 0, 1)

            wait_for(taken, "the acknowledgement", TOO_LONG)
    finally:
        server.ctl("eval", change.format(60_000, 1_800_000))


@pytest.mark.parametrize("made", ["queue", "exchange"])
def test_what_is_missing_is_told_and_waited_for(server: RabbitMQ, ours: Broker, made: str) -> None:
    name = f"missing-{made}"
    if made == "queue":
        wanted = broker(settings.Amqp(url=server.url, queue=name), "me")
    else:
        wanted = replace(ours, exchange=name)
    box = Box()
    origin = Amqp(box, wanted, read)
    origin.start()
    try:
        assert f"there is no {made} '{name}'. " in box.wait_state("not connected")
        with server.channel() as channel:
            if made == "queue":
                channel.queue_declare(name)
            else:
                channel.exchange_declare(name, "topic")
        box.wait_state("connected to 127")
        server.publish(name if made == "queue" else topic(ours), said("a"), exchange="" if made == "queue" else name)
        box.wait(1)
    finally:
        origin.stop()
    assert len(box.states) == 2


def trouble(wanted: Broker) -> str:
    """Why a broker can't be read."""
    box = Box()
    origin = Amqp(box, wanted, read)
    origin.start()
    try:
        return box.wait_state("not connected")
    finally:
        origin.stop()
        assert not any("hidden" in state for state in box.states)


def test_wrong_names_and_passwords_are_told(server: RabbitMQ, ours: Broker) -> None:
    host = f"127.0.0.1:{server.port}"
    found = trouble(replace(ours, url=f"amqp://guest:hidden@{host}/"))
    assert f"{host} does not let 'guest' in: " in found
    found = trouble(replace(ours, url=f"amqp://guest:guest@{host}/nowhere"))
    assert f"{host}/nowhere: 'guest' may not use the virtual host 'nowhere', or there is none" in found
    found = trouble(replace(ours, url=f"amqp://u:hidden@nowhere.invalid:{server.port}/"))
    assert "no address of nowhere.invalid is known" in found


def test_who_may_declare_nothing_reads_what_is_there(server: RabbitMQ, ours: Broker) -> None:
    limited = replace(ours, url=f"amqp://limited:s3cret@127.0.0.1:{server.port}/")
    assert f"the queue '{ours.queue}' is not there, and can't be declared: ACCESS_REFUSED" in trouble(limited)
    with server.channel() as channel:
        channel.queue_declare(ours.queue, durable=True)
        channel.queue_bind(ours.queue, "amq.topic", "elsewhere.#")
    box = Box(patient=False)
    with reading(box, limited):
        server.publish("elsewhere.x", said("a"))
        box.wait(1)
    assert (
        "(declared by somebody else; bound by somebody else, if at all, since this user may not bind" in box.states[0]
    )
    server.publish(topic(ours), said("b"))
    box = Box(patient=False)
    with reading(box, ours):
        server.publish(topic(ours), said("c"))
        box.wait(1)
    assert names(box) == ["c"], "only a queue that we bound gets what is sent to its topic"
    assert "(declared otherwise than flatdex would)" in box.states[0]


def test_a_passive_broker_declares_nothing(server: RabbitMQ, ours: Broker) -> None:
    passive = replace(ours, passive=True)
    assert f"there is no queue '{ours.queue}'" in trouble(passive)
    assert server.depth(ours.queue) is None
    with server.channel() as channel:
        channel.queue_declare(ours.queue, durable=False, auto_delete=True)
    box = Box(patient=False)
    with reading(box, passive):
        server.publish(topic(ours), said("a"))
        box.wait(1)
    assert "(" not in box.states[0]


def test_tls_with_an_authority_of_ones_own(
    server: RabbitMQ, ours: Broker, authority: Authority, tmp_path: Path
) -> None:
    secure = replace(ours, url=server.tls_url, ca=authority.certificate)
    box = Box(patient=False)
    with reading(box, secure):
        server.publish(topic(ours), said("a"), b"x" * (2 * frames.MOST), said("b"))
        box.wait(2)
    other = Authority(tmp_path, "other")
    for ca in (other.certificate, None):
        found = trouble(replace(secure, ca=ca))
        assert f"127.0.0.1:{server.tls_port} shows a certificate that can't be trusted: " in found
    assert "is that the port for amqps?" in trouble(replace(secure, url=f"amqps://127.0.0.1:{server.port}/"))
    assert "is that the port for amqp?" in trouble(replace(ours, url=f"amqp://127.0.0.1:{server.tls_port}/"))


def test_a_certificate_says_who_we_are(server: RabbitMQ, ours: Broker, authority: Authority) -> None:
    cert, key = authority.issue("shown")
    secure = replace(ours, url=f"amqps://shown:@127.0.0.1:{server.tls_port}/", ca=authority.certificate)
    box = Box(patient=False)
    with reading(box, replace(secure, cert=cert, key=key)):
        assert "shown\n" in server.ctl("list_connections", "user") + "\n"
        server.publish(topic(ours), said("a"))
        box.wait(1)
    nobody = authority.issue("nobody")
    assert "does not let 'shown' in" in trouble(replace(secure, cert=nobody[0], key=nobody[1]))


def test_a_failing_inbox_keeps_its_message(server: RabbitMQ, ours: Broker) -> None:
    class Broken(Box):
        def offer(self, origin: str, hint: Hint, done: Callable[[], None] = lambda: None) -> str:
            if not self.bad:
                self.bad.append(("once", ""))
                raise OSError(28, "No space left on device")
            return super().offer(origin, hint, done)

    box = Broken(patient=False)
    with reading(box, ours):
        server.publish(topic(ours), said("a"))
        box.wait(1)
    assert "no space left on device" in box.states[1]
    assert server.depth(ours.queue) == Depth(0, 0, 0)


def test_nothing_is_left_of_many_connections(server: RabbitMQ, ours: Broker) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def once() -> None:
        with reading(Box(), ours):
            pass

    once()
    before = open_files()
    for _ in range(5):
        once()
    assert open_files() <= before
