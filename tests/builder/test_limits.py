"""How fast a registry is asked: at most so many at once, slower when it says so, and no more than a rate allows."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.config import Rate
from builder.sources import answers, transport
from builder.sources.answers import FetchError
from builder.sources.limits import Budget, Gate, RateUsedUp
from builder.sources.transport import Transport
from tests.builder.helpers import Answer, Script, Scripted, scripted


class Clock:
    """A clock that goes as it is told; who sleeps by it moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of budgets."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock


# The gate


def test_no_more_than_so_many_are_let_through_at_once() -> None:
    gate = Gate(3)
    active, most = 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal active, most
        with gate:
            with lock:
                active += 1
                most = max(most, active)
            time.sleep(0.005)
            with lock:
                active -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(60)))
    assert most == 3


def test_each_complaint_halves_down_to_one_and_good_answers_bring_it_back() -> None:
    gate = Gate(16)
    seen = []
    for _ in range(6):
        gate.slow_down(0)
        seen.append(gate.allowed)
    assert seen == [8, 4, 2, 1, 1, 1]
    answers = 0
    while gate.allowed < 16:
        gate.answered()
        answers += 1
    assert 100 < answers < 200, "about one more for each round"
    for _ in range(100):
        gate.answered()
    assert gate.allowed == 16


def test_bad_answers_allow_no_more() -> None:
    gate = Gate(4)
    gate.slow_down(0)
    for _ in range(50):
        gate.answered(well=False)
    assert gate.allowed == 2


@given(st.lists(st.sampled_from(["slow", "well", "badly"])), st.integers(1, 64))
def test_at_least_one_and_at_most_all_are_allowed(events: list[str], most: int) -> None:
    gate = Gate(most)
    for event in events:
        if event == "slow":
            gate.slow_down(0)
        else:
            gate.answered(well=event == "well")
        assert 1 <= gate.allowed <= most


def test_during_a_pause_nobody_is_let_through() -> None:
    gate = Gate(4)
    with gate:
        gate.slow_down(0.3)
    started = time.monotonic()
    with gate:
        assert time.monotonic() - started > 0.25


def test_all_who_wait_get_their_turn_after_pauses() -> None:
    gate = Gate(8)

    def work(number: int) -> None:
        with gate:
            if number % 10 == 0:
                gate.slow_down(0.01)
            else:
                gate.answered()

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(200), timeout=30))) == 200


def test_a_host_is_deserted_after_8_requests_without_an_answer_in_a_row() -> None:
    gate = Gate(4)
    for _ in range(7):
        gate.unanswered()
    assert not gate.deserted
    gate.answered(well=False)
    for _ in range(7):
        gate.unanswered()
    assert not gate.deserted
    gate.unanswered()
    assert gate.deserted


def test_a_host_is_exhausted_after_3_refusals_without_a_good_answer() -> None:
    gate = Gate(4)
    gate.refused()
    gate.refused()
    gate.answered(well=False)
    assert not gate.exhausted
    gate.answered()
    gate.refused()
    gate.refused()
    assert not gate.exhausted
    gate.refused()
    assert gate.exhausted


