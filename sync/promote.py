"""Flips `current`, at once and durably, to a snapshot that was verified just before."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice

from builder.errors import FlatdexError
from builder.store import SNAPSHOTS, Snapshot, Store, make_durable
from sync import verify

_LONGEST_WAIT = 60  # seconds
_SHOWN = 5


@dataclass(frozen=True)
class Promotion:
    """What `current` named before, and names now."""

    before: str | None
    now: str

    @property
    def changed(self) -> bool:
        """Whether anything was flipped."""
        return self.before != self.now


def promote(store: Store, snapshot: Snapshot) -> Promotion:
    """Lets `current` name `snapshot`. The caller holds the lock. Raises FlatdexError, and then nothing has changed."""
    before = store.current()
    if before == snapshot.id:
        return Promotion(before, before)
    found = list(islice(verify.faults(snapshot), _SHOWN + 1))
    if found:
        more = ["..."] if len(found) > _SHOWN else []
        lines = "\n  ".join([*found[:_SHOWN], *more])
        what = f"the snapshot {snapshot.id} is damaged and was not promoted:\n  {lines}"
        raise FlatdexError(what, f"What was published is untouched. Remove {snapshot.folder}, then build again.")
    _wait_for_mtimes(snapshot)
    make_durable(store.root)
    _flip(store, snapshot.id)
    return Promotion(before, snapshot.id)


def _wait_for_mtimes(snapshot: Snapshot) -> None:
    """Lets the second of the newest mtime pass: within it servers would give weak ETags, or one for two contents."""
    newest = max((entry.mtime for entry in snapshot.files), default=0)
    ahead = newest + 1 - time.time()
    if ahead > _LONGEST_WAIT:
        what = f"the files of {snapshot.id} are dated {ahead:.0f} seconds ahead of this machine's clock"
        raise FlatdexError(what, "Was the clock set back? Promote again when it is right.")
    if ahead > 0:
        time.sleep(ahead)


def _flip(store: Store, identifier: str) -> None:
    temporary = store.root / f".current-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(f"{SNAPSHOTS}/{identifier}")
    try:
        temporary.replace(store.current_link)
    except OSError as error:
        temporary.unlink()
        what = f"{store.current_link} could not be replaced: {error.strerror}"
        raise FlatdexError(what, "It has to be a symbolic link: move it away, then promote again.") from error
    make_durable(store.root)
