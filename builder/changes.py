"""What users see of the differences between snapshots: what is new, updated, and gone, with dates, for a while.

A change is dated when it is built, and carried from then on: this is the one place where the clock gets into a file
of the site, and only together with another change of it. A remote's first snapshot dates everything by its images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from builder import flatpak
from builder.description import Snapshot, time_text
from builder.oci import Malformed

MOST = 200
"""How many changes are remembered."""

NEW, UPDATED, GONE = "new", "updated", "gone"


@dataclass(frozen=True)
class Offered:
    """An image as `snapshot.json` lists it, with what users know it by."""

    index: str
    ref: str
    digest: str
    created: str = ""
    version: str = ""
    name: str = ""


@dataclass(frozen=True)
class Change:
    """One change, at a time as RFC 3339 text: `kind` is new, updated or gone, `type` is app or runtime.

    `digest` is one of the images that came, or went: it tells changes of the same second apart.
    """

    time: str
    kind: str
    index: str
    type: str
    id: str
    branch: str
    digest: str
    name: str = ""
    version: str = ""
    before: str = ""


def changes(previous: Snapshot | None, offered: Iterable[Offered], now: int) -> tuple[Change, ...]:
    """The changes to show, the newest first: those of `previous`, and what is different now, at `now` in seconds."""
    new = _by_place(offered)
    if previous is None:
        return _newest_first(_first(new, now))
    old = _by_place(_listed(previous))
    known = _remembered(previous)
    if known is None:  # a snapshot from before changes were kept
        same = {place: images for place, images in new.items() if _digests(old.get(place, {})) == _digests(images)}
        known = list(_first(same, now))
    return _newest_first([*_between(old, new, time_text(now)), *known])


def as_json(found: Iterable[Change]) -> list[dict[str, str]]:
    """As `snapshot.json` has them."""
    return [{**vars(change)} for change in found]


_Place = tuple[str, str, str, str]
"""Index, type, id and branch: what users see as one thing, whatever the architectures."""

_Images = Mapping[str, Offered]
"""By architecture."""


def _by_place(offered: Iterable[Offered]) -> dict[_Place, _Images]:
    found: dict[_Place, dict[str, Offered]] = defaultdict(dict)
    for image in offered:
        try:
            ref = flatpak.parse_ref(image.ref)
        except Malformed:
            continue
        if not flatpak.is_part(ref):
            found[image.index, ref.kind, ref.id, ref.branch][ref.arch] = image
    return dict(found)


def _between(old: Mapping[_Place, _Images], new: Mapping[_Place, _Images], time: str) -> Iterator[Change]:
    for place in sorted({*old, *new}):
        before, after = _digests(old.get(place, {})), _digests(new.get(place, {}))
        if before == after:
            continue
        kind = UPDATED if before and after else NEW if after else GONE
        yield _change(time, kind, place, new.get(place) or old[place], old.get(place, {}))


def _digests(images: _Images) -> dict[str, str]:
    return {arch: image.digest for arch, image in images.items()}


def _change(time: str, kind: str, place: _Place, images: _Images, before: _Images) -> Change:
    shown = images[min(images)]
    old_version = before[min(before)].version if before and kind == UPDATED else ""
    return Change(time, kind, *place, shown.digest, shown.name, shown.version, old_version)


def _first(new: Mapping[_Place, _Images], now: int) -> Iterator[Change]:
    """Everything is new, since its image was made; what doesn't tell when, or is of the future, is left out."""
    for place, images in sorted(new.items()):
        moments = [moment for image in images.values() if (moment := _moment(image.created))]
        if moments and 0 < min(moments) <= now:
            yield _change(time_text(min(moments)), NEW, place, images, {})


def _moment(created: str) -> int | None:
    try:
        moment = datetime.fromisoformat(created)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _listed(snapshot: Snapshot) -> Iterator[Offered]:
    for image in snapshot.document["images"]:
        more = {key: str(image.get(key, "")) for key in ("created", "version", "name")}
        yield Offered(image["index"], image["ref"], image["digest"], **more)


def _remembered(snapshot: Snapshot) -> list[Change] | None:
    found = snapshot.document.get("changes")
    if not isinstance(found, list):
        return None
    try:
        return [Change(**change) for change in found]
    except TypeError:  # another version's
        return None


def _newest_first(found: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(found, key=lambda change: change.time, reverse=True)[:MOST])
