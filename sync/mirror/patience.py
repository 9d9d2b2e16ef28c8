"""How long a source is waited for: an answer within seconds, and then as long as its bytes keep coming."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from builder.sources.transport import Transport
from sync.mirror.model import Found, Source
from sync.mirror.trouble import Trouble


@dataclass(frozen=True)
class Limits:
    """In seconds: for a connection; for an answer, beside the time that its bytes take at `rate` bytes a second; and
    for all of it, from a source that was configured and from any other."""

    connect: float = 2.0
    answer: float = 5.0
    rate: int = 64 * 1024
    longest: float = 600.0
    longest_of_others: float = 30.0

    def whole(self, source: Source) -> float:
        """For all that is asked of a source."""
        return self.longest if source.found is Found.CONFIGURED else self.longest_of_others


@dataclass
class Wait:
    """How long a source has been waited for, seen by the thread that asks and by the one that watches."""

    limits: Limits
    whole: float
    started: float = field(default_factory=time.monotonic)
    asked: float | None = None
    came: int = 0
    transport: Transport | None = None
    given_up: threading.Event = field(default_factory=threading.Event)

    def overdue(self, now: float) -> str:
        """Why it makes no sense to wait on; nothing while it does."""
        if now - self.started > self.whole:
            return f"its snapshot.json was not there after {self.whole:.0f} seconds"
        asked, came = self.asked, self.came  # the other thread may change them
        if asked is None or now - asked <= self.limits.answer + came / self.limits.rate:
            return ""
        if not came:
            return f"no answer within {self.limits.answer:.0f} seconds"
        return f"it all but stopped: {came} bytes of its snapshot.json in {now - asked:.0f} seconds"

    def give_up(self) -> None:
        """Whoever still waits for the source may stop."""
        self.given_up.set()
        if self.transport is not None:
            self.transport.cut()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While something is asked of the source."""
        self.asked, self.came = time.monotonic(), 0
        try:
            yield
        finally:
            self.asked = None

    def note(self, size: int) -> None:
        """More bytes came."""
        self.came += size
        if self.given_up.is_set():
            raise Trouble("timeout", "it was given up")
