"""The only writer of a snapshot's files: shows all of a new one at once, or nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files
from builder.description import DESCRIPTION, FileEntry, KeptEntry, Snapshot
from builder.errors import FlatdexError
from builder.files import create_folder, make_durable, sha256_of
from builder.parallel import mapped
from builder.site.content import Content, InMemory, Made, OnDisk
from builder.store import REMOVED, UNFINISHED, Store

_CHUNK = 1024 * 1024
_WRITERS = 4  # threads: file systems take several files at once


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


def write(store: Store, draft: Draft) -> None:
    """Writes the snapshot. Until the last step, a rename, nothing of it can be taken for one. Raises FlatdexError."""
    folder = store.snapshots / f"{UNFINISHED}{draft.id}"
    contents = {**draft.contents}
    contents.update({each.path: OnDisk(file, each.size, each.sha256) for each, file in draft.kept.items()})
    try:
        _write_files(folder, contents, (*draft.entries, *draft.kept), _twins(draft.bases), draft.full)
        _write_file(folder / DESCRIPTION, InMemory(_lines(draft.document).encode("utf-8")), draft.created)
        make_durable(folder)
        folder.rename(store.snapshots / draft.id)
        make_durable(store.snapshots)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"the snapshot could not be written: {error.strerror}: {error.filename or folder}"
        raise FlatdexError(what, "What was published before is untouched.") from error


def remove_unfinished(store: Store) -> None:
    """Removes what a build or a removal that was cut off has left."""
    create_folder(store.snapshots)
    for left in (*store.snapshots.glob(f"{UNFINISHED}*"), *store.snapshots.glob(f"{REMOVED}*")):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


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
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n " + ",\n ".join(map(json.dumps, value)) + "\n]"


def _twins(bases: Iterable[Snapshot]) -> dict[tuple[str, int], Path]:
    """Files that exist already, by hash and mtime."""
    return {(entry.sha256, entry.mtime): base.folder / entry.path for base in bases for entry in base.all_files}


def _write_files(
    folder: Path,
    contents: Mapping[str, Content],
    entries: tuple[FileEntry, ...],
    twins: Mapping[tuple[str, int], Path],
    full: bool,
) -> None:
    """Writes all files; those that an earlier one equals, mtime and all, are hard links to it and cost nothing."""
    alike: dict[tuple[str, int], list[FileEntry]] = {}
    for entry in entries:
        alike.setdefault((entry.sha256, entry.mtime), []).append(entry)
    for parent in sorted({(folder / entry.path).parent for entry in entries}):
        create_folder(parent)

    def write(same: list[FileEntry]) -> None:
        twin = twins.get((same[0].sha256, same[0].mtime))
        for entry in same:
            place = folder / entry.path
            if not (twin and _is_intact(twin, entry, full) and _linked(twin, place)):
                _write_content(place, contents[entry.path], entry.mtime)
            twin = place

    for _ in mapped(_WRITERS, write, alike.values()):
        pass


def _is_intact(file: Path, entry: FileEntry, full: bool) -> bool:
    """Whether a file still is what its entry says, by size and mtime, or by its bytes too."""
    try:
        found = file.lstat()
        same = found.st_size == entry.size and found.st_mtime_ns == entry.mtime * 10**9
        return same and (not full or sha256_of(file) == entry.sha256)
    except OSError:
        return False


def _linked(twin: Path, place: Path) -> bool:
    try:
        os.link(twin, place)
    except OSError:  # no links here, or too many: a copy does as well
        return False
    return True


def _write_content(place: Path, content: Content, mtime: int) -> None:
    if isinstance(content, OnDisk):
        _copy(content, place, mtime)
    else:
        _write_file(place, content, mtime)


def _write_file(place: Path, content: Made, mtime: int) -> None:
    with place.open("wb") as opened:
        opened.writelines(content.parts)
    _finish(place, mtime)


def _copy(content: OnDisk, place: Path, mtime: int) -> None:
    digest, left = hashlib.sha256(), content.size
    with files.opened(content.file) as source, place.open("wb") as target:
        while part := source.read(min(_CHUNK, left)):
            left -= len(part)
            digest.update(part)
            target.write(part)
    if left or digest.hexdigest() != content.sha256:
        fix = "Write a new layout, then move it into place. If the file is in the store: `flatdex build --full`."
        raise FlatdexError(f"{content.file} is not what it was, or changed while it was read; nothing was built", fix)
    _finish(place, mtime)


def _finish(place: Path, mtime: int) -> None:
    place.chmod(0o644)
    os.utime(place, (mtime, mtime))
