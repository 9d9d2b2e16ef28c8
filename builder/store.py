"""The store and its snapshots: the contract between what builds a site and what publishes it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from builder.errors import FlatdexError, LockedError, UsageError

FORMAT = 1
DESCRIPTION = "snapshot.json"
SNAPSHOTS = "snapshots"
CURRENT = "current"
UNFINISHED = ".unfinished-"
"""How the name of a snapshot's folder starts while it is written."""

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, order=True)
class FileEntry:
    """A file of a snapshot: its path, size in bytes, sha256 in hexadecimal, and mtime in whole seconds."""

    path: str
    size: int
    sha256: str
    mtime: int


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot, by its `snapshot.json`, which `document` holds as it is."""

    folder: Path
    id: str
    version: int
    created: int
    previous: str | None
    files: tuple[FileEntry, ...]
    document: Mapping[str, Any]

    @property
    def by_path(self) -> dict[str, FileEntry]:
        """The files by their paths."""
        return {entry.path: entry for entry in self.files}


class Invalid(ValueError):
    """A `snapshot.json` that is none; the message says why."""


class Store:
    """A folder with `snapshots/`, `current` and `lock`. Reading never locks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshots = root / SNAPSHOTS
        self.current_link = root / CURRENT

    def complete(self, start: str = "") -> Iterator[Snapshot]:
        """The complete snapshots whose ids start with `start`, the newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.snapshots) if _ID.fullmatch(entry.name)]
        except FileNotFoundError:
            return
        for name in sorted(names, reverse=True):
            if name.startswith(start):
                with contextlib.suppress(Invalid):
                    yield read_snapshot(self.snapshots / name)

    def newest(self) -> Snapshot | None:
        """The newest complete snapshot."""
        return next(self.complete(), None)

    def current(self) -> str | None:
        """The id that `current` names; None before the first promotion. Raises FlatdexError if it is no such link."""
        try:
            target = self.current_link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"{self.current_link} is not a symbolic link: {error.strerror}"
            raise FlatdexError(why, "Move it away, then promote again.") from error
        return target.name

    def find(self, wanted: str) -> Snapshot:
        """The complete snapshot whose id is, or alone starts with, `wanted`. Raises UsageError."""
        found = list(self.complete(wanted))
        if len(found) != 1:
            why = f"{'several snapshots start' if found else 'no complete snapshot starts'} with {wanted!r}"
            raise UsageError(f"{why} in {self.snapshots}", "`flatdex list` shows them.")
        return found[0]

    @contextlib.contextmanager
    def locked(self, verb: str) -> Iterator[None]:
        """Makes this process the store's one writer. Raises LockedError while another one is."""
        create_folder(self.root)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
                fix = "Try again when it is done; reading (list, show, status) never waits."
                raise LockedError(f"{self.root} is being written to by {holder or 'another process'}", fix) from error
            os.ftruncate(descriptor, 0)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            os.pwrite(descriptor, f"`flatdex {verb}` (process {os.getpid()}) since {since}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def read_snapshot(folder: Path) -> Snapshot:
    """The snapshot in `folder`. Raises Invalid if its description is missing, cut off, or another folder's."""
    try:
        document = json.loads((folder / DESCRIPTION).read_bytes())
        if document["format"] != FORMAT:
            raise Invalid(f"{folder}: format {document['format']} is not known to this version of flatdex")
        entries = tuple(FileEntry(**entry) for entry in document["files"])
        snapshot = Snapshot(
            folder=folder,
            id=document["id"],
            version=document["version"],
            created=timestamp(document["created"]),
            previous=document["previous"],
            files=entries,
            document=document,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{folder / DESCRIPTION}: {error}") from error
    outside = [entry.path for entry in entries if not is_inside(entry.path)]
    if outside:
        raise Invalid(f"{folder / DESCRIPTION}: names a file outside of the snapshot: {outside[0]!r}")
    return snapshot


def is_inside(path: str) -> bool:
    """Whether a path of a snapshot's file stays in the snapshot."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def snapshot_id(created: int, content: str) -> str:
    """An id from the time in seconds and the hash of the content."""
    return f"{datetime.fromtimestamp(created, UTC).strftime(_TIME)}-{content[:8]}"


def time_text(created: int) -> str:
    """Seconds as RFC 3339 text."""
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp(text: str) -> int:
    """RFC 3339 text as seconds. Raises ValueError."""
    return int(datetime.fromisoformat(text).timestamp())


def create_folder(folder: Path) -> None:
    """Makes a folder that web servers can read, with its parents, under any umask."""
    missing = [folder, *folder.parents]
    for each in reversed([each for each in missing if not each.is_dir()]):
        each.mkdir(exist_ok=True)
        each.chmod(0o755)


def make_durable(folder: Path) -> None:
    """Returns when all that was written to the file system of `folder` would survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)
