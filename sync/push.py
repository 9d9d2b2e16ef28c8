"""Copies what `current` names to targets: the snapshot first, then `current` alone, so that nobody sees half."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from builder.errors import FlatdexError
from builder.sources.transport import FetchError, Transport
from builder.store import CURRENT, DESCRIPTION, SNAPSHOTS, Store
from sync.rsync import live, rsync
from sync.targets import Target

_LARGEST_DESCRIPTION = 256 * 1024 * 1024

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one target: the snapshot that was live there before, and an error if it failed."""

    target: str
    snapshot: str
    before: str | None = None
    error: str = ""

    @property
    def line(self) -> str:
        """For a person."""
        if self.error:
            return f"{self.target}: failed: {self.error}"
        return f"{self.target}: {'already ' if self.before == self.snapshot else ''}serves {self.snapshot}"


def push(store: Store, targets: Iterable[Target], folder: Path, say: Say) -> list[Outcome]:
    """Brings each target to what `current` names; one that fails does not hold up the others.

    The caller holds the lock. `folder` is where rsync and ssh run: relative key paths are relative to it.
    """
    identifier = store.current()
    if identifier is None:
        raise FlatdexError(
            f"nothing was promoted yet in {store.root}", "First `flatdex build`, then `flatdex promote`."
        )
    snapshot = store.find(identifier).id
    outcomes = []
    for target in targets:
        say(f"pushing {snapshot} to {target.name}")
        outcomes.append(_push(store, snapshot, target, folder))
    return outcomes


def _push(store: Store, snapshot: str, target: Target, folder: Path) -> Outcome:
    before = None
    try:
        before = live(target, folder)
        _copy(store, snapshot, before, target, folder)
        rsync(target, folder, "--links", str(store.root / CURRENT), f"{target.destination}/")
        if target.url:
            _ask(target.url, snapshot)
    except FlatdexError as error:
        return Outcome(target.name, snapshot, before, error.what)
    return Outcome(target.name, snapshot, before)


def _copy(store: Store, snapshot: str, before: str | None, target: Target, folder: Path) -> None:
    """The snapshot's files; what the one before has too is linked to it there, and not sent."""
    linked = [f"--link-dest=../{before}"] if before and before != snapshot else []
    rsync(
        target,
        folder,
        "--recursive",
        "--links",
        "--perms",
        "--times",
        "--checksum",
        "--delete",
        "--mkpath",
        "--chmod=D755,F644",
        *linked,
        f"{store.snapshots / snapshot}/",
        f"{target.destination}/{SNAPSHOTS}/{snapshot}/",
    )


def _ask(url: str, snapshot: str) -> None:
    """Asks the target's web server for what it serves now: a flip that no reader sees is a failure."""
    place = urljoin(url if url.endswith("/") else f"{url}/", DESCRIPTION)
    try:
        with Transport() as transport:
            served = json.loads(transport.get(place, _LARGEST_DESCRIPTION).body)["id"]
    except FetchError as error:
        raise FlatdexError(f"copied, but not served: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FlatdexError(f"copied, but not served: {place} is not a snapshot's description") from error
    if served != snapshot:
        raise FlatdexError(f"copied, but {place} still shows {served}")
