"""The watch: takes events, begins rounds, and sees to what came of them. One thread decides, others only listen."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from builder.errors import Exit, FlatdexError, LockedError
from builder.files import create_folder
from builder.store import Store
from sync import notes
from sync.events import gather, retry
from sync.events.gather import Item
from sync.events.inbox import Events
from sync.events.kept.journal import FOLDER, Journal
from sync.events.model import Hint, Order, Result
from sync.events.notify import Notifier
from sync.events.origins import Origins
from sync.events.retry import Retry
from sync.events.rounds import Round, Rounds
from sync.events.settings import MOST_SETTLE
from sync.events.setup import Setup
from sync.events.signals import Signals
from sync.events.telling import Teller

LOCK = "watch.lock"
_TICK = 1.0  # seconds
_SAFE = 600.0  # seconds after which what could not be done yet is kept in the store: brokers don't wait for ever
_OTHERS = ("amqp", "webhook", "spool")
"""Origins that may ask for a look at everything as often as they like: it rests between two of theirs."""
_REST, _LONGEST_REST = 10.0, 60.0  # times as long as the look took, and seconds
_GRACE = 5.0  # seconds that a round is given to end by itself
_ENDING = 8.0  # and to end when it is interrupted: programs that it started get 3 s, before they are killed


class Watch:
    """A watch from its start to its end."""

    def __init__(
        self,
        setup: Setup,
        load: Callable[[], Setup],
        rounds: Rounds,
        teller: Teller,
        signals: Signals,
        notifier: Notifier,
    ) -> None:
        self._setup = setup
        self._load = load
        self._rounds = rounds
        self._teller = teller
        self._signals = signals
        self._notifier = notifier
        self._store = Store(setup.store)
        self._inbox = Events(setup.takes, signals.wake, teller.event, teller.origin)
        self._journal = Journal(setup.store / FOLDER)
        self._origins = Origins(self._inbox, self._journal, setup.identity)
        self._round: Round | None = None
        self._items: tuple[Item, ...] = ()
        self._owed: dict[str, Retry] = {}
        """Targets that have failed, and when they are tried again."""
        self._safe: set[str] = set()
        self._sweep_at = 0.0
        self._began = 0.0
        self._whole_from = 0.0
        """When others may cause a look at everything again."""
        self._held = False

    def run(self) -> int:
        """Until it is asked to stop. Raises FlatdexError if it can't even begin."""
        self._origins.start(self._setup.events)
        try:
            self._begin()
            gc.collect()
            gc.freeze()
            while not self._signals.stops:
                self._turn()
        finally:
            self._end()
        return Exit.DONE

    def _begin(self) -> None:
        for path, hint in self._journal.hints(partial(self._teller.trouble, "journal")):
            self._inbox.offer("kept", hint, partial(self._journal.drop, path))
        self._look_at_everything("start", "what came in while nobody watched", time.monotonic())
        self._teller.started(self._setup)

    def _turn(self) -> None:
        if self._signals.asked_to_reload():
            self._reload()
        now = time.monotonic()
        self._tend(now)
        self._go_by_the_clock(now)
        at = self._start_round(now)
        self._keep_safe(now)
        if at is None or at > now:
            self._prepare()
        waiting = (*self._inbox.items(), *self._items)
        self._teller.tick(waiting, now)
        self._notifier.alive()
        pause = _TICK if at is None else min(_TICK, at - time.monotonic())
        self._signals.wait(self._round.wakes if self._round else (), pause)

    def _look_at_everything(self, origin: str, why: str, now: float) -> None:
        self._inbox.add(origin, None, why)
        self._sweep_at = now + self._setup.events.every * random.uniform(0.9, 1.1)  # noqa: S311

    def _go_by_the_clock(self, now: float) -> None:
        if now >= self._sweep_at:
            self._look_at_everything("sweep", "it is time to look at everything", now)
        held = notes.hold(self._store) is not None
        if self._held and not held:
            self._inbox.add("release", frozenset(), "the hold has ended")
        self._held = held

    def _start_round(self, now: float) -> float | None:
        """Begins a round if one is due; gives when the next one is, if none runs."""
        if self._round:
            return None
        due = {name: each.due for name, each in self._owed.items()}
        items = self._inbox.items()
        resting = [item for item in items if item.everything and item.origin in _OTHERS and now < self._whole_from]
        items = tuple(item for item in items if item not in resting)
        batch = gather.batch(items, due, now, self._setup.events.settle, MOST_SETTLE)
        if batch.at is None or now < batch.at:
            return min(filter(None, (batch.at, self._whole_from if resting else None)), default=None)
        patience = retry.patiences(self._owed, self._setup.targets, now)
        targets = None if batch.items else batch.targets
        order = Order(tuple(item.id for item in batch.items), batch.repositories, targets, patience)
        self._inbox.begin(batch.items)
        self._items, self._began = batch.items, now
        self._teller.begins(order)
        try:
            self._round = self._rounds.begin(self._setup.context, order)
        except OSError as error:  # no memory, no process
            self._over(order, Result(error=f"no process could be started: {error.strerror or error}"), now)
        return None

    def _prepare(self) -> None:
        """Has the next round's process made ready while there is time."""
        if self._round is None:
            try:
                self._rounds.prepare(self._setup.context)
            except OSError as error:
                self._teller.trouble("rounds", f"no process could be started: {error.strerror or error}")

    def _tend(self, now: float) -> None:
        """Takes what the round has come to, if it has ended."""
        result = self._round.result() if self._round else None
        if self._round and result:
            order, self._round = self._round.order, None
            self._over(order, result, now)

    def _over(self, order: Order, result: Result, now: float) -> None:
        items, self._items = self._items, ()
        finished = gather.done(items, result)
        left = [item for item in items if item not in finished]
        spread = random.uniform(0.8, 1.2)  # noqa: S311
        self._held |= result.held  # else a short one could pass unseen
        self._owed = retry.after_round(self._owed, result.targets, now, random.random)
        self._inbox.again(gather.later(left, result, now, spread))
        self._teller.over(order, result, items, self._owed, now)
        self._inbox.finish(finished)
        gc.collect()  # little is new since the start, and the collector would take hours to come by
        self._safe &= {item.id for item in self._inbox.items()}
        if order.repositories is None:
            self._whole_from = now + min(_LONGEST_REST, _REST * (now - self._began))

    def _keep_safe(self, now: float) -> None:
        """What waits for long is kept in the store, and whoever sent it is told that it is taken care of."""
        for item in self._inbox.items():
            if now - item.noticed < _SAFE or item.id in self._safe or item.repositories == frozenset():
                continue
            hint = Hint(item.repositories or frozenset(), everything=item.everything, about="kept")
            try:
                path = self._journal.keep(hint)
            except (OSError, FlatdexError) as error:
                self._teller.trouble("journal", f"what waits can't be kept in {self._journal.folder}: {error}")
                return
            for done in self._inbox.dones(item):
                done()
            self._inbox.on_done(item, partial(self._journal.drop, path))
            self._safe.add(item.id)

    def _reload(self) -> None:
        """Another configuration, if it is right; else all goes on by the one that was."""
        self._notifier.reloading()
        try:
            setup = self._load()
            if setup.store != self._setup.store:
                fix = "Restart the watch to let it work on another store."
                raise FlatdexError(f"the configuration names another store: {setup.store}", fix)
            self._change(setup)
        except FlatdexError as error:
            self._teller.reloaded(str(error))
        else:
            self._owed = {name: each for name, each in self._owed.items() if name in setup.targets}
            self._teller.origins(self._origins.names)
            self._teller.reloaded("", setup)
        self._look_at_everything("signal", "SIGHUP", time.monotonic())
        self._notifier.ready()

    def _change(self, setup: Setup) -> None:
        """All of it or, if FlatdexError is raised, nothing."""
        before = self._setup
        self._teller.configure(setup)
        self._setup, self._inbox.takes = setup, setup.takes
        try:
            self._origins.change(setup.events)
        except FlatdexError:
            self._setup, self._inbox.takes = before, before.takes
            self._teller.configure(before)
            raise

    def _end(self) -> None:
        """Lets the round end, or abandons it: what it did not do is done again at the next start."""
        self._notifier.stopping()
        stops = self._signals.stops
        steps = (lambda: None, Round.interrupt, Round.kill) if stops < 2 else (Round.interrupt, Round.kill)
        for number, step in enumerate(steps):
            if self._round is None:
                break
            if number or stops > 1:
                step(self._round)  # type: ignore[operator]
            self._await_round(time.monotonic() + (_ENDING if number or stops > 1 else _GRACE))
        self._rounds.stop()
        self._origins.stop()
        self._teller.stopped()

    def _await_round(self, until: float) -> None:
        asked = self._signals.stops
        while self._round and (now := time.monotonic()) < until and self._signals.stops == asked:
            self._tend(now)
            if self._round:
                self._signals.wait(self._round.wakes, until - now)


@contextmanager
def alone(store: Path) -> Iterator[None]:
    """Makes this process the store's one watch. Raises LockedError if there is one."""
    try:
        create_folder(store)
        descriptor = os.open(store / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        fix = "Does it belong to another user? A watch runs as the one whom the store belongs to."
        raise FlatdexError(f"{store} can't be written: {error.strerror}", fix) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        fix = "One is enough: `flatdex status` tells how it does."
        raise LockedError(f"{store} is watched already by another `flatdex watch`", fix) from error
    try:
        yield
    finally:
        os.close(descriptor)
