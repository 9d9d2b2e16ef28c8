"""What is at the place that an export goes to: the file system, what earlier exports left there, what is in the way."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder import files
from builder.description import DESCRIPTION, Invalid, Snapshot, parse
from builder.errors import FlatdexError, UsageError
from builder.parallel import mapped
from builder.stick import EXPORT, Export, read_export
from sync.export.items import Item, recorded
from sync.export.plan import STAGE

_FAT = ("vfat", "msdos")
_MOUNTS = Path("/proc/self/mountinfo")
_LONGEST = 1024**3  # bytes of a snapshot.json
_READERS = 2  # threads: hashing lets other threads run
_NEW_FILES = "Name an empty folder, or one that `flatdex export` has filled before."


@dataclass(frozen=True)
class Room:
    """A file system: its kind, the bytes that are free, and those of a cluster."""

    kind: str
    free: int
    cluster: int

    @property
    def is_fat(self) -> bool:
        """Whether no file on it may be larger than FAT allows."""
        return self.kind in _FAT


@dataclass(frozen=True)
class Before:
    """What an earlier export has left: the hashes that it recorded, by path; and all paths that may be its own.

    Those in `doubtful` belong to an export that was cut off: their names may be there, and not their bytes.
    """

    export: Export | None
    recorded: Mapping[str, str]
    doubtful: frozenset[str]

    @property
    def paths(self) -> frozenset[str]:
        """All that exports may have put there."""
        return self.doubtful | self.recorded.keys()


def room(folder: Path) -> Room:
    """What `folder`, or the one that it will be made in, lies on."""
    place = folder if folder.is_dir() else folder.parent
    found = os.statvfs(place)
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        mounts = ""
    free = found.f_bavail * found.f_frsize + _left(folder / STAGE)
    return Room(file_system(mounts, str(place.resolve())), free, max(found.f_frsize, 512))


def _left(stage: Path) -> int:
    """Bytes that an export which was cut off has left there: they go first of all."""
    if stage.is_symlink() or not stage.is_dir():
        return 0
    return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(stage))


def file_system(mounts: str, path: str) -> str:
    """The kind of file system that `path` lies on, by the text of `mountinfo`; empty if that doesn't tell."""
    longest, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]).rstrip("/")
        # Of several mounts at one place the last one counts.
        if (path == point or path.startswith(f"{point}/")) and len(point) >= len(longest):
            longest, kind = point, after.split(" ")[0]
    return kind


def before(folder: Path, own: Iterable[str]) -> Before:
    """What an earlier export has left in `folder`; `own` are paths that no snapshot names. Raises FlatdexError."""
    try:
        export = read_export(folder)
        if export is None:
            return Before(None, {}, frozenset())
        old = _described(folder) if export.snapshot or export.writing is not None else None
        if old is None and export.snapshot:
            raise Invalid(f"{DESCRIPTION} is not there")
    except (Invalid, OSError) as error:
        by = f"{EXPORT} and {DESCRIPTION} don't tell"
        what = f"nobody can say what in {folder} was exported there: {by}: {_reason(error)}"
        raise FlatdexError(what, "Empty the folder, then export again.") from error
    known = dict(recorded(old)) if old else {}
    return Before(export, {**dict.fromkeys((*own, DESCRIPTION), ""), **known}, frozenset(export.writing or ()))


def _described(folder: Path) -> Snapshot | None:
    try:
        return parse(files.read(folder / DESCRIPTION, _LONGEST), folder)
    except FileNotFoundError:
        return None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def there(folder: Path, paths: Iterable[str]) -> dict[str, bool]:
    """Of these paths, and the folders on the way to them, what is there, and whether it is a plain file.

    Folders on the way are told of only if they are none, as a link is: nothing is ever written through one.
    """
    found: dict[str, bool] = {}
    seen: dict[str, bool] = {"": folder.is_dir()}

    def is_folder(path: str) -> bool:
        if path not in seen:
            mode = _mode(folder, path) if is_folder(path.rpartition("/")[0]) else None
            seen[path] = mode is not None and stat.S_ISDIR(mode)
            if mode is not None and not seen[path]:
                found[path] = False
        return seen[path]

    for path in paths:
        if is_folder(path.rpartition("/")[0]):
            mode = _mode(folder, path)
            if mode is not None:
                found[path] = stat.S_ISREG(mode)
    return found


def _mode(folder: Path, path: str) -> int | None:
    try:
        return os.lstat(f"{folder}/{path}").st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def same(folder: Path, wanted: Iterable[Item], known: Before, full: bool) -> set[str]:
    """The paths at which the stick has what is wanted.

    Reading all of a stick takes long: a size, and the hash that an export recorded when it was done, are trusted; what
    one that was cut off may have written is read, and with `full` all is.
    """
    found, unsure = set(), []
    for item in wanted:
        if _size(folder, item.path) != item.size:
            continue
        if full or item.path in known.doubtful or isinstance(item.content, bytes):
            unsure.append(item)
        elif known.recorded.get(item.path) == item.sha256:
            found.add(item.path)
    hashed = mapped(_READERS, partial(_has, folder), unsure)
    return found | {item.path for item, has in zip(unsure, hashed, strict=True) if has}


def _size(folder: Path, path: str) -> int | None:
    try:
        state = os.lstat(f"{folder}/{path}")
    except OSError:
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _has(folder: Path, item: Item) -> bool:
    try:
        with files.opened(folder / item.path) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == item.sha256
    except OSError:  # the medium can't be read there: written anew, it may be
        return False


def check_folder(folder: Path, store: Path) -> None:
    """Raises UsageError where no export can go."""
    if not folder.is_dir() and (folder.exists() or folder.is_symlink() or not folder.parent.is_dir()):
        what = f"{folder} is no folder" if folder.exists() else f"{folder.parent} is not there"
        raise UsageError(what, "Name a folder of a mounted stick: `flatdex export /media/you/STICK`.")
    inside, whole = folder.resolve(), store.resolve()
    if inside == whole or whole in inside.parents or inside in whole.parents:
        raise UsageError(f"{folder} and the store {store} lie in each other", "Name a folder outside of the store.")
    if (folder / "snapshots").is_dir() and (folder / "current").is_symlink():
        raise UsageError(f"{folder} is a store, or a target of one", "Name a folder of a mounted stick.")


def refuse(folder: Path, obstacles: Collection[str]) -> None:
    """Raises FlatdexError if there are any."""
    if obstacles:
        shown = [*sorted(obstacles)[:_SHOWN], *(["..."] if len(obstacles) > _SHOWN else [])]
        what = f"{folder} holds what no export has put there, where this one would write: {', '.join(shown)}"
        raise FlatdexError(what, _NEW_FILES)


_SHOWN = 5


def always(folder: Path, export: Export | None) -> Iterator[str]:
    """Names that every export needs for itself, where they are taken by something else."""
    stage = _mode(folder, STAGE)
    if stage is not None and not (export and stat.S_ISDIR(stage)):
        yield STAGE
    description = _mode(folder, EXPORT)
    if description is not None and not stat.S_ISREG(description):
        yield EXPORT
