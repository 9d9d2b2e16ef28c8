"""A copy of another site as a source: what its list says of the images that were taken, and their objects."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder import copied, flatpak, listed, oci
from builder.catalog import Failure, Image, Skip
from builder.config import Form, MirrorSource
from builder.content import Content, InMemory, OnDisk
from builder.copied import UPSTREAM, Copied, Key
from builder.description import DESCRIPTION, FileEntry, Snapshot
from builder.errors import FlatdexError, SourceError
from builder.oci import Descriptor, Malformed, Manifest
from builder.screenshots.shots import Known, KnownShot, Picture, Shot, known_to
from builder.store import Store

_WORD = re.compile(r"[a-z0-9]{1,32}/[a-z0-9_]{1,32}")
_LARGEST_INDEX = 256 * 1024 * 1024  # bytes
_DELTAS = "io.github.containers.DeltaUrl"
"""A label that leads to another host: deltas are not copied."""
_AGAIN = "`flatdex mirror` fetches what is missing."


class MirrorReading:
    """Reads what was fetched. Nothing here was believed when it was fetched, and sizes and names fit."""

    def __init__(self, source: MirrorSource) -> None:
        self._copied = Copied(Store(source.folder.parent))
        self._source = source
        self.name = source.name

    def look(self) -> str:
        """What stands for all that was fetched."""
        return self._copied.state

    @property
    def chosen(self) -> frozenset[Key]:
        """The images that were taken, by repository and digest."""
        return self._copied.chosen.images

    def items(self) -> Iterator[Image | Skip | Failure]:
        """The images that were taken. Raises SourceError if something of them is not there."""
        for image in images(self._copied.snapshot, self._source, self._copied.chosen.images, self._read):
            labels = {key: text for key, text in image.metadata.items() if key != _DELTAS}
            yield replace(image, labels=labels, annotations={}, blobs=tuple(self._blobs(image)))

    def _read(self, entry: FileEntry) -> bytes:
        return read(self._copied, self._source.name, entry)

    def _blobs(self, image: Image) -> Iterator[tuple[Descriptor, Path]]:
        file = self._object(image.digest.removeprefix("sha256:"), f"the manifest of {image.ref}")
        data = file.read_bytes()
        try:
            manifest = oci.parse_manifest(data)
        except Malformed as error:
            raise self._missing(f"the manifest of {image.ref}: {error}") from error
        if not isinstance(manifest, Manifest):
            raise self._missing(f"the manifest of {image.ref} is that of several images")
        yield Descriptor("", image.digest, len(data)), file
        for blob in (manifest.config, *manifest.layers):
            yield blob, self._object(blob.hex, f"{blob.digest} of {image.ref}")

    def _object(self, sha256: str, what: str) -> Path:
        file = self._copied.objects.find(sha256)
        if file is None:
            raise self._missing(f"{what} is not in the store")
        return file

    def _missing(self, why: str) -> SourceError:
        return SourceError(self._source.name, "read what was mirrored", why, _AGAIN, "not-fetched")

    def files(self) -> Iterator[tuple[str, Content]]:
        """What the other site said, unchanged: its list, and the index files that were read."""
        yield f"{UPSTREAM}/{DESCRIPTION}", InMemory(self._copied.data)
        by_path = self._copied.snapshot.by_path
        for entry in index_files(self._copied.snapshot, self._source.tags):
            packed = by_path[f"{entry.path}.gz"]
            file = self._object(packed.sha256, f"the index {packed.path}")
            yield f"{UPSTREAM}/{packed.path}", OnDisk(file, packed.size, packed.sha256, own=True)

    def dates(self) -> Mapping[str, FileEntry]:
        """When the other site's files changed."""
        return self._copied.snapshot.by_path

    def pictures(self) -> Mapping[str, Shot]:
        """The screenshots that the other site has pictures of, as far as they were fetched."""
        found = {url: self._shot(shot) for url, shot in known_to(self._copied.snapshot).items()}
        return {url: shot for url, shot in found.items() if shot}

    def _shot(self, known: KnownShot) -> Shot | None:
        full, small = self._picture(known.full), self._picture(known.small)
        return Shot(full, small, known.source) if full and small else None

    def _picture(self, known: Known) -> Picture | None:
        file = self._copied.objects.find(known.sha256)
        if file is None:
            return None
        content = OnDisk(file, file.stat().st_size, known.sha256, own=True)
        return Picture(known.path, known.width, known.height, content)


