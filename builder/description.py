"""`snapshot.json`, the contract between what builds a site, what publishes it, and whoever mirrors it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

FORMAT = 1
DESCRIPTION = "snapshot.json"

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_HASH = re.compile(r"[0-9a-f]{64}")
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


def description_mtime(created: int) -> int:
    """The date of a `snapshot.json` made then: a second before, or Apache would call its ETag weak at first."""
    return created - 1


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
    def expires(self) -> int | None:
        """Until when it is valid, in seconds; None if it doesn't say."""
        return timestamp(self.document["expires"]) if "expires" in self.document else None

    @cached_property
    def described(self) -> bytes:
        """The bytes of its `snapshot.json`, read once. Raises OSError."""
        return (self.folder / DESCRIPTION).read_bytes()

    @cached_property
    def by_path(self) -> dict[str, FileEntry]:
        """All files by their paths."""
        return {entry.path: entry for entry in self.all_files}


class Invalid(ValueError):
    """A `snapshot.json` that is none; the message says why."""


def read_snapshot(folder: Path, own_name: bool = True) -> Snapshot:
    """The snapshot in `folder`. Raises Invalid if its description is missing, cut off, or another folder's.

    Only in a store, or on a target, has the folder the snapshot's `own_name`.
    """
    try:
        snapshot = _read(folder)
    except (OSError, Invalid) as error:
        raise Invalid(f"{folder / DESCRIPTION}: {error}") from error
    if own_name and snapshot.id != folder.name:
        raise Invalid(f"{folder / DESCRIPTION}: it is that of {snapshot.id}")
    return snapshot


_known: dict[Path, tuple[tuple[int, ...], Snapshot]] = {}
_MOST_KNOWN = 2  # a large one takes some megabytes
_SETTLED = 1.0  # seconds: what was written just now may be written once more at what is the same time to a file system


def _read(folder: Path) -> Snapshot:
    """The snapshot, which is read once as long as its description stays as it is: to parse a large one takes a while.

    Raises OSError and Invalid.
    """
    with (folder / DESCRIPTION).open("rb") as opened:
        found = os.fstat(opened.fileno())
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        before = _known.get(folder)
        if before and before[0] == state:
            return before[1]
        snapshot = parse(opened.read(), folder)
    _known.pop(folder, None)
    if abs(time.time() - found.st_ctime) > _SETTLED:
        _known[folder] = (state, snapshot)
        for old in list(_known)[:-_MOST_KNOWN]:
            _known.pop(old, None)
    return snapshot


def parse(data: bytes, folder: Path = Path()) -> Snapshot:
    """The snapshot that a `snapshot.json` describes, whose files are, or would be, in `folder`. Raises Invalid."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']} is not known to this version of flatdex")
        for key, form in _FORM.items():
            _check(document[key], form, key)
        if not is_id(document["id"]):
            raise ValueError(f"{document['id']!r:.80} is not a snapshot's id")
        timestamp(document.get("expires", document["created"]))
        return Snapshot(
            folder=folder,
            id=document["id"],
            version=_whole(document["version"]),
            created=timestamp(document["created"]),
            previous=document["previous"],
            files=tuple(_entry(**entry) for entry in document["files"]),
            kept=tuple(_kept_entry(**entry) for entry in document["kept"]),
            document=document,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(str(error)) from error


def spells_hash(entry: FileEntry) -> bool:
    """Whether the file's path holds the hash of its bytes, so that it can never be another file's."""
    return entry.sha256 in entry.path.replace("/", "")


def _check(value: object, form: Any, where: str) -> None:
    """Raises TypeError unless `value` has the form: a type, a tuple of types, a list of a form, a mapping of forms."""
    if isinstance(form, list):
        _check(value, list, where)
        for item in value:  # type: ignore[attr-defined]
            if not _fits(item, form[0]):
                _check(item, form[0], where)
    elif isinstance(form, dict):
        _check(value, dict, where)
        for key, inner in form.items():
            _check(value[key], inner, f"{where}.{key}")  # type: ignore[index]
    elif not isinstance(value, form) or (isinstance(value, bool) and form is int):
        raise TypeError(f"{where} is {value!r:.80}")


def _fits(item: object, form: object) -> bool:
    """Whether an item of a list has the form, where that is quickly told: there may be thousands."""
    if type(item) is not dict or type(form) is not dict:
        return False
    return all(type(item.get(key)) is inner for key, inner in form.items())


def _entry(path: str, size: int, sha256: str, mtime: int) -> FileEntry:
    if not is_inside(path):
        raise ValueError(f"names a file outside of the snapshot: {path!r}")
    if type(sha256) is not str or not _HASH.fullmatch(sha256):  # it may become a file's name
        raise TypeError(f"{path}: {sha256!r:.80} is no hash")
    return FileEntry(path, _whole(size), sha256, _whole(mtime))


def _kept_entry(until: str, **entry: Any) -> KeptEntry:
    return KeptEntry(**asdict(_entry(**entry)), until=timestamp(until))


def _whole(number: int) -> int:
    if type(number) is not int or not 0 <= number < 2**53:
        raise TypeError(f"{number!r:.80} is not a whole number, or too large")
    return number


def is_inside(path: str) -> bool:
    """Whether a path of a snapshot's file stays in the snapshot, and is written in the one plain way."""
    if not path.isprintable():  # line breaks, and what no file system can take
        return False
    if path[:1] > "/" and "/." not in path and "//" not in path and path[-1:] != "/":  # nearly all of them
        return True
    parts = path.split("/")
    return all(parts) and "." not in parts and ".." not in parts


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
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())
    except OverflowError as error:
        raise ValueError(f"no such time: {text!r:.80}") from error
