"""When a target is left as it is: it shows what is not ours to overwrite, or what it comes after is not live."""

from __future__ import annotations

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store
from sync.carrier import Carrier, Live
from sync.served import ask
from sync.targets import Target


class WaitingError(FlatdexError):
    """A target that others come after is not live; `again` tells whether it may only be a moment's trouble."""

    def __init__(self, what: str, fix: str, again: bool = False) -> None:
        super().__init__(what, fix)
        self.again = again


def refuse_unless_live(other: Target, carries: Carrier, snapshot: Snapshot) -> None:
    """Raises WaitingError, said of whoever comes after it, unless the target `other` shows the snapshot, and well."""
    fix = f"`flatdex push --only {other.name}` first."
    try:
        live = carries.look(snapshot)
    except FlatdexError as error:
        what = f"not flipped, since {other.name} could not be asked: {error.what}"
        raise WaitingError(what, fix, error.again) from error
    if live.id != snapshot.id:
        raise WaitingError(f"not flipped, since {other.name} shows {live.id or 'nothing'}", fix)
    try:
        if other.url:
            ask(other.url, snapshot)
    except FlatdexError as error:
        raise WaitingError(f"not flipped, since {other.name} is not well: {error.what}", fix) from error


def refuse_foreign(store: Store, name: str, snapshot: Snapshot, live: Live) -> None:
    """Raises FlatdexError for another remote's site, and for one that is ahead of what this store knows.

    The latter is what a store that was lost meets, or another builder's target.
    """
    shown = live.described
    if shown is None or live.same:
        return
    ours, theirs = (each.document["remote"]["id"] for each in (snapshot, shown))
    if ours and theirs and ours != theirs:
        fix = f"Is it the right place? If so: `flatdex push --force {name}`."
        raise FlatdexError(f"it shows another remote, {theirs}", fix)
    if shown.version >= snapshot.version and not (store.snapshots / shown.id).is_dir():
        fix = f"If this store is new, or was restored: `flatdex adopt {name}`; else: `flatdex push --force {name}`."
        raise FlatdexError(f"it shows {shown.id}, version {shown.version}, which this store does not know", fix)
