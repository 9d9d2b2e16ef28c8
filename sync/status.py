"""Where everything stands: the store, and what each target serves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from builder import renewal
from builder.description import Snapshot, time_text, timestamp
from builder.errors import FlatdexError
from builder.store import Store
from sync import log, notes
from sync.carrier import Live, described
from sync.events import shown
from sync.programs import Programs
from sync.reach import carrier
from sync.served import served
from sync.settings import Settings
from sync.targets import Kind, Target

Promotions = Sequence[tuple[str, str]]
"""Ids and times of what was promoted, the newest first."""


@dataclass(frozen=True)
class TargetStatus:
    """What a target's pointer names, since when, or why that could not be found out; how far it is behind.

    `behind` is a number of snapshots, None if it can't be told; `behind_since` when the next one was promoted.
    """

    target: str
    live: str | None
    up_to_date: bool
    error: str = ""
    since: str | None = None
    behind: int | None = None
    behind_since: str | None = None
    last_error: str = ""
    failing_since: str | None = None

    @property
    def line(self) -> str:
        """For a person."""
        if self.error:
            state = self.error
        elif self.up_to_date:
            state = f"{self.live}, up to date" + (f" since {self.since}" if self.since else "")
        else:
            far = f"{self.behind} behind" if self.behind else "not the current one"
            since = f" since {self.behind_since}" if self.behind_since else ""
            state = f"{self.live or 'nothing'}, {far}{since}: `flatdex push`"
        last = f"; failing since {self.failing_since}: {self.last_error}" if self.last_error and not self.error else ""
        return f"{self.target}: {state}{last}"


@dataclass(frozen=True)
class Status:
    """The state of a store and its targets. `built` is when a build was last done, `promoted` when `current` was."""

    store: str
    current: str | None
    error: str
    newest: str | None
    hold: dict[str, str] | None
    built: str | None
    promoted: str | None
    targets: tuple[TargetStatus, ...]
    expires: str | None = None
    """Until when what is current is valid, if it is signed; whether that is soon."""
    ends_soon: bool = False
    mirror: Mapping[str, Any] | None = None
    """What it is a copy of: the other remote's list, as `snapshot.json` tells."""
    watch: shown.Seen | None = None
    """How `flatdex watch` does, if it ever was at work here."""

    @property
    def behind(self) -> tuple[TargetStatus, ...]:
        """The targets that don't show what they should."""
        return tuple(target for target in self.targets if not target.up_to_date)


def status(store: Store, settings: Settings) -> Status:
    """Asks the store, and all targets at once."""
    current, newest, held = store.current(), store.newest(), notes.hold(store)
    promotions = list(log.promoted(store))
    error = _error(store, current)
    serving = None if error or current is None else store.snapshot(current)
    against = serving or newest
    programs = Programs(settings.folder)
    with ThreadPoolExecutor(settings.parallel) as pool:
        try:
            ask = partial(target_status, store, programs=programs, current=current, against=against, past=promotions)
            asked = [pool.submit(ask, each) for each in settings.targets]
            targets = tuple(each.result() for each in asked)
        except BaseException:
            programs.end()
            raise
    built = store.built()
    return Status(
        store=str(store.root),
        current=current,
        error=error,
        newest=newest.id if newest else None,
        hold={"reason": held.reason, "who": held.who, "since": time_text(held.since)} if held else None,
        built=time_text(built) if built else None,
        promoted=next((when for identifier, when in promotions if identifier == current), None),
        targets=targets,
        expires=time_text(serving.expires) if serving and serving.expires is not None else None,
        ends_soon=bool(serving and renewal.ends_soon(serving, now())),
        mirror=serving.document.get("mirror") if serving else None,
        watch=shown.seen(store, time.time()),
    )


