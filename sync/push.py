"""Copies what `current` names to targets: everything first, then the pointers, in order and together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from builder.errors import FlatdexError
from builder.store import Store
from sync import notes
from sync.errand import Errand, Say
from sync.order import Stand, decide, late
from sync.outcome import THOROUGH, How, Outcome
from sync.programs import EndedError
from sync.settings import Quorum, Settings
from sync.targets import Target
from sync.verify import DamagedError, Sound
from sync.workers import Workers

Progress = Callable[[int, int], None]
Begun = Callable[[Target], Errand | None]

_PATIENCE = 10.0  # seconds that a target which is ready waits for those that are not
_TICK = 0.1
_ENDING, _MOMENT = 5.0, 1.0  # seconds that are given to programs that are ended, and then to their threads


def promoted(store: Store) -> Sound:
    """What `current` names. Raises FlatdexError if nothing was promoted yet, or if it is not there any more."""
    identifier = store.current()
    if identifier is None:
        fix = "First `flatdex build`, then `flatdex promote`."
        raise FlatdexError(f"nothing was promoted yet in {store.root}", fix)
    return Sound(store.snapshot(identifier))


def push(
    store: Store,
    sound: Sound,
    settings: Settings,
    targets: Iterable[Target],
    how: How = THOROUGH,
    say: Say = lambda text: None,
    progress: Progress = lambda done, total: None,
    promoting: Callable[[], None] = lambda: None,
    begun: Begun = lambda target: None,
) -> list[Outcome]:
    """Brings each of `targets` to what `current` names; one that fails does not hold up the others.

    The caller holds the lock. Raises DamagedError if the snapshot is not what was built: nobody gets it then. What
    `promoting` does is done before any target flips, and what it raises ends the push. The errands to some targets may
    have `begun` already.
    """
    if how.thorough:
        sound.checked()
    return _Run(store, sound, settings, tuple(targets), how, say, progress, begun).outcomes(promoting)


class _Run:
    """One push: threads that send and flip, and a loop that decides what comes next."""

    def __init__(
        self,
        store: Store,
        sound: Sound,
        settings: Settings,
        targets: tuple[Target, ...],
        how: How,
        say: Say,
        progress: Progress,
        begun: Begun,
    ) -> None:
        self._store, self._settings, self._how, self._progress = store, settings, how, progress
        self._sound, self._snapshot = sound, sound.unchecked
        self._errands = {each.name: begun(each) or Errand(store, settings, each, how, say) for each in targets}
        self._stands = {target.name: self._first_stand(target.name) for target in targets}
        self._errors: dict[str, str] = {}
        self._workers = Workers(settings.parallel)
        self._enders: list[threading.Thread] = []

    def _first_stand(self, name: str) -> Stand:
        """Where there is an end to patience, nobody waits for a target that failed the last time."""
        patience = self._how.patience.get(name)
        if patience == 0:
            return Stand.FAILED
        failed = patience is not None and notes.of_target(self._store, name).failing
        return Stand.RETRYING if failed else Stand.SENDING

    def outcomes(self, promoting: Callable[[], None]) -> list[Outcome]:
        """Does all of it. What runs for targets that were given up, or if it may not go on, is ended first."""
        try:
            self._loop(promoting)
        except BaseException:
            for name in self._errands:
                self._end(name)
            self._wait_for_ends()
            raise
        self._wait_for_ends()
        return [self._outcome(errand) for errand in self._errands.values()]

    def _loop(self, promoting: Callable[[], None]) -> None:
        started = moved = time.monotonic()
        first_ready: float | None = None
        before: object = None
        for name, errand in self._errands.items():
            if self._stands[name] is not Stand.FAILED:
                self._workers.give("send", name, partial(errand.send, self._sound, self._stands.keys()))
        promoting()
        while self._workers.busy:
            for name, error in self._workers.done(_TICK):
                self._take(name, error)
            for name, stand in self._stands.items():
                if stand is Stand.SENDING and self._errands[name].retrying:
                    self._stands[name] = Stand.RETRYING
            now = time.monotonic()
            if before != (before := self._position()):
                moved = now
            self._give_up(now - moved)
            if first_ready is None and Stand.READY in self._stands.values():
                first_ready = now
            patience = max(_PATIENCE, 2 * ((first_ready or now) - started))
            patient = first_ready is None or now - first_ready < patience
            for name in self._decide(patient):
                self._workers.give("flip", name, self._errands[name].flip)
            ended = sum(each in (Stand.LIVE, Stand.FAILED, Stand.BARRED) for each in self._stands.values())
            self._progress(ended, len(self._stands))

    def _position(self) -> tuple[list[str], list[Stand]]:
        """What changes whenever the push moves: to try once more is no move."""
        stands = list(self._stands.values())
        return sorted(self._workers.working), [Stand.SENDING if each is Stand.RETRYING else each for each in stands]

    def _decide(self, patient: bool) -> list[str]:
        """The targets to flip now; who can't any more bars those who come after it in turn."""
        while (decision := decide(dict(self._stands), self._after(), self._quorum(), patient)).bar:
            for name, why in decision.bar.items():
                self._stands[name], self._errors[name] = Stand.BARRED, why
        for name in decision.flip:
            self._stands[name] = Stand.FLIPPING
        return [name for name in self._stands if name in decision.flip]

    def _after(self) -> dict[str, tuple[str, ...]]:
        return {} if self._how.anyway else {name: errand.target.after for name, errand in self._errands.items()}

    def _quorum(self) -> Quorum | None:
        return None if self._how.anyway else self._settings.quorum

    def _take(self, name: str, raised: BaseException | None) -> None:
        """What came of a thread's work. What readers see now is noted at once: the rest may be interrupted."""
        try:
            if raised:
                raise raised
            if self._stands[name] is not Stand.FLIPPING:
                self._stands[name] = Stand.READY
                return
            notes.note_live(self._store, name, self._snapshot.id, checked=self._errands[name].thorough)
            self._stands[name] = Stand.LIVE
        except (DamagedError, EndedError):
            raise
        except (FlatdexError, OSError, ValueError) as error:  # of the latter two: a disk, or what others have written
            self._stands[name] = Stand.FAILED
            self._errors[name] = error.line if isinstance(error, FlatdexError) else f"{error}"

    def _give_up(self, quiet: float) -> None:
        """Goes on without those that are late. What they do is ended, and left behind if it can't be."""
        for name in late(self._workers.working, quiet, self._how.patience):
            self._stands[name] = Stand.FAILED
            given = f"{self._how.patience[name]:g} s"
            self._errors[name] = f"not done {given} after all the others: the next try is given more time"
            self._workers.leave(name)
            self._end(name)

    def _end(self, name: str) -> None:
        """Begins to end what runs for a target, which may take a moment."""
        ender = threading.Thread(target=self._errands[name].end, name=f"end {name}", daemon=True)
        self._enders.append(ender)
        ender.start()

    def _wait_for_ends(self) -> None:
        """What hangs even then is left behind, and its thread. It was killed, and must not keep others from writing."""
        deadline = time.monotonic() + _ENDING
        for ender in self._enders:
            ender.join(max(0.0, deadline - time.monotonic()))
        ended = not any(ender.is_alive() for ender in self._enders)
        if self._enders and not (self._workers.wait(_MOMENT) and ended):
            self._store.left_behind = True

    def _outcome(self, errand: Errand) -> Outcome:
        name, live = errand.target.name, errand.live
        if self._how.patience.get(name) == 0:
            return self._left_out(name)
        error, barred = self._errors.get(name, ""), self._stands[name] is Stand.BARRED
        if barred and live.same:
            error = ""  # it shows what it should
        elif self._stands[name] is not Stand.LIVE and not error:
            raise AssertionError(f"{name} was neither flipped nor left out")
        if error:
            again = errand.note_failure(error)
            return Outcome(name, self._snapshot.id, live.id, error, again=again, barred=barred)
        asked = bool(errand.target.url) and self._stands[name] is Stand.LIVE
        return Outcome(name, self._snapshot.id, live.id, asked=asked, sent=errand.files)

    def _left_out(self, name: str) -> Outcome:
        """Nothing new is known of it."""
        note = notes.of_target(self._store, name)
        error = "left out for now" + (f", since it failed: {note.error}" if note.error else "")
        return Outcome(name, self._snapshot.id, note.live, error, again=bool(note.failing), left_out=True)
