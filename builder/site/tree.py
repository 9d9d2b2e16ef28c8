"""All files of a site, from a catalog: the one place that knows what lies where."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from builder.appdata.components import DEFAULT
from builder.catalog import Catalog, Image, Skip, choose
from builder.changes import Change, Offered
from builder.config import Config, MirrorSource, Remote, Variant
from builder.content import Content, Files, InMemory, Made, OnDisk
from builder.description import FileEntry
from builder.memo import NOTHING, Memo
from builder.parallel import threads
from builder.site import flatpakref, flatpakrepo, index
from builder.site.labels import Labels
from builder.site.pages import items as making
from builder.site.pages import offer
from builder.site.pages.assets import logo_path
from builder.site.pages.memory import Memory
from builder.site.pages.offer import Item
from builder.site.pages.views import Pictures
from builder.site.pages.write import pages
from builder.site.rules import apache
from builder.site.rules.common import HASHED, Target

Gzip = Callable[[Made], bytes]
"""Compresses; bytes that were made of the same content before are taken again."""

_Made = tuple[Made, Future[bytes]]
"""A file, and its compressed bytes, which may still be in the making."""


@dataclass(frozen=True)
class Site:
    """A whole site: its files, the images in each index, and what was left out."""

    files: Files
    images: Mapping[str, tuple[Image, ...]]
    skips: tuple[Skip, ...]
    twins: Mapping[str, str] = field(default_factory=dict)
    """Files under their hash, by path, to the plain file with the same bytes."""
    offered: tuple[Offered, ...] = ()
    """What is offered to people: names and versions by index and ref."""
    changes: tuple[Change, ...] = ()
    pictures: Pictures = field(default_factory=dict)
    logo: str = ""
    """The path of the site's own logo."""
    dates: Mapping[str, FileEntry] = field(default_factory=dict)
    """The files of the site that this one is a copy of, by path: what is the same keeps their dates."""


def _no_changes(offered: Iterable[Offered]) -> tuple[Change, ...]:
    return ()


def _no_pictures(urls: Iterable[str]) -> Pictures:
    return {}


@dataclass(frozen=True)
class Surroundings:
    """What pages take from outside of a catalog: changes since earlier snapshots, screenshots, pages made before."""

    changes: Callable[[Iterable[Offered]], tuple[Change, ...]] = _no_changes
    pictures: Callable[[Iterable[str]], Pictures] = _no_pictures
    memory: Memory = field(default_factory=Memory)
    published: Collection[str] = frozenset()
    """The paths of the newest snapshot's files."""
    files: Files = field(default_factory=dict)
    """What is taken into the site as it is."""
    dates: Mapping[str, FileEntry] = field(default_factory=dict)
    """As in `Site`."""
    memo: Memo = NOTHING


def site(
    config: Config,
    catalog: Catalog,
    gzip: Gzip,
    checked_icons: Container[str] = (),
    surroundings: Surroundings | None = None,
) -> Site:
    """The site that `config` makes of `catalog`; icons with these hashes were found good before."""
    chosen = {each.name: choose(catalog, each) for each in config.indexes}
    skips = {*catalog.skips, *(skip for choice in chosen.values() for skip in choice.skips)}
    images = {name: _offered(config, name, choice.images) for name, choice in chosen.items()}
    surroundings = surroundings or Surroundings()
    labels = Labels(config, checked_icons, surroundings.memo)
    # Before the indexes, since this reads whole what they only look through.
    items = making.items(config, images, labels, surroundings.published)
    with threads(os.cpu_count() or 1) as pool:  # hashing and zlib let other threads run: pages are made meanwhile
        made = _made(config, images, labels, gzip, surroundings.memo, pool)
        shown = _shown(config, images, items, gzip, surroundings)
    files: dict[str, Content] = {}
    twins: dict[str, str] = {}
    for folder in _index_folders(config, made):
        files.update(folder.files)
        twins.update(folder.twins)
    files.update(_blobs(config, images))
    if config.remote:
        files.update(flatpakrepo.files(config.remote, config.dispatch.tags, config.dispatch.default_tag))
        files.update(_install_files(config.remote, config.dispatch.default_tag, items))
    files.update(shown.files)
    files.update(labels.files)
    files.update(surroundings.files)
    files.update(_rules(config, files))
    skips.update(labels.skips)
    return Site(
        files,
        images,
        tuple(sorted(skips)),
        twins,
        shown.offered,
        shown.changes,
        shown.pictures,
        logo=logo_path(config.pages),
        dates=surroundings.dates,
    )


def _install_files(remote: Remote, main_tag: str, items: Iterable[Item]) -> Iterator[tuple[str, Content]]:
    """A `.flatpakref` for each channel of each application."""
    for item in items:
        for channel in item.channels if item.kind == "app" else ():
            title = item.component.name.get(DEFAULT, item.id)
            given = (item.id, channel.branch, title, channel.runtime_in)
            yield channel.flatpakref, flatpakref.render(remote, channel.tag, main_tag, *given)


@dataclass(frozen=True)
class _Shown:
    """What people see of a site."""

    files: Files
    offered: tuple[Offered, ...]
    changes: tuple[Change, ...]
    pictures: Pictures


