"""All files of a site, from a catalog: the one place that knows what lies where."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from builder.catalog import Catalog, Image, Skip, choose
from builder.config import Config, Variant
from builder.parallel import threads
from builder.site import flatpakrepo, index, rules
from builder.site.content import Content, Files, InMemory, Made, OnDisk
from builder.site.labels import Labels
from builder.site.rules import Target

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


def site(config: Config, catalog: Catalog, gzip: Gzip, checked_icons: Container[str] = ()) -> Site:
    """The site that `config` makes of `catalog`; icons with these hashes were found good before."""
    chosen = {each.name: choose(catalog, each) for each in config.indexes}
    skips = {*catalog.skips, *(skip for choice in chosen.values() for skip in choice.skips)}
    images = {name: _offered(config, name, choice.images) for name, choice in chosen.items()}
    labels = Labels(config, checked_icons)
    files: dict[str, Content] = {}
    twins: dict[str, str] = {}
    for folder in _index_folders(config, images, labels, gzip):
        files.update(folder.files)
        twins.update(folder.twins)
    files.update(labels.files)
    skips.update(labels.skips)
    files.update(_blobs(config, images))
    files[f"{config.icons.folder}/.htaccess"] = _text(rules.icons_folder(config.cache))
    files[".htaccess"] = _text(rules.top_folder(config.cache))
    if config.remote:
        files.update(flatpakrepo.files(config.remote, config.dispatch.tags, config.dispatch.default_tag))
    return Site(files, images, tuple(sorted(skips)), twins)


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


def _index_folders(
    config: Config, images: Mapping[str, tuple[Image, ...]], labels: Labels, gzip: Gzip
) -> Iterator[_IndexFolder]:
    """`/index/`, and `/TAG/index/` for hosts that ignore query strings."""
    by_file = {variant.file: variant for variant in config.variants}
    with threads(os.cpu_count() or 1) as pool:  # zlib lets other threads run

        def made(variant: Variant, up: str = "") -> _Made:
            content = _render(config, variant, images, labels, up)
            return content, pool.submit(gzip, content)

        plain = {file: made(variant) for file, variant in by_file.items()}
        raised = {tag: made(by_file[file], "../") for tag, file in config.tag_folders.items()}
    main = _IndexFolder("index")
    for file, (content, compressed) in plain.items():
        main.add(file, f"{file}.json", content, compressed.result())
        if file == config.dispatch.answer(""):
            main.files["index/static"] = content
    main.add_text(".htaccess", rules.index_folder(config.dispatch, main.targets, config.cache))
    yield main
    for tag, (content, compressed) in raised.items():
        folder = _IndexFolder(f"{tag}/index")
        folder.add("static", "static", content, compressed.result())
        folder.add_text(".htaccess", rules.tag_folder(folder.targets["static"], config.cache))
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
            yield f"v2/{image.repository}/{kind}/{blob.digest}", OnDisk(file, blob.size, blob.hex)
    if types:
        yield "v2/.htaccess", _text(rules.registry_folder(config.cache, types))


def _text(text: str) -> InMemory:
    return InMemory(text.encode("utf-8"))
