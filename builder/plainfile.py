"""Opens what others have put somewhere: only plain files, and without waiting for a pipe that nobody writes to."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def opened(file: Path) -> BufferedReader:
    """`file` for reading. Raises OSError, also for a folder, a pipe or a device."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(file))
    return os.fdopen(descriptor, "rb")
