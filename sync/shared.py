"""One ssh connection for a target's programs, one after the other: to make one costs more than most of them do.

The first ssh leaves a process behind that has the connection, for the next ones to use, and ends by itself soon after
the last. It holds no lock, and nothing of what started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path, PurePath

from sync.targets import Kind, Target

_OPTIONS = "ControlMaster=auto", "ControlPersist=60", "ServerAliveInterval=5", "ServerAliveCountMax=3"
_LONGEST = 90  # characters of a socket's path: the system takes 107, and ssh adds 17 at first
_PLAIN = re.compile(r"[\w/.+-]+")  # what neither rsync nor ssh reads as anything else


class Shared:
    """The connection to a target, as a socket in `folder`; None: each program has its own."""

    def __init__(self, folder: Path | None, target: Target) -> None:
        self._target = target
        name = hashlib.sha256(f"{target.ssh} {target.destination}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
        socket = folder / name if folder and target.kind is Kind.SSH and _is_ours(target.ssh) else None
        self._socket = socket if socket and len(str(socket)) <= _LONGEST and _PLAIN.fullmatch(str(socket)) else None

    @property
    def command(self) -> str:
        """How to start ssh, for rsync."""
        if self._socket is None:
            return self._target.ssh
        try:
            self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return self._target.ssh
        options = " ".join(f"-o {option}" for option in (*_OPTIONS, f"ControlPath={self._socket}"))
        return f"{self._target.ssh} {options}"

    def leave(self) -> None:
        """Lets the next program make its own: this one may be what went wrong."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.unlink()


def _is_ours(command: str) -> bool:
    """Whether it is OpenSSH's client, and nobody has said anything of this."""
    return PurePath(command.partition(" ")[0]).name == "ssh" and "control" not in command.lower()
