"""What events came in and wait for a round; filled by threads, emptied by the watch's main one."""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from sync.events.gather import Item
from sync.events.lines import one_line
from sync.events.model import Hint

Done = Callable[[], None]
Takes = Callable[[Hint], frozenset[str] | None]
"""The repositories that a hint means, of those that the configuration takes; None: all. None of them: no interest."""
Told = Callable[[str, str, str, str], None]
"""Told of an event's origin, what became of it (`taken`, `unknown`, `merged`, or why it was refused), a line, and its
id, if it has one."""
State = Callable[[str, str, bool], None]
"""Told of an origin's state, in words, and whether it is up."""


def _nothing() -> None:
    pass


class Events:
    """The inbox. Equal events that wait for the same round are one item, so that a flood takes no room."""

    def __init__(
        self, takes: Takes, wake: Callable[[], None], told: Told, state: Callable[[str, str, bool], None]
    ) -> None:
        self.takes = takes
        """May be replaced: another configuration takes other repositories."""
        self._wake = wake
        self._told = told
        self._state = state
        self._guard = threading.Lock()
        self._fresh: dict[frozenset[str] | None, Item] = {}
        self._failed: dict[frozenset[str] | None, Item] = {}
        self._dones: defaultdict[str, list[Done]] = defaultdict(list)

    def offer(self, origin: str, hint: Hint, done: Done = _nothing) -> str:
        """As `Inbox` says."""
        repositories = self.takes(hint)
        if repositories is not None and not repositories:
            self._told(origin, "unknown", one_line(hint.about), "")
            done()
            return ""
        return self.add(origin, repositories, hint.about, done)

    def add(self, origin: str, repositories: frozenset[str] | None, about: str = "", done: Done = _nothing) -> str:
        """Takes an event that is of interest. Without repositories only what is built already is published."""
        now = time.monotonic()
        with self._guard:
            known = self._fresh.get(repositories)
            item = replace(known, latest=now) if known else Item(_id(), origin, repositories, now, now)
            self._fresh[repositories] = item
            if done is not _nothing:
                self._dones[item.id].append(done)
        line = f"{origin}: {one_line(about) or _what(repositories)}"
        self._told(origin, "merged" if known else "taken", line, item.id)
        self._wake()
        return item.id

    def waiting(self, hint: Hint) -> bool:
        """Whether an equal event is waiting for a round that has not begun."""
        repositories = self.takes(hint)
        with self._guard:
            return repositories in self._fresh

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        """As `Inbox` says."""
        self._told(origin, reason, f"{origin}: {reason}" + (f": {one_line(detail)}" if detail else ""), "")

    def state(self, origin: str, state: str, up: bool = True) -> None:
        """As `Inbox` says."""
        self._state(origin, state, up)

    def items(self) -> tuple[Item, ...]:
        """All that waits."""
        with self._guard:
            return (*self._fresh.values(), *self._failed.values())

    def begin(self, items: Iterable[Item]) -> None:
        """A round begins with these: what comes in from now on waits for the next one."""
        with self._guard:
            for item in items:
                for waiting in (self._fresh, self._failed):
                    known = waiting.get(item.repositories)
                    if known and known.id == item.id:  # others like it may have joined a moment ago: they are in time
                        del waiting[item.repositories]

    def again(self, items: Iterable[Item]) -> None:
        """These are to be tried again; those that are alike as one."""
        with self._guard:
            for item in items:
                known = self._failed.get(item.repositories)
                if known:
                    self._dones[known.id] += self._dones.pop(item.id, [])
                    item = replace(
                        known,
                        noticed=min(known.noticed, item.noticed),
                        tries=max(known.tries, item.tries),
                        due=max(known.due, item.due),
                    )
                self._failed[item.repositories] = item

    def finish(self, items: Iterable[Item]) -> None:
        """These are done: whoever sent them is told."""
        for item in items:
            for done in self.dones(item):
                done()

    def dones(self, item: Item) -> list[Done]:
        """Whom to tell of an item's end, from now on nobody any more."""
        with self._guard:
            return self._dones.pop(item.id, [])

    def on_done(self, item: Item, done: Done) -> None:
        """Tells somebody of an item's end."""
        with self._guard:
            self._dones[item.id].append(done)


def _id() -> str:
    return secrets.token_hex(3)


def _what(repositories: frozenset[str] | None) -> str:
    return "everything" if repositories is None else ", ".join(sorted(repositories)) or "what is built"
