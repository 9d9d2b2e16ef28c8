"""What is done for one target of a push, by threads: it gets everything, then it flips; and all that can be ended."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store
from sync import guards, notes
from sync.carrier import Carrier, Live
from sync.outcome import How
from sync.programs import Programs
from sync.reach import carrier
from sync.served import ask
from sync.settings import Settings
from sync.targets import Kind, Target
from sync.verify import Sound

Say = Callable[[str], None]

_PAUSES = (0.5, 2.0)  # seconds before the second and the third try
_DAY = 86400


class Errand:
    """Brings a snapshot to one target. What it has learnt so far can be read while a thread is at work."""

    def __init__(self, store: Store, settings: Settings, target: Target, how: How, say: Say) -> None:
        self._store, self._settings, self._how, self._say = store, settings, how, say
        # Of a watch's rounds the next one comes soon.
        self._programs = Programs(settings.folder, store.lock, store.cache / "ssh" if how.believing else None)
        self._ahead: Future[Live] | None = None
        self.target = target
        self.live = Live()
        """What was live there before, once that is known."""
        self.files = 0
        """How many were sent."""
        self.thorough = False
        """Whether all bytes there were looked at."""
        self.retrying = False
        """Whether it could not be sent to at the first try."""
        self.flipped = False

    @cached_property
    def _carrier(self) -> Carrier:
        """Made by the thread that needs it first: to look where a folder is may take for ever."""
        return carrier(self._programs, self._store, self.target)

    def look_ahead(self, current: Snapshot) -> None:
        """Begins to look at what is live there, `current` most likely, while what is to be sent is still made."""
        ahead: Future[Live] = Future()
        self._ahead = ahead

        def look() -> None:
            try:
                ahead.set_result(self._carrier.look(current))
            except BaseException as error:
                ahead.set_exception(error)

        threading.Thread(target=look, name=f"look {self.target.name}", daemon=True).start()

    def send(self, sound: Sound, together_with: Collection[str]) -> None:
        """All but the flip. Whom it comes after, and who is not in the push `together_with` it, has to be live."""
        self._sound, self._snapshot = sound, sound.unchecked
        others = {other.name: other for other in self._settings.targets}
        for name in () if self._how.anyway else self.target.after:
            if name in others and name not in together_with:
                self._trying(partial(self._refuse_unless_live, others[name]))
        self._trying(self._send, sending=True)

    def _refuse_unless_live(self, other: Target) -> None:
        guards.refuse_unless_live(other, carrier(self._programs, self._store, other), self._snapshot)

    def _trying(self, work: Callable[[], None], sending: bool = False) -> None:
        """Tries again what may get better by itself."""
        for pause in (*_PAUSES, None):
            try:
                work()
                break
            except FlatdexError as error:
                if pause is None or not error.again or self._programs.ending:
                    raise
                self.retrying |= sending
                self._say(f"{self.target.name}: {error.what}; trying again")
                self._programs.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311

    def _send(self) -> None:
        name = self.target.name
        self.live = self._looked() or self._carrier.look(self._snapshot)
        if not self._how.force:
            guards.refuse_foreign(self._store, name, self._snapshot, self.live)
        self.files = 0
        self.thorough = self._how.thorough or time.time() - notes.of_target(self._store, name).checked > _DAY
        if self.thorough or not self.live.same:
            self._say(f"pushing {self._snapshot.id} to {name}")
            # Where it is held against its description meanwhile, nobody flips before that is done.
            snapshot = self._sound.unchecked if self._how.believing else self._sound.checked()
            self.files = self._carrier.send(snapshot, self.live, self.thorough)

    def _looked(self) -> Live | None:
        """What the look ahead has found, the first time that it is asked for."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        live = ahead.result()
        return replace(live, same=live.same and live.id == self._snapshot.id)

    def flip(self) -> None:
        """Lets readers see it, and asks the target's URL whether they do."""
        by_rclone, url = self.target.kind is Kind.RCLONE, self.target.url
        if not self.live.same or self.files:
            if by_rclone:
                notes.doubt(self._store, self.target.name)
            self._trying(partial(self._carrier.flip, self._snapshot, self.live))
        self.flipped = True
        if url:
            try:
                ask(url, self._snapshot, tries=3 if by_rclone else 1)
            except FlatdexError as error:
                raise FlatdexError(f"copied, but {error.what}", error.fix) from error

    def end(self) -> None:
        """Ends the programs that run, and lets no other be started."""
        self._programs.end()

    def note_failure(self, error: str) -> bool:
        """Notes what is known of the target now. Gives whether it failed before, too."""
        name = self.target.name
        try:
            return notes.note_failure(self._store, name, self._snapshot.id if self.flipped else self.live.id, error)
        except OSError as failed:
            self._say(f"{name}: {failed}")
            return False
