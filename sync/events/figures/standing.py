"""What the store says now, for figures: other processes promote, push and hold, so nothing of it is remembered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from builder.description import DESCRIPTION, is_id, timestamp
from builder.errors import FlatdexError
from builder.store import Store
from sync import log, notes
from sync.status import behind_since


@dataclass(frozen=True)
class TargetStanding:
    """A target: whether the last push to it went well, when what it shows was made, since when it does not show what it
    should, or can't be reached. Times are in seconds, 0: never."""

    name: str
    up: bool
    live: int = 0
    behind_since: int = 0


@dataclass(frozen=True)
class Current:
    """What is current: when it was made, until when it is valid, if it is signed, and how many refs each index has."""

    created: int = 0
    expires: int | None = None
    refs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """All of it. `built` is when a build was last done, `held` since when there is a hold; None: there is none."""

    built: int
    current: Current
    held: int | None
    targets: tuple[TargetStanding, ...]


class Reader:
    """Reads a store again and again; of what is large only what has changed. For one thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: tuple[str | None, Current] = (None, Current())
        self._lags: tuple[tuple[int, int], dict[str | None, int]] = ((0, 0), {})

    def read(self, targets: Sequence[str]) -> Standing:
        """As it is now. What can't be read counts as not there."""
        store = self._store
        try:
            current = store.current()
        except FlatdexError:
            current = None
        held = notes.hold(store)
        return Standing(
            built=store.built() or 0,
            current=self._current(current),
            held=held.since if held else None,
            targets=tuple(self._target(name, current) for name in targets),
        )

    def know(self, identifier: str, expires: int | None, refs: Mapping[str, int]) -> None:
        """Who has promoted a snapshot tells what is in it: reading that takes a while. An index may have lost all."""
        known = self._known[1].refs
        self._known = (identifier, Current(created(identifier), expires, {**dict.fromkeys(known, 0), **refs}))

    def _current(self, identifier: str | None) -> Current:
        if self._known[0] != identifier:
            self._known = (identifier, _described(self._store, identifier) if identifier else Current())
        return self._known[1]

    def _target(self, name: str, current: str | None) -> TargetStanding:
        note = notes.of_target(self._store, name)
        times = [note.failing] if note.failing else []
        if current and note.live != current:
            times.append(self._behind_since(note.live))
        live = created(note.live) if note.live and is_id(note.live) else 0
        return TargetStanding(name, not note.failing, live, min(filter(None, times), default=0))

    def _behind_since(self, live: str | None) -> int:
        """When what came after `live` was promoted; a target that nothing was pushed to yet is not behind for longer
        than what is current is there."""
        if live is None:
            return self._store.current_since()
        state = _state(self._store)
        if self._lags[0] != state:
            self._lags = (state, {})
        if live not in self._lags[1]:
            since = behind_since(list(log.promoted(self._store)), live)
            self._lags[1][live] = _seconds(since) or self._store.current_since()
        return self._lags[1][live]


def created(identifier: str) -> int:
    """When a snapshot was made, in seconds, by its id; 0 for a time that there is not."""
    try:
        return int(datetime.strptime(identifier[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def _described(store: Store, identifier: str) -> Current:
    """Of a `snapshot.json` that was checked when it was promoted only what is needed: files are many."""
    made = created(identifier)
    try:
        document = json.loads((store.snapshots / identifier / DESCRIPTION).read_bytes())
        expires = timestamp(document["expires"]) if "expires" in document else None
        refs = Counter(str(image["index"]) for image in document["images"])
        refs.update({str(index["name"]): 0 for index in document.get("indexes", ())})
        return Current(made, expires, dict(refs))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Current(made)


def _state(store: Store) -> tuple[int, int]:
    try:
        found = log.path(store).stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _seconds(text: str | None) -> int:
    try:
        return timestamp(text) if text else 0
    except ValueError:
        return 0
