"""Copies what `current` names to targets: everything first, then the pointers, in order and together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from builder.errors import FlatdexError
from builder.parallel import threads
from builder.store import Store
from sync import guards, notes
from sync.carrier import Carrier, Live
from sync.order import Stand, decide
from sync.outcome import THOROUGH, How, Outcome
from sync.programs import EndedError, Programs
from sync.reach import carrier
from sync.served import ask
from sync.settings import Quorum, Settings
from sync.targets import Kind, Target
from sync.verify import DamagedError, Sound

Say = Callable[[str], None]
Progress = Callable[[int, int], None]

_PAUSES = (0.5, 2.0)  # seconds before the second and the third try
_PATIENCE = 10.0  # seconds that a target which is ready waits for those that are not
_TICK = 0.1
_DAY = 86400


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
) -> list[Outcome]:
    """Brings each of `targets` to what `current` names; one that fails does not hold up the others.

    The caller holds the lock. Raises DamagedError if the snapshot is not what was built: nobody gets it then.
    """
    if how.thorough:
        sound.checked()
    programs = Programs(settings.folder, store.lock)
    return _Run(store, sound, settings, tuple(targets), how, programs, say, progress).outcomes()


@dataclass
class _Sent:
    """A target that has everything, and what was live there before."""

    carrier: Carrier
    live: Live
    files: int
    thorough: bool
    flipped: bool = False


class _Run:
    """One push: threads that send and flip, and a loop that decides what comes next."""

    def __init__(
        self,
        store: Store,
        sound: Sound,
        settings: Settings,
        targets: tuple[Target, ...],
        how: How,
        programs: Programs,
        say: Say,
        progress: Progress,
    ) -> None:
        self._store, self._sound, self._settings, self._targets = store, sound, settings, targets
        self._how, self._programs, self._say, self._progress = how, programs, say, progress
        self._snapshot = sound.unchecked
        self._stands = {target.name: Stand.SENDING for target in targets}
        self._sent: dict[str, _Sent] = {}
        self._errors: dict[str, str] = {}
        self._lives: dict[str, Live] = {}

    def outcomes(self) -> list[Outcome]:
        """Does all of it. If it is interrupted, or may not go on, the programs that run are ended first."""
        parallel = self._settings.parallel
        with threads(parallel) as senders, threads(parallel) as flippers:
            try:
                self._loop(senders, flippers)
            except BaseException:
                self._programs.end()
                raise
        return [self._outcome(target) for target in self._targets]

    def _loop(self, senders: ThreadPoolExecutor, flippers: ThreadPoolExecutor) -> None:
        started = time.monotonic()
        first_ready: float | None = None
        waiting: dict[Future[None], Target] = {senders.submit(self._send, each): each for each in self._targets}
        while waiting:
            for future in wait(waiting, _TICK, FIRST_COMPLETED).done:
                self._take(waiting.pop(future), future)
            now = time.monotonic()
            if first_ready is None and Stand.READY in self._stands.values():
                first_ready = now
            patience = max(_PATIENCE, 2 * ((first_ready or now) - started))
            patient = first_ready is None or now - first_ready < patience
            for target in self._decide(patient):
                waiting[flippers.submit(self._flip, target)] = target
            ended = sum(each in (Stand.LIVE, Stand.FAILED, Stand.BARRED) for each in self._stands.values())
            self._progress(ended, len(self._stands))

    def _decide(self, patient: bool) -> list[Target]:
        """The targets to flip now; who can't any more bars those who come after it in turn."""
        while (decision := decide(dict(self._stands), self._after(), self._quorum(), patient)).bar:
            for name, why in decision.bar.items():
                self._stands[name], self._errors[name] = Stand.BARRED, why
        for name in decision.flip:
            self._stands[name] = Stand.FLIPPING
        return [target for target in self._targets if target.name in decision.flip]

    def _after(self) -> dict[str, tuple[str, ...]]:
        return {} if self._how.anyway else {target.name: target.after for target in self._targets}

    def _quorum(self) -> Quorum | None:
        return None if self._how.anyway else self._settings.quorum

    def _take(self, target: Target, future: Future[None]) -> None:
        """What came of a thread's work. What readers see now is noted at once: the rest may be interrupted."""
        name = target.name
        try:
            future.result()
            if self._stands[name] is not Stand.FLIPPING:
                self._stands[name] = Stand.READY
                return
            notes.note_live(self._store, name, self._snapshot.id, checked=self._sent[name].thorough)
            self._stands[name] = Stand.LIVE
        except (DamagedError, EndedError):
            raise
        except (FlatdexError, OSError, ValueError) as error:  # of the latter two: a disk, or what others have written
            self._stands[name] = Stand.FAILED
            self._errors[name] = error.line if isinstance(error, FlatdexError) else f"{error}"

    def _send(self, target: Target) -> None:
        self._refuse_early(target)
        self._trying(target, self._send_once, Stand.RETRYING)

    def _refuse_early(self, target: Target) -> None:
        """Whom a target comes after, and who is not part of this push, has to be live already."""
        others = {other.name: other for other in self._settings.targets}
        for name in () if self._how.anyway else target.after:
            if name in others and name not in self._stands:
                self._trying(others[name], self._ask_live)

    def _ask_live(self, other: Target) -> None:
        guards.refuse_unless_live(other, carrier(self._programs, self._store, other), self._snapshot)

    def _trying(self, target: Target, work: Callable[[Target], None], failed_once: Stand | None = None) -> None:
        """Tries again what may get better by itself."""
        for pause in (*_PAUSES, None):
            try:
                work(target)
                break
            except FlatdexError as error:
                if pause is None or not error.again or self._programs.ending:
                    raise
                if failed_once:
                    self._stands[target.name] = failed_once
                self._say(f"{target.name}: {error.what}; trying again")
                self._programs.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311

    def _send_once(self, target: Target) -> None:
        carries = carrier(self._programs, self._store, target)
        live = carries.look(self._snapshot)
        self._lives[target.name] = live
        if not self._how.force:
            guards.refuse_foreign(self._store, target.name, self._snapshot, live)
        files, thorough = 0, self._is_thorough(target)
        if thorough or not live.same:
            self._say(f"pushing {self._snapshot.id} to {target.name}")
            files = carries.send(self._sound.checked(), live, thorough)
        self._sent[target.name] = _Sent(carries, live, files, thorough)

    def _is_thorough(self, target: Target) -> bool:
        return self._how.thorough or time.time() - notes.of_target(self._store, target.name).checked > _DAY

    def _flip(self, target: Target) -> None:
        sent = self._sent[target.name]
        if not sent.live.same or sent.files:
            if target.kind is Kind.RCLONE:
                notes.doubt(self._store, target.name)
            self._trying(target, lambda _: sent.carrier.flip(self._snapshot, sent.live))
        sent.flipped = True
        if target.url:
            try:
                ask(target.url, self._snapshot, tries=3 if target.kind is Kind.RCLONE else 1)
            except FlatdexError as error:
                raise FlatdexError(f"copied, but {error.what}", error.fix) from error

    def _outcome(self, target: Target) -> Outcome:
        name, live = target.name, self._lives.get(target.name, Live())
        error = self._errors.get(name, "")
        if self._stands[name] is Stand.BARRED and live.same:
            error = ""  # it shows what it should
        elif self._stands[name] is not Stand.LIVE and not error:
            raise AssertionError(f"{name} was neither flipped nor left out")
        if error:
            return Outcome(name, self._snapshot.id, live.id, error, again=self._note_failure(name, live, error))
        sent = self._sent[name]
        asked = bool(target.url) and self._stands[name] is Stand.LIVE
        return Outcome(name, self._snapshot.id, live.id, asked=asked, sent=sent.files)

    def _note_failure(self, name: str, live: Live, error: str) -> bool:
        """Gives whether the target failed before, too."""
        flipped = name in self._sent and self._sent[name].flipped
        try:
            return notes.note_failure(self._store, name, self._snapshot.id if flipped else live.id, error)
        except OSError as failed:
            self._say(f"{name}: {failed}")
            return False
