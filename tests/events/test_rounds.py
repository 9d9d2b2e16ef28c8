"""Rounds are processes: whatever becomes of one, the watch hears of it and goes on."""

from __future__ import annotations

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
from tests.real.process import is_running


def work(context: Any, order: Order) -> Result:
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
    yield Rounds(work, ("tests.events.test_rounds",))


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
