"""Where everything stands: the store, and what each target serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from builder.description import Snapshot, time_text
from builder.errors import FlatdexError
from builder.store import Store
from sync.rsync import live
from sync.served import served
from sync.targets import Target


@dataclass(frozen=True)
class TargetStatus:
    """What a target's `current` names, or why that could not be found out."""

    target: str
    live: str | None
    up_to_date: bool
    error: str = ""


def target_status(target: Target, current: str | None, folder: Path) -> TargetStatus:
    """Asks the target, by the way that push takes."""
    try:
        found = live(target, folder)
        shown = served(target.url) if target.url else found
    except FlatdexError as error:
        return TargetStatus(target.name, None, False, error.what)
    if shown != found:
        return TargetStatus(target.name, found, False, f"has {found}, but {target.url} shows {shown}")
    return TargetStatus(target.name, found, found is not None and found == current)


def status(store: Store, targets: Iterable[Target], folder: Path) -> dict[str, object]:
    """The state of the store and of `targets`."""
    current, newest = store.current(), store.newest()
    return {
        "store": str(store.root),
        "current": current,
        "error": _error(store, current),
        "newest": newest.id if newest else None,
        "targets": [asdict(target_status(target, current, folder)) for target in targets],
    }


def _error(store: Store, current: str | None) -> str:
    """What is wrong with `current`, if anything."""
    if current is None:
        return "it leads to no snapshot" if store.current_link.is_symlink() else ""
    try:
        store.snapshot(current)
    except FlatdexError as error:
        return error.what
    return ""


def summary(snapshot: Snapshot, current: str | None) -> dict[str, object]:
    """A snapshot in a list."""
    counts = snapshot.document["counts"]
    return {
        "id": snapshot.id,
        "created": time_text(snapshot.created),
        "current": snapshot.id == current,
        "version": snapshot.version,
        "previous": snapshot.previous,
        **counts,
        "skips": len(snapshot.document["skips"]),
    }
