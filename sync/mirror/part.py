"""An object on its way into the pool: what has come of it so far, and the hash of that."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.errors import FlatdexError

_CHUNK = 1024 * 1024


class UnwritableError(FlatdexError):
    """The pool takes no more bytes. `full`: since its disk, or what one may have of it, is used up."""

    def __init__(self, file: Path, error: OSError) -> None:
        self.full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "What was fetched so far is kept, the next run goes on from there."
        super().__init__(f"{file} cannot be written: {error.strerror}", fix)


class Part:
    """A file that grows to an object. What an earlier run has left in it is kept, and hashed first.

    `moved` is told of each change of its size. Use it with `with`. Raises UnwritableError.
    """

    def __init__(self, file: Path, moved: Callable[[int], None] = lambda number: None) -> None:
        self.file = file
        self.size = 0
        self.restarts = 0
        """How often all that had come was forgotten."""
        self.came = 0
        """How many bytes were added since the last `begin`, be they forgotten or not."""
        self._moved = moved
        self._hash = hashlib.sha256()
        self._own = 0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._descriptor = os.open(file, flags, 0o644)
            os.fchmod(self._descriptor, 0o644)
        except OSError as error:
            raise UnwritableError(file, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def recall(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Hashes what is there already, as long as it `goes_on`."""
        try:
            while goes_on() and (data := os.read(self._descriptor, _CHUNK)):
                self._note(data)
        except OSError:  # what can't be read any more is fetched anew
            self.restart()

    def write(self, data: bytes | memoryview) -> None:
        """Adds bytes at the end."""
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            raise UnwritableError(self.file, error) from error
        self.came += len(data)
        self._note(data)

    def _note(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)
        self._moved(len(data))

    def restart(self) -> None:
        """Forgets all that has come."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        except OSError as error:
            raise UnwritableError(self.file, error) from error
        self._moved(-self.size)
        self._hash = hashlib.sha256()
        self.restarts += self.size > 0
        self.size = self._own = 0

    def begin(self) -> None:
        """What is added from here on comes from another source."""
        self._own, self.came = self.size, 0

    @property
    def is_from_one(self) -> bool:
        """Whether all of it came since the last `begin`."""
        return self._own == 0

    @property
    def sha256(self) -> str:
        """Of all that has come, in hexadecimal."""
        return self._hash.hexdigest()
