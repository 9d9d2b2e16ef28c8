"""What the next snapshot will hold, decided before anything is written: ids, mtimes, what is kept, `snapshot.json`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from builder.advice import Advice
from builder.config import Config
from builder.description import FORMAT, FileEntry, KeptEntry, Snapshot, spells_hash, time_text
from builder.history import History
from builder.site.content import Files, InMemory
from builder.site.tree import Site
from builder.stale import Stale

_TWIN = re.compile(r"(?P<folder>.+)/sha256/(?P<name>[^/]+)/[0-9a-f]{64}\.json(?P<gz>\.gz)?")


class Hashed(Protocol):
    """What a file will hold, or holds: its size in bytes and the sha256 of its bytes."""

    @property
    def size(self) -> int:
        """In bytes."""

    @property
    def sha256(self) -> str:
        """As 64 hexadecimal digits."""


@dataclass(frozen=True)
class Before:
    """The files of an earlier snapshot by path; those that are `moved` count as changed since, whatever they hold."""

    by_path: Mapping[str, FileEntry]
    moved: Collection[str] = frozenset()
    served: bool = True


def content_hash(files: Files) -> str:
    """A hash over all paths and their bytes."""
    return _hash_of({path: content.sha256 for path, content in files.items()})


def has_content(snapshot: Snapshot, content: str) -> bool:
    """Whether the hash of a snapshot's content is this: the end of its id tells most of the time."""
    return snapshot.id.endswith(content[:8]) and content_hash_of(snapshot) == content


def content_hash_of(snapshot: Snapshot) -> str:
    """The same of a snapshot; what it keeps of earlier ones doesn't count."""
    return _hash_of({entry.path: entry.sha256 for entry in snapshot.files})


def _hash_of(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256} {path}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def entries(
    files: Mapping[str, Hashed], twins: Mapping[str, str], dispatch: Mapping[str, Any], history: History, now: int
) -> tuple[FileEntry, ...]:
    """The files' entries, with mtimes that never let a server call a changed answer unchanged.

    A file under its hash is dated like the plain file that it is a twin of: of the two files that answer one query
    one after the other, the later one has the later mtime. Where queries are answered by other files than before, all
    of these count as changed.
    """
    plain = dated(files, tuple(_before(history, twins, dispatch)), now)
    mtimes = {entry.path: entry.mtime for entry in plain}
    return tuple(
        FileEntry(entry.path, entry.size, entry.sha256, mtimes[twins[entry.path]]) if entry.path in twins else entry
        for entry in plain
    )


def _before(history: History, twins: Mapping[str, str], dispatch: Mapping[str, Any]) -> Iterator[Before]:
    for snapshot in history.snapshots:
        moved = frozenset(twins.values()) if snapshot.document.get("dispatch") != dispatch else frozenset()
        yield Before(snapshot.by_path, moved, snapshot in history.served)


def dated(files: Mapping[str, Hashed], before: Sequence[Before], now: int) -> tuple[FileEntry, ...]:
    """What did not change keeps its mtime, what changed gets a later one, in whole seconds.

    Of the snapshots `before` the first counts most: it is what is served. A date is kept only if no content that
    any of the served ones has instead is dated as late.
    """

    def mtime(path: str, content: Hashed) -> int:
        kept, latest, late = None, now - 1, -1
        for each in before:
            entry = each.by_path.get(path)
            if entry is None:
                continue
            latest = max(latest, entry.mtime)
            if entry.sha256 == content.sha256 and path not in each.moved:
                kept = entry.mtime if kept is None else kept
            elif each.served:
                late = max(late, entry.mtime)
        return kept if kept is not None and late < kept else latest + 1

    return tuple(
        FileEntry(path, content.size, content.sha256, mtime(path, content)) for path, content in sorted(files.items())
    )


