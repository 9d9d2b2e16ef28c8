"""Targets by rsync: folders, ssh hosts and daemons, laid out like a store, whose `current` is flipped by a rename."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from builder.description import DESCRIPTION, Snapshot, is_id
from builder.errors import FlatdexError
from builder.files import create_folder, make_durable, read
from builder.store import CURRENT, SNAPSHOTS, Store
from sync.carrier import Live, described
from sync.programs import Programs
from sync.rsync import RsyncError, rsync
from sync.targets import Kind, Target

_NEW = ".current.flatdex"
"""The name of a link in a folder before it is renamed."""
_ANCHORED = "anchor the path"
"""What a restricted rsync says of a path with `..`, where it wants one that starts at its folder."""


class MungedError(FlatdexError):
    """The daemon stores symlinks in a form that leads nowhere."""

    def __init__(self) -> None:
        fix = "Set `munge symlinks = no` for this module of the daemon, or `use chroot = yes`; then push again."
        super().__init__("copied, but the rsync daemon stores symbolic links munged: `current` leads nowhere", fix)


def _named(link: Path) -> str | None:
    """The id of the snapshot that a `current` names."""
    try:
        match = re.fullmatch(f"{SNAPSHOTS}/([^/]+)", str(link.readlink()))
    except OSError:  # there is none, or it is no link
        return None
    return match[1] if match and is_id(match[1]) else None


def _live(identifier: str | None, description: Path, store: Store) -> Live:
    """What a target shows that names `identifier`, and has this description behind it, if any."""
    try:
        told = read(description)
    except OSError:
        return Live(identifier)
    known = next(store.complete(identifier), None) if identifier else None  # nearly always, and read already
    shown = known if known and known.described == told else described(told)
    return Live(identifier, shown if shown and shown.id == identifier else None)


def _seen(root: Path, snapshot: Snapshot, store: Store) -> Live:
    """The same of a folder of this machine."""
    identifier, description = _named(root / CURRENT), root / CURRENT / DESCRIPTION
    if identifier == snapshot.id:
        try:
            if description.stat().st_size == len(snapshot.described) and read(description) == snapshot.described:
                return Live(identifier, snapshot, same=True)
        except OSError:
            pass
    return _live(identifier, description, store)


class RsyncCarrier:
    """One target that holds `snapshots/` and `current`."""

    def __init__(self, programs: Programs, store: Store, target: Target) -> None:
        self._programs, self._store, self._target = programs, store, target
        folder = target.kind is Kind.FOLDER
        # Which links lead to a folder of this machine is the operator's business: rsync follows only some of them.
        self._at = str(Path(target.destination).resolve()) if folder else target.destination

    def _rsync(self, *arguments: str) -> str:
        return rsync(self._programs, self._target, *arguments)

    def look(self, snapshot: Snapshot) -> Live:
        """Reads the link, and the description behind it; from afar only if it is not the one which is here already."""
        if self._target.kind is Kind.FOLDER:
            return _seen(Path(self._at), snapshot, self._store)
        with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
            folder, known = Path(name), f"--compare-dest={snapshot.folder.absolute()}"
            whole = self._fetch(folder, known, CURRENT, f"{CURRENT}/{DESCRIPTION}")
            if not whole and not (folder / CURRENT).is_symlink():
                # A restricted rsync fetches nothing if any of it is missing.
                self._fetch(folder, known, CURRENT)
            identifier = _named(folder / CURRENT)
            if whole and not (folder / DESCRIPTION).exists():
                return Live(identifier, snapshot, same=identifier == snapshot.id)
            return _live(identifier, folder / DESCRIPTION, self._store)

    def description(self) -> bytes:
        """The `snapshot.json` behind `current`."""
        with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
            there = self._fetch(Path(name), "--checksum", f"{CURRENT}/{DESCRIPTION}")
            return Path(name, DESCRIPTION).read_bytes() if there else b""

    def fetch(self, snapshot: Snapshot) -> None:
        """Copies all that is behind `current`."""
        how = ("--recursive", "--times", "--perms", "--chmod=D755,F644")
        self._rsync(*how, f"{self._at}/{CURRENT}/", f"{snapshot.folder}/")

    def _fetch(self, folder: Path, known: str, *paths: str) -> bool:
        """Copies from there what is not known yet; gives whether all of it is there."""
        try:
            self._rsync("--links", "--checksum", known, *(f"{self._at}/{path}" for path in paths), f"{folder}/")
        except RsyncError as error:
            if not error.missing:
                raise
            return False
        return True

    def send(self, snapshot: Snapshot, live: Live, thorough: bool) -> int:
        """Sends what the snapshot live there has not, and links the rest. A target that lost its folders gets them."""
        if live.id is None:
            self._make_folders()
        # Dates are whole seconds, and a file that changes always gets a later one: size and date tell it from what it
        # was, unless the target's disk has changed it, or somebody there.
        how = ("--checksum",) if thorough or live.described is None else ()
        try:
            return self._send(snapshot, live.id, how)
        except RsyncError as error:
            if live.id is None or "mkdir" not in error.what:
                raise
            self._make_folders()
            return self._send(snapshot, None, how)

    def _send(self, snapshot: Snapshot, before: str | None, how: tuple[str, ...]) -> int:
        if before is None or before == snapshot.id:
            return self._copy(snapshot, *how)
        try:
            return self._copy(snapshot, *how, f"--link-dest={self._beside(before)}")
        except RsyncError as error:
            if _ANCHORED not in error.what:
                raise
            return self._copy(snapshot, *how, f"--link-dest={self._anchored(before)}")

    def _beside(self, identifier: str) -> str:
        """A snapshot's folder there: for ssh from the top, if that is known, since a restricted rsync wants it so."""
        path = self._at.partition(":")[2] if self._target.kind is Kind.SSH else ""
        return f"{path}/{SNAPSHOTS}/{identifier}" if path.startswith("/") else f"../{identifier}"

    def _anchored(self, identifier: str) -> str:
        path = self._at.partition(":")[2].strip("./")
        return f"/{path}/{SNAPSHOTS}/{identifier}" if path else f"/{SNAPSHOTS}/{identifier}"

    def _copy(self, snapshot: Snapshot, *how: str) -> int:
        """Copies the files. What is sent is durable then."""
        folder = self._target.kind is Kind.FOLDER
        told = self._rsync(
            "--recursive",
            "--links",
            "--perms",
            "--times",
            "--hard-links",  # an index has two names, and is sent once
            "--omit-dir-times",  # nobody reads them, and setting them would touch a target that has all already
            "--delete",
            "--chmod=D755,F644",
            "--stats",
            *(() if folder else ("--fsync",)),
            *how,
            f"{snapshot.folder.absolute()}/",
            f"{self._at}/{SNAPSHOTS}/{snapshot.id}/",
        )
        if folder:
            self._settle(SNAPSHOTS, snapshot.id)
        sent = re.search(r"^Number of regular files transferred: ([0-9,.]+)", told, re.MULTILINE)
        return int(re.sub(r"[,.]", "", sent[1])) if sent else 0

    def _make_folders(self) -> None:
        """The target's own folder and `snapshots/` in it, open to its web server under any umask."""
        if self._target.kind is Kind.FOLDER:
            try:
                create_folder(Path(self._at))
            except OSError as error:
                raise FlatdexError(f"{self._at} cannot be made: {error.strerror}") from error
        self._rsync(
            "--dirs",
            "--perms",
            "--chmod=D755",
            "--mkpath",
            f"--include=/{SNAPSHOTS}/",
            "--exclude=*",
            f"{self._store.root.absolute()}/",
            f"{self._at}/",
        )

    def flip(self, snapshot: Snapshot, live: Live) -> None:
        """Sends the link alone, which rsync renames into its place; in a folder, we do."""
        if self._target.kind is Kind.FOLDER:
            self._flip_here()
            self._settle()
        else:
            self._rsync("--links", str(self._store.current_link), f"{self._at}/")
        if self._target.kind is Kind.DAEMON and not live.same and not self.look(snapshot).same:
            raise MungedError

    def _flip_here(self) -> None:
        new = Path(self._at, _NEW)
        try:
            new.unlink(missing_ok=True)  # of one that was cut off
            new.symlink_to(self._store.current_link.readlink())
            new.replace(Path(self._at, CURRENT))
        except IsADirectoryError as error:
            what = f"{self._at}/{CURRENT} is a folder, not flatdex's link"
            raise FlatdexError(what, "Move it away.") from error
        except OSError as error:
            raise FlatdexError(f"{self._at}/{CURRENT} could not be replaced: {error.strerror}") from error

    def _settle(self, *inside: str) -> None:
        try:
            make_durable(Path(self._at, *inside))
        except OSError as error:
            raise FlatdexError(f"{self._at} could not be written durably: {error.strerror}") from error

    def snapshots(self) -> frozenset[str]:
        """As rsync lists them."""
        try:
            listed = self._rsync("--list-only", f"{self._at}/{SNAPSHOTS}/")
        except RsyncError as error:
            if not error.missing:
                raise
            return frozenset()
        return frozenset(name for line in listed.splitlines() if is_id(name := line.rpartition(" ")[2]))

    def remove(self, identifiers: Collection[str]) -> None:
        """Lets rsync delete them: an empty folder is sent, and only what is named is let go for it."""
        if not identifiers:
            return
        named = [f"--include=/{identifier}{end}" for identifier in sorted(identifiers) for end in ("/", "/**")]
        with tempfile.TemporaryDirectory(prefix="flatdex-") as empty:
            self._rsync("--recursive", "--delete", *named, "--exclude=*", f"{empty}/", f"{self._at}/{SNAPSHOTS}/")