def target_status(
    store: Store, target: Target, programs: Programs, current: str | None, against: Snapshot | None, past: Promotions
) -> TargetStatus:
    """Asks the target, by the way that push takes, and by its URL; `against` is what is current."""
    note = notes.of_target(store, target.name)
    failing = time_text(note.failing) if note.failing else None
    known = TargetStatus(target.name, None, False, last_error=note.error, failing_since=failing)
    try:
        carries = carrier(programs, store, target)
        live = carries.look(against) if against else _described(carries.description())
        shown = served(target.url) if target.url else live.id
    except FlatdexError as error:
        # It may show what it should, as far as is known: how long it has been behind is how long pushes have failed.
        return replace(known, error=" ".join(error.what.split()), behind_since=failing)
    wrong = _wrong(store, target, live, shown, against)
    good = not wrong and live.id is not None and live.id == current
    behind = max(0, against.version - live.described.version) if live.described and against and not good else None
    since = behind_since(past, live.id or note.live) if live.id != current else failing
    return replace(
        known,
        live=live.id,
        up_to_date=good,
        error=wrong,
        since=time_text(note.since) if note.since and note.live == live.id else None,
        behind=behind,
        behind_since=None if good else since,
    )


def _described(description: bytes) -> Live:
    shown = described(description)
    return Live(shown.id if shown else None, shown)


def _wrong(store: Store, target: Target, live: Live, shown: str | None, against: Snapshot | None) -> str:
    """What is wrong with a target, beside being behind."""
    if live.id and live.described is None:
        advice = ": `munge symlinks = no` is needed there" if target.kind is Kind.DAEMON else ""
        return f"names {live.id}, but nothing can be read behind it{advice}"
    if shown != live.id:
        return f"has {live.id}, but {target.url} shows {shown}"
    ahead = live.described and live.described.version >= (against.version if against else 0)
    if ahead and not (store.snapshots / str(live.id)).is_dir():
        return f"shows {live.id}, which this store does not know: `flatdex adopt {target.name}`"
    return ""


def behind_since(past: Promotions, live: str | None) -> str | None:
    """When what came after `live` was promoted; for what was never promoted here, when the first one was."""
    after = None
    for identifier, when in past:
        if identifier == live:
            return after
        after = when
    return after


def too_old(found: Status, max_age: int, now: int) -> list[str]:
    """What exceeds an age in seconds, a line each: the last build, how long each target is behind, and how long a
    watch that did not stop in order was not heard of."""
    lines = []
    if found.built is None or now - timestamp(found.built) > max_age:
        lines.append(f"the last build was done {found.built or 'never'}")
    lines += [
        f"{target.target} {'has failed' if target.error else 'is behind'} since {target.behind_since}"
        for target in found.behind
        if target.behind_since is not None and now - timestamp(target.behind_since) > max_age
    ]
    watch = found.watch
    if watch and watch.state in (shown.DEAD, shown.SILENT) and now - watch.watching.beat > max_age:
        lines.append(f"the watch was last heard of {time_text(int(watch.watching.beat))}")
    return lines


@dataclass(frozen=True)
class Ending:
    """What is to be said of the end of what is current; `over` if that has come."""

    line: str = ""
    over: bool = False


def ending(found: Status, now: int) -> Ending:
    """Whether mirrors refuse what is current, or will soon: in the last quarter of the time for which it is valid."""
    if found.expires is None or not found.ends_soon:
        return Ending()
    if now >= timestamp(found.expires):
        return Ending(f"expired: {found.current} was valid until {found.expires}, and mirrors refuse it now", True)
    return Ending(f"ends soon: {found.current} is valid until {found.expires}, no longer")


def _error(store: Store, current: str | None) -> str:
    """What is wrong with `current`, if anything."""
    if current is None:
        return "it leads to no snapshot" if store.current_link.is_symlink() else ""
    try:
        store.snapshot(current)
    except FlatdexError as error:
        return error.what
    return ""


def as_json(found: Status) -> dict[str, object]:
    """For a script."""
    return {**asdict(found), "watch": found.watch.as_json if found.watch else None}


def now() -> int:
    """In seconds."""
    return int(time.time())
