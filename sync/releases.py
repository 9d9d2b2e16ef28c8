"""A release: what `current` named before and names now, and where that went; told to the log and to hooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from builder.description import Snapshot
from builder.diff import Diff, diff, merged
from builder.errors import FlatdexError
from builder.store import Store
from sync import hooks, log
from sync.notes import who
from sync.outcome import Outcome
from sync.settings import Settings


@dataclass(frozen=True)
class Release:
    """One release. `before` and `now` are equal where only targets were brought up to date."""

    verb: str
    before: Snapshot | None
    now: Snapshot
    outcomes: Sequence[Outcome] = ()
    reason: str = ""
    interrupted: bool = False

    @property
    def flipped(self) -> bool:
        """Whether `current` names another one."""
        return self.before is None or self.before.id != self.now.id

    @property
    def changed(self) -> Diff:
        """What it changed in the store."""
        return diff(self.before, self.now)

    def changed_anywhere(self, store: Store) -> Diff:
        """What it changed for anybody: in the store, and on targets, some of which showed something older."""
        shown = {each.before for each in self.outcomes if each.changed} - {self.before.id if self.before else None}
        known = (snapshot_or_none(store, identifier) for identifier in sorted(filter(None, shown)))
        return merged((self.changed, *(diff(each, self.now) for each in known)))

    @property
    def worth_telling(self) -> bool:
        """Whether anything happened that is not in the log: what fails again and again is told once."""
        return self.flipped or any(each.changed or (each.error and not each.again) for each in self.outcomes)

    @property
    def result(self) -> str:
        """`done`, `partly`, `failed` or `interrupted`."""
        if self.interrupted:
            return "interrupted"
        failed = [each for each in self.outcomes if each.error]
        if not failed:
            return "done"
        return "failed" if len(failed) == len(self.outcomes) and not self.flipped else "partly"


def before(store: Store) -> Snapshot | None:
    """What `current` names, if it is still there."""
    return snapshot_or_none(store, store.current())


def snapshot_or_none(store: Store, identifier: str | None) -> Snapshot | None:
    """A snapshot, if it is still there."""
    try:
        return store.snapshot(identifier) if identifier else None
    except FlatdexError:
        return None


def tell(store: Store, release: Release) -> None:
    """Adds its line to the log. The caller holds the lock."""
    if not release.worth_telling:
        return
    reason = {"reason": release.reason} if release.reason else {}
    log.append(
        store,
        release.verb,
        **{"from": release.before.id if release.before else None},
        to=release.now.id,
        refs=release.changed_anywhere(store).counts,
        targets=[_target(each) for each in release.outcomes],
        **reason,
        result=release.result,
    )


def _target(outcome: Outcome) -> dict[str, Any]:
    more = {"error": outcome.error} if outcome.error else {}
    result = "failed" if outcome.error else "live" if outcome.changed else "unchanged"
    return {"target": outcome.target, "from": outcome.before, "sent": outcome.sent, "result": result, **more}


def run_hooks(event: str, release: Release, store: Store, settings: Settings) -> list[str]:
    """Runs the hooks of an event, `promote` or `push`; a line for each that failed. Nothing changed: none is run."""
    commands = settings.hooks.after_promote if event == "promote" else settings.hooks.after_push
    if not commands or not release.worth_telling:
        return []
    changed = release.changed_anywhere(store)
    summary = {
        "event": event,
        "verb": release.verb,
        "who": who(),
        "remote": release.now.document["remote"],
        "from": release.before.id if release.before else None,
        "to": release.now.id,
        "counts": changed.counts,
        "refs": [asdict(change) for change in changed.refs],
        "files": {"added": changed.added, "changed": changed.changed, "removed": changed.removed},
        "targets": [_target(each) for each in release.outcomes],
        "result": release.result,
    }
    return hooks.run(commands, summary, settings.folder)
