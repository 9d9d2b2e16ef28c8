"""Brings objects into the pool: each once, from the first source that has it, checked by its digest."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from builder.config import CONNECTIONS, Access
from builder.parallel import threads
from builder.sources.tls import BadCertificateError
from builder.sources.transport import Patience
from sync.mirror import room
from sync.mirror.by_file import FolderReader
from sync.mirror.by_http import HttpReader
from sync.mirror.item import Item, items_of
from sync.mirror.model import Bearer, Source, Wanted
from sync.mirror.part import Part, UnwritableError
from sync.mirror.pool import Pool
from sync.mirror.reader import Absent, Failing, Lost, Reader, Stopped, Wrong
from sync.mirror.tally import Tally

Progress = Callable[[int, int, int, int], None]
"""Called with how many objects are done, of how many, and with the bytes of both."""

PATIENCE = Patience(connect=10, read=10, whole=0, retries=3)
"""`read` is also for how long less than a hundred bytes a second may come; nothing limits the whole."""

_TICK = 0.1  # seconds between two looks at how far it is
_LAST_WORD = 1.0  # seconds that those who are interrupted have to come to an end


@dataclass(frozen=True)
class Fetched:
    """What came of it: what no source had, with the last reason; sources that were dropped, with theirs.

    `taken` has the objects and the bytes that came from each source, `wrong` how many objects with other bytes.
    """

    missing: Mapping[Wanted, str] = field(default_factory=dict)
    dropped: Mapping[Source, str] = field(default_factory=dict)
    taken: Mapping[Source, tuple[int, int]] = field(default_factory=dict)
    wrong: Mapping[Source, int] = field(default_factory=dict)


def fetch(
    wanted: Iterable[Wanted],
    bearers: Sequence[Bearer],
    pool: Pool,
    *,
    parallel: int = CONNECTIONS,
    progress: Progress = lambda done, total, came, size: None,
    access: Access | None = None,
    environment: Mapping[str, str] = os.environ,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Fetches what is neither in the pool nor in a snapshot; `bearers` are asked for each object in their order.

    The caller holds the store's lock. Raises FlatdexError where the pool can't be written, such as on a full disk.
    """
    reasons = list(wanted)
    items = [item for item in items_of(reasons) if pool.have(item.sha256) is None]
    run = _Run(items, pool, progress)
    if items:
        run.bring(bearers, parallel, replace(access or Access(), connections=parallel), environment, patience)
    return run.fetched(reasons)


class _Run:
    """One fetch: threads that take one object after the other, and a loop that shows how far they are."""

    def __init__(self, items: list[Item], pool: Pool, progress: Progress) -> None:
        self._items, self._pool, self._progress = items, pool, progress
        self._left = deque(items)
        self._stopped = threading.Event()
        self._tally = Tally()

    def bring(
        self,
        bearers: Sequence[Bearer],
        parallel: int,
        access: Access,
        environment: Mapping[str, str],
        patience: Patience,
    ) -> None:
        """Fetches all of it. If it is interrupted, what is under way is cut, and can be gone on with."""
        room.check(self._items, self._pool)
        with contextlib.ExitStack() as stack:
            readers = list(self._readers(bearers, access, environment, patience))
            for reader in readers:
                stack.callback(reader.close)
            number = min(parallel, len(self._items))
            workers = stack.enter_context(threads(number))
            work = {workers.submit(self._work, readers) for _ in range(number)}
            try:
                self._wait(work)
                self._pool.settle()
            except BaseException as error:
                self._stopped.set()
                for reader in readers:
                    reader.cut()
                if not isinstance(error, Exception):
                    wait(work, _LAST_WORD)
                if isinstance(error, UnwritableError) and error.full:
                    raise room.used_up(self._items, self._pool) from error
                raise

    def _wait(self, work: set[Future[None]]) -> None:
        tally, size = self._tally, sum(item.size or 0 for item in self._items)
        while work:
            done, work = wait(work, _TICK, FIRST_EXCEPTION)
            for each in done:
                each.result()
            self._progress(tally.over, len(self._items), tally.came, max(size, tally.came))

    def _readers(
        self, bearers: Sequence[Bearer], access: Access, environment: Mapping[str, str], patience: Patience
    ) -> Iterator[Reader]:
        for bearer in bearers:
            if bearer.source.is_file:
                yield FolderReader(bearer, self._stopped)
                continue
            try:
                yield HttpReader(bearer, access, environment, patience, self._stopped)
            except BadCertificateError as error:
                self._tally.drop(bearer.source, str(error))

    def _work(self, readers: Sequence[Reader]) -> None:
        """What each thread does. Raises UnwritableError."""
        with contextlib.suppress(Stopped):
            while not self._stopped.is_set() and (item := self._next()):
                self._bring(item, readers)

    def _next(self) -> Item | None:
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def _bring(self, item: Item, readers: Sequence[Reader]) -> None:
        with Part(self._pool.part(item.sha256), self._tally.moved) as part:
            part.recall(lambda: not self._stopped.is_set())
            why = "" if part.sha256 == item.sha256 else self._from_any(item, part, readers)
            if not why:
                self._pool.keep(item.sha256, part.size)
            elif not part.size:
                part.file.unlink(missing_ok=True)
            self._tally.done(item.sha256, why)

    def _from_any(self, item: Item, part: Part, readers: Sequence[Reader]) -> str:
        """Asks one source after the other. Gives why none had it, or nothing."""
        why = "no source has it"
        for reader in readers:
            if not reader.may_have(item):
                continue
            if reader.source in self._tally.dropped:
                why = f"{reader.source.url} was dropped"
                continue
            why = self._from_one(item, part, reader)
            if not why:
                break
        return why

    def _from_one(self, item: Item, part: Part, reader: Reader) -> str:
        """Gives why it can't be had there, or nothing; and drops the source, if that is the reason for it."""
        try:
            self._read(item, part, reader)
        except Absent as error:
            return str(error)
        except Lost as error:
            self._tally.drop(reader.source, str(error))
            return str(error)
        except (Wrong, Failing) as error:
            self._tally.strike(reader.source, error)
            return str(error)
        self._tally.gave(reader.source)
        return ""

    def _read(self, item: Item, part: Part, reader: Reader) -> None:
        """If what others began is bad, all of it is read again. Raises Wrong, and all that readers do."""
        for _ in range(2):
            part.begin()
            try:
                reader.read(item, part)
                if part.sha256 == item.sha256:
                    return
                raise Wrong(f"{item.name} has {part.size} bytes with another digest, from {reader.source.url}")
            except Wrong:
                begun_by_others = not part.is_from_one
                if begun_by_others and not part.came:  # it was refused before a byte of it came
                    raise
                part.restart()
                if not begun_by_others:
                    raise
            finally:
                self._tally.sent(reader.source, part.came)
        raise Wrong(f"{item.name} could not be read from {reader.source.url}")

    def fetched(self, wanted: Iterable[Wanted]) -> Fetched:
        """All that came of it."""
        missing = {}
        for each in wanted:
            file = self._pool.have(each.sha256)
            if file is None:
                missing[each] = self._tally.missing.get(each.sha256, "no source has it")
            elif each.size is not None and (size := _size(file)) != each.size:
                missing[each] = f"sha256:{each.sha256} has {size} bytes, not the {each.size} that are said of it"
        return Fetched(missing, dict(sorted(self._tally.dropped.items())), self._tally.taken, self._tally.wrong)


def _size(file: Path) -> int:
    return file.stat().st_size
