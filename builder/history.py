"""What readers may have seen: the newest snapshot, and those that are served now, here or on a target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store


@dataclass(frozen=True)
class History:
    """The `newest` complete snapshot, and those that are `served`: what `current` names, then what targets show.

    The newest one need not be served: it may wait behind a hold. What is served need not be its predecessor.
    """

    newest: Snapshot | None = None
    served: tuple[Snapshot, ...] = ()

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """All of them, each once, what is served first."""
        more = (self.newest,) if self.newest and self.newest not in self.served else ()
        return (*self.served, *more)


def history_of(store: Store) -> History:
    """The history of a store, as far as its snapshots are still there and complete."""
    newest = store.newest()
    return History(newest, tuple(_served(store, newest)))


def _served(store: Store, newest: Snapshot | None) -> Iterator[Snapshot]:
    current = store.current()
    for identifier in dict.fromkeys((*((current,) if current else ()), *sorted(store.shown_by_targets()))):
        if newest and newest.id == identifier:
            yield newest
            continue
        try:
            yield store.snapshot(identifier)
        except FlatdexError:  # pruned by hand, or damaged: what is not there can't be looked at
            continue
