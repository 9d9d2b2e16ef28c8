"""Copies what `current` names to targets: the snapshot first, then `current` alone, so that nobody sees half."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import FlatdexError
from builder.files import create_folder
from builder.store import CURRENT, SNAPSHOTS, Store
from sync.promote import refuse_damaged
from sync.rsync import RsyncError, live, rsync
from sync.served import description_url, served
from sync.targets import Kind, Target

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one target: what was live there before, an error if it failed, whether its URL was asked."""

    target: str
    snapshot: str
    before: str | None = None
    error: str = ""
    asked: bool = False

    @property
    def line(self) -> str:
        """For a person; only a target that was asked over HTTP is said to serve."""
        if self.error:
            return f"{self.target}: failed: {self.error}"
        already = "already " if self.before == self.snapshot else ""
        return f"{self.target}: {already}{'serves' if self.asked else 'has'} {self.snapshot}"


def push(store: Store, targets: Iterable[Target], folder: Path, say: Say) -> list[Outcome]:
    """Brings each target to what `current` names; one that fails does not hold up the others.

    The caller holds the lock. `folder` is where rsync and ssh run: relative key paths are relative to it.
    """
    identifier = store.current()
    if identifier is None:
        raise FlatdexError(
            f"nothing was promoted yet in {store.root}", "First `flatdex build`, then `flatdex promote`."
        )
    found = store.snapshot(identifier)
    refuse_damaged(found)
    snapshot = found.id
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
        rsync(target, folder, "--links", str(store.root / CURRENT), f"{target.destination}/", holding=store.lock)
        if target.url:
            _ask(target.url, snapshot)
    except FlatdexError as error:
        return Outcome(target.name, snapshot, before, error=" ".join(str(error).split()))
    return Outcome(target.name, snapshot, before, asked=bool(target.url))


def _copy(store: Store, snapshot: str, before: str | None, target: Target, folder: Path) -> None:
    """The snapshot's files; a target that has lost even `snapshots/` gets it again."""
    if before is None:
        _make_folders(store, target, folder)
    try:
        _copy_files(store, snapshot, before, target, folder)
    except RsyncError as error:
        if before is None or "mkdir" not in error.what:
            raise
        _make_folders(store, target, folder)
        _copy_files(store, snapshot, None, target, folder)


def _copy_files(store: Store, snapshot: str, before: str | None, target: Target, folder: Path) -> None:
    """What the snapshot before has too is linked to it there, and not sent."""
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
        "--chmod=D755,F644",
        *linked,
        f"{store.snapshots / snapshot}/",
        f"{target.destination}/{SNAPSHOTS}/{snapshot}/",
        holding=store.lock,
    )


def _make_folders(store: Store, target: Target, folder: Path) -> None:
    """The target's own folder and `snapshots/` in it, open to its web server under any umask."""
    if target.kind is Kind.FOLDER:
        try:
            create_folder(Path(target.destination))
        except OSError as error:
            raise FlatdexError(f"{target.destination} cannot be made: {error.strerror}") from error
    rsync(
        target,
        folder,
        "--dirs",
        "--perms",
        "--chmod=D755",
        "--mkpath",
        f"--include=/{SNAPSHOTS}/",
        "--exclude=*",
        f"{store.root}/",
        f"{target.destination}/",
        holding=store.lock,
    )


def _ask(url: str, snapshot: str) -> None:
    try:
        shown = served(url)
    except FlatdexError as error:
        raise FlatdexError(f"copied, but not served: {error}") from error
    if shown != snapshot:
        raise FlatdexError(f"copied, but {description_url(url)} still shows {shown}")
