"""The objects of a store that no snapshot holds yet, each under its sha256, and those that snapshots hold."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

from builder.description import Snapshot
from builder.files import create_folder, make_durable, sha256_of
from builder.store import Store
from sync.mirror.part import UnwritableError

FOLDER = "mirror/objects"
_PART = ".part"
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"([0-9a-f]{64})(?:\.part)?")
_BATCH = 256 * 1024 * 1024  # bytes of whole objects that may lie here without a name


class Pool:
    """STORE/mirror/objects/: whole objects are called HEX, what is on its way HEX.part. May be shared by threads.

    A name is given only to what would survive a loss of power: many at once, since that takes the disk its time. Until
    then a whole object is still a part, which the next run only has to hash. The caller holds the store's lock.
    """

    def __init__(self, store: Store, full: bool = False) -> None:
        """`full` trusts no file of a snapshot before its bytes were read."""
        self._full = full
        self._sound: dict[Path, bool] = {}
        self.folder = store.root / FOLDER
        self._store = store
        self._held: dict[str, tuple[Path, int]] | None = None
        self._whole: list[str] = []
        self._bytes = 0
        self._made = False
        self._lock = threading.Lock()
        self._naming = threading.Lock()

    def have(self, sha256: str) -> Path | None:
        """The file with these bytes: a whole object, or a file of a snapshot, whose size is as it should be."""
        if not _HEX.fullmatch(sha256):
            return None
        file = self.folder / sha256
        if (own := _status(file)) and stat.S_ISREG(own.st_mode):
            return file
        held, size = self._files().get(sha256, (None, 0))
        found = _status(held) if held else None
        there = found and stat.S_ISREG(found.st_mode) and found.st_size == size
        return held if held and there and (not self._full or self._is_sound(held, sha256)) else None

    def _is_sound(self, file: Path, sha256: str) -> bool:
        if file not in self._sound:
            try:
                self._sound[file] = sha256_of(file) == sha256
            except OSError:
                self._sound[file] = False
        return self._sound[file]

    def _files(self) -> dict[str, tuple[Path, int]]:
        """The snapshots' files by their sha256, with their sizes; of equal ones that of the newest snapshot."""
        with self._lock:
            if self._held is None:
                self._held = {}
                for snapshot in self._store.complete():
                    for entry in snapshot.all_files:
                        self._held.setdefault(entry.sha256, (snapshot.folder / entry.path, entry.size))
            return self._held

    def part(self, sha256: str) -> Path:
        """Where the object is written to, until it is kept. The folder is made. Raises UnwritableError."""
        if not _HEX.fullmatch(sha256):  # it becomes a file's name
            raise ValueError(f"{sha256!r:.80} is no hash")
        try:
            if not self._made:
                create_folder(self.folder)
        except OSError as error:
            raise UnwritableError(self.folder, error) from error
        self._made = True
        return self.folder / f"{sha256}{_PART}"

    def size_of_part(self, sha256: str) -> int:
        """How many bytes of it have come."""
        found = _status(self.folder / f"{sha256}{_PART}")
        return found.st_size if found else 0

    def keep(self, sha256: str, size: int) -> None:
        """The part was checked and is whole: it will have its name after the next `settle`, which this may do."""
        with self._lock:
            self._whole.append(sha256)
            self._bytes += size
            enough = self._bytes >= _BATCH
        if enough:
            self.settle()

    def settle(self) -> None:
        """Makes durable what was kept, and gives it its names. Raises UnwritableError."""
        with self._naming:
            with self._lock:
                whole, self._whole, self._bytes = self._whole, [], 0
            try:
                if whole:
                    make_durable(self.folder)
                for sha256 in whole:
                    (self.folder / f"{sha256}{_PART}").rename(self.folder / sha256)
            except OSError as error:
                raise UnwritableError(self.folder, error) from error

    def forget(self, snapshot: Snapshot) -> None:
        """Removes what this snapshot holds."""
        held = {entry.sha256 for entry in snapshot.all_files}
        for file, sha256 in list(self._found()):
            if sha256 in held:
                file.unlink(missing_ok=True)
        with self._lock:
            self._held = None

    def tidy(self, wanted: Collection[str]) -> None:
        """Removes objects, and parts of objects, that nothing wants: what is not among these sha256."""
        for file, sha256 in list(self._found()):
            if sha256 not in wanted:
                file.unlink(missing_ok=True)

    def _found(self) -> Iterator[tuple[Path, str]]:
        """Each file of an object, or of a part of one, with its sha256. Names of other kinds are not ours."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if (match := _NAME.fullmatch(entry.name)) and not entry.is_dir(follow_symlinks=False):
                    yield self.folder / entry.name, match[1]


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.lstat()
    except OSError:
        return None
