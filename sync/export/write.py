"""Writes a stick so that it may be pulled out at any moment: what it showed before stays whole, or the new is there.

First `export.json` says which names are about to be written or removed. Then all bytes are written: what is named by
its hash gets its name at once, the rest waits in a folder of its own. Only when everything is on the medium, the rest
is renamed, `snapshot.json` last, with no writing in between; then goes what nobody needs any more. FAT has no
journal, so what was cut off is known by `export.json` alone, and believed only when it was read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from io import BufferedReader
from itertools import count
from pathlib import Path

from builder import files
from builder.errors import FlatdexError, LockedError
from builder.parallel import mapped
from builder.stick import EXPORT, Export
from sync.export.items import Item, Rank
from sync.export.plan import STAGE, Plan

Progress = Callable[[int, int, int, int], None]
"""To call with how many files are written, of how many, and the bytes of both."""

_WRITERS = 2  # threads: the one hashes while the other writes
_CHUNK = 1024 * 1024
_LARGE = 1024 * 1024  # bytes from which on a file is on its way to the medium at once: a slow one is kept busy
_CUT_OFF = "What it held before is still whole. When it is mended, export again: that goes on from there."


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes this process the one that exports to `folder`. Raises LockedError if another one does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LockedError(f"another process exports to {folder}", "Try again when it is done.") from error
    finally:
        os.close(descriptor)


def write(folder: Path, plan: Plan, before: Export | None, after: Export, progress: Progress) -> None:
    """Does what is planned. The caller holds the lock. Raises FlatdexError; then what was there is still whole."""
    try:
        _clear(folder / STAGE)
        paths = {item.path for item in plan.written}.union(plan.removed, (before and before.writing) or ())
        shown = before or Export(None)
        _replace(folder, Export(shown.snapshot, shown.since, tuple(sorted(paths))))
        waiting = _written(folder, plan.written, progress)
        _settle(folder)
        for item, temporary in waiting:
            temporary.replace(folder / item.path)
        _settle(folder)
        _remove(folder, plan.removed)
        _clear(folder / STAGE)
        _replace(folder, after)
        _settle(folder)
    except OSError as error:
        what = f"{folder} could not be written: {error.strerror or error}"
        raise FlatdexError(f"{what}: {error.filename}" if error.filename else what, _CUT_OFF) from error


def _clear(stage: Path) -> None:
    """Nothing is there but what was cut off: files under numbers."""
    if stage.is_dir() and not stage.is_symlink():
        shutil.rmtree(stage)


def _replace(folder: Path, export: Export) -> None:
    temporary = folder / f".{EXPORT}.new"
    temporary.unlink(missing_ok=True)  # it may be a link
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(export.data)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(folder / EXPORT)
    _settle(folder)


def _settle(folder: Path) -> None:
    """Returns when all that was written is on the medium itself, whatever cache it has."""
    files.make_durable(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(folder: Path, items: Iterable[Item], progress: Progress) -> list[tuple[Item, Path]]:
    """Writes all bytes; gives what waits for its name, and the files that are to have it."""
    items = list(items)
    for each in sorted({item.path.rpartition("/")[0] for item in items} | {STAGE}):
        _make_folder(folder, each)
    numbers, told = count(), _Told(progress, items)

    def one(item: Item) -> tuple[Item, Path]:
        temporary = folder / STAGE / str(next(numbers))
        _copy(item, temporary, told.add)
        if item.rank is Rank.OBJECT:
            temporary.replace(folder / item.path)
        told.add(0, files=1)
        return item, temporary

    return [each for each in mapped(_WRITERS, one, items) if each[0].rank is not Rank.OBJECT]


class _Told:
    """Counts what several threads have written, for who waits."""

    def __init__(self, progress: Progress, items: Collection[Item]) -> None:
        self._progress, self._guard = progress, threading.Lock()
        self._total, self._size = len(items), sum(item.size for item in items)
        self._files = self._bytes = 0

    def add(self, size: int, files: int = 0) -> None:
        with self._guard:
            self._files += files
            self._bytes += size
            self._progress(self._files, self._total, self._bytes, self._size)


def _make_folder(folder: Path, path: str) -> None:
    place = folder
    for part in path.split("/") if path else ():
        place = place / part
        with contextlib.suppress(FileExistsError):
            place.mkdir()


def _copy(item: Item, temporary: Path, tell: Callable[[int], None]) -> None:
    """Raises FlatdexError if the bytes are not those that were written when the snapshot was made."""
    digest = hashlib.sha256()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        for part in _parts(item):
            digest.update(part)
            left = part
            while left:
                left = left[os.write(descriptor, left) :]
            tell(len(part))
        if digest.hexdigest() != item.sha256:
            fix = f"{_CUT_OFF} `flatdex verify` tells all that is damaged; `flatdex publish --full` makes a sound one."
            raise FlatdexError(f"{item.content!s} is damaged, and was not exported", fix)
        if item.size >= _LARGE:
            files.start_writing(descriptor)
        with contextlib.suppress(PermissionError):  # who mounted the stick may be somebody else
            os.utime(descriptor, (item.mtime, item.mtime))
    finally:
        os.close(descriptor)


def _parts(item: Item) -> Iterator[memoryview]:
    if isinstance(item.content, bytes):
        yield memoryview(item.content)
        return
    with _source(item.content) as opened:
        buffer = memoryview(bytearray(min(_CHUNK, item.size + 1)))
        while size := opened.readinto(buffer):
            yield buffer[:size]


def _source(file: Path) -> BufferedReader:
    try:
        return files.opened(file)
    except FileNotFoundError as error:
        what = f"{file} is not there any more: was the snapshot removed meanwhile, by `flatdex prune`?"
        raise FlatdexError(what, _CUT_OFF) from error


def _remove(folder: Path, paths: Iterable[str]) -> None:
    """Removes plain files, and the folders that are empty then."""
    emptied = set()
    for path in paths:
        if stat.S_ISREG(os.lstat(folder / path).st_mode):
            (folder / path).unlink()
            emptied.add(path.rpartition("/")[0])
    for path in sorted(emptied - {""}, reverse=True):
        _remove_empty(folder, path)


def _remove_empty(folder: Path, path: str) -> None:
    while path:
        try:
            (folder / path).rmdir()
        except OSError:  # somebody's, or still needed
            return
        path = path.rpartition("/")[0]
