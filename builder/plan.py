"""What the next snapshot will hold, decided before anything is written: ids, mtimes, what is kept, `snapshot.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from builder.advice import Advice
from builder.config import Config
from builder.description import FORMAT, FileEntry, KeptEntry, Snapshot, time_text
from builder.dispatch import Dispatch
from builder.site.content import Content, Files
from builder.site.tree import Site
from builder.stale import Stale

GRACE = 7 * 86400  # seconds


def content_hash(files: Files) -> str:
    """A hash over all paths and their bytes."""
    return _hash_of({path: content.sha256 for path, content in files.items()})


def content_hash_of(snapshot: Snapshot) -> str:
    """The same of a snapshot; what it keeps of earlier ones doesn't count."""
    return _hash_of({entry.path: entry.sha256 for entry in snapshot.files})


def _hash_of(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256} {path}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def entries(site: Site, dispatch: Dispatch, previous: Snapshot | None, now: int) -> tuple[FileEntry, ...]:
    """The files' entries, with mtimes that never let a server call a changed answer unchanged.

    A file under its hash is dated like the plain file that it is a twin of: of the two files that answer one query
    one after the other, the later one has the later mtime. Where queries are answered by other files than before, all
    of these count as changed.
    """
    before = previous.by_path if previous else {}
    moved = previous is not None and _plain(asdict(dispatch)) != previous.document.get("dispatch")
    plain = dated(site.files, before, now, frozenset(site.twins.values()) if moved else frozenset())
    mtimes = {entry.path: entry.mtime for entry in plain}
    return tuple(
        FileEntry(entry.path, entry.size, entry.sha256, mtimes[site.twins.get(entry.path, entry.path)])
        for entry in plain
    )


def dated(
    files: Files, previous: Mapping[str, FileEntry], now: int, changed: Collection[str] = ()
) -> tuple[FileEntry, ...]:
    """What did not change keeps its mtime, what changed (or is named so) gets a later one, in whole seconds."""

    def mtime(path: str, content: Content) -> int:
        before = previous.get(path)
        if before is None:
            return now
        same = before.sha256 == content.sha256 and path not in changed
        return before.mtime if same else max(now, before.mtime + 1)

    return tuple(
        FileEntry(path, content.size, content.sha256, mtime(path, content)) for path, content in sorted(files.items())
    )


def kept(files: Files, previous: Snapshot | None, now: int) -> tuple[KeptEntry, ...]:
    """Files of earlier snapshots that a client with an older index, or a request during a flip, may still ask for.

    They are those whose path spells their hash; they stay for a grace time after their last mention.
    """
    if previous is None:
        return ()
    last = {entry.path: entry for entry in previous.files if spells_hash(entry)}
    found = [KeptEntry(**asdict(entry), until=now + GRACE) for entry in last.values()]
    found += [entry for entry in previous.kept if entry.path not in last and entry.until > now]
    return tuple(sorted(entry for entry in found if entry.path not in files))


def spells_hash(entry: FileEntry) -> bool:
    """Whether the file's path holds the hash of its bytes, so that it can never be another file's."""
    return entry.sha256 in entry.path.replace("/", "")


def description(
    identifier: str,
    created: int,
    previous: Snapshot | None,
    config: Config,
    site: Site,
    files: tuple[FileEntry, ...],
    kept_files: tuple[KeptEntry, ...],
    stale: tuple[Stale, ...] = (),
    advice: tuple[Advice, ...] = (),
) -> dict[str, Any]:
    """The `snapshot.json`. Every byte of it is public: of a source it names only what the indexes name."""
    return {
        "format": FORMAT,
        "id": identifier,
        "version": previous.version + 1 if previous else 1,
        "created": time_text(created),
        "previous": previous.id if previous else None,
        "remote": _remote(config),
        "sources": [{"name": source.name, "public": source.public} for source in config.sources],
        "counts": _counts(site, files),
        "variants": _variants(config, site),
        "dispatch": _plain(asdict(config.dispatch)),
        "images": _images(site),
        "skips": [{**asdict(skip), "act": skip.act} for skip in site.skips],
        "stale": [_stale(each) for each in stale],
        "advice": [asdict(each) for each in advice],
        "files": [vars(entry) for entry in files],
        "kept": [{**vars(entry), "until": time_text(entry.until)} for entry in kept_files],
    }


def _stale(stale: Stale) -> dict[str, str]:
    """Without the reason's sentence, which may hold an address that is not for the public."""
    return {
        "source": stale.source,
        "repository": stale.repository,
        "code": stale.code,
        "since": time_text(stale.since),
    }


def _plain(value: Any) -> Any:
    """As JSON has it: tuples are lists."""
    return json.loads(json.dumps(value))


def _remote(config: Config) -> dict[str, str | None]:
    remote = config.remote
    return {"id": remote.id, "name": remote.name, "url": remote.url} if remote else {"id": None}


def _counts(site: Site, files: tuple[FileEntry, ...]) -> dict[str, int]:
    images = {(image.repository, image.digest): image.ref for chosen in site.images.values() for image in chosen}
    return {
        "images": len(images),
        "refs": len(set(images.values())),
        "repositories": len({repository for repository, _ in images}),
        "files": len(files),
        "bytes": sum(entry.size for entry in files),
    }


def _variants(config: Config, site: Site) -> list[dict[str, Any]]:
    return [
        {
            "path": f"index/{variant.file}.json",
            "index": variant.index,
            "architectures": list(variant.architectures),
            "form": variant.form.value,
            "refs": sum(variant.takes(image.architecture) for image in site.images[variant.index]),
        }
        for variant in config.variants
    ]


def _images(site: Site) -> list[dict[str, str]]:
    return [
        {
            "index": name,
            "ref": image.ref,
            "architecture": image.architecture,
            "source": image.source,
            "repository": image.repository,
            "digest": image.digest,
            "created": image.created,
        }
        for name, chosen in site.images.items()
        for image in chosen
    ]
