"""The one-way flow: sources -> catalog -> site -> snapshot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from builder import catalog, snapshot
from builder.catalog import Catalog, Image, Skip
from builder.config import Config, LayoutSource, RegistrySource, Source
from builder.errors import SourceError
from builder.oci import Descriptor
from builder.report import Report
from builder.site.tree import Site, site
from builder.sources import layouts
from builder.sources.layouts import Trusted
from builder.sources.registry import Registry
from builder.sources.transport import Transport
from builder.store import Snapshot, Store


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


def build(config: Config, report: Report) -> Built:
    """Reads all sources and writes a snapshot if anything changed. The caller holds the store's lock."""
    store = Store(config.store)
    previous = store.newest()
    found = read(config, previous, report)
    made = site(config, found, snapshot.carried_gzip(previous))
    written = snapshot.write(store, made, config, int(time.time()))
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
    sizes = {entry.path: entry.size for entry in previous.files} if previous else {}

    def trusted(repository: str, blob: Descriptor) -> bool:
        return sizes.get(f"v2/{repository}/blobs/{blob.digest}") == blob.size

    return trusted


def _refuse_twin_layouts(config: Config) -> None:
    """All layouts are published under one /v2/, where a repository is one folder."""
    owner: dict[str, str] = {}
    for source in config.sources:
        if isinstance(source, LayoutSource):
            for name, folder in layouts.folders(source).items():
                if owner.setdefault(name, str(folder)) != str(folder):
                    why = f"the repository {name} is that of another source's layout too: {owner[name]} and {folder}"
                    raise SourceError(source.name, "publish its layouts", why, "Rename one of the folders.")
