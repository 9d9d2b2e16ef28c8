"""The inbox: alike events are one, each sender hears once of the end, and strangers cost nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

from sync.events.inbox import Events
from sync.events.model import Hint


def hint(*names: str, everything: bool = False) -> Hint:
    return Hint(frozenset(names), everything=everything, about="a test")


class Inbox(Events):
    """With what it told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.woken = 0
        super().__init__(self._known, self._woken, self._hear, print)

    def _known(self, asked: Hint) -> frozenset[str] | None:
        return None if asked.everything else frozenset(name for name in asked.repositories if name.startswith("apps/"))

    def _hear(self, origin: str, what: str, line: str, identifier: str) -> None:
        self.told.append((origin, what))

    def _woken(self) -> None:
        self.woken += 1


def test_alike_events_are_one_and_all_senders_hear_of_its_end() -> None:
    inbox, heard = Inbox(), list[int]()
    first = inbox.offer("amqp", hint("apps/a"), lambda: heard.append(1))
    assert inbox.offer("spool", hint("apps/a", "other/b"), lambda: heard.append(2)) == first
    second = inbox.offer("spool", hint("apps/b"), lambda: heard.append(3))
    assert [each.id for each in inbox.items()] == [first, second]
    assert inbox.told == [("amqp", "taken"), ("spool", "merged"), ("spool", "taken")] and inbox.woken == 3
    items = inbox.items()
    inbox.begin(items)
    assert inbox.items() == () and heard == []
    inbox.finish(items)
    inbox.finish(items)
    assert heard == [1, 2, 3]


def test_strangers_cost_nothing_and_are_done_at_once() -> None:
    inbox, heard = Inbox(), list[int]()
    assert inbox.offer("webhook", hint("other/b"), lambda: heard.append(1)) == ""
    assert heard == [1] and inbox.items() == () and inbox.woken == 0
    assert inbox.told == [("webhook", "unknown")]


def test_what_comes_in_during_a_round_waits_for_the_next() -> None:
    inbox, heard = Inbox(), list[int]()
    first = inbox.offer("spool", hint("apps/a"), lambda: heard.append(1))
    assert inbox.waiting(hint("apps/a"))
    items = inbox.items()
    inbox.begin(items)
    assert not inbox.waiting(hint("apps/a"))
    second = inbox.offer("spool", hint("apps/a"), lambda: heard.append(2))
    assert second != first and [each.id for each in inbox.items()] == [second]
    inbox.finish(items)
    assert heard == [1]


def test_one_that_joins_just_before_the_round_begins_is_in_it() -> None:
    inbox, heard = Inbox(), list[int]()
    inbox.offer("spool", hint("apps/a"), lambda: heard.append(1))
    items = inbox.items()
    inbox.offer("spool", hint("apps/a"), lambda: heard.append(2))
    inbox.begin(items)
    assert inbox.items() == ()
    inbox.finish(items)
    assert heard == [1, 2]


def test_what_failed_waits_beside_its_like() -> None:
    inbox = Inbox()
    inbox.offer("spool", hint("apps/a"))
    items = inbox.items()
    inbox.begin(items)
    inbox.again(items)
    new = inbox.offer("spool", hint("apps/a"))
    assert sorted(each.id for each in inbox.items()) == sorted([items[0].id, new])
    inbox.begin(inbox.items())
    assert inbox.items() == ()


def test_everything_and_nothing_are_told_apart() -> None:
    inbox = Inbox()
    inbox.offer("sweep", hint(everything=True))
    inbox.add("release", frozenset(), "the hold has ended")
    assert {each.repositories for each in inbox.items()} == {None, frozenset()}


def test_threads() -> None:
    inbox, heard = Inbox(), list[int]()
    rounds = []

    def send() -> None:
        for number in range(200):
            inbox.offer("spool", hint(f"apps/{number % 7}"), lambda: heard.append(1))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or inbox.items():
        items = inbox.items()
        inbox.begin(items)
        inbox.finish(items)
        rounds.append(len(items))
    assert len(heard) == 800 and max(rounds) <= 7


def test_what_failed_for_the_same_repositories_is_one() -> None:
    inbox, heard = Inbox(), list[int]()
    for number in (1, 2, 3):
        inbox.offer("spool", hint("apps/a"), partial(heard.append, number))
        items = inbox.items()
        fresh = [item for item in items if not item.tries]
        inbox.begin(fresh)
        inbox.again([replace(item, tries=number, due=number) for item in fresh])
    [item] = inbox.items()
    assert item.tries == 3 and item.due == 3
    inbox.begin([item])
    assert inbox.items() == ()
    inbox.finish([item])
    assert heard == [1, 2, 3]
