"""OCI layouts on disk. Their manifests and blobs become files of the site, so that no registry is needed at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

from builder import files, oci
from builder.catalog import Failure, Image, Skip
from builder.config import LayoutSource
from builder.errors import FlatdexError, SourceError
from builder.oci import Descriptor, ImageIndex, Malformed, Manifest
from builder.sources import walk
from builder.sources.walk import LeftOut, Missing, Place

_LARGEST_INDEX = 8 * 1024 * 1024

Trusted = Callable[[str, Descriptor], bool]
"""Whether a blob of a repository was already checked, and copied, by an earlier build."""


class LayoutReading:
    """Reads the layouts of a source that `tags` lead to."""

    def __init__(
        self, source: LayoutSource, tags: frozenset[str], trusted: Trusted, labels: frozenset[str] | None = None
    ) -> None:
        self._source = source
        self._labels = labels
        self._tags = tags
        self._trusted = trusted
        self.name = source.name
        self.folders: dict[str, Path] = {}
        """The layouts' folders by repository name, once `look` was called."""
        self._failure: Failure | None = None

    def look(self) -> str:
        """Finds the layouts. A text that is the same as long as all of them list the same images; else empty."""
        try:
            self.folders = folders(self._source)
            lines = [f"{name} {folder} {_listing(folder)}\n" for name, folder in sorted(self.folders.items())]
        except FlatdexError as error:
            self._failure = _failure(self._source, error)
        return "" if self._failure else "".join(lines)

    def items(self) -> Iterator[Image | Skip | Failure]:
        """All images, what is wrong with others, and that not all could be read."""
        try:
            for name, folder in sorted(self.folders.items()):
                yield from self._layout(name, folder)
        except FlatdexError as error:
            self._failure = _failure(self._source, error)
        if self._failure:
            yield self._failure

    def _layout(self, name: str, folder: Path) -> Iterator[Image | Skip]:
        try:
            index = _index(folder)
        except (Malformed, Missing) as error:
            yield Skip(self.name, name, folder.name, "not-a-layout", str(error))
            return
        for fault in index.faults:
            yield Skip(self.name, name, folder.name, "malformed", f"an entry of index.json: {fault}")
        contents = _Contents(name, folder, self._trusted)
        done: set[tuple[str, str]] = set()
        for descriptor in index.manifests:
            tag = _tag(self._source, descriptor)
            if tag in self._tags and (tag, descriptor.digest) not in done:
                done.add((tag, descriptor.digest))
                yield from walk.images(contents, Place(self.name, name, tag, labels=self._labels), descriptor)


def _failure(source: LayoutSource, error: FlatdexError) -> Failure:
    code = error.code if isinstance(error, SourceError) else "unreadable"
    return Failure(source.name, "", code, str(error))


def _listing(folder: Path) -> str:
    """What stands for all that a layout holds: its index.json names everything by digest."""
    try:
        return oci.digest_of(
            _start(folder, "index.json", _LARGEST_INDEX) + _start(folder, "oci-layout", _LARGEST_INDEX)
        )
    except Missing:
        return "no layout"


def folders(source: LayoutSource) -> dict[str, Path]:
    """The layouts' folders by repository name. Raises SourceError for none, and for two of one name."""
    operation = "find OCI layouts"
    named: dict[str, Path] = {}
    for pattern in source.layouts:
        _refuse_dead_links(pattern)
        found = [path for path in map(Path, sorted(glob.glob(pattern))) if path.is_dir()]
        if not found:
            fix = "Is the path right, and is its disk mounted? An empty remote is not published by accident."
            raise SourceError(source.name, operation, f"no folder matches {pattern}", fix)
        for folder in found:
            name = repository_name(folder.name)
            if not name:
                why = f"the folder's name can't be made a repository's: {str(folder)!r}"
                raise SourceError(source.name, operation, why, "Use letters, digits, `.`, `_` and `-`.")
            if named.get(name, folder) != folder:
                why = f"two layouts are the repository {name}: {str(named[name])!r} and {str(folder)!r}"
                raise SourceError(source.name, operation, why, "Rename one of the folders.")
            named[name] = folder
    return named


def _refuse_dead_links(pattern: str) -> None:
    """Raises FlatdexError for a link to what is not there: a disk that isn't mounted is no reason to publish less."""
    for start in (*reversed(Path(pattern).parents), Path(pattern)):
        for path in map(Path, glob.glob(str(start))):
            if path.is_symlink() and not path.exists():
                raise FlatdexError(f"{path} leads to {path.readlink()}, which is not there", "Is its disk mounted?")


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


def _index(folder: Path) -> ImageIndex:
    version = oci.parse_object(_start(folder, "oci-layout", _LARGEST_INDEX)).get("imageLayoutVersion")
    if version != "1.0.0":
        raise Malformed(f"the layout version is {version!r:.80}, not 1.0.0")
    data = _start(folder, "index.json", _LARGEST_INDEX)
    index = oci.parse_manifest(data, oci.IMAGE_INDEX)
    if isinstance(index, Manifest) or "manifests" not in oci.parse_object(data):
        raise Malformed("index.json is not an image index")
    return index


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
        self._checked: set[tuple[str, int]] = set()

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, walk.LARGEST_MANIFEST)

    def config(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, walk.LARGEST_CONFIG)

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        """The manifest, its config and its layers, each checked. Raises Missing and Malformed."""
        for layer in content.layers:
            if (layer.digest, layer.size) not in self._checked and not self._trusted(self._repository, layer):
                self._check(layer)
            self._checked.add((layer.digest, layer.size))
        blobs = {blob.digest: blob for blob in (*content.layers, content.config, manifest)}
        return tuple((blob, self._path(blob)) for blob in reversed(blobs.values()))

    def _path(self, descriptor: Descriptor) -> Path:
        return self._folder / "blobs" / "sha256" / descriptor.hex

    def _read(self, descriptor: Descriptor, limit: int) -> bytes:
        return _start(self._folder, f"blobs/sha256/{descriptor.hex}", limit)

    def _check(self, layer: Descriptor) -> None:
        with _opened(self._folder, f"blobs/sha256/{layer.hex}") as opened:
            size = os.fstat(opened.fileno()).st_size
            if size != layer.size:
                raise LeftOut("size-mismatch", f"{layer.digest} has {size} bytes, but {layer.size} are said of it")
            if hashlib.file_digest(opened, "sha256").hexdigest() != layer.hex:
                raise LeftOut("digest-mismatch", f"the bytes under {layer.digest} have another digest")


def _start(layout: Path, name: str, limit: int) -> bytes:
    """The file's first bytes: one more than `limit` at most, which then are too many for whoever checks the size."""
    with _opened(layout, name) as opened:
        return opened.read(limit + 1)


def _opened(layout: Path, name: str) -> BufferedReader:
    """A plain file of a layout. Raises Missing if it isn't there; what can't be read is another thing, and an error."""
    try:
        return files.opened(layout / name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Missing(f"the layout {layout.name} has no {name}") from error
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise Missing(f"{name} in the layout {layout.name} is no plain file") from error
        raise FlatdexError(
            f"{layout / name} cannot be read: {error.strerror}", "Look at its rights, and at the disk."
        ) from error
