"""The one-way flow: sources -> catalog -> site -> snapshot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder import catalog, snapshot
from builder.catalog import Catalog, Image, Skip
from builder.config import Config, LayoutSource, RegistrySource, Source
from builder.description import Snapshot
from builder.errors import FlatdexError, SourceError
from builder.oci import Descriptor
from builder.report import Report, counted
from builder.site.tree import Site, site
from builder.sources import layouts
from builder.sources.layouts import Trusted
from builder.sources.registry import Registry
from builder.sources.transport import Transport
from builder.store import Store


@dataclass(frozen=True)
class Built:
    """What a build came to: the snapshot, whether it is new, and the site that it holds."""

    snapshot: str
    changed: bool
    site: Site

    @property
    def to_act_on(self) -> tuple[Skip, ...]:
        """The skips that an admin should do something about."""
        return tuple(skip for skip in self.site.skips if skip.act)


def build(config: Config, report: Report, full: bool = False, allow_shrink: bool = False) -> Built:
    """Reads all sources and writes a snapshot if anything changed. The caller holds the store's lock.

    `full` trusts nothing that an earlier snapshot holds. An index that would lose all its refs is refused, unless
    `allow_shrink`.
    """
    store = Store(config.store)
    previous = store.newest()
    found = read(config, None if full else previous, report)
    made = site(config, found, snapshot.carried_gzip(previous))
    if previous and not allow_shrink:
        _refuse_emptied(previous, made)
    written = snapshot.write(store, made, config, int(time.time()), full)
    return Built(written.id, written.changed, made)


def read(config: Config, previous: Snapshot | None, report: Report) -> Catalog:
    """All that the sources hold for the configured tags. Raises SourceError rather than leave a source out."""
    _refuse_twin_layouts(config)
    with Transport() as transport:
        return catalog.collected(
            item
            for source in config.sources
            if _tags(config, source)
            for item in _read(source, _tags(config, source), transport, previous, report)
        )


def _read(
    source: Source, tags: frozenset[str], transport: Transport, previous: Snapshot | None, report: Report
) -> Iterator[Image | Skip]:
    report.detail(f"reading {source.name}")
    if isinstance(source, RegistrySource):
        return Registry(transport, source).read(tags, report.progress(f"{source.name}: repositories"))
    return layouts.read(source, tags, _already_copied(previous))


def _tags(config: Config, source: Source) -> frozenset[str]:
    return frozenset(tag for index in config.indexes if source.name in index.sources for tag in index.tags)


def _already_copied(previous: Snapshot | None) -> Trusted:
    """What the previous snapshot holds was checked when it was copied, and need not be read again."""
    known = previous.by_path if previous else {}

    def trusted(repository: str, blob: Descriptor) -> bool:
        entry = known.get(f"v2/{repository}/blobs/{blob.digest}")
        return bool(previous and entry and entry.size == blob.size == _size(previous.folder / entry.path))

    return trusted


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _refuse_emptied(previous: Snapshot, made: Site) -> None:
    """A typo in a tag, or a registry that lost its disk, must not take all applications away from their users."""
    before = Counter(image["index"] for image in previous.document["images"])
    emptied = [name for name, images in made.images.items() if not images and before[name]]
    if emptied:
        why = ", ".join(f"{name} (it has {counted(before[name], 'ref')} now)" for name in emptied)
        codes = Counter(skip.code for skip in made.skips)
        skips = (
            f" Left out: {', '.join(f'{number} {code}' for code, number in sorted(codes.items()))}." if codes else ""
        )
        fix = f"Nothing was built.{skips} If it is meant so, say `--allow-shrink`; else look at tags and repositories."
        raise FlatdexError(f"these indexes would become empty: {why}", fix)


def _refuse_twin_layouts(config: Config) -> None:
    """All layouts are published under one /v2/, where a repository is one folder."""
    owner: dict[str, str] = {}
    for source in config.sources:
        if isinstance(source, LayoutSource) and _tags(config, source):
            for name, folder in layouts.folders(source).items():
                if owner.setdefault(name, str(folder)) != str(folder):
                    why = f"the repository {name} is that of another source's layout too: {owner[name]} and {folder}"
                    raise SourceError(source.name, "publish its layouts", why, "Rename one of the folders.")
