"""What a service tells systemd: that it is ready, how it does, that it is alive. A datagram each, and no more."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from typing import Self

_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells nobody anything where `environment` names no socket. Nothing here raises, or waits."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address if address.startswith("/") else ""
        self.interval = _interval(environment)
        """After so many seconds `alive` should be called again; None: nobody waits for it."""

    @classmethod
    def taken(cls, environment: MutableMapping[str, str]) -> Self:
        """The same, and takes what it needs out of `environment`: it is none of a child's business."""
        found = cls(environment)
        for name in _OURS:
            environment.pop(name, None)
        return found

    def ready(self) -> None:
        """All that the service does has begun; also after `reloading`."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def reloading(self) -> None:
        """The configuration is read again; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """What `interval` asks for."""
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),  # it has gone, or takes no more
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending,
        ):
            sending.setblocking(False)
            sending.sendto(text.encode("utf-8", "replace"), self._address)


def _interval(environment: Mapping[str, str]) -> float | None:
    """Half of the time after which systemd takes this process for dead, in seconds."""
    try:
        microseconds = int(environment["WATCHDOG_USEC"])
        process = int(environment.get("WATCHDOG_PID") or os.getpid())
    except (KeyError, ValueError):
        return None
    return microseconds / 2_000_000 if microseconds > 0 and process == os.getpid() else None
