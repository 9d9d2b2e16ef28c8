"""One release from its start to its end: promote, then push, then tell the log and the hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store
from sync import believed, log, releases
from sync.outcome import THOROUGH, How, Outcome
from sync.promote import Promotion, promote
from sync.push import Begun, promoted, push
from sync.releases import Release
from sync.settings import Settings
from sync.targets import Target
from sync.verify import Sound


class Listener(Protocol):
    """Who is told what goes on."""

    def detail(self, text: str) -> None:
        """What only `-v` shows."""

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A function to call with how much is done and of how much."""


@dataclass(frozen=True)
class Publication:
    """What one release came to; `promotion` is None where `current` was left as it was. `warnings` are lines."""

    promotion: Promotion | None
    outcomes: tuple[Outcome, ...]
    warnings: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing failed."""
        return not self.warnings and not any(each.error for each in self.outcomes)


def publish(
    store: Store,
    settings: Settings,
    verb: str,
    wanted: Snapshot | None,
    targets: Sequence[Target],
    listener: Listener,
    how: How = THOROUGH,
    reason: str = "",
    begun: Begun = lambda target: None,
) -> Publication:
    """Lets `current` name `wanted` (None: leaves it), and brings `targets` to what it names. The caller holds the lock.

    What fails after the promotion is told, and undoes nothing. `begun`: as for `push`.
    """
    log.tell_untold(store)
    before = releases.before(store)
    known = believed.believed(store, before) if how.believing else None
    sound = Sound(wanted, known) if wanted else promoted(store)
    promotion: Promotion | None = None
    warnings: list[str] = []

    def promoting() -> None:
        nonlocal promotion
        promotion = promote(store, sound) if wanted else None
        if promotion and promotion.changed:
            if how.believing:
                believed.note(store, promotion.now, known)
            release = Release(verb, before, sound.unchecked, (), reason)
            warnings.extend(releases.run_hooks("promote", release, store, settings))

    if not how.believing:
        promoting()
    progress = listener.progress("pushing: targets")
    start = before if wanted else sound.unchecked
    try:
        # A quick push begins to send while the snapshot is held against its description.
        meanwhile = promoting if how.believing else _nothing
        asked = targets or how.believing
        told = (listener.detail, progress, meanwhile, begun)
        outcomes = push(store, sound, settings, targets, how, *told) if asked else []
    except BaseException:
        if promotion or not wanted:
            _tell(store, Release(verb, start, sound.unchecked, (), reason, interrupted=True))
        raise
    release = Release(verb, start, sound.unchecked, outcomes, reason)
    warnings += _tell(store, release)
    if outcomes:
        warnings += releases.run_hooks("push", release, store, settings)
    return Publication(promotion, tuple(outcomes), tuple(warnings))


def _nothing() -> None:
    pass


def _tell(store: Store, release: Release) -> list[str]:
    """Tells the log; what went wrong with that is a warning, since the release is out."""
    try:
        releases.tell(store, release)
    except FlatdexError as error:
        return [error.what]
    return []
