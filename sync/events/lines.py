"""What a watch says: a line for each thing that happened, with the ids of the events that it is about."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from builder.description import time_text

_MOST_IDS = 5
_NEWS = (20, 2.0)
"""How many lines of one kind are said at once, and after how many seconds one more."""
_WARNINGS = (3, 60.0)
"""The same of what goes wrong."""
_VARYING = re.compile(r"[0-9]+(?:[TZ:.-][0-9a-f]+)*|[0-9a-f]{8,}")
"""What differs from one try to the next: times, ids, numbers."""


def one_line(text: str, most: int = 300) -> str:
    """Others' words as a part of a line: they can't look like a line of ours, nor fill a log."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 2 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


class Report(Protocol):
    """Where lines for a person go."""

    def result(self, text: str) -> None:
        """What was asked for."""

    def line(self, text: str) -> None:
        """What was done."""

    def detail(self, text: str) -> None:
        """What only `-v` shows."""

    def warn(self, text: str) -> None:
        """What an admin should know."""


@dataclass
class _Allowance:
    """Lines of one kind: how many may be said at once, and how many were left out."""

    left: float
    since: float
    unsaid: int = 0


class Lines:
    """Says lines, of any thread; as JSON, an object a line, if a script reads them."""

    def __init__(self, report: Report, as_json: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._as_json = as_json
        self._clock = clock
        self._guard = threading.Lock()
        self._last: dict[str, str] = {}
        self._allowances: dict[str, _Allowance] = {}

    def say(self, text: str, ids: Sequence[str] = (), **more: Any) -> None:
        """What was done."""
        self._put(self._report.line, text, ids, more)

    def warn(self, text: str, ids: Sequence[str] = (), **more: Any) -> None:
        """What an admin should know."""
        self._put(self._report.warn, text, ids, {"level": "warning", **more})

    def detail(self, text: str, ids: Sequence[str] = (), **more: Any) -> None:
        """What only `-v` shows."""
        self._put(self._report.detail, text, ids, {"level": "detail", **more})

    def changed(self, key: str, text: str) -> bool:
        """Whether this is something else than what was told of `key` before; empty: that it is over."""
        text = _VARYING.sub("#", text)
        with self._guard:
            before = self._last.get(key, "")
            if text:
                self._last[key] = text
            else:
                self._last.pop(key, None)
            return before != text

    def often(self, kind: str, text: str, ids: Sequence[str] = (), warning: bool = False, **more: Any) -> None:
        """What may happen often: of each kind some lines at once, then one now and then, with a count of the others."""
        most, refill = _WARNINGS if warning else _NEWS
        with self._guard:
            allowance = self._allowances.setdefault(kind, _Allowance(most, self._clock()))
            unsaid = _taken(allowance, self._clock(), most, refill)
        if unsaid is not None:
            text += f" (and {unsaid} more like it that were not told)" if unsaid else ""
            (self.warn if warning else self.say)(text, ids, **more)

    def _put(self, put: Callable[[str], None], text: str, ids: Sequence[str], more: dict[str, Any]) -> None:
        shown = [*ids[:_MOST_IDS], *([f"+{len(ids) - _MOST_IDS}"] if len(ids) > _MOST_IDS else [])]
        if self._as_json:
            text = json.dumps({"time": time_text(int(time.time())), "ids": list(ids), "text": text, **more})
        elif shown:
            text = f"{','.join(shown)} {text}"
        with self._guard, contextlib.suppress(OSError):  # who reads the log has gone, or its disk is full
            put(text)


def _taken(allowance: _Allowance, now: float, most: float, refill: float) -> int | None:
    """Takes one line; how many were left out since the last one, or None if this one is left out, too."""
    allowance.left = min(most, allowance.left + (now - allowance.since) / refill)
    allowance.since = now
    if allowance.left < 1:
        allowance.unsaid += 1
        return None
    allowance.left -= 1
    unsaid, allowance.unsaid = allowance.unsaid, 0
    return unsaid
