"""Which messages of a channel wait for what they cause, and which of them to acknowledge."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable


def due(open_tags: Iterable[int], done: Collection[int]) -> list[tuple[int, bool]]:
    """Delivery tags to acknowledge, the first perhaps with all that came before it (True).

    `open_tags` rise, and have those that are `done` among them.
    """
    first = next((tag for tag in open_tags if tag not in done), None)
    before = [tag for tag in done if first is None or tag < first]
    after = sorted(tag for tag in done if first is not None and tag > first)
    return [*([(max(before), True)] if before else []), *((tag, False) for tag in after)]


class Acks:
    """The messages of one connection. `wake` is called from any thread when there is something to acknowledge."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._guard = threading.Lock()
        self._open: dict[int, None] = {}  # dicts keep their order
        self._done: set[int] = set()
        self._over = False

    def taken(self, tag: int) -> Callable[[], None]:
        """A message came in; what to call when it is done."""
        with self._guard:
            self._open[tag] = None
        return lambda: self.done(tag)

    def done(self, tag: int) -> None:
        """A message may be acknowledged. After the end it is one that the broker sends again: nothing is to be done."""
        with self._guard:
            if self._over or tag not in self._open:
                return
            first = not self._done
            self._done.add(tag)
        if first:
            self._wake()

    def due(self) -> list[tuple[int, bool]]:
        """What to acknowledge now, of what became done since the last time."""
        with self._guard:
            if not self._done:
                return []
            found = due(self._open, self._done)
            for tag in self._done:
                del self._open[tag]
            self._done.clear()
            return found

    def end(self) -> None:
        """The connection is lost: whoever still calls `done` keeps nothing of it alive."""
        with self._guard:
            self._over = True
            self._open.clear()
            self._done.clear()
            self._wake = _nothing


def _nothing() -> None:
    pass