def kept(files: Collection[str], history: History, now: int, grace: int) -> tuple[KeptEntry, ...]:
    """Files of earlier snapshots that a client with an older index, or a request during a flip, may still ask for.

    They are those whose path spells their hash; they stay for `grace` seconds after their last mention in anything
    that is served, here or on a target.
    """
    found: dict[str, KeptEntry] = {}
    for snapshot in history.snapshots:
        gone = [entry for entry in snapshot.files if entry.path not in files and spells_hash(entry)]
        last = [KeptEntry(**vars(entry), until=now + grace) for entry in gone]
        for entry in (*last, *(entry for entry in snapshot.kept if entry.path not in files and entry.until > now)):
            if entry.path not in found or found[entry.path].until < entry.until:
                found[entry.path] = entry
    return tuple(sorted(found.values()))


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
        "dispatch": dispatch_of(config),
        "images": _images(site),
        "skips": [{**asdict(skip), "act": skip.act} for skip in site.skips],
        "stale": [_stale(each) for each in stale],
        "advice": [asdict(each) for each in advice],
        "rules": _rules(site.files),
        **listed(files, kept_files),
    }


def entries_again(old: Snapshot, history: History, now: int) -> tuple[FileEntry, ...]:
    """The entries for what `old` held, as the files of a new snapshot.

    What is named by its hash alone, such as an icon, can't be taken for something else and keeps its date; all else
    is dated as in any build.
    """
    files = {entry.path: entry for entry in old.files}
    twins = dict(twins_of(files))
    known = {path: entry for snapshot in reversed(history.snapshots) for path, entry in snapshot.by_path.items()}
    lasting = {
        path: known.get(path, entry) for path, entry in files.items() if spells_hash(entry) and path not in twins
    }
    changing = {path: entry for path, entry in files.items() if path not in lasting}
    dates = {path: entry.mtime for path, entry in lasting.items()}
    dates |= {entry.path: entry.mtime for entry in entries(changing, twins, old.document["dispatch"], history, now)}
    return tuple(FileEntry(entry.path, entry.size, entry.sha256, dates[entry.path]) for entry in old.files)


def twins_of(files: Mapping[str, Hashed]) -> Iterator[tuple[str, str]]:
    """The index files under their hash, each with the plain file that it is a twin of."""
    for path, content in files.items():
        match = _TWIN.fullmatch(path)
        if match is None:
            continue
        folder, name, gz = match["folder"], match["name"], match["gz"] or ""
        for plain in (f"{folder}/{name}.json{gz}", f"{folder}/{name}{gz}"):
            if plain in files and files[plain].sha256 == content.sha256:
                yield path, plain
                break


def description_again(
    identifier: str,
    created: int,
    old: Snapshot,
    newest: Snapshot | None,
    files: tuple[FileEntry, ...],
    kept_files: tuple[KeptEntry, ...],
) -> dict[str, Any]:
    """The `snapshot.json` of a snapshot that holds again what `old` held."""
    return {
        **old.document,
        "id": identifier,
        "version": newest.version + 1 if newest else 1,
        "created": time_text(created),
        "previous": newest.id if newest else None,
        "again": old.id,
        **listed(files, kept_files),
    }


def dispatch_of(config: Config) -> dict[str, Any]:
    """Which query is answered by which file, as `snapshot.json` has it."""
    found: dict[str, Any] = _plain(asdict(config.dispatch))
    return found


def listed(files: Iterable[FileEntry], kept_files: Iterable[KeptEntry]) -> dict[str, Any]:
    """The lists of files in a `snapshot.json`."""
    return {
        "files": [vars(entry) for entry in files],
        "kept": [{**vars(entry), "until": time_text(entry.until)} for entry in kept_files],
    }


def _rules(files: Files) -> dict[str, str]:
    """The text of what web servers obey and so don't hand out: who has only a URL can have all files by this."""
    return {
        path: content.data.decode("utf-8")
        for path, content in sorted(files.items())
        if path.rpartition("/")[2] == ".htaccess" and isinstance(content, InMemory)
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
