"""What came from whom so far, and whom to leave alone from here on."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from sync.mirror.model import Source
from sync.mirror.reader import Failing, Wrong

_STRIKES = 3


class Tally:
    """Counts for threads that fetch objects."""

    def __init__(self) -> None:
        self.over = 0
        """Objects that are had, or can't be had."""
        self.came = 0
        """Bytes of objects that are had, and of parts of others."""
        self.missing: dict[str, str] = {}
        """Why an object, by its sha256, can't be had."""
        self.dropped: dict[Source, str] = {}
        self._strikes: Counter[tuple[Source, type[Exception]]] = Counter()
        self._objects: Counter[Source] = Counter()
        self._bytes: Counter[Source] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> Mapping[Source, tuple[int, int]]:
        """The objects that each source gave the last byte of, and all bytes that it sent."""
        return {source: (self._objects[source], number) for source, number in sorted(self._bytes.items()) if number}

    @property
    def wrong(self) -> Mapping[Source, int]:
        """How many objects with other bytes each source gave."""
        return {source: number for (source, kind), number in sorted(self._strikes.items(), key=str) if kind is Wrong}

    def moved(self, number: int) -> None:
        """So many bytes more are here, or less."""
        with self._lock:
            self.came += number

    def sent(self, source: Source, number: int) -> None:
        """The source has sent so many bytes, whatever they are good for."""
        with self._lock:
            self._bytes[source] += number

    def gave(self, source: Source) -> None:
        """The source has completed an object."""
        with self._lock:
            self._objects[source] += 1

    def done(self, sha256: str, why: str) -> None:
        """Nothing more is to be done about an object; `why` it is not here, if it isn't."""
        with self._lock:
            self.over += 1
            if why:
                self.missing[sha256] = why

    def drop(self, source: Source, why: str) -> None:
        """The source is not to be asked any more; the first reason counts."""
        with self._lock:
            self.dropped.setdefault(source, why)

    def strike(self, source: Source, error: Wrong | Failing) -> None:
        """An object that was not what it should be, or an answer that was none: the third of a kind is one too many."""
        with self._lock:
            self._strikes[source, type(error)] += 1
            if self._strikes[source, type(error)] == _STRIKES:
                often = "gave other bytes than were wanted" if isinstance(error, Wrong) else "failed"
                self.dropped.setdefault(source, f"{often} for the third time: {error}")
