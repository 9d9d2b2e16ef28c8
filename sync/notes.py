"""What an operator or an earlier run has left in the store: a hold, pins, and what is known of each target."""

from __future__ import annotations

import getpass
import json
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from builder.description import is_id, time_text, timestamp
from builder.errors import FlatdexError
from builder.files import create_folder, read, replace_file
from builder.store import Store

HOLD = "hold"
PINS = "pins"
_LARGEST = 4 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Hold:
    """Why nothing is promoted by itself, who said so, and since when, in seconds."""

    reason: str
    who: str
    since: int

    @property
    def text(self) -> str:
        """In a line."""
        return f"held since {time_text(self.since)} by {self.who}: {self.reason}"


@dataclass(frozen=True)
class TargetNote:
    """What is known of a target: the snapshot it shows, since when, when all its bytes were last checked, and the last
    error, which is empty once it is mended. Times are in seconds, 0: never."""

    live: str | None = None
    since: int = 0
    checked: int = 0
    error: str = ""
    failing: int = 0
    """Since when."""

    def well(self, current: str | None) -> bool:
        """Whether the target is known to show what is `current`, and has not failed since."""
        return self.live == current and not self.error


def who() -> str:
    """The user and the host, for the log."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user that the system has no name for
        user = "?"
    return f"{user}@{socket.gethostname()}"


def hold(store: Store) -> Hold | None:
    """The hold, if there is one. One that can't be read holds, too."""
    try:
        found = _read(store.root / HOLD)
        if found is None:
            return None
        return Hold(str(found["reason"]), str(found["who"]), timestamp(found["since"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Hold(f"{store.root / HOLD} can't be read", "?", 0)


def set_hold(store: Store, reason: str) -> Hold:
    """Lets nothing be promoted by itself from now on. The caller holds the lock."""
    new = Hold(reason, who(), int(time.time()))
    _write(store.root / HOLD, {**asdict(new), "since": time_text(new.since)})
    return new


def release(store: Store) -> Hold | None:
    """Ends the hold, and gives it. The caller holds the lock."""
    found = hold(store)
    (store.root / HOLD).unlink(missing_ok=True)
    return found


def pins(store: Store) -> frozenset[str]:
    """The ids of the snapshots that are never removed. Raises FlatdexError if that can't be told."""
    try:
        found = _read(store.root / PINS)
        if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
            raise ValueError("it is no list of ids")
        return frozenset(filter(is_id, found or ()))
    except ValueError as error:
        fix = f"Remove {store.root / PINS}, then pin again what is to stay."
        raise FlatdexError(f"the list of pinned snapshots can't be read: {error}", fix) from error


def set_pins(store: Store, pinned: Iterable[str]) -> None:
    """Replaces the list. The caller holds the lock."""
    _write(store.root / PINS, sorted(pinned))


def of_target(store: Store, name: str) -> TargetNote:
    """What is known of a target."""
    try:
        found = _read(store.targets / f"{name}.json") or {}
        times = {key: timestamp(found[key]) for key in ("since", "checked", "failing") if found.get(key)}
        live = found.get("live")
        return TargetNote(live if isinstance(live, str) else None, error=str(found.get("error", "")), **times)
    except (ValueError, KeyError, TypeError, AttributeError):
        return TargetNote()


def note_live(store: Store, name: str, live: str, checked: bool) -> None:
    """A target was seen to show a snapshot, by its pointers, or `checked` byte by byte. The caller holds the lock."""
    before, now = of_target(store, name), int(time.time())
    since = before.since if before.live == live else now
    note = TargetNote(live, since, now if checked else before.checked)
    if note != before:
        _keep(store, name, note)


def doubt(store: Store, name: str) -> None:
    """What a target has may be of two snapshots until it is noted again: the next push looks at every byte."""
    before = of_target(store, name)
    if before.checked:
        _keep(store, name, replace(before, checked=0))


def note_failure(store: Store, name: str, live: str | None, error: str) -> bool:
    """A push to a target failed, which still shows `live`, if that is known. Gives whether it failed before, too."""
    before, now = of_target(store, name), int(time.time())
    known = replace(before, live=live, since=before.since if before.live == live else now) if live else before
    _keep(store, name, replace(known, error=error, failing=before.failing or now, checked=0))
    return bool(before.failing)


def forget_others(store: Store, names: Iterable[str]) -> None:
    """Drops what is known of targets that the configuration no longer has: nothing is kept for their readers."""
    for file in store.targets.glob("*.json"):
        if file.stem not in set(names):
            file.unlink(missing_ok=True)


def _keep(store: Store, name: str, note: TargetNote) -> None:
    times = {key: time_text(value) if value else None for key, value in asdict(note).items() if isinstance(value, int)}
    create_folder(store.targets)
    _write(store.targets / f"{name}.json", {**asdict(note), **times})


def _read(file: Path) -> Any:
    """What a file holds, which is never None; None if it is not there. Raises ValueError if it can't be read."""
    try:
        found = json.loads(read(file, _LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if found is None:
        raise ValueError("it holds nothing")
    return found


def _write(file: Path, value: Mapping[str, Any] | list[str]) -> None:
    replace_file(file, json.dumps(value).encode() + b"\n")
