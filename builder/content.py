"""What a file of the site holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_AT_ONCE = 1024  # parts


@dataclass(frozen=True)
class InMemory:
    """Bytes that were made here."""

    data: bytes

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The bytes, as one part."""
        return (self.data,)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        """As 64 hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Joined:
    """Bytes that were made here, in parts, which several files may share: all indexes at once would be much memory."""

    parts: tuple[bytes, ...]

    @cached_property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.parts))

    @cached_property
    def sha256(self) -> str:
        """As 64 hexadecimal digits."""
        found = hashlib.sha256()
        for start in range(0, len(self.parts), _AT_ONCE):  # few large ones: other threads get their turn with each
            found.update(b"".join(self.parts[start : start + _AT_ONCE]))
        return found.hexdigest()


@dataclass(frozen=True)
class OnDisk:
    """A file, copied when the site is written; `size` and `sha256` are what it must have.

    One that is the store's `own`, checked, and nobody else's to change, becomes a part of the site itself.
    """

    file: Path
    size: int
    sha256: str
    own: bool = False


Made = InMemory | Joined
Content = Made | OnDisk

Files = Mapping[str, Content]
"""Files by their path in the site, such as `index/static`."""
