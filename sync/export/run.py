"""An export from its start to its end: what it would do, and then, if that is possible, doing it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import templating
from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.report import counted
from builder.stick import EXPORT, Export
from sync.export import layout, names, place, readme, write
from sync.export.items import Item, Rank, items, made
from sync.export.layout import Described, Offered
from sync.export.place import Room
from sync.export.plan import Plan, in_the_way, plan, too_large

README = "README.txt"
_RULES = {"v2/.htaccess": "stick-v2.conf", "blobs/.htaccess": "stick-blobs.conf"}
OWN = (README, layout.MARKER, layout.INDEX, *_RULES)
"""What a stick has beside the files of a snapshot."""
_SHOWN = 5


@dataclass(frozen=True)
class Prepared:
    """What an export is going to do; `images` are those that the stick then has whole."""

    snapshot: Snapshot
    folder: Path
    plan: Plan
    room: Room
    before: Export | None
    after: Export
    images: tuple[Offered, ...]
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.plan.written or self.plan.removed) or self.before != self.after


def prepare(
    store: Path, snapshot: Snapshot, folder: Path, since: Snapshot | None = None, full: bool = False
) -> Prepared:
    """What an export of `snapshot` to `folder` does; nothing is written yet. Raises FlatdexError if it can't be done.

    `since`: only what that snapshot had not. `full`: nothing on the stick is trusted unread.
    """
    place.check_folder(folder, store)
    known = layout.manifests(snapshot)
    offered = layout.offered(snapshot, known)
    _check_has_images(snapshot, offered)
    fixed = {**items(snapshot), **{item.path: item for item in _rules(snapshot, known)}}
    _check_own_names(snapshot)
    _check_names([*fixed, *OWN, EXPORT])
    before = place.before(folder, OWN)
    needed = {*fixed, *OWN}
    there = place.there(folder, {*needed, *before.paths})
    same = place.same(folder, fixed.values(), before, full)
    first = plan(fixed.values(), same, there, before.paths, needed, since)
    whole = layout.complete(offered, first.present)
    after = Export(snapshot.id, since.id if since and not fixed.keys() <= first.present else None)
    last = {item.path: item for item in _last(snapshot, whole, after)}
    wanted = {**fixed, **last}
    same |= place.same(folder, last.values(), before, full)
    obstacles = in_the_way((path for path in there if path in wanted or path not in before.paths), there, before.paths)
    place.refuse(folder, [*place.always(folder, before.export), *obstacles])
    planned = plan(wanted.values(), same, there, before.paths, needed, since)
    room = place.room(folder)
    _check_room(folder, planned, room)
    notes = tuple(_notes(snapshot, known, offered, wanted))
    return Prepared(snapshot, folder, planned, room, before.export, after, whole, notes)


def export(prepared: Prepared, progress: write.Progress) -> None:
    """Does it. The caller holds the folder's lock, and has prepared this under it."""
    if prepared.changes:
        write.write(prepared.folder, prepared.plan, prepared.before, prepared.after, progress)


def _rules(snapshot: Snapshot, known: Mapping[str, Described]) -> Iterator[Item]:
    """For an Apache that serves the stick: where `/v2/` is."""
    others = dict(layout.other_types(known))
    for path, template in _RULES.items():
        yield made(path, templating.render(template, others=others).encode("utf-8"), snapshot.created, Rank.POINTER)


def _last(snapshot: Snapshot, whole: tuple[Offered, ...], after: Export) -> Iterator[Item]:
    """What depends on what is written."""
    yield made(README, readme.text(snapshot, whole, after.since), snapshot.created, Rank.PAGE)
    yield made(layout.MARKER, layout.MARKED, snapshot.created, Rank.PAGE)
    yield made(layout.INDEX, layout.index(whole), snapshot.created, Rank.LAYOUT)


def _check_has_images(snapshot: Snapshot, offered: Collection[Offered]) -> None:
    if snapshot.document["images"] and not offered:
        what = f"the images of {snapshot.id} are no part of it: they stay in a registry"
        fix = "Make a copy that has them: `flatdex mirror --from URL --store DIR`; then export from that store."
        raise FlatdexError(what, fix)


def _check_own_names(snapshot: Snapshot) -> None:
    own = {name.casefold() for name in (*OWN, EXPORT) if name not in _RULES}
    taken = own & {entry.path.casefold() for entry in snapshot.files}
    if taken:
        raise FlatdexError(f"the site has files that a stick has itself: {', '.join(sorted(taken))}", _RENAME)


_RENAME = "Name tags, or whatever these are made of, otherwise."


def _check_names(paths: Collection[str]) -> None:
    found = list(names.faults(paths))
    if found:
        more = ["..."] if len(found) > _SHOWN else []
        lines = "\n  ".join([*found[:_SHOWN], *more])
        raise FlatdexError(f"a stick can't have all names of this site:\n  {lines}", _RENAME)


def _check_room(folder: Path, planned: Plan, room: Room) -> None:
    large = too_large(planned.written) if room.is_fat else []
    if large:
        shown = ", ".join(large[:_SHOWN])
        fix = "Format it with exFAT (`mkfs.exfat`), or ext4 if only Linux is to read it."
        raise FlatdexError(f"{folder} is on FAT, where no file may have more than 4 GiB: {shown}", fix)
    needed = planned.room(room.cluster)
    if needed > room.free:
        fix = "What is old is removed only when the new is whole: make room, or `--since ID` for a difference alone."
        what = f"{folder} has {room.free / 1e6:,.1f} MB free, and {needed / 1e6:,.1f} MB are needed"
        raise FlatdexError(what, fix)


def _notes(
    snapshot: Snapshot, known: Mapping[str, Described], offered: Collection[Offered], wanted: Collection[str]
) -> Iterator[str]:
    """What somebody may wonder at later."""
    elsewhere = {image["ref"] for image in snapshot.document["images"] if image["digest"] not in known}
    if elsewhere:
        yield f"{_some(elsewhere)} not on the stick: the images stay in a registry"
    untyped = {each.ref for each in offered if not each.manifest.says_type}
    if untyped:
        yield (
            f"{_some(untyped)} can't be taken by --sideload-repo, since the manifests have no `mediaType`;"
            " served by a web server they can"
        )
    chosen = {each.ref: each.manifest.digest for each in offered}
    images = snapshot.document["images"]
    others = {image["ref"] for image in images if chosen.get(image["ref"], image["digest"]) != image["digest"]}
    if others:
        main = layout.main_index(snapshot)
        yield f"{_some(others)} in several indexes, with different images: --sideload-repo finds the one of {main!r}"
    long = names.long_ones(wanted)
    if long:
        yield f"{_some(long)} of more than {names.LONGEST_PATH} characters: some programs on Windows can't open that"


def _some(refs: Collection[str]) -> str:
    """`app/a/x86_64/stable is`, `app/a/x86_64/stable and 2 others are`: as the start of a sentence."""
    first, *more = sorted(refs)
    return f"{first} and {counted(len(more), 'other')}:" if more else f"{first}:"
