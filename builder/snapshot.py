"""The only writer of snapshots: shows all of a site at once, or nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files, plan
from builder.advice import Advice
from builder.compress import Segments
from builder.config import Config
from builder.description import DESCRIPTION, FileEntry, KeptEntry, Snapshot, snapshot_id
from builder.errors import FlatdexError
from builder.files import create_folder, files_in, make_durable, sha256_of
from builder.parallel import mapped
from builder.site.content import Content, InMemory, Made, OnDisk
from builder.site.tree import Gzip, Site
from builder.stale import Stale
from builder.store import UNFINISHED, Store

_CHUNK = 1024 * 1024
_WRITERS = 4  # threads: file systems take several files at once


@dataclass(frozen=True)
class Written:
    """The snapshot that now holds a site; not `changed` if an earlier one held just this already."""

    id: str
    changed: bool


def carried_gzip(previous: Snapshot | None, segments: Segments | None = None) -> Gzip:
    """Compresses, or takes the bytes that the previous snapshot has for the same content: zlib's versions differ."""
    known = previous.by_path if previous else {}
    before = {entry.sha256: known[f"{path}.gz"] for path, entry in known.items() if f"{path}.gz" in known}

    packed = segments or Segments()

    def compress(content: Made) -> bytes:
        made = before.get(content.sha256)
        data = _read_intact(previous.folder / made.path, made) if previous and made else None
        return packed.gzip(content.parts) if data is None else data

    return compress


def _lines(document: Mapping[str, Any]) -> str:
    """JSON with a line for each file, image and so on: to be read and compared by people, and fast to write."""
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_value(value)}" for key, value in document.items()) + "\n}\n"


def _value(value: object) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n " + ",\n ".join(map(json.dumps, value)) + "\n]"


def _read_intact(file: Path, entry: FileEntry) -> bytes | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None


def write(
    store: Store,
    site: Site,
    config: Config,
    now: int,
    stale: tuple[Stale, ...] = (),
    advice: tuple[Advice, ...] = (),
    full: bool = False,
) -> Written:
    """Puts `site` into the store, whose lock the caller holds, unless the newest snapshot has the same content.

    `now` is in seconds. `full` trusts no file of an earlier snapshot before its bytes were read: it mends a damaged
    one. Until the last step, a rename, nothing of the new snapshot can be taken for one.
    """
    _remove_unfinished(store)
    previous = store.newest()
    content = plan.content_hash(site.files)
    if previous and content == plan.content_hash_of(previous) and not (full and _is_damaged(previous)):
        return Written(previous.id, changed=False)
    created = _later_than(previous, now)
    identifier = snapshot_id(created, content)
    entries = plan.entries(site, config.dispatch, previous, created)
    kept = _intact(plan.kept(site.files, previous, created), previous, full)
    contents: dict[str, Content] = dict(site.files)
    if previous:
        contents.update({entry.path: OnDisk(previous.folder / entry.path, entry.size, entry.sha256) for entry in kept})
    document = plan.description(identifier, created, previous, config, site, entries, kept, stale, advice)
    folder = store.snapshots / f"{UNFINISHED}{identifier}"
    try:
        _write_files(folder, contents, (*entries, *kept), _twins(previous), full)
        _write_file(folder / DESCRIPTION, InMemory(_lines(document).encode("utf-8")), created)
        make_durable(folder)
        folder.rename(store.snapshots / identifier)
        make_durable(store.snapshots)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"the snapshot could not be written: {error.strerror}: {error.filename or folder}"
        raise FlatdexError(what, "What was published before is untouched.") from error
    return Written(identifier, changed=True)


def _later_than(previous: Snapshot | None, now: int) -> int:
    """The time that a snapshot is created at: ids sort, and mtimes grow, also when two are made in one second."""
    return max(now, previous.created + 1) if previous else now


def _intact(kept: tuple[KeptEntry, ...], previous: Snapshot | None, full: bool) -> tuple[KeptEntry, ...]:
    """Without those that were damaged or lost: nothing else could bring them back."""
    return tuple(entry for entry in kept if previous and _is_intact(previous.folder / entry.path, entry, full))


def _is_damaged(snapshot: Snapshot) -> bool:
    if files_in(snapshot.folder) != {*snapshot.by_path, DESCRIPTION}:
        return True
    return not all(_is_intact(snapshot.folder / entry.path, entry, full=True) for entry in snapshot.all_files)


def _twins(previous: Snapshot | None) -> dict[tuple[str, int], Path]:
    """Files that exist already, by hash and mtime."""
    if previous is None:
        return {}
    return {(entry.sha256, entry.mtime): previous.folder / entry.path for entry in previous.all_files}


def _remove_unfinished(store: Store) -> None:
    create_folder(store.snapshots)
    for left in store.snapshots.glob(f"{UNFINISHED}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


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
        raise FlatdexError(f"{content.file} changed while it was read; nothing was built", fix)
    _finish(place, mtime)


def _finish(place: Path, mtime: int) -> None:
    place.chmod(0o644)
    os.utime(place, (mtime, mtime))
