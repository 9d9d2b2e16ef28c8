"""Screenshots from their hosts into the site: each fetched once, in parallel, and made into pictures of our own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import wait
from pathlib import Path

from builder.config import Pages
from builder.description import Snapshot
from builder.parallel import threads
from builder.report import Report
from builder.screenshots import notes, shots, webp
from builder.screenshots.lanes import Lanes
from builder.screenshots.notes import Note, Notes
from builder.screenshots.shelf import Shelf
from builder.screenshots.shots import Known, KnownShot, Picture, Shot, Trouble
from builder.screenshots.web import Failed, Web, unfit
from builder.screenshots.webp import Rejected

_THREADS = 16
_AT_ONCE = 4  # requests to one host
_STALL = 30.0  # seconds in which nothing was got from anybody, after which a build goes on without the rest
_LONGEST = 900  # seconds for all that is asked in one build; the next one asks for the rest
_TICK = 0.1  # seconds between two looks at how far it is


def mirrored(
    urls: Iterable[str],
    pages: Pages,
    folder: Path,
    previous: Snapshot | None,
    report: Report,
    offline: bool,
    full: bool = False,
) -> tuple[Mapping[str, Shot], tuple[Trouble, ...]]:
    """The pictures of all screenshots that there are any of, by URL, and why there are none of the others.

    `folder` is the cache's; it may be deleted at any time. What the `previous` snapshot has is taken from there: as it
    is, or with `full` after its bytes were read. One caller at a time. With `offline` nobody is asked.
    """
    now = int(time.time())
    work = _Work(pages.picture_hosts, folder, previous, full)
    work.recall(urls, now)
    if not offline:
        work.fetch(report, now)
    work.close(now)
    return dict(sorted(work.found.items())), tuple(work.troubles(offline))


class _Work:
    """What is known and found out in one build."""

    def __init__(self, hosts: tuple[str, ...], folder: Path, previous: Snapshot | None, full: bool) -> None:
        _make_private(folder)
        self.found: dict[str, Shot] = {}
        self._hosts = hosts
        self._failures: dict[str, Trouble] = {}
        self._wanted: list[str] = []
        self._again: set[str] = set()
        self._silent: set[str] = set()
        self._told = shots.known_to(previous)
        self._notes = Notes(folder / "notes", hosts)
        self._shelf = Shelf(folder / "pictures", previous, full)
        self._makers = threading.Semaphore(min(2, len(os.sched_getaffinity(0))))
        self._moved = time.monotonic()
        self._over = 0

    def recall(self, urls: Iterable[str], now: int) -> None:
        """Finds the pictures that were made before."""
        self._wanted = sorted(set(urls))
        for url in self._wanted:
            if why := unfit(url):
                self._failures[url] = Trouble(url, why, shots.NEVER)
                continue
            note = self._notes[url]
            for known in (note.shot, self._told.get(url)):
                if known and (shot := self._shelf.shot(known)):
                    self.found[url] = shot
                    if known != note.shot:
                        self._notes.put(url, notes.adopted(known, now))
                    break

    def troubles(self, offline: bool) -> Iterator[Trouble]:
        """Why there is no picture of what there is none of."""
        for url in self._wanted:
            if url not in self.found:
                note = self._notes[url] if self._notes[url].why else self._notes[shots.host_of(url)]
                why = note.why or ("not fetched yet" if offline else "not asked: others took too long")
                yield self._failures.get(url) or Trouble(url, why, note.again)

    def fetch(self, report: Report, now: int) -> None:
        """Asks for all that there is no picture of, and then what may have changed."""
        jobs = list(self._jobs(now))
        if not jobs:
            return
        lanes = Lanes(((shots.host_of(url), url) for url in jobs), _AT_ONCE)
        show = report.progress("screenshots")
        number = min(_THREADS, len(jobs))
        started = self._moved = time.monotonic()
        with webp.strict(), Web(self._hosts, _AT_ONCE) as web, contextlib.ExitStack() as stack:
            pool = stack.enter_context(threads(number))
            stack.callback(lanes.stop)
            working = {pool.submit(self._ask_on, lanes, web) for _ in range(number)}
            while working:
                done, working = wait(working, _TICK)
                for each in done:
                    each.result()
                show(min(self._over, len(jobs)), len(jobs))
                now_running = time.monotonic()
                if now_running - self._moved > _STALL or now_running - started > _LONGEST:
                    lanes.stop()

    def _jobs(self, now: int) -> Iterator[str]:
        asked = [url for url in self._wanted if url not in self._failures]
        missing = [url for url in asked if url not in self.found and not self._notes[url].waits(now)]
        due = [url for url in asked if url in self.found and notes.is_due(url, self._notes[url], now)]
        for url in (*missing, *due):
            if not self._notes[shots.host_of(url)].waits(now):
                yield url

    def _ask_on(self, lanes: Lanes, web: Web) -> None:
        """What each thread does, until nothing is left."""
        while taken := lanes.take():
            host, url = taken
            try:
                self._ask(lanes, web, host, url)
            finally:
                lanes.done(host)

    def _ask(self, lanes: Lanes, web: Web, host: str, url: str) -> None:
        note = self._notes[url]
        try:
            fetched = web.picture(url, note.conditions if url in self.found else {})
        except Failed as error:
            self._fail(lanes, host, url, error)
            return
        self._answered(lanes, host)
        now = int(time.time())
        if fetched.data is None:
            self._notes.put(url, note.unchanged(now))
        else:
            self._take(url, fetched.data, fetched.headers, now)
        self._moved = time.monotonic()
        self._over += 1

    def _take(self, url: str, data: bytes, headers: Mapping[str, str], now: int) -> None:
        """Makes pictures of what came, unless they were made of the very same bytes before."""
        note = self._notes[url]
        source = hashlib.sha256(data).hexdigest()
        before = self.found.get(url)
        if before is None or before.source != source:
            try:
                with self._makers:
                    large, small = webp.made(data)
            except Rejected as error:
                self._notes.put(url, note.failing(str(error), now, lasting=True))
                return
            kept = self._shelf.keep(large)
            before = Shot(kept, kept if small is large else self._shelf.keep(small), source)
            self.found[url] = before
        self._notes.put(url, note.answered(_known_shot(before), headers, now))

    def _answered(self, lanes: Lanes, host: str) -> None:
        lanes.answered(host)
        if self._notes[host] != Note():
            self._silent.discard(host)
            self._notes.put(host, Note())

    def _fail(self, lanes: Lanes, host: str, url: str, error: Failed) -> None:
        now = int(time.time())
        if error.answered and not error.busy:
            self._answered(lanes, host)
        elif (error.busy or not lanes.has_answered(host)) and host not in self._silent:
            self._silent.add(host)  # known from now on, whatever ends this run
            self._notes.put(host, self._notes[host].failing(error.why, now, lasting=False, pause=error.pause))
        if error.busy or (not error.answered and lanes.unanswered(host)):
            self._over += 1 + len(lanes.close(host))
        elif not error.lasting and url not in self._again:
            self._again.add(url)
            self._over += not lanes.put_back(host, url)
        else:
            self._over += 1
            self._notes.put(url, self._notes[url].failing(error.why, now, lasting=error.lasting))

    def close(self, now: int) -> None:
        """Leaves the cache tidy for the next build."""
        self._notes.close({*self._wanted, *map(shots.host_of, self._wanted)}, now)
        self._shelf.tidy(frozenset(self._notes.named()))


def _known_shot(shot: Shot) -> KnownShot:
    return KnownShot(_known(shot.full), _known(shot.small), shot.source)


def _known(picture: Picture) -> Known:
    return Known(picture.content.sha256, picture.width, picture.height)


def _make_private(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
