"""Files and folders beyond what pathlib does: open to web servers, durable, measured, and never a trap."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path


def opened(file: Path) -> BufferedReader:
    """A plain `file` for reading. Raises OSError, also for a folder, a pipe (without waiting) or a device."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(file))
    return os.fdopen(descriptor, "rb")


def read(file: Path, limit: int = 256 * 1024 * 1024) -> bytes:
    """At most `limit` bytes of a plain `file`. Raises OSError, also for what is none, or is larger."""
    with opened(file) as found:
        data = found.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "larger than it should be", str(file))
    return data


def create_folder(folder: Path) -> None:
    """Makes a folder that web servers can read, with its parents, under any umask."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        each.chmod(0o755)


def create_private(file: Path, data: bytes) -> None:
    """Writes a file that is nobody else's business, under any umask, and through no link."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)


def replace_file(file: Path, data: bytes, durable: bool = True) -> None:
    """Puts `data` into `file`, all of it or nothing; what is there is replaced. Others may read it.

    What nobody needs after a loss of power need not be `durable`.
    """
    temporary = file.with_name(f".{file.name}.new")
    with temporary.open("wb") as opened:
        os.fchmod(opened.fileno(), 0o644)
        opened.write(data)
        opened.flush()
        if durable:
            os.fsync(opened.fileno())
    temporary.replace(file)


def files_in(folder: Path) -> set[str]:
    """The paths, relative to `folder`, of all that is in it, but for folders (links to folders are in)."""
    found = set()
    left = [""]
    while left:
        inside = left.pop()
        try:
            entries = list(os.scandir(f"{folder}/{inside}"))
        except OSError:  # as if it were empty: what should be in it is missed
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                left.append(f"{inside}{entry.name}/")
            else:
                found.add(f"{inside}{entry.name}")
    return found


def sha256_of(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def start_writing(descriptor: int) -> None:
    """Lets the disk begin with what was written to a file, without waiting for it; what then fails, a sync tells."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "sync_file_range"):
        whole, begin = ctypes.c_int64(0), 2  # SYNC_FILE_RANGE_WRITE
        libc.sync_file_range(ctypes.c_int(descriptor), whole, whole, ctypes.c_uint(begin))


def make_durable(folder: Path) -> None:
    """Returns when all that was written to the file system of `folder` would survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)
