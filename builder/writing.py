"""The only writer of a snapshot's files: shows all of a new one at once, or nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files
from builder.content import Content, InMemory, Made, OnDisk
from builder.description import DESCRIPTION, FileEntry, KeptEntry, Snapshot, description_mtime
from builder.errors import FlatdexError
from builder.files import create_folder, make_durable, sha256_of
from builder.parallel import threads
from builder.signing import sealed
from builder.store import UNFINISHED, Store

_CHUNK = 1024 * 1024
_LARGE = 1024 * 1024
_WRITERS = min(4, os.cpu_count() or 1)  # threads: file systems take several files at once


@dataclass(frozen=True)
class Draft:
    """All that a new snapshot consists of. `bases` are earlier ones, whose files it may share."""

    id: str
    created: int
    entries: tuple[FileEntry, ...]
    kept: Mapping[KeptEntry, Path]
    contents: Mapping[str, Content]
    document: Mapping[str, Any]
    bases: tuple[Snapshot, ...]
    full: bool = False
    """Whether no earlier file is shared before its bytes were read."""
    keys: tuple[Path, ...] = ()
    """Those that sign it."""


def write(store: Store, draft: Draft) -> None:
    """Writes the snapshot. Until the last step, a rename, nothing of it can be taken for one. Raises FlatdexError."""
    folder = store.snapshots / f"{UNFINISHED}{draft.id}"
    described = sealed(_lines(draft.document).encode("utf-8"), draft.keys)
    contents = {**draft.contents}
    contents.update({each.path: OnDisk(file, each.size, each.sha256) for each, file in draft.kept.items()})
    try:
        _write_files(folder, contents, (*draft.entries, *draft.kept), _twins(draft.bases), draft.full)
        _write_file(folder / DESCRIPTION, InMemory(described), description_mtime(draft.created))
        make_durable(folder)
        folder.rename(store.snapshots / draft.id)
        make_durable(store.snapshots)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"the snapshot could not be written: {error.strerror}: {error.filename or folder}"
        raise FlatdexError(what, "What was published before is untouched.") from error


def intact(kept: Iterable[KeptEntry], bases: Iterable[Snapshot], full: bool) -> dict[KeptEntry, Path]:
    """Where each of the files still is as it was; what was damaged or lost is left out: nothing could bring it back."""
    wanted = {entry.path: entry for entry in kept}
    found: dict[KeptEntry, Path] = {}
    for base in bases:
        for path in wanted.keys() & base.by_path.keys():
            file, entry = base.folder / path, wanted[path]
            if entry not in found and _is_intact(file, entry, full):
                found[entry] = file
    return dict(sorted(found.items()))


def is_intact(file: Path, entry: FileEntry) -> bool:
    """Whether a file is what its entry says, by its bytes too."""
    return _is_intact(file, entry, full=True)


def _lines(document: Mapping[str, Any]) -> str:
    """JSON with a line for each file, image and so on: to be read and compared by people, and fast to write."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_value(value)}" for key, value in document.items()) + "\n}\n"


def _value(value: object) -> str:
    text = json.dumps(value)
    if not isinstance(value, list) or not value:
        return text
    # Encoding all at once is several times faster; what looks like the end of an item within a string would deceive.
    if text.count("}, {") == len(value) - 1:
        return f"[\n {text[1:-1].replace('}, {', '},' + chr(10) + ' {')}\n]"
    return "[\n " + ",\n ".join(map(json.dumps, value)) + "\n]"


def _twins(bases: Iterable[Snapshot]) -> dict[tuple[str, int], str]:
    """Files that exist already, by hash and mtime."""
    return {(entry.sha256, entry.mtime): f"{base.folder}/{entry.path}" for base in bases for entry in base.all_files}


