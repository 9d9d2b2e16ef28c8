"""What wakes a watch's main thread: signals, threads, a round that has ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType, TracebackType
from typing import Any, Self


class Signals:
    """Use it with `with`, in the main thread: SIGTERM and SIGINT ask to stop, SIGHUP to read the configuration anew."""

    def __init__(self) -> None:
        self.stops = 0
        """How often it was asked to stop: who asks twice is in a hurry."""
        self._reload = False
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self.stops += 1
        self.wake()

    def wake(self) -> None:
        """Ends a `wait`, from any thread."""
        with contextlib.suppress(BlockingIOError):  # it is full of reasons to wake up
            os.write(self._writing, b"!")

    def asked_to_reload(self) -> bool:
        """Whether it was, since this was asked last."""
        asked, self._reload = self._reload, False
        return asked

    def wait(self, others: Sequence[Connection | int], seconds: float) -> None:
        """Waits until something happens, or for so many seconds."""
        wait([self._reading, *others], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            os.read(self._reading, 65536)