# The gate as requests meet it


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly waits before another try."""
    monkeypatch.setattr(transport, "_BACKOFF", 0.001)


@contextmanager
def asking(script: Script, connections: int = 4) -> Iterator[tuple[Scripted, Transport]]:
    """A server, and who asks it."""
    with scripted(script) as server, Transport(connections, server.url) as one:
        yield server, one


def all_of(one: Transport, urls: list[str]) -> list[int | str]:
    """The statuses of many requests at once, or why there are none."""

    def get(url: str) -> int | str:
        try:
            return one.get(url, 1000).status
        except FetchError as error:
            return error.why

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(get, urls))


def counting(inner: Callable[[str], Answer | None], seconds: float = 0.01) -> tuple[Script, list[int]]:
    """A script that notes how many requests are under way whenever one comes."""
    active = 0
    seen: list[int] = []
    lock = threading.Lock()

    def script(path: str) -> Answer | None:
        nonlocal active
        with lock:
            active += 1
            seen.append(active)
        time.sleep(seconds)
        answer = inner(path)
        with lock:
            active -= 1
        return answer

    return script, seen


@pytest.mark.parametrize("connections", [1, 3])
def test_a_host_never_has_more_requests_at_once_than_connections(connections: int) -> None:
    script, seen = counting(lambda path: Answer(b"x"))
    with asking(script, connections) as (server, one):
        assert set(all_of(one, [f"{server.url}/{number}" for number in range(40)])) == {200}
    assert max(seen) <= connections
    assert len(seen) == 40


@pytest.mark.usefixtures("quick")
def test_too_many_requests_are_answered_by_fewer_at_once_until_all_went_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active = 0
    lock = threading.Lock()

    def strict(path: str) -> Answer | None:
        nonlocal active
        with lock:
            active += 1
            many = active > 4
        time.sleep(0.01)
        with lock:
            active -= 1
        return Answer(b"", 429, {"Retry-After": "0"}) if many else Answer(b"x")

    slowed: list[int] = []
    real = Gate.slow_down

    def noted(gate: Gate, pause: float) -> None:
        real(gate, pause)
        slowed.append(gate.allowed)

    monkeypatch.setattr(Gate, "slow_down", noted)
    with asking(strict, 8) as (server, one):
        done = all_of(one, [f"{server.url}/{number}" for number in range(60)])
        assert done.count(200) > 50
        assert min(slowed) <= 4
        again = [one.get(f"{server.url}/{number}", 10).status for number in range(60)]
    assert set(again) == {200}
    assert one._gate(server.url).allowed == 8, "it recovers"


def test_a_retry_after_is_waited_for() -> None:
    times: list[float] = []

    def script(path: str) -> Answer | None:
        times.append(time.monotonic())
        return Answer(b"", 429, {"Retry-After": "1"}) if len(times) == 1 else Answer(b"x")

    with asking(script) as (server, one):
        assert one.get(f"{server.url}/x", 10).status == 200
    assert times[1] - times[0] >= 0.95


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("after", ["31", "999999999", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_retry_after_that_is_too_long_fails_at_once(status: int, after: str) -> None:
    with asking(lambda path: Answer(b"", status, {"Retry-After": after})) as (server, one):
        started = time.monotonic()
        with pytest.raises(FetchError, match=f"answered {status}"):
            one.get(f"{server.url}/x", 10)
        assert len(server.asked) == 1
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after", ["0", "x", "-5", "", "Wed, 21 Oct 2015 07:28:00 GMT", "1e3"])
def test_other_values_of_retry_after_are_no_reason_to_wait(after: str) -> None:
    answers = [Answer(b"", 429, {"Retry-After": after}), Answer(b"x")]
    with asking(lambda path: answers.pop(0)) as (server, one):
        started = time.monotonic()
        assert one.get(f"{server.url}/x", 10).status == 200
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("quick")
def test_after_3_final_refusals_a_host_is_asked_no_more() -> None:
    with asking(lambda path: Answer(b"", 429)) as (server, one):
        for number in range(3):
            with pytest.raises(FetchError, match="answered 429"):
                one.get(f"{server.url}/{number}", 10)
        before = len(server.asked)
        with pytest.raises(FetchError, match="not asked: it wants no more requests now") as caught:
            one.get(f"{server.url}/4", 10)
        assert caught.value.status == 429
        assert len(server.asked) == before


@pytest.mark.usefixtures("quick")
def test_where_nobody_answers_8_requests_are_enough() -> None:
    with asking(lambda path: None, 1) as (server, one):
        for number in range(8):
            with pytest.raises(FetchError, match="cut"):
                one.get(f"{server.url}/{number}", 10)
        before = len(server.asked)
        with pytest.raises(FetchError, match="not asked: nobody answers there"):
            one.get(f"{server.url}/9", 10)
        assert len(server.asked) == before


# Retries and time limits


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "first", [None, Answer(b"abcdef", cut=3), *(Answer(b"", s) for s in (408, 500, 502, 503, 504))]
)
def test_what_fails_once_is_tried_again(first: Answer | None) -> None:
    answers = [first, Answer(b"whole")]
    with asking(lambda path: answers.pop(0)) as (server, one):
        assert one.get(f"{server.url}/x", 10).body == b"whole"


@pytest.mark.usefixtures("quick")
def test_a_failure_that_stays_is_tried_4_times() -> None:
    with asking(lambda path: Answer(b"", 503)) as (server, one):
        with pytest.raises(FetchError, match="answered 503"):
            one.get(f"{server.url}/x", 10)
        assert len(server.asked) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_plain_no_is_not_asked_twice(status: int) -> None:
    with asking(lambda path: Answer(b"", status)) as (server, one):
        with pytest.raises(FetchError, match=f"answered {status}"):
            one.get(f"{server.url}/x", 10)
        assert len(server.asked) == 1


# The budget


def taken(budget: Budget, most: int = 100, patience: float = 0) -> int:
    """How many requests may be sent now."""
    for number in range(most):
        try:
            budget.take(patience)
        except RateUsedUp:
            return number
    return most


def test_a_rate_is_kept_and_comes_back_with_time(tmp_path: Path, clock: Clock) -> None:
    budget = Budget(Rate(5, 60), tmp_path / "rates" / "x")
    assert taken(budget) == 5
    clock.now += 59
    assert taken(budget) == 0
    clock.now += 2
    assert taken(budget) == 5


def test_the_rate_is_kept_across_builds(tmp_path: Path, clock: Clock) -> None:
    assert taken(Budget(Rate(5, 60), tmp_path / "x"), 3) == 3
    clock.now += 10
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 2
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 0
    clock.now += 51
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 3


def test_two_budgets_of_one_registry_share_the_rate(tmp_path: Path, clock: Clock) -> None:
    one, other = Budget(Rate(6, 60), tmp_path / "x"), Budget(Rate(6, 60), tmp_path / "x")
    assert (taken(one, 2), taken(other, 2), taken(one, 1)) == (2, 2, 1)
    assert taken(other) + taken(one) == 1


def test_many_at_one_moment_all_count(tmp_path: Path, clock: Clock) -> None:
    budget = Budget(Rate(50, 60), tmp_path / "x")
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: taken(budget, 10), range(8))) == 50
    assert taken(Budget(Rate(50, 60), tmp_path / "x")) == 0


def test_a_short_wait_is_waited_and_a_long_one_refused(tmp_path: Path, clock: Clock) -> None:
    budget = Budget(Rate(2, 10), tmp_path / "x")
    budget.take(0)
    clock.now += 4
    budget.take(0)
    before = clock.now
    budget.take(10)
    assert 5.9 < clock.now - before < 6.1
    with pytest.raises(RateUsedUp, match="not before 4 seconds have passed") as caught:
        budget.take(3)
    assert 3.9 < caught.value.wait < 4.1


@given(
    number=st.integers(1, 5),
    window=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=40),
)
def test_no_window_ever_has_more_than_the_rate(
    tmp_path_factory: pytest.TempPathFactory, number: int, window: int, steps: list[tuple[float, bool]]
) -> None:
    file = tmp_path_factory.mktemp("rates") / "x"
    clock = Clock()
    sent: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", clock.time)
        budget = Budget(Rate(number, window), file)
        for seconds, restart in steps:
            clock.now += seconds
            budget = Budget(Rate(number, window), file) if restart else budget
            if taken(budget, 1):
                sent.append(clock.now)
            else:
                assert len([each for each in sent if each > clock.now - window - 0.01]) >= number
    for end in sent:
        assert len([each for each in sent if end - window + 0.01 < each <= end]) <= number


@pytest.mark.parametrize("garbage", ["", "x\n", "nan\ninf\n-inf\n", "17000", "\0" * 500, "é\n", "99999999999999\n"])
def test_lines_that_are_no_times_don_t_count(tmp_path: Path, clock: Clock, garbage: str) -> None:
    (tmp_path / "x").write_text(garbage)
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 5
    assert taken(Budget(Rate(5, 60), tmp_path / "x"), 100) <= 1, "one line may have been joined to the garbage"


def test_a_clock_that_was_put_back_blocks_nobody(tmp_path: Path, clock: Clock) -> None:
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 5
    clock.now -= 365 * 86400
    budget = Budget(Rate(5, 60), tmp_path / "x")
    assert taken(budget) == 5
    assert taken(budget) == 0
    clock.now -= 3600
    assert taken(budget) == 5


def test_the_file_does_not_grow_for_ever(tmp_path: Path, clock: Clock) -> None:
    for _ in range(300):
        assert taken(Budget(Rate(5, 60), tmp_path / "x"), 5) == 5
        clock.now += 61
    assert len((tmp_path / "x").read_text().splitlines()) < 130
    (tmp_path / "x").write_text("garbage\n" * 1000)
    assert taken(Budget(Rate(5, 60), tmp_path / "x")) == 5
    assert len((tmp_path / "x").read_text().splitlines()) == 5


@pytest.mark.parametrize("kind", ["folder", "pipe", "below a file", "deleted"])
def test_without_a_file_the_rate_is_kept_for_this_build(tmp_path: Path, clock: Clock, kind: str) -> None:
    file = tmp_path / "x"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "below a file":
        file.write_text("")
        file /= "y"
    budget = Budget(Rate(5, 60), file)
    assert taken(budget, 3) == 3
    if kind == "deleted":
        file.unlink()
    assert taken(budget) == 2


# Drips: whoever sends a byte now and then is given up all the same


@contextmanager
def dripping(start: bytes, drip: bytes) -> Iterator[str]:
    """A server that sends `start`, then `drip` again and again, faster than any time-out of a socket."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    if over.is_set():
                        return
                    connection.recv(10_000)
                    connection.sendall(start)
                    while drip and not over.wait(0.02):
                        connection.sendall(drip)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            with contextlib.suppress(OSError), socket.create_connection(server.getsockname(), timeout=10):
                pass
            thread.join(10)


