"""Serves a listener's connections, each in a thread of its own, but only so many at once; the others wait."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from sync.events.web.wire import Wire

_PATIENCE = 1.0
_IDLE_PATIENCE = 0.1
_LOOK_SECONDS = 0.02
_TROUBLE_SECONDS = 0.2


class Crowd:
    """At most `most` connections of `listener` at once, each handed to `serve` in a thread of its own.

    While all places are taken, who comes waits in the kernel's queue, and whoever takes longer than a second over a
    request, or has had an answer and asks nothing more, has to give up the place: slow senders can't keep the others
    out. `troubled` is told why somebody could not be let in.
    """

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[Wire], None],
        most: int,
        name: str,
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._listener, self._serve, self._most, self._name, self._troubled = listener, serve, most, name, troubled
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._there: dict[Wire, threading.Thread] = {}
        self._ending = threading.Event()
        self._door = threading.Thread(target=self._let_in, name=name, daemon=True)
        listener.setblocking(False)

    @property
    def dense(self) -> bool:
        """Whether more than half of the places are taken, so that nobody should keep one."""
        return len(self._there) * 2 > self._most

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._ending.is_set()

    def start(self) -> None:
        """Begins to let connections in."""
        self._door.start()

    def stop(self, seconds: float) -> None:
        """Lets nobody in any more, cuts those that wait for the other side, and gives the others so many seconds."""
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it
        deadline = time.monotonic() + seconds
        self._door.join(seconds)
        with self._lock:
            there = dict(self._there)
        for wire, thread in there.items():
            while thread.is_alive() and time.monotonic() < deadline:
                if wire.since:
                    wire.cut()
                thread.join(_LOOK_SECONDS)
            wire.cut()

    def _let_in(self) -> None:
        door = select.poll()
        door.register(self._listener, select.POLLIN)
        number = 0
        while not self.ending:
            door.poll()
            while not self.ending and not self._places.acquire(timeout=_LOOK_SECONDS):
                self._make_room()
            if self.ending:
                return
            number += 1
            try:
                self._take(self._listener.accept()[0], f"{self._name}-{number}")
            except (OSError, RuntimeError) as error:  # it went away again; or no descriptor, or no thread is left
                self._places.release()
                if not isinstance(error, ConnectionAbortedError | BlockingIOError):
                    self._troubled(str(error))
                    self._ending.wait(_TROUBLE_SECONDS)

    def _take(self, connection: socket.socket, name: str) -> None:
        try:
            wire = Wire(connection)
            thread = threading.Thread(target=self._attend, args=(wire,), name=name, daemon=True)
            with self._lock:
                self._there[wire] = thread
            try:
                thread.start()
            except RuntimeError:
                self._forget(wire)
                raise
        except (OSError, RuntimeError):
            connection.close()
            raise

    def _attend(self, wire: Wire) -> None:
        try:
            self._serve(wire)
        finally:
            wire.close()
            self._forget(wire)
            self._places.release()

    def _forget(self, wire: Wire) -> None:
        with self._lock:
            self._there.pop(wire, None)

    def _make_room(self) -> None:
        """Cuts the connection that has kept its place for longest without need, if there is one."""
        now = time.monotonic()
        with self._lock:
            waits = [(now - since - _patience(wire), wire) for wire in self._there if (since := wire.since)]
        # What a thread has not come to read yet is no fault of its sender.
        needless = [(over, wire) for over, wire in waits if over > 0 and wire.quiet and wire.since]
        if needless:
            max(needless, key=lambda each: each[0])[1].cut()


def _patience(wire: Wire) -> float:
    return _IDLE_PATIENCE if wire.idle and not wire.fresh else _PATIENCE
