"""How fast a registry may be asked: requests at once, pauses that it demands, and a rate kept across runs."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from builder import files
from builder.config import Rate

_UNANSWERED = 8  # requests in a row that got no answer at all, however often tried: nobody is there
_REFUSED = 3  # requests in a row that were too many, however long the pauses: no more is to be had now


class Gate:
    """Lets at most `most` requests at once through to one host; fewer, and later, after it said that it is too much."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = float(most)
        self._active = 0
        self._not_before = 0.0
        self._unanswered = 0
        self._refused = 0
        self._free = threading.Condition()

    def __enter__(self) -> Gate:
        with self._free:
            while (wait := self._wait(time.monotonic())) != 0:
                self._free.wait(wait)
            self._active += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._free:
            self._active -= 1
            self._free.notify()

    def _wait(self, now: float) -> float | None:
        """Seconds to wait, None for: until another request is done."""
        if now < self._not_before:
            return self._not_before - now
        return 0 if self._active < int(self._allowed) else None

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return int(self._allowed)

    @property
    def deserted(self) -> bool:
        """Whether so many requests got no answer that it is no use to send more."""
        return self._unanswered >= _UNANSWERED

    @property
    def exhausted(self) -> bool:
        """Whether so many requests were too many that it is no use to send more."""
        return self._refused >= _REFUSED

    def answered(self, well: bool = True) -> None:
        """The host answered. With each good answer a bit more is allowed again."""
        if self._unanswered == self._refused == 0 and self._allowed == self._most:
            return
        with self._free:
            self._unanswered = 0
            if well:
                self._refused = 0
                self._allowed = min(float(self._most), self._allowed + 1 / self._allowed)
                self._free.notify()

    def unanswered(self) -> None:
        """A request got no answer, however often it was tried."""
        with self._free:
            self._unanswered += 1

    def relent(self) -> None:
        """Forgets how many requests got no answer."""
        with self._free:
            self._unanswered = 0

    def refused(self) -> None:
        """A request was one too many, however often it was tried."""
        with self._free:
            self._refused += 1

    def slow_down(self, pause: float) -> None:
        """The host said that it is too much: half as many at once, and none at all for `pause` seconds."""
        with self._free:
            self._allowed = max(1.0, self._allowed / 2)
            self._not_before = max(self._not_before, time.monotonic() + pause)


class RateUsedUp(Exception):
    """No request may be sent for another `wait` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"not before {wait:.0f} seconds have passed")
        self.wait = wait


class Budget:
    """Keeps a rate, across runs too: `file` has a line with the time of each request, written before it is sent.

    Others may write to it in the meantime: another source of the same registry, another build.
    """

    def __init__(self, rate: Rate, file: Path) -> None:
        self._rate = rate
        self._file = file
        self._lock = threading.Lock()
        self._spent: list[float] = []
        self._size = 0

    def take(self, patience: float) -> None:
        """Returns when a request may be sent. Raises RateUsedUp if that takes more than `patience` seconds."""
        while True:
            with self._lock:
                now = round(time.time(), 3)
                self._learn(now)
                self._spent = self._current(self._spent, now)
                if len(self._spent) < self._rate.number:
                    self._spent.append(now)
                    self._note(now)
                    return
                wait = self._spent[-self._rate.number] + self._rate.window - now
            if wait > patience:
                raise RateUsedUp(wait)
            time.sleep(wait)

    def _current(self, spent: Iterable[float], now: float) -> list[float]:
        """What still counts; a clock that was put back must not block for years."""
        return sorted(each for each in spent if now - self._rate.window < each <= now)

    def _learn(self, now: float) -> None:
        """Reads the file, if it is not as it was left, and makes it shorter if most of it is of no use any more."""
        with contextlib.suppress(OSError):
            if self._file.stat().st_size == self._size:
                return
            with files.opened(self._file) as opened:
                data = opened.read()
            lines = data.decode("ascii", "replace").splitlines()
            current = self._current(_times(lines), now)
            self._spent = sorted((Counter(self._spent) | Counter(current)).elements())
            self._size = len(data)
            if len(lines) > 2 * len(current) + 100:
                self._size = self._file.write_text("".join(f"{each:.3f}\n" for each in current), encoding="ascii")

    def _note(self, now: float) -> None:
        with contextlib.suppress(OSError):  # a disk that is full must not stop a build that may need no room
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            opened = os.open(self._file, flags, 0o600)
            try:
                self._size += os.write(opened, f"{now:.3f}\n".encode("ascii"))
            finally:
                os.close(opened)


def _times(lines: Iterable[str]) -> Iterator[float]:
    for line in lines:
        with contextlib.suppress(ValueError):  # a line that was cut off
            yield float(line)
