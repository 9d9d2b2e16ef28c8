"""All files of a site, from a catalog: the one place that knows what lies where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from builder import flatpak
from builder.catalog import Catalog, Image, Skip, choose
from builder.config import Config, Index, Variant
from builder.site import flatpakrepo, icons, index, rules
from builder.site.content import Content, Files, InMemory, OnDisk
from builder.site.rules import Target

Gzip = Callable[[InMemory], bytes]
"""Compresses; bytes that were made of the same content before are taken again."""


@dataclass(frozen=True)
class Site:
    """A whole site: its files, the images in each index, and what was left out."""

    files: Files
    images: Mapping[str, tuple[Image, ...]]
    skips: tuple[Skip, ...]
    twins: Mapping[str, str] = field(default_factory=dict)
    """Files under their hash, by path, to the plain file with the same bytes."""


def site(config: Config, catalog: Catalog, gzip: Gzip) -> Site:
    """The site that `config` makes of `catalog`."""
    chosen = {each.name: choose(catalog, each) for each in config.indexes}
    skips = {*catalog.skips, *(skip for choice in chosen.values() for skip in choice.skips)}
    images = {name: choice.images for name, choice in chosen.items()}
    labels = {name: _Labels(config, config.index(name)) for name in chosen}
    files: dict[str, Content] = {}
    twins: dict[str, str] = {}
    for folder in _index_folders(config, images, labels, gzip):
        files.update(folder.files)
        twins.update(folder.twins)
    for each in labels.values():
        files.update(each.files)
        skips.update(each.skips)
    files.update(_blobs(config, images))
    files[f"{config.icons.folder}/.htaccess"] = _text(rules.icons_folder(config.cache))
    files[".htaccess"] = _text(rules.top_folder(config.cache))
    if config.remote:
        files.update(flatpakrepo.files(config.remote, config.dispatch.tags, config.dispatch.default_tag))
    return Site(files, images, tuple(sorted(skips)), twins)


class _Labels:
    """The metadata of an index's images as written into index files, and the icons that were taken out of it."""

    def __init__(self, config: Config, of: Index) -> None:
        self._config = config
        self._index = of
        self._known: dict[tuple[str, str, str], Mapping[str, str]] = {}
        self.files: dict[str, Content] = {}
        self.skips: list[Skip] = []

    def __call__(self, image: Image) -> Mapping[str, str]:
        key = (image.source, image.repository, image.digest)
        if key not in self._known:
            metadata = index.with_token(index.slim(image.metadata), self._config.source(image.source).token)
            self._known[key] = dict(self._with_icons(image, metadata))
        return self._known[key]

    def _with_icons(self, image: Image, metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for key, value in metadata.items():
            if key not in flatpak.ICONS:
                yield key, value
                continue
            try:
                data = icons.decoded(value)
            except icons.Rejected as error:
                why = f"{key}: {error}; the image is published without it"
                self.skips.append(Skip(image.source, image.repository, image.digest, "icon-rejected", why))
                continue
            if self._index.extract_icons:
                path = icons.path(data)
                self.files[f"{self._config.icons.folder}/{path}"] = InMemory(data)
                value = self._config.icons.url + path
            yield key, value


class _IndexFolder:
    """A folder of index files: each plain, compressed, and both under the hash of their bytes, which the rules name.

    The hash stands in a folder of the plain file's name: a tag such as `v1.gz` must not look like a file's type.
    """

    def __init__(self, path: str, gzip: Gzip) -> None:
        self._path = path
        self._gzip = gzip
        self.files: dict[str, Content] = {}
        self.twins: dict[str, str] = {}
        self.targets: dict[str, Target] = {}

    def add(self, file: str, name: str, content: InMemory) -> None:
        """Adds the index `file`, whose plain file is called `name`."""
        compressed = InMemory(self._gzip(content))
        target = Target(f"sha256/{file}/{content.sha256}.json", f"sha256/{file}/{compressed.sha256}.json.gz")
        self.targets[file] = target
        for plain, twin, each in ((name, target.plain, content), (f"{name}.gz", target.gzip, compressed)):
            self.files[f"{self._path}/{plain}"] = self.files[f"{self._path}/{twin}"] = each
            self.twins[f"{self._path}/{twin}"] = f"{self._path}/{plain}"

    def add_text(self, name: str, text: str) -> None:
        """Adds a file of another kind."""
        self.files[f"{self._path}/{name}"] = _text(text)


def _index_folders(
    config: Config, images: Mapping[str, tuple[Image, ...]], labels: Mapping[str, _Labels], gzip: Gzip
) -> Iterator[_IndexFolder]:
    """`/index/`, and `/TAG/index/` for hosts that ignore query strings."""
    main = _IndexFolder("index", gzip)
    for variant in config.variants:
        content = _render(config, variant, images, labels)
        main.add(variant.file, f"{variant.file}.json", content)
        if variant.file == config.dispatch.answer(""):
            main.files["index/static"] = content
    main.add_text(".htaccess", rules.index_folder(config.dispatch, main.targets, config.cache))
    yield main
    by_file = {variant.file: variant for variant in config.variants}
    for tag, file in config.tag_folders.items():
        folder = _IndexFolder(f"{tag}/index", gzip)
        folder.add("static", "static", _render(config, by_file[file], images, labels, up="../"))
        folder.add_text(".htaccess", rules.tag_folder(folder.targets["static"], config.cache))
        yield folder


def _render(
    config: Config,
    variant: Variant,
    images: Mapping[str, tuple[Image, ...]],
    labels: Mapping[str, _Labels],
    up: str = "",
) -> InMemory:
    of = config.index(variant.index)
    wanted = [image for image in images[of.name] if variant.takes(image.architecture)]
    registry = config.source(of.sources[0]).public
    return InMemory(index.render(registry, wanted, variant.form, labels[of.name], up))


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
