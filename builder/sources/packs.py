"""Many small blobs in few files: to make a file costs a file system ten times what it costs to append to one.

A pack is a row of records, each a header (sha256, time of last use, size) and the blob. Each build that keeps anything
writes a pack of its own, so builds never meet in one; of a pack that was cut off the whole records count.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from builder import files

_HEADER = struct.Struct(">32sQQ")
_LARGEST = 64 * 1024 * 1024
_MOST_PACKS = 16
_MOST_OPEN = 256  # the others, if builds were killed that often, wait until those are one
_UNUSED = 30 * 86400  # seconds that a blob stays which no build needed


@dataclass(frozen=True)
class _Place:
    """Where a blob lies: the descriptor of its pack, offset and size there, and when it was last used."""

    pack: int
    offset: int
    size: int
    used: int


class Packs:
    """A folder of packs. May be shared by threads; other processes may do what they like with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._packs: dict[Path, int] = {}
        self._places: dict[bytes, _Place] = {}
        self._used: set[bytes] = set()
        self._own: int | None = None
        self._end = 0
        self._closed = False
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):
            for file in sorted(folder.glob("*.pack"))[-_MOST_OPEN:]:
                self._open(file)

    def _open(self, file: Path) -> None:
        with contextlib.suppress(OSError):
            with files.opened(file) as opened:
                pack = self._packs[file] = os.dup(opened.fileno())
            self._places.update(_records(pack))

    def get(self, digest: str) -> bytes | None:
        """The bytes with this digest, if they are here and whole."""
        key = bytes.fromhex(digest.removeprefix("sha256:"))
        place = self._places.get(key)
        if place is None:
            return None
        try:
            data = os.pread(place.pack, place.size, place.offset)
        except OSError:
            return None
        if sha256(data).digest() != key:
            return None
        self._used.add(key)
        return data

    def use(self, digest: str) -> None:
        """Tells that a blob is needed, though nobody reads it: what was made of it is known."""
        self._used.add(bytes.fromhex(digest.removeprefix("sha256:")))

    def was_used(self, digest: str) -> bool:
        """Whether a blob was kept or taken since this was opened."""
        return bytes.fromhex(digest.removeprefix("sha256:")) in self._used

    def keep(self, data: bytes) -> str:
        """Keeps a blob under its digest, which is returned. A full disk is no error."""
        key = sha256(data).digest()
        with self._lock, contextlib.suppress(OSError):
            if not self._closed and (key not in self._used or key not in self._places):
                self._append(key, data, int(time.time()))
            self._used.add(key)
        return f"sha256:{key.hex()}"

    def _append(self, key: bytes, data: bytes, used: int) -> None:
        if self._own is None:
            file = self._folder / f"{time.time_ns()}-{secrets.token_hex(4)}.pack"
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own = self._packs[file] = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._end = 0
        record = _HEADER.pack(key, used, len(data)) + data
        try:
            written = os.pwrite(self._own, record, self._end)
        except OSError:
            written = 0
        if written < len(record):  # a full disk: nothing may follow half a record
            os.ftruncate(self._own, self._end)
            return
        self._places[key] = _Place(self._own, self._end + _HEADER.size, len(data), used)
        self._end += len(record)

    def tidy(self) -> None:
        """Makes one pack of many, without what no build needed for a month. To be called when a build is done."""
        if len(self._packs) <= _MOST_PACKS:
            return
        with self._lock, contextlib.suppress(OSError):
            now = int(time.time())
            old, self._own = dict(self._packs), None
            for key, place in list(self._places.items()):
                used = now if key in self._used else place.used
                data = os.pread(place.pack, place.size, place.offset) if used > now - _UNUSED else b""
                if sha256(data).digest() == key:
                    self._append(key, data, used)
            if all(place.pack == self._own for key, place in self._places.items() if key in self._used):
                for file in old:
                    file.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes all packs. What a thread may still want to keep is not kept."""
        with self._lock:
            self._closed = True
            for pack in self._packs.values():
                os.close(pack)
            self._packs.clear()
            self._places.clear()


def _records(pack: int) -> Iterator[tuple[bytes, _Place]]:
    """The records of a pack, up to the first one that is not whole."""
    end = os.fstat(pack).st_size
    offset = 0
    while offset + _HEADER.size <= end:
        header = os.pread(pack, _HEADER.size, offset)
        if len(header) < _HEADER.size:  # another process took back what its disk had no room for
            return
        key, used, size = _HEADER.unpack(header)
        offset += _HEADER.size
        if size > _LARGEST or offset + size > end:
            return
        yield key, _Place(pack, offset, size, used)
        offset += size
