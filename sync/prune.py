"""Which snapshots are no longer needed, and their removal, which needs no room on the disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from builder.errors import FlatdexError
from builder.store import REMOVED, Store
from sync import guards, log, notes
from sync.programs import Programs
from sync.reach import carrier
from sync.settings import Keep, Settings
from sync.targets import Target

_DAY = 86400


@dataclass(frozen=True)
class Candidate:
    """A complete snapshot: its id, and when it was created, in seconds."""

    id: str
    created: int


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be: from the store, and from each target; and the targets that could not be asked."""

    snapshots: tuple[str, ...]
    targets: dict[str, tuple[str, ...]]
    errors: dict[str, str]


def doomed(candidates: Sequence[Candidate], keep: Keep, needed: Collection[str], now: int) -> tuple[str, ...]:
    """The ids to remove, the oldest first: neither among the newest, nor young, nor needed."""
    newest_first = sorted(candidates, key=lambda each: each.id, reverse=True)
    old = (each for each in newest_first[keep.snapshots :] if each.created <= now - keep.days * _DAY)
    return tuple(sorted(each.id for each in old if each.id not in needed))


def prune(store: Store, settings: Settings, targets: Iterable[Target], dry_run: bool = False) -> Pruned:
    """Removes what is no longer needed, here and on `targets`, unless it is a `dry_run`. The caller holds the lock.

    What is current, was so before, is pinned, or shown by a target stays. A target keeps nothing that this store has
    not, but for what it shows. One that can't be asked stays as it is.
    """
    candidates = [Candidate(each.id, each.created) for each in store.complete()]
    current = store.current()
    if current is None and store.current_link.is_symlink():
        fix = "`flatdex promote` makes it one of flatdex's own."
        raise FlatdexError(f"{store.current_link} leads elsewhere, so nobody can say what is served", fix)
    needed = {*notes.pins(store), *store.shown_by_targets(), *((current,) if current else ())}
    left_behind = (identifier for identifier, _ in log.promoted(store) if identifier != current)
    needed |= {next((each for each in left_behind if (store.snapshots / each).is_dir()), "")}  # `rollback` goes there
    gone = doomed(candidates, settings.keep or Keep(), needed, int(time.time()))
    if not dry_run:
        remove(store, gone)
    left = {*({each.id for each in candidates} - set(gone)), *needed}
    programs = Programs(settings.folder, store.lock)
    found: dict[str, tuple[str, ...]] = {}
    errors = {}
    for target in targets:
        try:
            found[target.name] = _prune_target(store, target, programs, left, dry_run)
        except FlatdexError as error:
            errors[target.name] = error.what
    return Pruned(gone, found, errors)


def remove(store: Store, gone: Iterable[str]) -> None:
    """A snapshot is none any more before its first file goes; what is cut off here is finished by the next one."""
    try:
        store.remove_leftovers()
        for identifier in gone:
            leaving = store.snapshots / f"{REMOVED}{identifier}"
            (store.snapshots / identifier).rename(leaving)
            shutil.rmtree(leaving)
    except OSError as error:
        what = f"{error.filename or store.snapshots} could not be removed: {error.strerror}"
        raise FlatdexError(what, "Nothing that is needed was touched; try again when it is mended.") from error


def _prune_target(
    store: Store, target: Target, programs: Programs, left: Collection[str], dry_run: bool
) -> tuple[str, ...]:
    carries = carrier(programs, store, target)
    there = carries.snapshots()
    shown = next(store.complete(), None)
    if not there or shown is None:
        return ()
    seen = carries.look(shown)
    guards.refuse_foreign(store, target.name, shown, seen)
    gone = tuple(sorted(there - set(left) - {seen.id})) if seen.id else ()
    if not dry_run:
        carries.remove(gone)
    return gone