def _write_files(
    folder: Path,
    contents: Mapping[str, Content],
    entries: tuple[FileEntry, ...],
    twins: Mapping[tuple[str, int], str],
    full: bool,
) -> None:
    """Writes all files; those that an earlier one equals, mtime and all, are hard links to it and cost nothing."""
    _make_folders(folder, entries)
    alike: dict[tuple[str, int], list[FileEntry]] = {}
    for entry in entries:
        alike.setdefault((entry.sha256, entry.mtime), []).append(entry)

    def write(same: list[FileEntry]) -> None:
        first = folder / same[0].path
        _write_content(first, contents[same[0].path], same[0].mtime)
        for entry in same[1:]:
            place = folder / entry.path
            if not _linked(first, place):
                _write_content(place, contents[entry.path], entry.mtime)

    with threads(_WRITERS) as pool:  # what is new is on its way to the disk while the rest is linked
        written = [pool.submit(write, same) for key, same in alike.items() if key not in twins]
        for key, same in alike.items():
            twin = twins.get(key)
            if twin and (left := _not_linked(folder, same, twin, full)):
                written.append(pool.submit(write, left))
        for each in written:
            each.result()


def _not_linked(folder: Path, same: list[FileEntry], twin: str, full: bool) -> list[FileEntry]:
    """Links all to a file that they equal; those for which it did not work."""
    if not _is_intact(twin, same[0], full):
        return same
    return [entry for entry in same if not _linked(twin, f"{folder}/{entry.path}")]


def _make_folders(folder: Path, entries: Iterable[FileEntry]) -> None:
    """All folders that the files are in, open to web servers under any umask."""
    create_folder(folder)
    wanted = {entry.path.rpartition("/")[0] for entry in entries}
    wanted |= {parent for path in wanted for parent in _above(path)}
    for path in sorted(wanted - {""}):
        made = folder / path
        made.mkdir()
        made.chmod(0o755)


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_intact(file: str | Path, entry: FileEntry, full: bool) -> bool:
    """Whether a file still is what its entry says, by size and mtime, or by its bytes too."""
    try:
        found = os.lstat(file)
        same = found.st_size == entry.size and found.st_mtime_ns == entry.mtime * 10**9
        return same and (not full or sha256_of(Path(file)) == entry.sha256)
    except OSError:
        return False


def _linked(twin: str | Path, place: str | Path) -> bool:
    try:
        os.link(twin, place)
    except OSError:  # no links here, or too many: a copy does as well
        return False
    return True


_moving = threading.Lock()


def _write_content(place: Path, content: Content, mtime: int) -> None:
    if isinstance(content, OnDisk):
        if not (content.own and _moved(content, place, mtime)):
            _copy(content, place, mtime)
    else:
        _write_file(place, content, mtime)


def _moved(content: OnDisk, place: Path, mtime: int) -> bool:
    """Links the store's own file, if no snapshot has it yet: its date would change there, too."""
    try:
        with _moving:
            found = os.lstat(content.file)
            if found.st_nlink != 1 or found.st_size != content.size:
                return False
            os.link(content.file, place)
        _finish(place, mtime)
    except OSError:  # no links here: a copy does as well, or tells what is wrong
        return False
    return True


def _write_file(place: Path, content: Made, mtime: int) -> None:
    """With as few calls as can be: there may be ten thousands of small ones."""
    opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        for part in content.parts:
            left = memoryview(part)
            while left:
                left = left[os.write(opened, left) :]
        _start_early(opened, content.size)
        os.fchmod(opened, 0o644)
        os.utime(opened, (mtime, mtime))
    finally:
        os.close(opened)


def _start_early(opened: int, size: int) -> None:
    """Brings a large file to the disk now, in a thread of its own; many small ones get there faster all at once."""
    if size > _LARGE:
        os.fdatasync(opened)


def _copy(content: OnDisk, place: Path, mtime: int) -> None:
    digest, left = hashlib.sha256(), content.size
    with files.opened(content.file) as source, place.open("wb") as target:
        while part := source.read(min(_CHUNK, left)):
            left -= len(part)
            digest.update(part)
            target.write(part)
        target.flush()
        _start_early(target.fileno(), content.size)
    if left or digest.hexdigest() != content.sha256:
        fix = "Write a new layout, then move it into place. If the file is in the store: `flatdex build --full`."
        raise FlatdexError(f"{content.file} is not what it was, or changed while it was read; nothing was built", fix)
    _finish(place, mtime)


def _finish(place: Path, mtime: int) -> None:
    place.chmod(0o644)
    os.utime(place, (mtime, mtime))
