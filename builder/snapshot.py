"""The only writer of snapshots: decides what changed, gives every file its mtime, and shows all of it at once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from builder.config import Config
from builder.errors import FlatdexError
from builder.site.content import Content, Files, InMemory, OnDisk
from builder.site.tree import Gzip, Site
from builder.store import (
    DESCRIPTION,
    FORMAT,
    UNFINISHED,
    FileEntry,
    Snapshot,
    Store,
    create_folder,
    make_durable,
    snapshot_id,
    time_text,
)

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Written:
    """The snapshot that now holds a site; not `changed` if an earlier one held just this already."""

    id: str
    changed: bool


def carried_gzip(previous: Snapshot | None) -> Gzip:
    """Compresses, or takes the bytes that the previous snapshot has for the same content: zlib's versions differ."""
    known = previous.by_path if previous else {}
    before = {entry.sha256: known[f"{path}.gz"] for path, entry in known.items() if f"{path}.gz" in known}

    @cache
    def compress(content: InMemory) -> bytes:
        made = before.get(content.sha256)
        data = _read_intact(previous.folder / made.path, made) if previous and made else None
        return gzip.compress(content.data, 9, mtime=0) if data is None else data

    return compress


def _read_intact(file: Path, entry: FileEntry) -> bytes | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None


def write(store: Store, site: Site, config: Config, now: int) -> Written:
    """Puts `site` into the store, whose lock the caller holds, unless the newest snapshot has the same content.

    `now` is in seconds. Until the last step, a rename, nothing of it can be taken for a snapshot.
    """
    _remove_unfinished(store)
    previous = store.newest()
    if previous and content_hash(site.files) == _content_hash_of(previous):
        return Written(previous.id, changed=False)
    created = max(now, previous.created + 1) if previous else now
    entries = dated(site.files, previous.by_path if previous else {}, created)
    identifier = snapshot_id(created, content_hash(site.files))
    folder = store.snapshots / f"{UNFINISHED}{identifier}"
    try:
        _write_files(folder, site.files, entries, previous)
        document = description(identifier, created, previous, config, site, entries)
        _write_file(folder / DESCRIPTION, (json.dumps(document, indent=1) + "\n").encode(), created)
        make_durable(folder)
        folder.rename(store.snapshots / identifier)
        make_durable(store.snapshots)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = f"the snapshot could not be written: {error.strerror}: {error.filename}"
        raise FlatdexError(what, "What was published before is untouched.") from error
    return Written(identifier, changed=True)


def content_hash(files: Files) -> str:
    """A hash over all paths and their bytes."""
    return _hash_of({path: content.sha256 for path, content in files.items()})


def _content_hash_of(snapshot: Snapshot) -> str:
    return _hash_of({entry.path: entry.sha256 for entry in snapshot.files})


def _hash_of(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256} {path}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def dated(files: Files, previous: Mapping[str, FileEntry], now: int) -> tuple[FileEntry, ...]:
    """The files' entries: what did not change keeps its mtime, what changed gets a later one, in whole seconds."""

    def mtime(path: str, content: Content) -> int:
        before = previous.get(path)
        if before is None:
            return now
        return before.mtime if before.sha256 == content.sha256 else max(now, before.mtime + 1)

    return tuple(
        FileEntry(path, content.size, content.sha256, mtime(path, content)) for path, content in sorted(files.items())
    )


def description(
    identifier: str,
    created: int,
    previous: Snapshot | None,
    config: Config,
    site: Site,
    entries: tuple[FileEntry, ...],
) -> dict[str, Any]:
    """The `snapshot.json`. Every byte of it is public: of a source it names only what the indexes name."""
    images = {(image.repository, image.digest): image for chosen in site.images.values() for image in chosen}
    return {
        "format": FORMAT,
        "id": identifier,
        "version": previous.version + 1 if previous else 1,
        "created": time_text(created),
        "previous": previous.id if previous else None,
        "remote": {"id": config.remote.id, "name": config.remote.name, "url": config.remote.url}
        if config.remote
        else {"id": None},
        "sources": [{"name": source.name, "public": source.public} for source in config.sources],
        "counts": {
            "images": len(images),
            "refs": len({image.ref for image in images.values()}),
            "repositories": len({image.repository for image in images.values()}),
            "files": len(entries),
            "bytes": sum(entry.size for entry in entries),
        },
        "variants": [
            {
                "path": f"index/{variant.file}.json",
                "index": variant.index,
                "architectures": list(variant.architectures),
                "form": variant.form.value,
                "refs": sum(
                    not variant.architectures or image.architecture in variant.architectures
                    for image in site.images[variant.index]
                ),
            }
            for variant in config.variants
        ],
        "dispatch": asdict(config.dispatch),
        "skips": [{**asdict(skip), "act": skip.act} for skip in site.skips],
        "files": [asdict(entry) for entry in entries],
        "kept": [],
    }


def _remove_unfinished(store: Store) -> None:
    create_folder(store.snapshots)
    for folder in store.snapshots.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder)


def _write_files(folder: Path, files: Files, entries: tuple[FileEntry, ...], previous: Snapshot | None) -> None:
    """Writes all files; those that an earlier one equals, mtime and all, are hard links to it and cost nothing."""
    known: dict[tuple[str, int], Path] = {}
    folders: set[Path] = set()
    if previous:
        known.update({(entry.sha256, entry.mtime): previous.folder / entry.path for entry in previous.files})
    for entry in entries:
        place = folder / entry.path
        if place.parent not in folders:
            create_folder(place.parent)
            folders.add(place.parent)
        twin = known.get((entry.sha256, entry.mtime))
        if not (twin and _is_intact(twin, entry) and _linked(twin, place)):
            _write_content(place, files[entry.path], entry.mtime)
        known[entry.sha256, entry.mtime] = place


def _is_intact(file: Path, entry: FileEntry) -> bool:
    try:
        found = file.lstat()
    except OSError:
        return False
    return found.st_size == entry.size and found.st_mtime_ns == entry.mtime * 10**9


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
        _write_file(place, content.data, mtime)


def _write_file(place: Path, data: bytes, mtime: int) -> None:
    place.write_bytes(data)
    _finish(place, mtime)


def _copy(content: OnDisk, place: Path, mtime: int) -> None:
    digest = hashlib.sha256()
    with content.file.open("rb") as source, place.open("wb") as target:
        while part := source.read(_CHUNK):
            digest.update(part)
            target.write(part)
    if digest.hexdigest() != content.sha256:
        fix = "Write a new layout, then move it into place; this build has changed nothing."
        raise FlatdexError(f"{content.file} changed while it was read", fix)
    _finish(place, mtime)


def _finish(place: Path, mtime: int) -> None:
    place.chmod(0o644)
    os.utime(place, (mtime, mtime))
