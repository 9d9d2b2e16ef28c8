"""Holds a snapshot against its description: every size, hash and mtime, nothing beside them, and all that is named."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from builder import signing
from builder.description import DESCRIPTION, FileEntry, Invalid, Snapshot
from builder.errors import FlatdexError
from builder.files import files_in, sha256_of
from builder.parallel import mapped
from builder.stick import Export, placed
from sync import mentions

_SHOWN = 5
_READERS = 2  # threads: hashing lets other threads run
_MISSING = "is missing"
_AT_ONCE = 256  # files that a thread is given


class DamagedError(FlatdexError):
    """A snapshot's files are not what was written: nobody shall get them."""


class Sound:
    """A snapshot that is held against its description once, when that is needed first; may be shared by threads.

    Files that are those of a `believed` one, which were read when it was promoted, are known by inode, size and date.
    """

    def __init__(self, snapshot: Snapshot, believed: Snapshot | None = None) -> None:
        self._snapshot = snapshot
        self._believed = believed
        self._guard = threading.Lock()
        self._error: DamagedError | None = None
        self._checked = False

    @property
    def unchecked(self) -> Snapshot:
        """For what only asks, and brings nothing to anybody."""
        return self._snapshot

    def checked(self) -> Snapshot:
        """The snapshot. Raises DamagedError if any of its files is not what was written."""
        with self._guard:
            if not self._checked:
                self._error = _damage(self._snapshot, self._believed)
                self._checked = True
            if self._error:
                raise self._error
        return self._snapshot


def _damage(snapshot: Snapshot, believed: Snapshot | None) -> DamagedError | None:
    found = list(islice(faults(snapshot, believed=believed), _SHOWN + 1))
    if not found:
        return None
    more = ["..."] if len(found) > _SHOWN else []
    lines = "\n  ".join([*found[:_SHOWN], *more])
    mend = "`flatdex build --full` makes a sound one of what the sources hold now."
    if snapshot.document.get("mirror"):
        mend = "`flatdex mirror --full` fetches again what is damaged, and makes a sound one."
    what = f"the snapshot {snapshot.id} is damaged and was not published:\n  {lines}"
    return DamagedError(what, f"What was published is untouched. {mend}")


def faults(snapshot: Snapshot, dates: bool = True, believed: Snapshot | None = None) -> Iterator[str]:
    """What is wrong with the snapshot, a line each, as it is found; with `dates`, or without; `believed` as above."""
    known = {entry.path for entry in snapshot.all_files}
    for path in sorted(files_in(snapshot.folder) - known - {DESCRIPTION}):
        yield f"{path}: is not in {DESCRIPTION}"
    yield from _signature_faults(snapshot)
    wrong = set()
    entries = snapshot.all_files
    parts = (entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE))
    for found in mapped(_READERS, partial(_faults, snapshot.folder, dates, believed), parts):
        for path, fault in found:
            wrong.add(path)
            yield f"{path}: {fault}"
    yield from mentions.missing(snapshot, wrong, believed)


def faults_of_stick(snapshot: Snapshot, export: Export) -> Iterator[str]:
    """The same of a stick, which may hold other things, too; its file system keeps no dates.

    A difference need not have what the mirror that it is for has already.
    """
    yield from _signature_faults(snapshot)
    own = (entry for entry in snapshot.files if entry.path.rpartition("/")[2] != ".htaccess")
    entries = [replace(entry, path=placed(entry.path)) for entry in own]
    parts = (entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE))
    for found in mapped(_READERS, partial(_faults, snapshot.folder, False, None), parts):
        yield from (f"{path}: {fault}" for path, fault in found if fault != _MISSING or not export.since)


def _signature_faults(snapshot: Snapshot) -> Iterator[str]:
    """Signatures that don't hold, whoever they are by. What is not signed is not checked."""
    try:
        signing.signers(snapshot.described)
    except (OSError, Invalid) as error:
        yield f"{DESCRIPTION}: {error}"


def _faults(
    folder: Path, dates: bool, believed: Snapshot | None, entries: Sequence[FileEntry]
) -> list[tuple[str, str]]:
    return [(entry.path, fault) for entry in entries if (fault := _fault(folder, entry, dates, believed))]


def _fault(folder: Path, entry: FileEntry, dates: bool, believed: Snapshot | None) -> str | None:
    file = f"{folder}/{entry.path}"
    try:
        found = os.lstat(file)
        if not stat.S_ISREG(found.st_mode):
            return "is not a plain file"
        if found.st_size != entry.size:
            return f"has {found.st_size} bytes instead of {entry.size}"
        if dates and found.st_mtime_ns != entry.mtime * 10**9:
            return f"has the mtime {found.st_mtime_ns / 10**9:.6f} instead of {entry.mtime}"
        if believed and _is_that_of(believed, entry, found):
            return None
        return None if sha256_of(Path(file)) == entry.sha256 else "has other bytes than were written"
    except FileNotFoundError:
        return _MISSING
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _is_that_of(believed: Snapshot, entry: FileEntry, found: os.stat_result) -> bool:
    """Whether a file, whose size and date are right, is the one that a snapshot has with the same bytes."""
    known = believed.by_path.get(entry.path)
    if known is None or (known.size, known.sha256, known.mtime) != (entry.size, entry.sha256, entry.mtime):
        return False
    try:
        return os.path.samestat(os.lstat(f"{believed.folder}/{entry.path}"), found)
    except OSError:
        return False
