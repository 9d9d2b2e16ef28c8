"""The store and its snapshots: the contract between what builds a site and what publishes it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import NoneType
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
_FORM = {
    "id": str,
    "version": int,
    "created": str,
    "previous": (str, NoneType),
    "remote": {"id": (str, NoneType)},
    "counts": {"refs": int, "images": int, "repositories": int, "files": int, "bytes": int},
    "variants": [{"path": str, "index": str, "refs": int}],
    "dispatch": {"routes": [dict], "default_tag": str, "unknown_tag": (str, NoneType)},
    "images": [{"index": str, "ref": str, "architecture": str, "repository": str, "digest": str}],
    "skips": [{"source": str, "repository": str, "reference": str, "code": str, "why": str}],
    "files": list,
    "kept": list,
}


@dataclass(frozen=True, order=True)
class FileEntry:
    """A file of a snapshot: its path, size in bytes, sha256 in hexadecimal, and mtime in whole seconds."""

    path: str
    size: int
    sha256: str
    mtime: int


@dataclass(frozen=True, order=True)
class KeptEntry(FileEntry):
    """A file of an earlier snapshot that nothing names any more; it stays `until` then, in seconds."""

    until: int


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot, by its `snapshot.json`, which `document` holds as it is."""

    folder: Path
    id: str
    version: int
    created: int
    previous: str | None
    files: tuple[FileEntry, ...]
    kept: tuple[KeptEntry, ...]
    document: Mapping[str, Any]

    @property
    def all_files(self) -> tuple[FileEntry, ...]:
        """What it holds, and what it keeps of earlier ones."""
        return (*self.files, *self.kept)

    @cached_property
    def by_path(self) -> dict[str, FileEntry]:
        """All files by their paths."""
        return {entry.path: entry for entry in self.all_files}


class Invalid(ValueError):
    """A `snapshot.json` that is none; the message says why."""


class Store:
    """A folder with `snapshots/`, `current` and `lock`. Reading never locks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshots = root / SNAPSHOTS
        self.current_link = root / CURRENT
        self.lock: int | None = None
        """The descriptor that holds the lock, while this process is the writer."""

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
        """The id that `current` names; None before the first promotion, or if it leads elsewhere than to a snapshot.

        Raises FlatdexError if it is no link.
        """
        try:
            target = self.current_link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"{self.current_link} is not a symbolic link: {error.strerror}"
            raise FlatdexError(why, "Move it away, then promote again.") from error
        return target.name if str(target) == f"{SNAPSHOTS}/{target.name}" and _ID.fullmatch(target.name) else None

    def find(self, wanted: str) -> Snapshot:
        """The complete snapshot whose id is, or alone starts with, `wanted`. Raises UsageError."""
        found = list(self.complete(wanted))
        if len(found) == 1:
            return found[0]
        if not found and is_id(wanted) and (self.snapshots / wanted).is_dir():
            return self.snapshot(wanted)
        why = f"{'several snapshots start' if found else 'no complete snapshot starts'} with {wanted!r}"
        raise UsageError(f"{why} in {self.snapshots}", "`flatdex list` shows them.")

    def snapshot(self, identifier: str) -> Snapshot:
        """The snapshot with this id, as `current` names one. Raises FlatdexError if it is not complete."""
        try:
            return read_snapshot(self.snapshots / identifier)
        except Invalid as error:
            where = " (the one that `current` names)" if identifier == self.current() else ""
            fix = "`flatdex publish` makes and promotes one of what the sources hold now."
            raise FlatdexError(f"the snapshot {identifier}{where} is not complete: {error}", fix) from error

    @contextlib.contextmanager
    def locked(self, verb: str, create: bool = False) -> Iterator[None]:
        """Makes this process the store's one writer. Raises LockedError while another one is.

        Only with `create` a store that is not there is made: else its name was probably mistyped.
        """
        if create:
            self._create()
        elif not self.root.is_dir():
            raise FlatdexError(f"no complete snapshot in {self.root}: it is not there", "`flatdex build` makes one.")
        self.lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take_lock(self.lock, verb)
            yield
        finally:
            os.close(self.lock)
            self.lock = None

    def _create(self) -> None:
        try:
            create_folder(self.root)
        except OSError as error:
            what = f"the store {self.root} cannot be made: {error.strerror}"
            raise FlatdexError(what, "A store is a folder: look at `store` in the configuration.") from error

    def _take_lock(self, descriptor: int, verb: str) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            fix = "Try again when it is done; reading (list, show, status) never waits."
            raise LockedError(f"{self.root} is being written to by {holder or 'another process'}", fix) from error
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"`flatdex {verb}` (process {os.getpid()}) since {since}\n".encode(), 0)
        except OSError as error:
            raise FlatdexError(f"{self.root / 'lock'} cannot be written: {error.strerror}") from error


def read_snapshot(folder: Path) -> Snapshot:
    """The snapshot in `folder`. Raises Invalid if its description is missing, cut off, or another folder's."""
    try:
        document = json.loads((folder / DESCRIPTION).read_bytes())
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not known to this version of flatdex")
        if document["id"] != folder.name:
            raise ValueError(f"it is that of {document['id']}")
        for key, form in _FORM.items():
            _check(document[key], form, key)
        return Snapshot(
            folder=folder,
            id=document["id"],
            version=document["version"],
            created=timestamp(document["created"]),
            previous=document["previous"],
            files=tuple(_entry(**entry) for entry in document["files"]),
            kept=tuple(_kept_entry(**entry) for entry in document["kept"]),
            document=document,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(f"{folder / DESCRIPTION}: {error}") from error


def _check(value: object, form: Any, where: str) -> None:
    """Raises TypeError unless `value` has the form: a type, a tuple of types, a list of a form, a mapping of forms."""
    if isinstance(form, list):
        _check(value, list, where)
        for item in value:  # type: ignore[attr-defined]
            _check(item, form[0], where)
    elif isinstance(form, dict):
        _check(value, dict, where)
        for key, inner in form.items():
            _check(value[key], inner, f"{where}.{key}")  # type: ignore[index]
    elif not isinstance(value, form) or (isinstance(value, bool) and form is int):
        raise TypeError(f"{where} is {value!r:.80}")


def _entry(path: str, size: int, sha256: str, mtime: int) -> FileEntry:
    if not is_inside(path):
        raise ValueError(f"names a file outside of the snapshot: {path!r}")
    _check(sha256, str, path)
    return FileEntry(path, _whole(size), sha256, _whole(mtime))


def _kept_entry(until: str, **entry: Any) -> KeptEntry:
    return KeptEntry(**asdict(_entry(**entry)), until=timestamp(until))


def _whole(number: int) -> int:
    if type(number) is not int:
        raise TypeError(f"{number!r} is not a whole number")
    return number


def is_inside(path: str) -> bool:
    """Whether a path of a snapshot's file stays in the snapshot."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def is_id(text: str) -> bool:
    """Whether this has the form of a snapshot's id."""
    return bool(_ID.fullmatch(text))


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
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        each.chmod(0o755)


def files_in(folder: Path) -> set[str]:
    """The paths, relative to `folder`, of all that is in it, but for folders (links to folders are in)."""
    return {
        str((Path(parent) / name).relative_to(folder))
        for parent, folders, names in os.walk(folder)
        for name in [*names, *(each for each in folders if (Path(parent) / each).is_symlink())]
    }


def sha256_of(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


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
