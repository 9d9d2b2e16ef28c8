"""OCI layouts on disk. Their manifests and blobs become files of the site, so that no registry is needed at all."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from builder import oci
from builder.catalog import Image, Skip
from builder.config import LayoutSource
from builder.errors import SourceError
from builder.oci import Descriptor, Malformed, Manifest
from builder.sources import walk
from builder.sources.walk import Missing, Place

_LARGEST_INDEX = 8 * 1024 * 1024
_CHUNK = 1024 * 1024

Trusted = Callable[[str, Descriptor], bool]
"""Whether a blob of a repository was already checked, and copied, by an earlier build."""


def read(source: LayoutSource, tags: frozenset[str], trusted: Trusted) -> Iterator[Image | Skip]:
    """All images of the layouts of `source` that `tags` lead to. Raises SourceError if a layout can't be found."""
    for name, folder in sorted(folders(source).items()):
        yield from _layout(source, name, folder, tags, trusted)


def folders(source: LayoutSource) -> dict[str, Path]:
    """The layouts' folders by repository name. Raises SourceError for none, and for two of one name."""
    operation = "find OCI layouts"
    named: dict[str, Path] = {}
    for pattern in source.layouts:
        found = [Path(path) for path in sorted(glob.glob(pattern)) if Path(path).is_dir()]
        if not found:
            fix = "Is the path right, and is its disk mounted? An empty remote is not published by accident."
            raise SourceError(source.name, operation, f"no folder matches {pattern}", fix)
        for folder in found:
            name = repository_name(folder.name)
            if not name:
                why = f"the folder's name can't be made a repository's: {folder}"
                raise SourceError(source.name, operation, why, "Use letters, digits, `.`, `_` and `-`.")
            if named.get(name, folder) != folder:
                why = f"two layouts are the repository {name}: {named[name]} and {folder}"
                raise SourceError(source.name, operation, why, "Rename one of the folders.")
            named[name] = folder
    return named


def repository_name(folder: str) -> str:
    """A folder's name, lower-cased to a valid repository name; empty if nothing valid is left.

    >>> repository_name("org.gnome.Calculator")
    'org.gnome.calculator'
    """
    name = folder.lower()
    if not oci.is_repository(name):
        name = re.sub(r"[^a-z0-9._-]+", "-", name)
        name = re.sub(r"([._-])[._-]*", r"\1", name).strip("._-")
    return name if oci.is_repository(name) and "/" not in name else ""


def _layout(
    source: LayoutSource, name: str, folder: Path, tags: frozenset[str], trusted: Trusted
) -> Iterator[Image | Skip]:
    try:
        listed = _listed(folder)
    except (Malformed, OSError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield Skip(source.name, name, folder.name, "not-a-layout", f"{folder}: {why}")
        return
    contents = _Contents(name, folder, trusted)
    for descriptor in listed:
        tag = _tag(source, descriptor)
        if tag in tags:
            yield from walk.images(contents, Place(source.name, name, tag), descriptor)


def _listed(folder: Path) -> tuple[Descriptor, ...]:
    version = oci.parse_object(_start(folder / "oci-layout", _LARGEST_INDEX)).get("imageLayoutVersion")
    if version != "1.0.0":
        raise Malformed(f"the layout version is {version!r}, not 1.0.0")
    index = oci.parse_manifest(_start(folder / "index.json", _LARGEST_INDEX), oci.IMAGE_INDEX)
    if isinstance(index, Manifest):
        raise Malformed("index.json is not an image index")
    return index.manifests


def _tag(source: LayoutSource, descriptor: Descriptor) -> str:
    """The image's own tag; flatpak writes a ref in its place, which is no tag."""
    name = (descriptor.annotations or {}).get(oci.REF_NAME, "")
    return name if oci.is_tag(name) else source.tag


class _Contents:
    """One layout's blobs, read from disk."""

    def __init__(self, repository: str, folder: Path, trusted: Trusted) -> None:
        self._repository = repository
        self._folder = folder
        self._trusted = trusted

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, walk.LARGEST_MANIFEST)

    def config(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, walk.LARGEST_CONFIG)

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        """The manifest, its config and its layers, each checked. Raises Missing and Malformed."""
        for layer in content.layers:
            if not self._trusted(self._repository, layer):
                self._check(layer)
        return tuple((blob, self._path(blob)) for blob in (manifest, content.config, *content.layers))

    def _path(self, descriptor: Descriptor) -> Path:
        return self._folder / "blobs" / "sha256" / descriptor.hex

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        try:
            return _start(self._path(descriptor), limit)
        except OSError as error:
            raise Missing(f"the layout has no readable {self._path(descriptor)}") from error

    def _check(self, layer: Descriptor) -> None:
        try:
            size, digest = _measured(self._path(layer))
        except OSError as error:
            raise Missing(f"the layout has no readable {self._path(layer)}") from error
        if (size, digest) != (layer.size, layer.digest):
            raise Malformed(f"the layer {layer.digest} is not what its name says: {size} bytes of digest {digest}")


def _start(file: Path, limit: int) -> bytes:
    """The file's first bytes: one more than `limit` at most, which then are too many for whoever checks the size."""
    with file.open("rb") as opened:
        return opened.read(limit + 1)


def _measured(file: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as opened:
        while part := opened.read(_CHUNK):
            digest.update(part)
            size += len(part)
    return size, "sha256:" + digest.hexdigest()
