"""Figures for Prometheus, as its client library keeps and writes them. `docs/metrics.md` says what each means."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from builder.files import replace_file
from sync.events.figures.counting import Figures, Watched
from sync.events.figures.exposed import InStore, OfStore
from sync.events.figures.scrapes import Scrapes
from sync.events.figures.standing import Reader, Standing
from sync.events.model import OUTCOMES, Result
from sync.events.settings import Metrics

EVERY = 15.0
"""So often, in seconds, the textfile is written at least."""
EVENTS = frozenset(
    (
        *("taken", "merged", "unknown", "unauthorized", "malformed", "too-large", "no-length", "slow"),
        *("not-kept", "failed", "not-a-file", "unreadable", "not-removable", "no-room"),
    )
)
"""What becomes of events; anything else counts as `other`."""
ORIGINS = frozenset(("amqp", "webhook", "spool", "kept", "start", "sweep", "signal", "release"))
"""Where events come in."""
_MOST_REASONS = 50
_QUICK = (0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300)
_WORK = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
_LIVE = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 900, 3600)


class Measured(Figures):
    """Figures that somebody has asked for: in a file for the node exporter, at a place to ask, or both."""

    def __init__(self, watched: Watched, say: Callable[[str], None]) -> None:
        self._watched, self._metrics, self._say = watched, Metrics(), say
        self._reader, self._reading = Reader(watched.store), threading.Lock()
        self._scrapes: Scrapes | None = None
        self._written, self._fresh, self._trouble = 0.0, True, ""
        self._failing_since = 0.0
        self._reasons: set[str] = set()
        registry = CollectorRegistry()
        self._shown = InStore(registry, os.fsencode(watched.store.root).decode("utf-8", "replace"))
        self._make(registry)
        self._success.set(watched.store.built() or time.time())
        self._reloaded.set(1)
        ProcessCollector("flatdex", registry=registry)
        Info("flatdex", "The version.", registry=registry).info({"version": watched.version})
        registry.register(OfStore(self.standing))

    def _make(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"flatdex_{name}", what, labels, registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"flatdex_{name}", what, labels, registry=registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"flatdex_{name}", what, registry=registry, buckets=buckets)

        self._sweep = gauge("sweep_interval_seconds", "The time between two sweeps, as configured.")
        self._success = gauge("last_success_timestamp_seconds", "When a round last did all it had to in the store.")
        self._failing = gauge("rounds_failing_since_timestamp_seconds", "Since when no round succeeded; 0: one did.")
        self._events = counter("events", "Events, by where they came in, and what became of them.", "origin", "outcome")
        self._queue = gauge("queue_events", "Events that wait for a round, or for its end.")
        self._repositories = gauge("queue_repositories", "Repositories that these events name.")
        self._oldest = gauge("queue_oldest_timestamp_seconds", "When the oldest of them came in; 0: none waits.")
        self._rounds = counter("rounds", "Rounds, by what they came to.", "result")
        self._build = histogram("build_seconds", "How long builds took.", _WORK)
        self._push = histogram("push_seconds", "How long it took to bring targets up to date.", _WORK)
        self._lock = histogram("lock_wait_seconds", "How long rounds waited for the store's lock.", _QUICK)
        self._notice = histogram("notice_to_live_seconds", "From an event's notice until its effect was live.", _LIVE)
        self._skips = gauge("skips", "Images that the last round left out, by the reason's code.", "reason")
        self._stale = gauge("stale_sources", "Repositories and sources that keep their last good images.")
        self._up = gauge("origin_up", "Whether events can come in by this origin.", "origin")
        self._reloaded = gauge("config_last_reload_successful", "Whether the configuration was taken when last read.")
        for outcome in OUTCOMES:
            self._rounds.labels(outcome)

    def event(self, origin: str, outcome: str) -> None:
        self._events.labels(_known(origin, ORIGINS), _known(outcome, EVENTS)).inc()

    def waiting(self, events: int, repositories: int, oldest: float) -> None:
        self._queue.set(events)
        self._repositories.set(repositories)
        self._oldest.set(time.time() - oldest if events else 0)

    def round(self, result: Result) -> None:
        self._rounds.labels(result.outcome).inc()
        self._lock.observe(result.lock_seconds)
        for histogram, seconds in ((self._build, result.build_seconds), (self._push, result.push_seconds)):
            if seconds > 0:  # else there was none
                histogram.observe(seconds)
        now = time.time()
        if result.good:
            self._failing_since = 0.0
            self._success.set(now)
            self._stale.set(result.stale)
            self._show_skips(result)
            if result.refs and not result.held:
                with self._reading:
                    self._reader.know(result.snapshot, result.expires, result.refs)
        elif result.outcome == "failed":
            self._failing_since = self._failing_since or now
        self._failing.set(self._failing_since)
        self._fresh = True

    def _show_skips(self, result: Result) -> None:
        """A reason that is no more has 0 from now on: a line that ends looks like one that nobody measures."""
        found: dict[str, int] = {}
        for code, number in result.skips.items():
            plain = code if re.fullmatch(r"[a-z-]{1,40}", code) else "other"
            plain = plain if plain in self._reasons or len(self._reasons) < _MOST_REASONS else "other"
            self._reasons.add(plain)
            found[plain] = found.get(plain, 0) + number
        for reason in self._reasons:
            self._skips.labels(reason).set(found.get(reason, 0))

    def live(self, seconds: float) -> None:
        self._notice.observe(seconds)

    def origin(self, name: str, up: bool) -> None:
        name = _known(name, ORIGINS)
        self._up.labels(name).set(up)
        self._events.labels(name, "taken")  # what is counted for the first time would else rise from nowhere

    def only_origins(self, names: Collection[str]) -> None:
        for name in ORIGINS.difference(names):
            with contextlib.suppress(KeyError):
                self._up.remove(name)

    def config_reload(self, ok: bool) -> None:
        self._reloaded.set(ok)

    def configure(self, watched: Watched, metrics: Metrics) -> Figures:
        if metrics.listen != self._metrics.listen:
            fresh = Scrapes(metrics.listen, self.text) if metrics.listen else None
            if self._scrapes:
                self._scrapes.stop()
            self._scrapes = fresh
        self._watched, self._metrics, self._fresh = watched, metrics, True
        self._sweep.set(watched.every)
        return self

    def text(self) -> bytes:
        """All figures as they are now, in Prometheus' text format."""
        return generate_latest(self._shown)

    def standing(self) -> Standing:
        """What the store says now."""
        with self._reading:
            return self._reader.read(self._watched.targets)

    def tick(self) -> None:
        file, now = self._metrics.textfile, time.monotonic()
        if file is None or not (self._fresh or now - self._written >= EVERY):
            return
        self._written, self._fresh, trouble = now, False, ""
        try:
            replace_file(file, self.text(), durable=False)
        except OSError as error:
            trouble = f"the figures can't be written to {file}: {error.strerror}"
        if trouble and trouble != self._trouble:
            self._say(trouble)
        self._trouble = trouble

    def close(self) -> None:
        self._fresh = True
        self.tick()
        if self._scrapes:
            self._scrapes.stop()


def _known(word: str, words: frozenset[str]) -> str:
    """A word of ours: what others say must not become names of figures without end."""
    return word if word in words else "other"
