"""Hints that nobody else keeps, as files of the store, until what they may have caused is live."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from builder.files import create_folder, read
from sync.events.model import Hint

FOLDER = "events"
"""Of the store."""
MOST = 10_000
"""How many hints are kept apart; what comes beyond them is one hint that everything is to be looked at."""

_EVERYTHING = "everything.json"
_NAME = re.compile(r"[0-9]{20}-([0-9a-f]{8})-[0-9]+\.json")
_UNFINISHED = re.compile(r"\.[0-9]{20}-([0-9a-f]{8})-[0-9]+\.json\.new|\.everything\.json\.new")
_LARGEST = 64 * 1024
_LOST = Hint(everything=True, about="a note that was damaged")


class Journal:
    """The folder of these files. All of it may be called from any thread; one process has it at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = secrets.token_hex(4)  # tells the files of this run from those of earlier ones
        self._number = count()
        self._lock = threading.Lock()
        names = self._listed()
        self._kept = {name for name in names if _NAME.fullmatch(name)}
        # What stands behind the one hint for everything: its file stays until the last of them is dropped.
        self._beyond = {_EVERYTHING} & names

    def keep(self, hint: Hint) -> Path:
        """Returns when the hint would survive a loss of power. Raises OSError if it can't be kept.

        The path is for `drop`; beyond `MOST` hints there is no such file, but one for all of them.
        """
        name = f"{time.time_ns():020d}-{self._mark}-{next(self._number)}.json"
        with self._lock:
            if len(self._kept) >= MOST:
                if not self._beyond:
                    self._write(_EVERYTHING, _data(Hint(everything=True, about="more than could be kept")))
                self._beyond.add(name)
                return self.folder / name
            self._kept.add(name)
        try:
            self._write(name, _data(hint))
        except BaseException:
            with self._lock:
                self._kept.discard(name)
            raise
        return self.folder / name

    def drop(self, path: Path) -> None:
        """Forgets a hint. Doing so again is harmless, and so is a file that can't be removed: it is looked at again."""
        with self._lock:
            if path.name in self._beyond:
                self._beyond.discard(path.name)
                if not self._beyond:
                    self._remove(_EVERYTHING)
            elif path.name in self._kept:
                self._kept.discard(path.name)
                self._remove(path.name)

    def hints(self, told: Callable[[str], None] = lambda _: None) -> list[tuple[Path, Hint]]:
        """What earlier runs have left, the oldest first; what a write that was cut off has left is removed.

        A file that can't be read was a hint once: it stands for everything, and `told` gets a line with the reason.
        """
        found = []
        for name in sorted(self._listed()):
            ours = _NAME.fullmatch(name)
            if (name == _EVERYTHING and name in self._beyond) or (ours and ours[1] != self._mark):
                try:
                    hint = _hint(read(self.folder / name, _LARGEST))
                except (OSError, ValueError) as error:
                    told(f"{self.folder / name}: {error.strerror if isinstance(error, OSError) else error}")
                    hint = _LOST
                found.append((self.folder / name, hint))
            elif (left := _UNFINISHED.fullmatch(name)) and left[1] != self._mark:
                with self._lock:
                    self._remove(name)
        return found

    def _listed(self) -> set[str]:
        try:
            return {entry.name for entry in os.scandir(self.folder)}
        except FileNotFoundError:
            return set()

    def _write(self, name: str, data: bytes) -> None:
        """A new file, private, all of it or nothing."""
        temporary = self.folder / f".{name}.new"
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, how, 0o600)
        except FileNotFoundError:
            self._make_folder()
            descriptor = os.open(temporary, how, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            temporary.rename(self.folder / name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(self.folder)

    def _make_folder(self) -> None:
        create_folder(self.folder.parent)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        _sync(self.folder.parent)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / name).unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _data(hint: Hint) -> bytes:
    """The bytes of a hint; one that names too much to be kept is one for everything."""
    names = {"repositories": sorted(hint.repositories), "components": sorted(hint.components)}
    data = json.dumps({**names, "everything": hint.everything, "about": hint.about[:200]}).encode("ascii")
    return data if len(data) <= _LARGEST else _data(Hint(everything=True, about=hint.about))


def _hint(data: bytes) -> Hint:
    """Raises ValueError for what is none."""
    try:
        found = json.loads(data)
        hint = Hint(
            frozenset(map(_text, found["repositories"])),
            frozenset(map(_text, found["components"])),
            found["everything"] is True,
            _text(found["about"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is damaged") from error
    if hint.empty:
        raise ValueError("it names nothing")
    return hint


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
