"""How the watch does, as a person reads it and as a script does: its state, and whether its process is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from builder.description import time_text
from builder.report import counted, span
from builder.store import Store
from sync.events import watching
from sync.events.watching import Watching

RUNNING, SILENT, DEAD, STOPPED = "running", "silent", "dead", "stopped"


@dataclass(frozen=True)
class Seen:
    """A watch as it is seen at a time, in seconds: `state` is one of `running`, `silent` (its process is there, but
    does nothing), `dead` (it did not end in order) and `stopped`."""

    watching: Watching
    state: str
    now: float

    @property
    def lines(self) -> Iterator[str]:
        """For a person: one, and one for each origin of events that is down."""
        watching = self.watching
        process, seen = f"process {watching.pid}", f"last heard of {time_text(int(watching.beat))}"
        if self.state == STOPPED:
            yield f"not running: stopped {time_text(int(watching.stopped))}"
            return
        if self.state == DEAD:
            yield f"not running: {seen} ({process}), and it did not stop in order: start it again"
            return
        if self.state == SILENT:
            yield f"hangs: {process} is there, but was {seen}: start it again"
        else:
            doing = filter(None, (self._round, self._last, self._waiting))
            yield f"running since {time_text(int(watching.started))} ({process}); {'; '.join(doing)}"
        for name, origin in sorted(watching.origins.items()):
            if not origin.up:
                yield f"{name}: {_plain(origin.state)}, since {time_text(int(origin.since))}"
        if watching.reload_error:
            yield f"works by its old configuration: {_plain(watching.reload_error)}"

    @property
    def _round(self) -> str:
        found = self.watching.round
        return f"a round is under way for {self._ago(found.since)}" if found else ""

    @property
    def _last(self) -> str:
        last = self.watching.last
        if last is None:
            return "no round yet"
        said = f"last round {self._ago(last.at)} ago: {last.result}" + (f", {last.snapshot}" if last.snapshot else "")
        live = f", live {last.seconds:.1f} s after the notice" if last.seconds is not None else ""
        return f"{said}{live}" + (f": {_plain(last.error)}" if last.error else "")

    @property
    def _waiting(self) -> str:
        if not self.watching.waiting:
            return "waiting: nothing"
        oldest = self._ago(self.watching.waiting_since)
        return f"waiting: {counted(self.watching.waiting, 'event')}, the oldest for {oldest}"

    def _ago(self, then: float) -> str:
        return span(self.now - then)

    @property
    def as_json(self) -> dict[str, Any]:
        """For a script; times are texts, null: never."""
        watching, found = self.watching, asdict(self.watching)
        for key in ("started", "beat", "stopped", "waiting_since"):
            found[key] = time_text(int(found[key])) if found[key] else None
        if watching.round:
            found["round"]["since"] = time_text(int(watching.round.since))
        if watching.last:
            found["last"]["at"] = time_text(int(watching.last.at))
        for name, origin in watching.origins.items():
            found["origins"][name]["since"] = time_text(int(origin.since))
        return {"state": self.state, **found}


def _plain(text: str) -> str:
    """In one line."""
    return " ".join(text.split())


def seen(store: Store, now: float) -> Seen | None:
    """The watch of a store; None if there never was one, or if nothing can be told of it."""
    found = watching.read(store)
    if found is None:
        return None
    if found.stopped:
        return Seen(found, STOPPED, now)
    if not watching.is_alive(found):
        return Seen(found, DEAD, now)
    if not watching.is_silent(found, now):
        return Seen(found, RUNNING, now)
    return Seen(found, SILENT if watching.is_here(found) else DEAD, now)
