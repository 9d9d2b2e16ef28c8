"""Threads: results in order, at most so many at once, and an end that waits for nothing it need not wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from builder.parallel import mapped


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 / (number + 1))
        return number * 2

    assert list(mapped(4, slow_at_first, range(20))) == [number * 2 for number in range(20)]


def test_no_items_need_no_threads() -> None:
    before = threading.active_count()
    assert list(mapped(4, str, [])) == []
    assert threading.active_count() == before


def test_at_most_so_many_run_at_once() -> None:
    active, most = 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        time.sleep(0.002)
        with lock:
            active -= 1

    list(mapped(3, work, range(40)))
    assert 1 <= most <= 3


def test_after_an_error_nothing_more_is_begun_and_what_runs_is_waited_for() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("the first one")
        time.sleep(0.05)
        ended.append(number)

    with pytest.raises(ValueError, match="the first one"):
        list(mapped(2, work, range(100)))
    assert len(begun) < 50
    assert sorted(ended) == [number for number in sorted(begun) if number], "threads are over"


def test_after_ctrl_c_nothing_is_waited_for() -> None:
    hold = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            raise KeyboardInterrupt
        hold.wait(20)

    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(mapped(2, work, range(10)))
        assert time.monotonic() - started < 10
    finally:
        hold.set()


def test_who_stops_to_ask_is_not_kept_waiting() -> None:
    hold = threading.Event()

    def work(number: int) -> int:
        if number:
            hold.wait(20)
        return number

    results = mapped(2, work, range(10))
    assert isinstance(results, Iterator)
    assert next(results) == 0
    started = time.monotonic()
    try:
        results.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 10
    finally:
        hold.set()
