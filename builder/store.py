"""The store: where snapshots are kept, which of them is current, and who may write."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from builder import lock
from builder.description import Invalid, Snapshot, is_id, read_snapshot, timestamp
from builder.errors import FlatdexError, UsageError
from builder.files import create_folder, replace_file

SNAPSHOTS = "snapshots"
CURRENT = "current"
TARGETS = "targets"
BUILT = "built"
PROMOTED = "promoted"
UNFINISHED = ".unfinished-"
"""How the name of a snapshot's folder starts while it is written."""
REMOVED = ".removed-"
"""How it starts while it is removed."""


class Store:
    """A folder with `snapshots/`, `current` and `lock`. Reading never locks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshots = root / SNAPSHOTS
        self.current_link = root / CURRENT
        self.cache = root / "cache"
        self.targets = root / TARGETS
        """What is known of each target: `NAME.json`, whose `live` is the snapshot that it shows."""
        self.lock: int | None = None
        """The descriptor that holds the lock, while this process is the writer."""
        self.waited = 0.0
        """For how many seconds it waited for the lock the last time."""
        self.left_behind = False
        """Whether something hangs that was killed and will do nothing any more: it must not keep the lock."""

    def complete(self, start: str = "") -> Iterator[Snapshot]:
        """The complete snapshots whose ids start with `start`, the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.snapshots) if is_id(entry.name)]
        except FileNotFoundError:
            return
        for name in sorted(names, reverse=True):
            if name.startswith(start):
                with contextlib.suppress(Invalid):
                    yield read_snapshot(self.snapshots / name)

    def newest(self) -> Snapshot | None:
        """The newest complete snapshot."""
        return next(self.complete(), None)

    def current(self) -> str | None:
        """The id that `current` names; None before the first promotion, or if it leads elsewhere than to a snapshot.

        Raises FlatdexError if it is no link.
        """
        try:
            target = self.current_link.readlink()
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise self._forbidden("read") from error
        except OSError as error:
            why = f"{self.current_link} is not a symbolic link: {error.strerror}"
            raise FlatdexError(why, "Move it away, then promote again.") from error
        return target.name if str(target) == f"{SNAPSHOTS}/{target.name}" and is_id(target.name) else None

    def note_built(self) -> None:
        """Keeps when a build was done last, whether or not it found anything new."""
        (self.root / BUILT).touch()
        (self.root / BUILT).chmod(0o644)

    def built(self) -> int | None:
        """When a build was done last, in seconds."""
        try:
            return int((self.root / BUILT).stat().st_mtime)
        except OSError:
            return None

    def shown_by_targets(self) -> dict[str, int]:
        """The ids of the snapshots that targets are known to show, each with the time, in seconds, since when."""
        found: dict[str, int] = {}
        for file in self.targets.glob("*.json"):
            try:
                note = json.loads(file.read_bytes())
                live, since = note["live"], timestamp(note["since"]) if note.get("since") else 0
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if isinstance(live, str) and is_id(live):
                found[live] = max(since, found.get(live, 0))
        return found

    def promoted(self) -> str | None:
        """The greatest id that `current` ever named, or was about to: what readers may have seen."""
        try:
            found = (self.root / PROMOTED).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return found if is_id(found) else None

    def note_promoted(self, identifier: str) -> None:
        """Keeps that `current` is about to name a snapshot, if it is later than all that it named."""
        if identifier > (self.promoted() or ""):
            replace_file(self.root / PROMOTED, f"{identifier}\n".encode("ascii"))

    def current_since(self) -> int:
        """When `current` was made, in seconds; 0 if it is not there."""
        try:
            return int(self.current_link.lstat().st_mtime)
        except OSError:
            return 0

    def remove_leftovers(self) -> None:
        """Removes what a build, or a removal, that was cut off has left. The caller holds the lock."""
        create_folder(self.snapshots)
        for left in (*self.snapshots.glob(f"{UNFINISHED}*"), *self.snapshots.glob(f"{REMOVED}*")):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    def find(self, wanted: str) -> Snapshot:
        """The complete snapshot whose id is, or alone starts with, `wanted`. Raises UsageError."""
        found = list(self.complete(wanted))
        if len(found) == 1:
            return found[0]
        if not found and is_id(wanted) and (self.snapshots / wanted).is_dir():
            return self.snapshot(wanted)
        why = f"{'several snapshots start' if found else 'no complete snapshot starts'} with {wanted!r}"
        raise UsageError(f"{why} in {self.snapshots}", "`flatdex list` shows them.")

    def snapshot(self, identifier: str) -> Snapshot:
        """The snapshot with this id, as `current` names one. Raises FlatdexError if it is not complete."""
        try:
            return read_snapshot(self.snapshots / identifier)
        except Invalid as error:
            where = " (the one that `current` names)" if identifier == self.current() else ""
            fix = "`flatdex publish` makes and promotes one of what the sources hold now."
            raise FlatdexError(f"the snapshot {identifier}{where} is not complete: {error}", fix) from error

    @contextlib.contextmanager
    def locked(self, verb: str, create: bool = False, wait: float | None = None, defer: bool = False) -> Iterator[None]:
        """Makes this process the store's one writer. Raises LockedError if another one is, for longer than `wait` s.

        By itself (None) it waits only for a watch, whose turns are short. One that may `defer` lets whoever waits go
        first, for a minute at most: to get its turn then, it has to `wait` for longer than that. Only with `create` a
        store that is not there is made: else its name was probably mistyped.
        """
        if create:
            self._create()
        elif not self.root.is_dir():
            raise FlatdexError(f"no complete snapshot in {self.root}: it is not there", "`flatdex build` makes one.")
        try:
            self.lock = os.open(self.root / lock.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError as error:
            raise self._forbidden("write to") from error
        try:
            self.waited = lock.take(self.root, self.lock, wait, defer)
            lock.say_who(self.lock, verb)
            yield
        finally:
            if self.left_behind:
                fcntl.flock(self.lock, fcntl.LOCK_UN)  # for all who have the descriptor, and not by its end alone
                self.left_behind = False
            os.close(self.lock)
            self.lock = None

    def _forbidden(self, what: str) -> FlatdexError:
        """For whoever runs a command as somebody else than the store's owner."""
        try:
            owner = self.root.owner()
        except (OSError, KeyError):
            owner = "another user"
        return FlatdexError(
            f"this user may not {what} the store {self.root}", f"It belongs to {owner}: `sudo -u {owner} flatdex ..`."
        )

    def _create(self) -> None:
        try:
            create_folder(self.root)
        except OSError as error:
            what = f"the store {self.root} cannot be made: {error.strerror}"
            raise FlatdexError(what, "A store is a folder: look at `store` in the configuration.") from error
