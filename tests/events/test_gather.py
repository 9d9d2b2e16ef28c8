"""When rounds begin, and with what: nothing waits for ever, nothing is lost between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.events.gather import Item, batch, done, later, pause
from sync.events.model import Result, TargetResult

SETTLE, MOST = 0.2, 5.0


def item(name: str = "a", noticed: float = 0.0, latest: float | None = None, tries: int = 0, due: float = 0.0) -> Item:
    repositories = None if name == "*" else frozenset(name.split())
    return Item(name, "spool", repositories, noticed, latest if latest is not None else noticed, tries, due)


def test_nothing_waits() -> None:
    assert batch([], {}, 10, SETTLE, MOST).at is None


def test_news_settles_first() -> None:
    news = [item("a", 10), item("b", 10.1)]
    early = batch(news, {}, 10.25, SETTLE, MOST)
    assert early.at == pytest.approx(10.3) and early.items == ()
    due = batch(news, {}, 10.3, SETTLE, MOST)
    assert due.items == tuple(news) and due.repositories == frozenset({"a", "b"}) and due.targets == ()


def test_what_goes_on_coming_in_is_gathered_for_so_long_only() -> None:
    busy = [item("a", 10, latest=14.99), item("b", 14.9)]
    assert batch(busy, {}, 14.99, SETTLE, MOST).at == 15
    assert batch(busy, {}, 15, SETTLE, MOST).items == tuple(busy)


def test_one_that_asks_for_everything_asks_for_all() -> None:
    failed = item("c", tries=3, due=1e9)
    found = batch([item("a", 10), item("*", 10), failed], {}, 11, SETTLE, MOST)
    assert found.repositories is None
    assert failed in found.items, "everything is more than what it waits for"


def test_what_failed_waits_for_its_time_and_joins_news() -> None:
    failed = item("f", tries=1, due=20)
    assert batch([failed], {}, 19, SETTLE, MOST).at == 20
    assert batch([failed], {}, 20, SETTLE, MOST).items == (failed,)
    assert batch([failed, item("a", 10)], {}, 11, SETTLE, MOST).repositories == frozenset({"a"})
    assert batch([failed, item("a", 19.9)], {}, 21, SETTLE, MOST).repositories == frozenset({"a", "f"})


def test_targets_that_are_owed_something() -> None:
    assert batch([], {"t": 30.0, "u": 50.0}, 29, SETTLE, MOST).at == 30
    due = batch([], {"t": 30.0, "u": 50.0}, 30, SETTLE, MOST)
    assert due.targets == ("t",) and due.items == () and due.repositories == frozenset()


times = st.floats(0, 100)
items = st.builds(
    item,
    st.sampled_from(["a", "b", "a b", "", "*"]),
    times,
    tries=st.integers(0, 3),
    due=times,
).map(lambda each: replace(each, latest=each.noticed))


@given(st.lists(items, max_size=6), st.dictionaries(st.sampled_from("tuv"), times), times)
def test_nobody_waits_longer_than_was_said(waiting: Sequence[Item], owed: dict[str, float], now: float) -> None:
    found = batch(waiting, owed, now, SETTLE, MOST)
    if found.at is None:
        assert not waiting and not owed
        return
    latest = [each.noticed + MOST if not each.tries else None for each in waiting]
    assert all(found.at <= each for each in latest if each is not None)
    if now < found.at:
        assert not found.items and not found.targets
        return
    assert found.items or found.targets
    assert [each for each in waiting if not each.tries and each not in found.items] == []
    asked = found.repositories
    for each in found.items:
        assert asked is None or (each.repositories is not None and each.repositories <= asked)


LIVE, DOWN = TargetResult("a", True), TargetResult("b", False, "down")


@pytest.mark.parametrize(
    ("result", "over"),
    [
        (Result("1"), {"a", "b", "*"}),
        (Result("1", targets=(LIVE,)), {"a", "b", "*"}),
        (Result("1", targets=(LIVE, DOWN)), {"a", "b", "*"}),
        (Result("1", targets=(DOWN,)), set()),
        (Result("1", again=frozenset({"b"})), {"a"}),
        (Result("1", again=frozenset({""})), set()),
        (Result("1", again=frozenset({"zz"})), {"a", "b"}),
        (Result("1", held=True), {"a", "b", "*"}),
        (Result(error="no"), set()),
        (Result(locked=True), set()),
        (Result(interrupted=True), set()),
    ],
)
def test_what_is_done_after_a_round(result: Result, over: set[str]) -> None:
    assert {each.id for each in done([item("a"), item("b"), item("*")], result)} == over


def test_pauses_grow() -> None:
    assert [pause(tries) for tries in (0, 1, 2, 3)] == [1, 2, 4, 8]
    assert pause(20) == pause(10**9) == 300
    [again] = later([item("a", tries=2)], Result(), 100, spread=1.1)
    assert again.tries == 3 and again.due == pytest.approx(104.4)


def test_of_everything_only_what_could_not_be_read_is_asked_again() -> None:
    [again] = later([item("*")], Result("1", again=frozenset({"b"})), 100)
    assert again.repositories == frozenset({"b"})
    for result in (Result("1", again=frozenset({"b", ""})), Result(error="no")):
        [again] = later([item("*")], result, 100)
        assert again.everything
