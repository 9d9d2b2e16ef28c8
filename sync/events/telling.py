"""What a watch tells of itself: lines in the log, figures, its state in the store, and a word to systemd."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from builder.report import span
from builder.store import Store
from sync.events.figures.counting import Figures, Watched
from sync.events.figures.figures import figures
from sync.events.gather import Item
from sync.events.lines import Lines, one_line
from sync.events.model import Order, Result, TargetResult
from sync.events.notify import Notifier
from sync.events.retry import Retry
from sync.events.setup import Setup
from sync.events.state import Keeper

_TAKEN = ("taken", "merged")
_MOST_NAMES = 5


class Teller:
    """Tells all of it; what is told by threads of origins may be told at any time."""

    def __init__(self, setup: Setup, lines: Lines, version: str, notifier: Notifier) -> None:
        self._lines = lines
        self._version = version
        self._notifier = notifier
        self._keeper = Keeper(Store(setup.store), version, str(setup.file))
        self._file = str(setup.file)
        self._figures: Figures = figures(self._watched(setup), setup.metrics, lines.warn)
        self._said: frozenset[str] = frozenset()
        self._behind: dict[str, str] = {}

    def _watched(self, setup: Setup) -> Watched:
        return Watched(Store(setup.store), setup.targets, setup.events.every, self._version)

    def started(self, setup: Setup) -> None:
        """It has begun to listen."""
        self._lines.say(f"watching by {setup.file}, store {setup.store}; everything is looked at {_every(setup)}")
        self._notifier.ready()

    def event(self, origin: str, outcome: str, line: str, identifier: str) -> None:
        """An event came in: what became of it, and a line about it."""
        self._figures.event(origin, outcome)
        if outcome == "taken":
            self._lines.often(f"{origin} taken", line, [identifier])
        elif outcome == "unknown":
            self._lines.detail(f"{origin}: nothing of ours: {line}")
        elif outcome not in _TAKEN:
            self._lines.often(f"{origin} {outcome}", line, warning=True)

    def origin(self, name: str, state: str, up: bool = True) -> None:
        """How an origin does."""
        self._keeper.origin(name, state, up)
        self._figures.origin(name, up)
        if self._lines.changed(f"origin {name}", state):
            (self._lines.say if up else self._lines.warn)(f"{name}: {state}")

    def origins(self, names: Collection[str]) -> None:
        """There are only these now."""
        self._keeper.only_origins(names)
        self._figures.only_origins(names)

    def trouble(self, about: str, text: str) -> None:
        """Something went wrong that is no event's and no round's; empty: that is over."""
        if self._lines.changed(about, text) and text:
            self._lines.warn(f"{about}: {text}")

    def begins(self, order: Order) -> None:
        """A round begins."""
        self._keeper.begin(order.ids)
        self._lines.detail(f"a round begins: {_looked_at(order)}", order.ids)

    def over(self, order: Order, result: Result, items: Sequence[Item], owed: Mapping[str, Retry], now: float) -> None:
        """A round has ended, which was for `items`; `owed` are the targets that are tried again later."""
        seconds = now - min(item.noticed for item in items) if items and result.good else None
        live = result.changed and result.good and any(target.live for target in result.targets)
        self._figures.round(result)
        if live:
            for item in items:
                self._figures.live(now - item.noticed)
        self._keeper.end(result.outcome, result.snapshot, seconds if live else None, result.error)
        self._tell_failure(order, result)
        self._tell_lines(order, result)
        for target in result.targets:
            self._tell_target(target, owed, now)
        if result.good:
            self._lines_of(order, result, seconds)
        self._figures.tick()

    def _tell_failure(self, order: Order, result: Result) -> None:
        """Once, however often it is tried again in vain."""
        failure = result.error if not (result.good or result.interrupted) else ""
        if self._lines.changed("round", failure):
            failure = one_line(failure, most=2000)
            if failure:
                self._lines.warn(f"nothing was published, and it is tried again: {failure}", order.ids)
            else:
                self._lines.say("rounds succeed again", order.ids)
        if result.interrupted:
            self._lines.say("the round was abandoned; what it was for is done later", order.ids)

    def _tell_lines(self, order: Order, result: Result) -> None:
        """What the last round did not say, too; and that nothing more is wrong."""
        if not result.good:
            return
        for line in result.lines:
            if line not in self._said:
                self._lines.warn(line, order.ids)
        if self._said and not result.lines:
            self._lines.say("there is nothing more to say of what is published: all is well", order.ids)
        self._said = frozenset(result.lines)

    def _tell_target(self, target: TargetResult, owed: Mapping[str, Retry], now: float) -> None:
        before = self._behind.pop(target.name, "")
        if target.live:
            if before:
                self._lines.say(f"{target.name} is up to date again")
            return
        self._behind[target.name] = before if target.left_out and before else target.error
        if target.left_out or before == target.error:
            return
        due = owed.get(target.name)
        again = f"; it is tried again in {span(due.due - now)}" if due else ""
        self._lines.warn(f"{target.name}: {target.error}{again}")

    def _lines_of(self, order: Order, result: Result, seconds: float | None) -> None:
        """What came of it."""
        took = f" (build {result.build_seconds:.2f} s, push {result.push_seconds:.2f} s)"
        after = "" if seconds is None else f", {seconds:.2f} s after the notice"
        live = [target.name for target in result.targets if target.live]
        more: dict[str, Any] = {"snapshot": result.snapshot, "outcome": result.outcome}
        unread = _names(sorted(name or "a whole source" for name in result.again))
        if self._lines.changed("again", unread):
            said = f"could not be read now, and is tried again: {unread}" if unread else "all can be read again"
            self._lines.say(said, order.ids, **more)
        if not result.changed and order.repositories:
            what = f"nothing new of {_looked_at(order)}: {result.snapshot} has all that indexes take of it"
            self._lines.often("nothing new", what, order.ids, **more)
        elif not result.changed:
            self._lines.detail(f"nothing new: {result.snapshot}", order.ids, **more)
        elif result.held:
            self._lines.say(f"built {result.snapshot}; it is not promoted while a hold lasts", order.ids, **more)
        else:
            failed = [target.name for target in result.targets if not target.live]
            if failed and not live:
                self._lines.say(f"promoted {result.snapshot}, but not live on {_names(failed)} yet", order.ids, **more)
                return
            where = f" on {_names(live)}" if live else ", promoted"
            but = f"; not yet on {_names(failed)}" if failed else ""
            self._lines.say(f"live: {result.snapshot}{where}{after}{took}{but}", order.ids, **more)

    def configure(self, setup: Setup) -> None:
        """Figures as another configuration wants them. Raises FlatdexError, and leaves them as they are."""
        self._figures = self._figures.configure(self._watched(setup), setup.metrics)

    def reloaded(self, error: str, setup: Setup | None = None) -> None:
        """The configuration was read again, or refused with an error."""
        self._figures.config_reload(not error)
        self._keeper.configured(self._file, error)
        if error:
            self._lines.warn(f"the new configuration was refused, the old one stays: {error}")
        elif setup:
            self._behind = {name: why for name, why in self._behind.items() if name in setup.targets}
            self._lines.say(f"the configuration was read again; everything is looked at {_every(setup)}")

    def tick(self, waiting: Sequence[Item], now: float) -> None:
        """What waits, about once a second."""
        repositories = frozenset().union(*(item.repositories or frozenset() for item in waiting))
        oldest = now - min((item.noticed for item in waiting), default=now)
        self._keeper.waiting(len(waiting), oldest)
        self._keeper.beat()
        self._figures.waiting(len(waiting), len(repositories), oldest)
        self._figures.tick()

    def stopped(self) -> None:
        """It ends in order."""
        self._keeper.stop()
        self._figures.close()
        self._lines.say("stopped; what waits is kept where it came from")


def _every(setup: Setup) -> str:
    return f"every {span(setup.events.every)}"


def _looked_at(order: Order) -> str:
    if order.repositories is None:
        return "everything is looked at"
    if order.repositories:
        return _names(sorted(order.repositories))
    return f"what is built goes to {_names(order.targets)}" if order.targets else "what is built is published"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else shown
