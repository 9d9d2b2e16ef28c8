"""The one-way flow: sources -> catalog -> site -> snapshot."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import templates
from builder import catalog, description, lastgood, shrink, snapshot, stale
from builder.advice import Advice, advice
from builder.catalog import Catalog, Failure, Skip
from builder.compress import Segments
from builder.config import Config, LayoutSource, RegistrySource, Source
from builder.description import Snapshot
from builder.errors import FlatdexError, SourceError
from builder.oci import Descriptor
from builder.report import Report
from builder.site.tree import Site, site
from builder.sources import access
from builder.sources.cache import Cache
from builder.sources.layouts import LayoutReading, Trusted
from builder.sources.reading import RegistryReading
from builder.stale import Stale
from builder.store import Store

_BUILT = "built"
_STALE = "stale"


@dataclass(frozen=True)
class How:
    """How to build: `full` trusts no earlier build, `offline` asks no registry, `allow_shrink` accepts loss."""

    full: bool = False
    offline: bool = False
    allow_shrink: bool = False


@dataclass(frozen=True)
class Built:
    """What a build came to: the snapshot, whether it is new, its refs, and all that an admin may want to know."""

    snapshot: str
    changed: bool
    indexes: int
    refs: tuple[str, ...]
    skips: tuple[Skip, ...] = ()
    stale: tuple[Stale, ...] = ()
    advice: tuple[Advice, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there is nothing that an admin should act on."""
        return not self.stale and not any(skip.act for skip in self.skips)


Reading = RegistryReading | LayoutReading


def build(config: Config, report: Report, how: How = How()) -> Built:
    """Reads all sources and writes a snapshot if anything changed. The caller holds the store's lock."""
    store = Store(config.store)
    previous = store.newest()
    now = int(time.time())
    with ExitStack() as opened:
        kept = opened.enter_context(Cache(store.cache, trusted=not how.full))
        readings = list(_readings(config, kept, None if how.full else previous, report, how, opened))
        inputs = _inputs(config, [reading.look() for reading in readings])
        if inputs and previous and (built := _built_before(kept, previous, inputs)):
            return built
        _refuse_twin_layouts(readings)
        found = catalog.collected(item for reading in readings for item in reading.items())
        found, marked = _with_kept(config, found, previous, kept, now)
        segments = Segments(kept)
        gzip = snapshot.carried_gzip(previous, segments)
        made = site(config, found, gzip, _checked_icons(None if how.full else previous))
        if previous and not how.allow_shrink:
            _refuse_loss(config, previous, made, marked)
        told = advice(made.images)
        written = snapshot.write(store, made, config, now, marked, told, how.full)
        built = Built(written.id, written.changed, len(made.images), _refs(made), made.skips, marked, told)
        segments.keep()
        _remember(kept, built, inputs)
        return built


def _readings(
    config: Config, kept: Cache, previous: Snapshot | None, report: Report, how: How, opened: ExitStack
) -> Iterator[Reading]:
    for source in config.sources:
        tags = config.tags_of(source)
        if tags and isinstance(source, RegistrySource):
            registry = opened.enter_context(access.opened(source, kept, os.environ))
            labels = config.labels_of(source)
            yield RegistryReading(registry, source, tags, kept, report.progress, offline=how.offline, labels=labels)
        elif tags and isinstance(source, LayoutSource):
            yield LayoutReading(source, tags, _already_copied(previous), config.labels_of(source))


def _already_copied(previous: Snapshot | None) -> Trusted:
    """What the previous snapshot holds was checked when it was copied, and need not be read again."""
    known = previous.by_path if previous else {}

    def trusted(repository: str, blob: Descriptor) -> bool:
        entry = known.get(f"v2/{repository}/blobs/{blob.digest}")
        return bool(previous and entry and entry.size == blob.size == _size(previous.folder / entry.path))

    return trusted


def _checked_icons(previous: Snapshot | None) -> frozenset[str]:
    """The hashes of what the previous snapshot holds: an icon among it was decoded before."""
    return (
        frozenset(entry.sha256 for entry in previous.all_files if entry.path.endswith(".png"))
        if previous
        else frozenset()
    )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _inputs(config: Config, states: Sequence[str]) -> str:
    """A hash of all that a site is made of: equal inputs give equal sites. Empty if not all is known."""
    if not all(states):
        return ""
    return hashlib.sha256("\0".join((_program(), repr(config), *states)).encode("utf-8", "surrogateescape")).hexdigest()


