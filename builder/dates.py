"""What dates the next snapshot's files get, and which files of earlier ones it keeps: decided, not yet written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from builder.description import FileEntry, KeptEntry, Snapshot, spells_hash
from builder.history import History

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
    """The files of an earlier snapshot by path; those that are `moved` count as changed since, whatever they hold.

    Dates are kept from it if it is `followed`, as what is current and what is newest are: what a target shows that
    lags behind is not. What readers have `seen` has to be older than what they see next.
    """

    by_path: Mapping[str, FileEntry]
    moved: Collection[str] = frozenset()
    seen: bool = True
    followed: bool = True


def entries(
    files: Mapping[str, Hashed],
    twins: Mapping[str, str],
    dispatch: Mapping[str, Any],
    history: History,
    now: int,
    origin: Mapping[str, FileEntry] = MappingProxyType({}),
) -> tuple[FileEntry, ...]:
    """The files' entries, with mtimes that never let a server call a changed answer unchanged.

    A file under its hash is dated like the plain file that it is a twin of: of the two files that answer one query
    one after the other, the later one has the later mtime. Where queries are answered by other files than before, all
    of these count as changed. What was never here before, and is a file of the site that this one is a copy of (its
    `origin`), has its date there: servers of both give it one ETag.

    What changed is dated a second ago, so that it can be promoted at once: every snapshot is made in a second of its
    own, and none has a file that is dated later than that. Where nothing is known of what readers have seen, it may be
    what was made in this second.
    """
    ours = tuple(_before(history, twins, dispatch))
    theirs = Before({path: entry for path, entry in origin.items() if entry.mtime <= now}, seen=False)
    plain = dated(files, (*ours, theirs), now - 1 if ours else now)
    mtimes = {entry.path: entry.mtime for entry in plain}
    return tuple(
        FileEntry(entry.path, entry.size, entry.sha256, mtimes[twins[entry.path]]) if entry.path in twins else entry
        for entry in plain
    )


def _before(history: History, twins: Mapping[str, str], dispatch: Mapping[str, Any]) -> Iterator[Before]:
    for snapshot in history.snapshots:
        moved = frozenset(twins.values()) if snapshot.document.get("dispatch") != dispatch else frozenset()
        followed = snapshot in (history.newest, history.current)
        yield Before(snapshot.by_path, moved, snapshot in history.seen, followed)


def dated(files: Mapping[str, Hashed], before: Sequence[Before], earliest: int) -> tuple[FileEntry, ...]:
    """What did not change keeps its mtime, what changed gets a later one, `earliest` or more, in whole seconds.

    Of the snapshots `before` the first counts most: it is what is served. A date is kept only if no other content
    that readers have seen is dated as late.
    """

    def entry(path: str, content: Hashed) -> FileEntry:
        kept: FileEntry | None = None
        latest, late = earliest - 1, -1
        for each in before:
            known = each.by_path.get(path)
            if known is None:
                continue
            latest = max(latest, known.mtime)
            if known.sha256 == content.sha256 and path not in each.moved:
                kept = kept or (known if each.followed else None)
            elif each.seen:
                late = max(late, known.mtime)
        if kept is None or late >= kept.mtime:
            return FileEntry(path, content.size, content.sha256, latest + 1)
        return kept if type(kept) is FileEntry else FileEntry(path, content.size, content.sha256, kept.mtime)

    return tuple(entry(path, content) for path, content in sorted(files.items()))


def kept(files: Collection[str], history: History, now: int, grace: int) -> tuple[KeptEntry, ...]:
    """Files of earlier snapshots that a client with an older index, or a request during a flip, may still ask for.

    They are those whose path spells their hash; they stay for `grace` seconds after their last mention in anything
    that is served, here or on a target. What a snapshot kept of the one that was served when it was built was mentioned
    until it became served itself, which may be long after: a hold, or a target that lagged behind.
    """
    found: dict[str, KeptEntry] = {}
    for snapshot in history.snapshots:
        gone = [entry for entry in snapshot.files if entry.path not in files and spells_hash(entry)]
        last = [KeptEntry(**vars(entry), until=now + grace) for entry in gone]
        served = max(snapshot.created, history.since.get(snapshot.id, 0)) + grace
        earlier = [entry for entry in snapshot.kept if entry.path not in files]
        earlier = [replace(each, until=served) if each.until == snapshot.created + grace else each for each in earlier]
        for entry in (*last, *(entry for entry in earlier if entry.until > now)):
            if entry.path not in found or found[entry.path].until < entry.until:
                found[entry.path] = entry
    return tuple(sorted(found.values()))


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
