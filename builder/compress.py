"""gzip in segments, so that an index in which little changed costs little to compress again.

Each segment is compressed with the end of the one before as its dictionary, which loses nothing against compressing the
whole; what it comes to depends on these bytes alone. So those that were compressed before are taken from the cache.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from builder.memo import NOTHING, Memo
from builder.sources.cache import Cache

_LEVEL = 6  # 9 took five times as long on an index of 400 images
_WINDOW = 32 * 1024  # bytes: as far as deflate looks back
_LEAST = _WINDOW  # bytes of a segment: what is before it is in the one before
_HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))  # neither a name nor a time
_END = b"\x03\x00"  # an empty last block
_METHOD = f"{zlib.ZLIB_RUNTIME_VERSION} {_LEVEL}\0".encode("ascii")  # another zlib gives other bytes
_NOTE = "gzip"
_Parts = tuple[bytes, ...]


class _Made(NamedTuple):
    """A compressed segment, the hash of what it was made of, and the digest under which the cache has it."""

    key: str
    digest: str
    data: bytes


class Segments:
    """Compressed segments by the hash of what they are made of. May be shared by threads."""

    def __init__(self, cache: Cache | None = None, memo: Memo = NOTHING) -> None:
        self._cache = cache
        self._memo = memo
        self._before = cache.note(_NOTE) if cache else {}
        self._used: dict[str, str] = {}

    def gzip(self, parts: Iterable[bytes]) -> bytes:
        """The parts as one gzip member, the same whatever the cache holds."""
        made = [_HEADER]
        before: _Parts = ()
        checksum = size = 0
        for segment in _segments(parts):
            made.append(self._deflated(segment, before))
            before = segment
            data = b"".join(segment)
            checksum = zlib.crc32(data, checksum)
            size += len(data)
        return b"".join((*made, _END, struct.pack("<II", checksum, size & 0xFFFFFFFF)))

    def keep(self) -> None:
        """Lets later builds have the segments that this one used."""
        if self._cache:
            self._cache.keep_note(_NOTE, self._used)

    def _deflated(self, segment: _Parts, before: _Parts) -> bytes:
        """A segment after the one before it, which is as long as the window, if there is one."""
        cache = self._cache
        if cache is None:
            return _deflate(*_joined(segment, before))
        made = self._memo.of((_NOTE, segment, before), partial(self._made, cache, segment, before))
        cache.use((made.digest,))
        self._used[made.key] = made.digest
        return made.data

    def _made(self, cache: Cache, segment: _Parts, before: _Parts) -> _Made:
        data, window = _joined(segment, before)
        key = hashlib.sha256(_METHOD + window + data).hexdigest()
        digest = self._used.get(key) or self._before.get(key)
        known = cache.blob(digest) if isinstance(digest, str) else None
        if known is not None:
            return _Made(key, str(digest), known)
        deflated = _deflate(data, window)
        return _Made(key, cache.keep(deflated), deflated)


def _joined(segment: _Parts, before: _Parts) -> tuple[bytes, bytes]:
    """The segment's bytes, and those in the window."""
    return b"".join(segment), b"".join(before)[-_WINDOW:]


def _segments(parts: Iterable[bytes]) -> Iterator[_Parts]:
    """Cut where a part's own bytes say so: a change moves no cut but those beside it."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _LEAST and zlib.crc32(part) % 2:
            yield tuple(waiting)
            waiting, size = [], 0
    if waiting:
        yield tuple(waiting)


def _deflate(segment: bytes, window: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=window)
    return packer.compress(segment) + packer.flush(zlib.Z_SYNC_FLUSH)