def _shown(
    config: Config,
    images: Mapping[str, tuple[Image, ...]],
    items: tuple[Item, ...],
    gzip: Gzip,
    surroundings: Surroundings,
) -> _Shown:
    offered = tuple(offer.offered(items, images))
    changes = surroundings.changes(offered)
    pictures = surroundings.pictures(offer.screenshots(items))
    files = dict(pages(config, items, changes, pictures, surroundings.memory))
    searched = {path: content for path, content in files.items() if path.rpartition("/")[2] == "search.json"}
    compressed = {f"{path}.gz": gzip(content) for path, content in searched.items() if isinstance(content, InMemory)}
    files.update({path: InMemory(data) for path, data in compressed.items()})
    return _Shown(files, offered, changes, pictures)


def _rules(config: Config, files: Files) -> Iterator[tuple[str, Content]]:
    """The rules of all folders but those of indexes and of `/v2/`."""
    yield ".htaccess", _text(apache.top_folder(config))
    yield f"{config.icons.folder}/.htaccess", _text(apache.icons_folder(config.cache))
    for folder in HASHED:
        if any(path.startswith(f"{folder}/") for path in files):
            yield f"{folder}/.htaccess", _text(apache.hashed_folder(config.cache))


def _offered(config: Config, index: str, images: tuple[Image, ...]) -> tuple[Image, ...]:
    """Those of an index's images that any of its files has."""
    variants = [variant for variant in config.variants if variant.index == index]
    return tuple(image for image in images if any(variant.takes(image.architecture) for variant in variants))


class _IndexFolder:
    """A folder of index files: each plain, compressed, and both under the hash of their bytes, which the rules name.

    The hash stands in a folder of the plain file's name: a tag such as `v1.gz` must not look like a file's type.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.files: dict[str, Content] = {}
        self.twins: dict[str, str] = {}
        self.targets: dict[str, Target] = {}

    def add(self, file: str, name: str, content: Made, gzipped: bytes) -> None:
        """Adds the index `file`, whose plain file is called `name`."""
        compressed = InMemory(gzipped)
        target = Target(f"sha256/{file}/{content.sha256}.json", f"sha256/{file}/{compressed.sha256}.json.gz")
        self.targets[file] = target
        for plain, twin, each in ((name, target.plain, content), (f"{name}.gz", target.gzip, compressed)):
            self.files[f"{self._path}/{plain}"] = self.files[f"{self._path}/{twin}"] = each
            self.twins[f"{self._path}/{twin}"] = f"{self._path}/{plain}"

    def add_text(self, name: str, text: str) -> None:
        """Adds a file of another kind."""
        self.files[f"{self._path}/{name}"] = _text(text)


@dataclass(frozen=True)
class _Indexes:
    """All index files: those of `/index/` by their names, and those that lie one level deeper, by their tags."""

    plain: Mapping[str, _Made]
    raised: Mapping[str, _Made]


def _made(
    config: Config,
    images: Mapping[str, tuple[Image, ...]],
    labels: Labels,
    gzip: Gzip,
    memo: Memo,
    pool: Executor,
) -> _Indexes:
    by_file = {variant.file: variant for variant in config.variants}

    def made(variant: Variant, up: str = "") -> _Made:
        content = _render(config, variant, images, labels, up)
        content = memo.of(content, lambda: content)  # the same bytes need not be hashed again
        return content, pool.submit(gzip, content)

    return _Indexes(
        {file: made(variant) for file, variant in by_file.items()},
        {tag: made(by_file[file], "../") for tag, file in config.tag_folders.items()},
    )


def _index_folders(config: Config, made: _Indexes) -> Iterator[_IndexFolder]:
    """`/index/`, and `/TAG/index/` for hosts that ignore query strings."""
    main = _IndexFolder("index")
    for file, (content, compressed) in made.plain.items():
        main.add(file, f"{file}.json", content, compressed.result())
        if file == config.dispatch.answer(""):
            main.files["index/static"] = content
    main.add_text(".htaccess", apache.index_folder(config.dispatch, main.targets))
    yield main
    for tag, (content, compressed) in made.raised.items():
        folder = _IndexFolder(f"{tag}/index")
        folder.add("static", "static", content, compressed.result())
        folder.add_text(".htaccess", apache.tag_folder(folder.targets["static"]))
        yield folder


def _render(
    config: Config, variant: Variant, images: Mapping[str, tuple[Image, ...]], labels: Labels, up: str = ""
) -> Made:
    of = config.index(variant.index)
    wanted = [image for image in images[of.name] if variant.takes(image.architecture)]
    registry = config.source(of.sources[0]).public
    return index.render(registry, wanted, lambda image: labels.entry(of, image, variant.form, up), up)


def _blobs(config: Config, images: Mapping[str, tuple[Image, ...]]) -> Iterator[tuple[str, Content]]:
    """`/v2/`: the registry as files, for the images that bring their blobs."""
    types: dict[str, str] = {}
    for image in (image for chosen in images.values() for image in chosen if image.blobs):
        types[image.digest] = image.media_type
        for blob, file in image.blobs:
            kind = "manifests" if blob.digest == image.digest else "blobs"
            own = isinstance(config.source(image.source), MirrorSource)
            yield f"v2/{image.repository}/{kind}/{blob.digest}", OnDisk(file, blob.size, blob.hex, own)
    if types:
        yield "v2/.htaccess", _text(apache.registry_folder(config.cache, types))


def _text(text: str) -> InMemory:
    return InMemory(text.encode("utf-8"))
