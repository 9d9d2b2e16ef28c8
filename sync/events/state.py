"""Tells how the watch does while it is at work: keeps `watch.json` in the store up to date."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from builder.files import replace_file
from builder.store import Store
from sync.events.watching import BEAT, Last, Round, Source, Watching, path, written

_SPACE = 0.2  # seconds between two writings of what changes all the time
_MOST_IDS = 100


class Keeper:
    """Safe for threads. What can't be written is passed over."""

    def __init__(self, store: Store, version: str, configuration: str = "") -> None:
        now = time.time()
        self._file = path(store)
        self._guard = threading.Lock()
        self._watching = Watching(os.getpid(), socket.gethostname(), version, now, now, 0, configuration)
        self._written: float | None = None
        self._fresh = True

    def waiting(self, events: int, oldest: float = 0) -> None:
        """So many events wait, the oldest for so many seconds."""
        since = time.time() - oldest if events else 0
        with self._guard:
            before = self._watching.waiting_since
            self._set(waiting=events, waiting_since=before if abs(before - since) < 1 else since)

    def origin(self, name: str, state: str, up: bool) -> None:
        """How an origin does, in words, and whether events can come in by it."""
        with self._guard:
            before = self._watching.origins.get(name)
            since = before.since if before and before.up == up else time.time()
            self._set(origins={**self._watching.origins, name: Source(state, up, since)})

    def only_origins(self, names: Collection[str]) -> None:
        """Another configuration has only these."""
        with self._guard:
            self._set(origins={name: each for name, each in self._watching.origins.items() if name in names})

    def configured(self, configuration: str, error: str = "") -> None:
        """Which configuration it works by, and why another one was refused."""
        self._change(configuration=configuration, reload_error=error)

    def begin(self, ids: tuple[str, ...]) -> None:
        """A round begins."""
        self._change(round=Round(time.time(), ids[:_MOST_IDS]), now=True)

    def end(self, result: str, snapshot: str = "", seconds: float | None = None, error: str = "") -> None:
        """It ended: `result` in a word, `seconds` from the notice of its first event until it was live."""
        self._change(round=None, last=Last(time.time(), result, snapshot, seconds, error), now=True)

    def beat(self) -> None:
        """Writes what has changed; and now and then that it is still there. To be called about once a second."""
        with self._guard:
            self._write(now=False)

    def stop(self) -> None:
        """It ends in order."""
        self._change(stopped=time.time(), round=None, now=True)

    def _change(self, now: bool = False, **changes: Any) -> None:
        with self._guard:
            self._set(now, **changes)

    def _set(self, now: bool = False, **changes: Any) -> None:
        changed = replace(self._watching, **changes)
        self._fresh = self._fresh or changed != self._watching
        self._watching = changed
        self._write(now)

    def _write(self, now: bool) -> None:
        clock = time.monotonic()
        since = None if self._written is None else clock - self._written
        due = since is None or now or since >= (_SPACE if self._fresh else BEAT)
        if not due:
            return
        self._watching = replace(self._watching, beat=time.time())
        self._written, self._fresh = clock, False
        try:
            replace_file(self._file, written(self._watching), durable=False)
        except OSError:  # a full disk is told by rounds; the next beat tries again
            self._fresh = True
