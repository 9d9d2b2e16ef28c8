"""Who is asked next: several hosts at once, each for a few things at once, and one that doesn't answer for no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

_SILENT = 2  # requests in a row without an answer after which a host that gave none is left alone
_FELL_SILENT = 4  # the same for one that gave some, of which as many may be under way


@dataclass
class _Lane:
    """What is to be asked of one host."""

    waiting: deque[str] = field(default_factory=deque)
    active: int = 0
    closed: bool = False
    answered: bool = False
    unanswered: int = 0


class Lanes:
    """URLs by host, for several threads to take. A host is asked for one thing until it answers, then for `at_once`."""

    def __init__(self, work: Iterable[tuple[str, str]], at_once: int) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._at_once = at_once
        self._changed = threading.Condition()
        self._stopped = False
        for host, url in work:
            self._lanes.setdefault(host, _Lane()).waiting.append(url)

    def take(self) -> tuple[str, str] | None:
        """The next host and URL, when there is one; None when there will be none. To be followed by `done`."""
        with self._changed:
            while not self._stopped and any(lane.waiting or lane.active for lane in self._lanes.values()):
                for host, lane in self._lanes.items():
                    if lane.waiting and lane.active < (self._at_once if lane.answered else 1):
                        lane.active += 1
                        self._lanes[host] = self._lanes.pop(host)  # to the end of the row
                        return host, lane.waiting.popleft()
                self._changed.wait()
            return None

    def done(self, host: str) -> None:
        """The work on what was taken is over."""
        with self._changed:
            self._lanes[host].active -= 1
            self._changed.notify_all()

    def answered(self, host: str) -> None:
        """It gave an answer, be it a good one or not."""
        with self._changed:
            self._lanes[host].answered = True
            self._lanes[host].unanswered = 0
            self._changed.notify_all()

    def has_answered(self, host: str) -> bool:
        """Whether it ever gave an answer, and was not left alone since."""
        return self._lanes[host].answered

    def unanswered(self, host: str) -> bool:
        """It gave none. Whether that makes it one to be left alone for now; who is told so closes its lane."""
        with self._changed:
            lane = self._lanes[host]
            lane.unanswered += 1
            return not lane.closed and lane.unanswered >= (_FELL_SILENT if lane.answered else _SILENT)

    def put_back(self, host: str, url: str) -> bool:
        """To be asked once more, after all others of the host, unless its lane is closed."""
        with self._changed:
            if not self._lanes[host].closed:
                self._lanes[host].waiting.append(url)
            return not self._lanes[host].closed

    def close(self, host: str) -> list[str]:
        """Nothing more is asked of a host; what would have been."""
        with self._changed:
            left = list(self._lanes[host].waiting)
            self._lanes[host].waiting.clear()
            self._lanes[host].closed = True
            self._changed.notify_all()
            return left

    def stop(self) -> None:
        """Nothing more is asked of anybody."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
