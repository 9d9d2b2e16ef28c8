"""Opens the place to listen at that a configuration names: a loopback port, or a socket in the file system."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from pathlib import Path

from builder.errors import FlatdexError
from sync.events.settings import Listen

_BACKLOG = 1024
_LONGEST = 107
"""How long a socket's path may be, in bytes, for the kernel."""
_CONNECT_SECONDS = 1.0
_LAST_PORT = 65535


class Door:
    """An open place to listen at: `listener` until `close`. Raises FlatdexError if it can't be opened."""

    def __init__(self, listen: Listen) -> None:
        self._file = listen.socket
        self._identity: tuple[int, int] | None = None
        try:
            self.listener = _at_file(listen.socket) if listen.socket else _at_port(listen)
        except OSError as error:
            what = f"can't listen at {listen.text}: {error.strerror or error}"
            raise FlatdexError(what, _fix(listen, error)) from error
        if self._file:
            self._identity = _identity(self._file)

    def close(self) -> None:
        """Closes it. The socket's file goes, unless it is somebody else's by now."""
        self.listener.close()
        if self._file and self._identity and _identity(self._file) == self._identity:
            with contextlib.suppress(OSError):
                self._file.unlink()


def _at_port(listen: Listen) -> socket.socket:
    if listen.port > _LAST_PORT:
        raise OSError(errno.EINVAL, f"ports end at {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    return socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)


def _at_file(file: Path) -> socket.socket:
    """A socket at this path, for its owner and group. One that a dead process left behind is replaced."""
    # It gets its name only when its rights are right, and in the place of a dead one without a gap.
    first = file.with_name(f".{secrets.token_hex(4)}.sock")
    if max(len(os.fsencode(file)), len(os.fsencode(first))) > _LONGEST:
        raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket")
    if os.path.lexists(file):
        if not stat.S_ISSOCK(file.lstat().st_mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket")
        if _is_alive(file):
            raise OSError(errno.EADDRINUSE, "another process listens there")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(first))
        first.chmod(0o660)
        listener.listen(_BACKLOG)
        first.rename(file)
    except OSError:
        listener.close()
        first.unlink(missing_ok=True)
        raise
    return listener


def _is_alive(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(file))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its queue is full, say
            return True
        return True


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fix(listen: Listen, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "Stop what listens there, or name another place under `listen`."
    if listen.socket and error.errno == errno.ENOENT:
        return f"Make its folder: mkdir -p {listen.socket.parent}"
    return ""