@cache
def _program() -> str:
    """A hash of the program itself: another version may make another site of the same images."""
    folders = (Path(__file__).parent, Path(str(templates.__file__)).parent)
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _built_before(kept: Cache, previous: Snapshot, inputs: str) -> Built | None:
    """The newest snapshot, if it was made of the same inputs: then there is nothing to do."""
    note = kept.note(_BUILT)
    if note.get("inputs") != inputs or note.get("snapshot") != previous.id:
        return None
    try:
        skips = tuple(Skip(**skip) for skip in note["skips"])
        told = tuple(Advice(**each) for each in note["advice"])
        indexes = int(note["indexes"])
    except (TypeError, KeyError, ValueError):  # another version's
        return None
    refs = tuple(sorted({image["ref"] for image in previous.document["images"]}))
    return Built(previous.id, False, indexes, refs, skips, (), told)


def _remember(kept: Cache, built: Built, inputs: str) -> None:
    kept.keep_note(_STALE, {"since": {stale.key(each): each.since for each in built.stale}})
    lasting = inputs and all(skip.lasting for skip in built.skips) and not built.stale
    note = {
        "inputs": inputs,
        "snapshot": built.snapshot,
        "indexes": built.indexes,
        "skips": [asdict(skip) for skip in built.skips],
        "advice": [asdict(each) for each in built.advice],
    }
    kept.keep_note(_BUILT, note if lasting else {})
    if not built.stale:  # what could not be read now needs its blobs later
        kept.tidy()


def _refs(made: Site) -> tuple[str, ...]:
    return tuple(sorted({image.ref for images in made.images.values() for image in images}))


def _with_kept(
    config: Config, found: Catalog, previous: Snapshot | None, kept: Cache, now: int
) -> tuple[Catalog, tuple[Stale, ...]]:
    """With the last good part of what failed. Raises FlatdexError where nobody is served yet."""
    if not found.failures:
        return found, ()
    if previous is None:
        _refuse_half(found)
    last_good = cache(partial(lastgood.images, previous)) if previous else _nothing
    return stale.with_kept(config, found, last_good, _since(kept, previous), now)


def _nothing(source: Source) -> tuple[catalog.Image, ...]:
    return ()


def _refuse_half(found: Catalog) -> None:
    read = {image.source for image in found.images}
    for failure in found.failures:
        if not failure.repository or failure.source not in read:
            raise FlatdexError(failure.why)


def _since(kept: Cache, previous: Snapshot | None) -> dict[str, int]:
    """When each failure was first seen: a note knows, or, if it was lost, the snapshot."""
    noted = kept.note(_STALE, always=True).get("since")
    if isinstance(noted, dict):
        return {key: since for key, since in noted.items() if type(since) is int}
    return {
        stale.key(Failure(each["source"], each["repository"], "", "")): description.timestamp(each["since"])
        for each in (previous.document.get("stale", ()) if previous else ())
    }


def _refuse_loss(config: Config, previous: Snapshot, made: Site, marked: tuple[Stale, ...]) -> None:
    """A typo in a tag, or a registry that lost its disk, must not take applications away from their users.

    What `max_stale` ended was meant to go.
    """
    ended = {(each.source, each.repository) for each in marked if each.ended}
    before = [
        image
        for image in previous.document["images"]
        if ended.isdisjoint({(image.get("source"), ""), (image.get("source"), image["repository"])})
    ]
    lost = [loss for loss in shrink.losses(before, made.images, config.indexes) if loss.too_much]
    if lost:
        codes = Counter(skip.code for skip in made.skips)
        skips = (
            f" Left out: {', '.join(f'{number} {code}' for code, number in sorted(codes.items()))}." if codes else ""
        )
        fix = f"Nothing was built.{skips} If it is meant so, say `--allow-shrink`; else look at tags and repositories."
        raise FlatdexError("\n".join(loss.text for loss in lost), fix)


def _refuse_twin_layouts(readings: Iterable[Reading]) -> None:
    """All layouts are published under one /v2/, where a repository is one folder."""
    owner: dict[str, str] = {}
    for reading in readings:
        if isinstance(reading, LayoutReading):
            for name, folder in reading.folders.items():
                if owner.setdefault(name, str(folder)) != str(folder):
                    why = f"the repository {name} is that of another source's layout too: {owner[name]} and {folder}"
                    raise SourceError(reading.name, "publish its layouts", why, "Rename one of the folders.")
