"""What changed from one snapshot to another: by ref, and by file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.description import FileEntry, Snapshot


@dataclass(frozen=True, order=True)
class RefChange:
    """A ref of an index, and the digests of its images: None before it came, or after it went.

    `before` and `after` are the digests; one ref has one image in an index.
    """

    index: str
    ref: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Diff:
    """All changes, sorted; files by their paths. Of a file counts what it holds and its mtime, which is served, too."""

    refs: tuple[RefChange, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many refs are new, updated and gone."""
        return {
            "new": sum(change.before is None for change in self.refs),
            "updated": sum(change.before is not None and change.after is not None for change in self.refs),
            "gone": sum(change.after is None for change in self.refs),
        }


def diff(before: Snapshot | None, after: Snapshot) -> Diff:
    """What became of `before`, or of nothing, in `after`."""
    old = _files(before.files) if before else {}
    new = _files(after.files)
    return Diff(
        refs=ref_changes(before.document["images"] if before else (), after.document["images"]),
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


def merged(diffs: Iterable[Diff]) -> Diff:
    """What changed in any of them: for readers of several places, of which some were further behind."""
    diffs = list(diffs)
    refs = {(change.index, change.ref): change for each in reversed(diffs) for change in each.refs}

    def paths(name: str) -> tuple[str, ...]:
        return tuple(sorted({path for each in diffs for path in getattr(each, name)}))

    return Diff(tuple(refs[key] for key in sorted(refs)), paths("added"), paths("changed"), paths("removed"))


def _files(entries: Iterable[FileEntry]) -> dict[str, tuple[str, int]]:
    return {entry.path: (entry.sha256, entry.mtime) for entry in entries}


def ref_changes(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> tuple[RefChange, ...]:
    """The same of lists of images, as `snapshot.json` has them."""
    old, new = _digests(before), _digests(after)
    found = (
        RefChange(index, ref, old.get((index, ref)), new.get((index, ref)))
        for index, ref in {*old, *new}
        if old.get((index, ref)) != new.get((index, ref))
    )
    return tuple(sorted(found, key=lambda change: (change.index, change.ref)))


def _digests(images: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    return {(image["index"], image["ref"]): image["digest"] for image in images}
