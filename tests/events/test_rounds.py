"""Rounds are processes: whatever becomes of one, the watch hears of it and goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

import pytest

from builder.errors import FlatdexError, LockedError
from sync.events.model import Order, Result
from sync.events.rounds import Round, Rounds
from tests.real.process import is_running, wait_for


def work(context: Any, order: Order, made: Any) -> Result:
    """Does what the context says."""
    match context:
        case "flatdex error":
            raise FlatdexError("it can't be", "Mend it.")
        case "locked":
            raise LockedError("somebody is there")
        case "disk":
            raise OSError(28, "No space left on device", "/srv/x")
        case "bug":
            raise ZeroDivisionError
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "sleep":
            time.sleep(60)
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        case "thread":
            threading.Thread(target=time.sleep, args=(60,)).start()
    return Result(snapshot=f"{context} {order.ids} {os.getpid()}")


@pytest.fixture(scope="module")
def rounds() -> Iterator[Rounds]:
    yield Rounds(work, None, ("tests.events.test_rounds",))


def ended(running: Round, seconds: float = 20) -> Result:
    until = time.monotonic() + seconds
    while (result := running.result()) is None:
        assert time.monotonic() < until, "it goes on and on"
        wait(running.wakes, 1)
    return result


def test_a_round_in_a_process_of_its_own(rounds: Rounds) -> None:
    result = ended(rounds.begin({"a": [1]}, Order(("x",))))
    text, _, pid = result.snapshot.rpartition(" ")
    assert text == "{'a': [1]} ('x',)" and int(pid) != os.getpid() and not is_running(int(pid))


@pytest.mark.parametrize(
    ("context", "error"),
    [
        ("flatdex error", "it can't be\n  Mend it."),
        ("disk", "No space left on device: /srv/x"),
        ("killed", "the round's process ended by signal 9, before it was done"),
        ("exit", "the round's process ended with 3, before it was done"),
    ],
)
def test_what_goes_wrong_is_told(rounds: Rounds, context: str, error: str) -> None:
    result = ended(rounds.begin(context, Order(())))
    assert result.error == error and not result.good and not result.locked


def test_a_bug_is_told_with_where_it_is(rounds: Rounds) -> None:
    error = ended(rounds.begin("bug", Order(()))).error
    assert "bug in flatdex" in error and "ZeroDivisionError" in error and "test_rounds.py" in error


def test_a_locked_store_is_no_failure(rounds: Rounds) -> None:
    result = ended(rounds.begin("locked", Order(())))
    assert result.locked and result.outcome == "locked"


def test_interrupted(rounds: Rounds) -> None:
    running = rounds.begin("sleep", Order(()))
    time.sleep(0.3)
    assert running.result() is None
    running.interrupt()
    assert ended(running).interrupted


def test_one_that_is_deaf_is_killed(rounds: Rounds) -> None:
    running = rounds.begin("deaf", Order(()))
    time.sleep(0.3)
    running.interrupt()
    time.sleep(0.3)
    assert running.result() is None
    running.kill()
    assert "signal 9" in ended(running).error


def test_a_thread_that_hangs_holds_nothing_up(rounds: Rounds) -> None:
    started = time.monotonic()
    assert ended(rounds.begin("thread", Order(()))).good
    assert time.monotonic() - started < 15


def slowly(context: Any) -> Any:
    """What is made beforehand."""
    if context == "bad":
        raise ZeroDivisionError
    return f"made of {context}"


def told(context: Any, order: Order, made: Any) -> Result:
    """Tells what was made, and by whom."""
    return Result(snapshot=f"{made} {os.getpid()}")


def test_the_next_one_is_made_ready() -> None:
    rounds = Rounds(told, slowly, ("tests.events.test_rounds",))
    context = ["a"]
    rounds.prepare(context)
    [ready] = multiprocessing.active_children()
    rounds.prepare(context)
    assert multiprocessing.active_children() == [ready], "one is enough"
    assert ended(rounds.begin(context, Order(()))).snapshot == f"made of ['a'] {ready.pid}"
    assert ended(rounds.begin(context, Order(()))).snapshot.startswith("None "), "there was no time"


def test_one_that_was_made_ready_for_something_else_is_of_no_use() -> None:
    rounds = Rounds(told, slowly, ("tests.events.test_rounds",))
    before, now = ["a"], ["a"]
    rounds.prepare(before)
    [ready] = multiprocessing.active_children()
    assert ended(rounds.begin(now, Order(()))).snapshot.startswith("None ")
    wait_for(lambda: not is_running(ready.pid or 0), "it to end")
    rounds.prepare(before)
    rounds.prepare(now)
    assert ended(rounds.begin(now, Order(()))).snapshot.startswith("made of ['a'] ")


@pytest.mark.parametrize("how", ["killed", "bad", "stopped"])
def test_one_that_can_not_be_made_ready_holds_nothing_up(how: str) -> None:
    rounds = Rounds(told, slowly, ("tests.events.test_rounds",))
    context = "bad" if how == "bad" else "good"
    rounds.prepare(context)
    [ready] = multiprocessing.active_children()
    if how == "killed":
        os.kill(ready.pid or 0, signal.SIGKILL)
        wait_for(lambda: not is_running(ready.pid or 0), "it to end")
    if how == "stopped":
        rounds.stop()
    assert ended(rounds.begin(context, Order(()))).snapshot.startswith("None ")
    rounds.prepare("good")
    rounds.stop()
    assert multiprocessing.active_children() == []
