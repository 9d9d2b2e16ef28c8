"""Flips `current`, at once and durably, to a snapshot that was verified just before."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.files import make_durable
from builder.store import SNAPSHOTS, Store
from sync.verify import Sound

_LONGEST_WAIT = 60  # seconds
_TEMPORARY = ".current-"
_CLOCK_TICK = 0.01  # seconds by which the clock of the file system may lag


@dataclass(frozen=True)
class Promotion:
    """What `current` named before, and names now."""

    before: str | None
    now: str

    @property
    def changed(self) -> bool:
        """Whether anything was flipped."""
        return self.before != self.now

    @property
    def line(self) -> str:
        """For a person."""
        if not self.changed:
            return f"{self.now} is current already"
        return f"promoted {self.now}" + (f" (before: {self.before})" if self.before else "")


def promote(store: Store, sound: Sound) -> Promotion:
    """Lets `current` name the snapshot. The caller holds the lock. If FlatdexError is raised, nothing has changed."""
    before = store.current()
    if before == sound.unchecked.id:
        return Promotion(before, before)
    snapshot = sound.checked()
    _wait_for_mtimes(snapshot)
    try:
        store.note_promoted(snapshot.id)
        make_durable(store.root)
    except OSError as error:
        what = f"{store.root} could not be written durably, so nothing was promoted: {error.strerror}"
        raise FlatdexError(what, "Look after the disk: it reports an error.") from error
    _flip(store, snapshot.id)
    return Promotion(before, snapshot.id)


def _wait_for_mtimes(snapshot: Snapshot) -> None:
    """Lets the second of the newest mtime pass: within it servers would give weak ETags, or one for two contents.

    Most of the time it has passed: what a build changed is dated a second before, unless it changed a second before.
    """
    newest = max((entry.mtime for entry in snapshot.all_files), default=0)
    ahead = newest + 1 - time.time() + _CLOCK_TICK
    if ahead > _LONGEST_WAIT:
        what = f"the files of {snapshot.id} are dated {ahead:.0f} seconds ahead of this machine's clock"
        fix = "If the clock is wrong, set it; else it was ahead when this was built: promote again after that time."
        raise FlatdexError(what, fix)
    if ahead > 0:
        time.sleep(ahead)


def _flip(store: Store, identifier: str) -> None:
    for left in store.root.glob(f"{_TEMPORARY}*"):
        left.unlink()
    temporary = store.root / f"{_TEMPORARY}{os.getpid()}"
    temporary.symlink_to(f"{SNAPSHOTS}/{identifier}")
    try:
        temporary.replace(store.current_link)
    except OSError as error:
        temporary.unlink()
        what = f"{store.current_link} could not be replaced: {error.strerror}"
        raise FlatdexError(what, "It has to be a symbolic link: move it away, then promote again.") from error
    make_durable(store.root)
