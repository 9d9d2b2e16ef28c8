"""Objects from a folder of this machine, such as a stick that may be pulled out at any time."""

from __future__ import annotations

import errno
import os
import threading
from io import BufferedReader
from pathlib import Path
from urllib.parse import unquote, urlsplit

from builder import files
from builder.description import DESCRIPTION, is_inside
from sync.mirror.item import Item
from sync.mirror.model import Bearer
from sync.mirror.part import Part
from sync.mirror.reader import Absent, Lost, Stopped, Wrong

_CHUNK = 1024 * 1024
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_NOT_FOR_US = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENXIO, errno.ELOOP, errno.ENAMETOOLONG)


class FolderReader:
    """Reads plain files, and nothing else, each hashed while it is copied."""

    def __init__(self, bearer: Bearer, stopped: threading.Event) -> None:
        self.source = bearer.source
        self._holds = bearer.holds
        self._folder = Path(unquote(urlsplit(bearer.source.url).path))
        self._stopped = stopped

    def may_have(self, item: Item) -> bool:
        """Whether it is among its files."""
        return item.sha256 in self._holds

    def read(self, item: Item, part: Part) -> None:
        """As `Reader` has it."""
        try:
            place, found = self._opened(item)
            with found:
                self._copy(place, found, item, part)
        except OSError as error:
            raise self._meaning(error, item) from error

    def _opened(self, item: Item) -> tuple[Path, BufferedReader]:
        """The file at its path, or where a stick has it, since FAT takes no colons."""
        path = self._holds[item.sha256]
        if not is_inside(path):
            raise Absent(f"{path!r:.200} is no path below {self._folder}")
        place = self._folder / path
        try:
            return place, files.opened(place)
        except OSError as error:
            if error.errno not in (*_NOT_THERE, errno.EINVAL):
                raise
            place = self._folder / "blobs" / "sha256" / item.sha256
            try:
                return place, files.opened(place)
            except OSError:
                raise error from None

    def _copy(self, place: Path, found: BufferedReader, item: Item, part: Part) -> None:
        size = os.fstat(found.fileno()).st_size
        if misfit := item.misfit(size):
            raise Wrong(f"{place} has {misfit}")
        if part.size > size:
            part.restart()
        found.seek(part.size)
        buffer = memoryview(bytearray(min(_CHUNK, max(1, size))))
        while number := found.raw.readinto(buffer):
            if self._stopped.is_set():
                raise Stopped
            if part.size + number > item.limit:
                raise Wrong(f"{place} grew while it was read")
            part.write(buffer[:number])

    def _meaning(self, error: OSError, item: Item) -> Exception:
        """A folder without its description has gone, or what it was mounted from."""
        try:
            files.opened(self._folder / DESCRIPTION).close()
        except OSError:
            return Lost(f"{self._folder} can't be read any more ({error.strerror}): was it pulled out, or unmounted?")
        if error.errno in _NOT_THERE:
            return Absent(f"{error.filename} is not there")
        if error.errno in _NOT_FOR_US:
            return Absent(f"{error.filename or item.name}: {error.strerror}")
        return Lost(f"{self._folder} cannot be read: {error.strerror}: {error.filename or item.name}")

    def cut(self) -> None:
        """Each copy looks by itself whether it is to stop."""

    def close(self) -> None:
        """Nothing is left open."""