def index_files(snapshot: Snapshot, tags: tuple[str, ...]) -> tuple[FileEntry, ...]:
    """The fewest index files of a list that name all images with these tags: as they are told by their plain form.

    Of the files of an index the one for all architectures says what the others say, and the one by label what the one
    by annotation says.
    """
    by_path = snapshot.by_path
    by_index: dict[str, list[dict[str, Any]]] = {}
    for variant in copied.variants(snapshot.document, tags):
        if variant["path"] in by_path and f"{variant['path']}.gz" in by_path:
            by_index.setdefault(variant["index"], []).append(variant)
    found: set[str] = set()
    for some in by_index.values():
        labels = [each for each in some if each.get("form") != Form.ANNOTATIONS.value] or some
        wide = [each["path"] for each in labels if not each.get("architectures")]
        found.update(wide[:1] or [each["path"] for each in labels])
    return tuple(by_path[path] for path in sorted(found))


def images(snapshot: Snapshot, source: MirrorSource, wanted: frozenset[Key] | None, read: listed.Read) -> list[Image]:
    """The images that a list's index files name, those `wanted` or all; blobs are not looked for.

    An image counts if `snapshot.json` and the index agree on it, and its names can be those of files.
    """
    with understood(snapshot, source.name):
        told: dict[Key, Mapping[str, Any]] = {}
        tags: dict[Key, set[str]] = {}
        of_index = {each["name"]: set(each["tags"]) for each in snapshot.document["indexes"]}
        for image in snapshot.document["images"]:
            key = (image["repository"], image["digest"])
            if (wanted is None or key in wanted) and oci.is_repository(key[0]) and oci.is_digest(key[1]):
                told[key] = image
                tags.setdefault(key, set()).update(_tags_of(of_index[image["index"]], source))
        paths = [entry.path for entry in index_files(snapshot, source.tags)]
        found = [_checked(image) for image in listed.images(snapshot, source, told, paths, read)]
        return [
            replace(image, tags=image.tags & tags[key] or frozenset(sorted(tags[key])[:1]))
            for image in found
            if image.labels.get(flatpak.REF) == told[key := (image.repository, image.digest)]["ref"] and tags[key]
        ]


def _tags_of(tags: set[str], source: MirrorSource) -> set[str]:
    """Those of an index's tags that are taken: all its images are in the files of each of them."""
    return tags.intersection(source.tags) if source.tags else tags


def _checked(image: Image) -> Image:
    """Raises ValueError for what would be something else in a rule, a path or a page."""
    texts = (*image.labels.values(), *image.labels, image.created)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{image.repository}: something that is no text")
    "".join(texts).encode("utf-8")
    if image.media_type not in (oci.MANIFEST, oci.DOCKER_MANIFEST):
        raise ValueError(f"{image.repository}: the media type {image.media_type!r:.80}")
    if not all(map(oci.is_tag, image.tags)) or not _WORD.fullmatch(f"{image.os}/{image.architecture}"):
        raise ValueError(f"{image.repository}: a tag or a platform that is none")
    return image


@contextmanager
def understood(snapshot: Snapshot, name: str) -> Iterator[None]:
    """Makes a SourceError of what a list that is not as it should be leads to."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        why = f"the list {snapshot.id} is not as flatdex writes it: {type(error).__name__}: {error}"
        fix = "Whoever runs the remote that is mirrored should build it again."
        raise SourceError(name, "read the list", " ".join(why.split())[:400], fix, "bad-answer") from error


def read(copied: Copied, name: str, entry: FileEntry) -> bytes:
    """The bytes of a file of the list: an icon, or an index, of which the compressed form was fetched."""
    packed = copied.snapshot.by_path.get(f"{entry.path}.gz")
    file = copied.objects.find((packed or entry).sha256)
    if file is None:
        raise SourceError(name, "read what was mirrored", f"{entry.path} is not in the store", _AGAIN, "not-fetched")
    data = file.read_bytes()
    return unpacked(data, entry.size) if packed else data


def unpacked(data: bytes, size: int) -> bytes:
    """The bytes that were compressed: `size` of them at most, and one more if there are more. Raises FlatdexError."""
    if size > _LARGEST_INDEX:
        raise FlatdexError(f"an index file of {size} bytes: at most {_LARGEST_INDEX} are read", _AGAIN)
    try:
        with gzip.open(io.BytesIO(data)) as opened:
            return opened.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FlatdexError(f"an index file that can't be unpacked: {error}", _AGAIN) from error
