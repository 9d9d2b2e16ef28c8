"""gzip in segments, so that an index in which little changed costs little to compress again.

Each segment is compressed with the end of the one before as its dictionary, which loses nothing against compressing the
whole; what it comes to depends on these bytes alone. So those that were compressed before are taken from the cache.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator

from builder.sources.cache import Cache

_LEVEL = 6  # 9 took five times as long on an index of 400 images
_WINDOW = 32 * 1024  # bytes: as far as deflate looks back
_LEAST = 32 * 1024  # bytes of a segment
_HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))  # neither a name nor a time
_END = b"\x03\x00"  # an empty last block
_METHOD = f"{zlib.ZLIB_RUNTIME_VERSION} {_LEVEL}\0".encode("ascii")  # another zlib gives other bytes
_NOTE = "gzip"


class Segments:
    """Compressed segments by the hash of what they are made of. May be shared by threads."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._before = cache.note(_NOTE) if cache else {}
        self._used: dict[str, str] = {}

    def gzip(self, parts: Iterable[bytes]) -> bytes:
        """The parts as one gzip member, the same whatever the cache holds."""
        made = [_HEADER]
        window = b""
        checksum = size = 0
        for segment in _segments(parts):
            made.append(self._deflated(segment, window))
            window = (window + segment)[-_WINDOW:]
            checksum = zlib.crc32(segment, checksum)
            size += len(segment)
        return b"".join((*made, _END, struct.pack("<II", checksum, size & 0xFFFFFFFF)))

    def keep(self) -> None:
        """Lets later builds have the segments that this one used."""
        if self._cache:
            self._cache.keep_note(_NOTE, self._used)

    def _deflated(self, segment: bytes, window: bytes) -> bytes:
        key = hashlib.sha256(_METHOD + window + segment).hexdigest()
        data = self._recalled(key)
        if data is None:
            data = _deflate(segment, window)
            if self._cache:
                self._used[key] = self._cache.keep(data)
        return data

    def _recalled(self, key: str) -> bytes | None:
        digest = self._used.get(key) or self._before.get(key)
        if self._cache is None or not isinstance(digest, str):
            return None
        data = self._cache.blob(digest)
        if data is not None:
            self._cache.use((digest,))
            self._used[key] = str(digest)
        return data


def _segments(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut where a part's own bytes say so: a change moves no cut but those beside it."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _LEAST and zlib.crc32(part) % 2:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _deflate(segment: bytes, window: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=window)
    return packer.compress(segment) + packer.flush(zlib.Z_SYNC_FLUSH)