DRIPS = {
    "status": (b"", b"H"),
    "headers": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "chunk extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "error's body": (b"HTTP/1.1 500 Oh\r\nContent-Length: 10000\r\n\r\n", b"x"),
    "redirect's body": (b"HTTP/1.1 302 Oh\r\nLocation: /\r\nContent-Length: 10000\r\n\r\n", b"x"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "body without length": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("place", DRIPS)
def test_the_whole_request_has_a_time_limit_wherever_it_drips(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(transport, "_LONGEST_REQUEST", 1.0)
    monkeypatch.setattr(answers, "_SLOWEST", 0)
    with dripping(*DRIPS[place]) as url, Transport(2, url) as one:
        started = time.monotonic()
        with pytest.raises(FetchError):
            one.get(f"{url}/x", 10_000_000)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("place", ["body", "chunks"])
def test_a_body_has_to_come_at_a_rate(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(answers, "_PATIENCE", 0.2)
    slow = pytest.raises(FetchError, match=r"only [0-9]+ bytes came in")
    with dripping(*DRIPS[place]) as url, Transport(2, url) as one, slow:
        one.get(f"{url}/x", 10_000_000)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Len",
    ],
)
def test_an_answer_that_is_cut_within_its_headers_is_none(start: bytes) -> None:
    with dripping(start, b"") as url, Transport(2, url) as one, pytest.raises(FetchError, match="cut"):
        one.get(f"{url}/x", 10_000_000)
