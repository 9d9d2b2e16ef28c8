"""The one-way flow: sources -> catalog -> site -> snapshot."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from builder import catalog, lastgood, notes, renewal, shrink, snapshot, stale
from builder.advice import Advice, advice
from builder.catalog import Catalog
from builder.changes import changes
from builder.compress import Segments
from builder.config import Config, LayoutSource, MirrorSource, RegistrySource, Screenshots, Source
from builder.description import Snapshot
from builder.errors import FlatdexError, SourceError
from builder.memo import NOTHING, Memo
from builder.mirrored import check_known
from builder.oci import Descriptor
from builder.outcome import Built
from builder.report import Report
from builder.screenshots import shots
from builder.screenshots.mirror import mirrored
from builder.site.pages import ready
from builder.site.pages.assets import own_look
from builder.site.pages.memory import Memory
from builder.site.pages.views import Pictures
from builder.site.tree import Site, Surroundings, site
from builder.sources import access
from builder.sources.cache import Cache
from builder.sources.layouts import LayoutReading, Trusted
from builder.sources.mirrored import MirrorReading
from builder.sources.reading import FailedReading, RegistryReading
from builder.stale import Stale
from builder.store import Store

_MOST_UNBUILT = 20  # of a hundred images of a copy
_MOST_WARM = 4000  # images of which all is kept in memory: a hundred megabytes or two
_PAGES = "pages"
"""The note on what pages were made of."""


@dataclass(frozen=True)
class How:
    """How to build: `full` trusts no earlier build, `offline` asks no registry, `allow_shrink` accepts loss.

    With `only` these repositories of registries are asked, none if it is empty, where the last look at the others was
    whole and may be trusted; what failed then is asked again, too.
    """

    full: bool = False
    offline: bool = False
    allow_shrink: bool = False
    only: frozenset[str] | None = None


Reading = RegistryReading | LayoutReading | MirrorReading | FailedReading


def build(
    config: Config, report: Report, how: How = How(), memo: Memo = NOTHING, news: Callable[[], None] = lambda: None
) -> Built:
    """Reads all sources and writes a snapshot if anything changed. The caller holds the store's lock.

    What `memo` knows of this configuration, by `warmed`, is not made again. As soon as it is clear that sources have
    `news`, that is called: most likely there will be another snapshot.
    """
    check_known(config)
    ready.check(config.pages)
    signed = renewal.state(config.sign)
    store = Store(config.store)
    previous = store.newest()
    trusted = None if how.full else previous
    now = int(time.time())
    with Cache(store.cache, trusted=not how.full) as kept:
        with ExitStack() as opened:
            readings = list(_readings(config, kept, trusted, report, how, opened, memo))
            look = own_look(config.pages)
            inputs = notes.inputs_of(config, [*(reading.look() for reading in readings), look, signed])
            if inputs and previous and (built := notes.built_before(kept, previous, inputs, now)):
                store.note_built()
                return built
            news()
            _refuse_twin_layouts(readings)
            found = catalog.collected(item for reading in readings for item in reading.items())
        found, marked = _with_kept(config, found, previous, kept, now)
        segments = Segments(kept)
        gzip = snapshot.carried_gzip(previous, segments)
        memory = Memory(notes.program() + look, trusted, kept.note(_PAGES))
        pictures = _Pictures(config, store, previous, report, how)
        published = previous.by_path if previous else {}
        since = partial(changes, previous, now=now)
        surroundings = Surroundings(since, pictures.mirrored, memory, published, memo=memo)
        copies = [reading for reading in readings if isinstance(reading, MirrorReading)]
        if copies:
            surroundings = _as_copied(surroundings, copies[0])
        made = site(config, found, gzip, _checked_icons(trusted), surroundings)
        if copies:
            _refuse_unbuilt(copies[0].chosen, made)
        if previous and not how.allow_shrink:
            _refuse_loss(config, previous, made, marked)
        told = (*_advice(config, made), *pictures.advice)
        written = snapshot.write(store, made, config, now, marked, told, how.full)
        built = Built(
            written.id, written.changed, len(made.images), _refs(made), made.skips, marked, told, written.renewed
        )
        segments.keep()
        kept.keep_note(_PAGES, memory.note(written.id))
        again = [at for at in (pictures.again, renewal.at(written.expires, config.sign)) if at is not None]
        notes.remember(kept, built, inputs, offline=how.offline, until=min(again, default=None))
        store.note_built()
        return built


def warmed(config: Config, report: Report) -> Memo:
    """What the next build can take as it is, if most of what its sources have is what it was: made in memory alone.

    Nobody is asked, nothing is written, and the lock is not needed.
    """
    memo = Memo(keeps=True)
    store = Store(config.store)
    previous = store.newest()
    images = previous.document["images"] if previous else ()
    registries = all(isinstance(source, RegistrySource) for source in config.sources)
    if not registries or not 0 < len(images) <= _MOST_WARM:
        return NOTHING
    with Cache(store.cache) as kept, ExitStack() as opened:
        readings = list(_readings(config, kept, previous, report, How(offline=True), opened, memo))
        for reading in readings:
            reading.look()
        found = catalog.collected(item for reading in readings for item in reading.items())
        gzip = snapshot.carried_gzip(previous, Segments(kept))
        memory = Memory(notes.program() + own_look(config.pages), previous, kept.note(_PAGES))
        surroundings = Surroundings(memory=memory, published=previous.by_path if previous else {}, memo=memo)
        site(config, found, gzip, _checked_icons(previous), surroundings)
    return memo


def _advice(config: Config, made: Site) -> tuple[Advice, ...]:
    """On images and pages. That a runtime is missing is well if the configuration says where it is."""
    found = advice(made.images)
    if config.remote and config.remote.runtime_repo:
        found = tuple(each for each in found if each.code != "runtime-missing")
    return (*found, *ready.advice(config.pages))


def _as_copied(surroundings: Surroundings, copied: MirrorReading) -> Surroundings:
    """With what the other site has: its pictures, its dates, and what it said."""
    return replace(
        surroundings,
        pictures=lambda urls: copied.pictures(),
        files=dict(copied.files()),
        dates=copied.dates(),
    )


class _Pictures:
    """Screenshots as the configuration wants them; `advice` tells of those that could not be had."""

    def __init__(self, config: Config, store: Store, previous: Snapshot | None, report: Report, how: How) -> None:
        self._pages = config.pages
        self._folder = store.cache / "screenshots"
        self._previous = previous
        self._report = report
        self._how = how
        self.advice: tuple[Advice, ...] = ()
        self.again: int | None = None
        """When it makes sense to ask again, in seconds."""

    def mirrored(self, urls: Iterable[str]) -> Pictures:
        if self._pages is None or self._pages.screenshots is not Screenshots.MIRROR:
            return {}
        how = self._how
        found, troubles = mirrored(
            urls, self._pages, self._folder, self._previous, self._report, offline=how.offline, full=how.full
        )
        self.advice = shots.advice(troubles)
        self.again = min((trouble.again for trouble in troubles), default=None)
        return found


def _readings(
    config: Config, kept: Cache, previous: Snapshot | None, report: Report, how: How, opened: ExitStack, memo: Memo
) -> Iterator[Reading]:
    for source in config.sources:
        tags = config.tags_of(source)
        if tags and isinstance(source, RegistrySource):
            try:
                registry = opened.enter_context(access.opened(source, kept, os.environ))
            except SourceError as error:
                yield FailedReading(error, source, kept)
                continue
            labels, progress = config.labels_of(source), report.progress
            yield RegistryReading(
                registry, source, tags, kept, progress, offline=how.offline, labels=labels, only=how.only, memo=memo
            )
        elif tags and isinstance(source, LayoutSource):
            yield LayoutReading(source, tags, _already_copied(previous), config.labels_of(source))
        elif tags and isinstance(source, MirrorSource):
            yield MirrorReading(source)


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
    return stale.with_kept(config, found, last_good, notes.failing_since(kept), now)


def _nothing(source: Source) -> tuple[catalog.Image, ...]:
    return ()


def _refuse_half(found: Catalog) -> None:
    read = {image.source for image in found.images}
    for failure in found.failures:
        if not failure.repository or failure.source not in read:
            raise FlatdexError(failure.why)


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


def _refuse_unbuilt(chosen: frozenset[tuple[str, str]], made: Site) -> None:
    """What a copy leaves out of what it took is no decision of the remote's: a few may be, and are told."""
    built = {(image.repository, image.digest) for images in made.images.values() for image in images}
    lost = chosen - built
    if lost and len(lost) * 100 > _MOST_UNBUILT * len(chosen):
        codes = Counter(skip.code for skip in made.skips)
        told = ", ".join(f"{number} {code}" for code, number in sorted(codes.items()))
        what = f"{len(lost)} of {len(chosen)} images that were mirrored would be left out: {told}"
        raise FlatdexError(what, "Nothing was built. Whoever runs the remote that is mirrored should look at them.")


def _refuse_twin_layouts(readings: Iterable[Reading]) -> None:
    """All layouts are published under one /v2/, where a repository is one folder."""
    owner: dict[str, str] = {}
    for reading in readings:
        if isinstance(reading, LayoutReading):
            for name, folder in reading.folders.items():
                if owner.setdefault(name, str(folder)) != str(folder):
                    why = f"the repository {name} is that of another source's layout too: {owner[name]} and {folder}"
                    raise SourceError(reading.name, "publish its layouts", why, "Rename one of the folders.")
