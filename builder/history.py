"""What readers may have seen: the newest snapshot, and those that are, or were, served, here or on a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store


@dataclass(frozen=True)
class History:
    """The `newest` complete snapshot, and those that readers may have `seen`: what `current` names, first, what targets
    show, and the latest that `current` ever named.

    The newest one need not be among them: it may wait behind a hold. `since` tells when each that is served became so,
    in seconds.
    """

    newest: Snapshot | None = None
    seen: tuple[Snapshot, ...] = ()
    current: Snapshot | None = None
    since: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """All of them, each once, what was seen first."""
        more = (self.newest,) if self.newest and self.newest not in self.seen else ()
        return (*self.seen, *more)


def history_of(store: Store) -> History:
    """The history of a store, as far as its snapshots are still there and complete."""
    newest, current, shown = store.newest(), store.current(), store.shown_by_targets()
    since = {**shown, **({current: max(store.current_since(), shown.get(current, 0))} if current else {})}
    names = dict.fromkeys(filter(None, (current, *sorted(shown), store.promoted())))
    seen = tuple(_found(store, names, newest))
    return History(newest, seen, next((each for each in seen if each.id == current), None), since)


def _found(store: Store, names: Mapping[str, None], newest: Snapshot | None) -> Iterator[Snapshot]:
    for identifier in names:
        if newest and newest.id == identifier:
            yield newest
            continue
        try:
            yield store.snapshot(identifier)
        except FlatdexError:  # pruned by hand, or damaged: what is not there can't be looked at
            continue
