"""What distant targets show is asked while the next snapshot is still made: the push can begin to send at once then."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from builder.store import Store
from sync import notes
from sync.errand import Errand, Say
from sync.outcome import How
from sync.settings import Settings
from sync.targets import Kind, Target

_DISTANT = (Kind.DAEMON, Kind.SSH)


class Ahead:
    """Errands that a push goes on with. At the end of the `with` block nothing of them runs any more."""

    def __init__(self, store: Store, settings: Settings, targets: Sequence[Target], how: How, say: Say) -> None:
        self._store, self._settings, self._targets, self._how, self._say = store, settings, targets, how, say
        self._begun: dict[str, Errand] = {}

    def begin(self) -> None:
        """Looks at targets that are well: others may hang. The caller holds the lock."""
        current = self._store.current()
        if current is None:
            return
        shown = self._store.snapshot(current)
        distant = [each for each in self._targets if each.kind in _DISTANT]
        well = [each for each in distant if notes.of_target(self._store, each.name).well(current)]
        for target in well[: self._settings.parallel]:
            errand = self._begun[target.name] = Errand(self._store, self._settings, target, self._how, self._say)
            errand.look_ahead(shown)

    def taken(self, target: Target) -> Errand | None:
        """The errand to this target, if it was begun."""
        return self._begun.get(target.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for errand in self._begun.values():
            errand.end()
