"""From a manifest to images: follows image indexes, checks sizes and digests, and turns what is wrong into skips."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from builder import flatpak, oci
from builder.catalog import Image, Skip
from builder.oci import Descriptor, ImageIndex, Malformed, Manifest

LARGEST_MANIFEST = 4 * 1024 * 1024
LARGEST_CONFIG = 4 * 1024 * 1024
LARGEST_TAG = 64 * 1024 * 1024  # of manifests and configs behind one tag
_LARGE = 256 * 1024  # bytes of JSON from which on only one is parsed at a time: hostile ones take 20 times their size
_DEEPEST_INDEX = 3
_MOST_MANIFESTS = 500

_parsing = threading.Lock()


class LeftOut(Exception):
    """Leaves one image out, for a reason with a code."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Missing(LeftOut):
    """Something that a manifest names is not there; the message says what."""

    def __init__(self, why: str) -> None:
        super().__init__("missing-blob", why)


class Contents(Protocol):
    """A repository's contents. All raise LeftOut, and may return more or other bytes than were asked for."""

    def manifest(self, descriptor: Descriptor) -> bytes:
        """The bytes of a manifest."""

    def config(self, descriptor: Descriptor) -> bytes:
        """The bytes of an image config."""

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        """The files that are to become part of the site, if any."""


@dataclass(frozen=True)
class Place:
    """Where an image was found; `tag` leads to it."""

    source: str
    repository: str
    tag: str
    rank: int = 0
    labels: frozenset[str] | None = None
    """The labels and annotations to keep; None: all."""

    def skip(self, reference: str, code: str, why: str) -> Skip:
        """A skip at this place."""
        return Skip(self.source, self.repository, reference, code, why)


@dataclass
class _Seen:
    """What was seen behind one tag so far."""

    digests: set[str] = field(default_factory=set)
    size: int = 0

    @property
    def too_much(self) -> bool:
        return len(self.digests) > _MOST_MANIFESTS or self.size > LARGEST_TAG

    def add(self, descriptor: Descriptor) -> None:
        """Raises LeftOut where this makes it too much."""
        self.digests.add(descriptor.digest)
        self.size += descriptor.size
        if self.too_much:
            most = f"{_MOST_MANIFESTS} manifests, or {LARGEST_TAG} bytes of them and their configs"
            raise LeftOut("too-large", f"more than {most}, behind one tag; the others are left out")


def images(
    contents: Contents, place: Place, descriptor: Descriptor, seen: _Seen | None = None, depth: int = 0
) -> Iterator[Image | Skip]:
    """The images at `descriptor`: itself, or all that it lists, each once."""
    seen = seen or _Seen()
    if descriptor.digest in seen.digests or seen.too_much:
        return
    try:
        seen.add(descriptor)
        if _is_attestation(descriptor):
            raise LeftOut("attestation", "an attestation, not an image")
        if descriptor.size > LARGEST_MANIFEST:
            raise LeftOut("too-large", f"a manifest of {descriptor.size} bytes; at most {LARGEST_MANIFEST} are read")
        data = _checked(contents.manifest(descriptor), descriptor)
        with _one_at_a_time(data):
            manifest = oci.parse_manifest(data, descriptor.media_type)
        if isinstance(manifest, Manifest):
            yield _image(contents, place, descriptor, manifest, seen)
            return
        if not manifest.manifests and not manifest.faults:
            raise Malformed("an image index that lists nothing")
    except Malformed as error:
        yield place.skip(descriptor.digest, "malformed", str(error))
        return
    except LeftOut as left:
        yield place.skip(descriptor.digest, left.code, left.why)
        return
    yield from _listed(contents, place, descriptor, manifest, seen, depth)


def _listed(
    contents: Contents, place: Place, descriptor: Descriptor, index: ImageIndex, seen: _Seen, depth: int
) -> Iterator[Image | Skip]:
    if depth == _DEEPEST_INDEX:
        yield place.skip(descriptor.digest, "malformed", "image indexes within image indexes, too deep")
        return
    for fault in index.faults:
        yield place.skip(descriptor.digest, "malformed", f"an entry of the image index: {fault}")
    for inner in index.manifests:
        yield from images(contents, place, inner, seen, depth + 1)


def _image(contents: Contents, place: Place, descriptor: Descriptor, manifest: Manifest, seen: _Seen) -> Image:
    if manifest.config.size > LARGEST_CONFIG:
        why = f"an image config of {manifest.config.size} bytes; at most {LARGEST_CONFIG} are read"
        raise LeftOut("too-large", why)
    seen.add(manifest.config)
    data = _checked(contents.config(manifest.config), manifest.config)
    with _one_at_a_time(data):
        config = oci.parse_config(data)
    if not config.os or not config.architecture:
        if flatpak.REF in config.labels or flatpak.REF in manifest.annotations:
            raise Malformed("the image config names no `os` or no `architecture`")
        raise LeftOut("not-a-flatpak", "an artifact of another kind: it names no `os` or no `architecture`")
    return Image(
        source=place.source,
        repository=place.repository,
        tags=frozenset({place.tag}),
        digest=descriptor.digest,
        media_type=_media_type(manifest, descriptor),
        os=config.os,
        architecture=config.architecture,
        created=config.created,
        labels=_kept(config.labels, place),
        annotations=_kept(manifest.annotations, place),
        rank=place.rank,
        blobs=contents.files(descriptor, manifest),
        names_type=bool(manifest.media_type),
    )


def _kept(metadata: Mapping[str, str], place: Place) -> Mapping[str, str]:
    """Only what somebody will ask for: the rest may be megabytes, for each of thousands of images."""
    if place.labels is None:
        return metadata
    return {key: text for key, text in metadata.items() if key in place.labels}


def _one_at_a_time(data: bytes) -> AbstractContextManager[object]:
    return _parsing if len(data) > _LARGE else nullcontext()


def _media_type(manifest: Manifest, descriptor: Descriptor) -> str:
    """One of the two that clients know, whatever a descriptor or a server says of it."""
    said = manifest.media_type or descriptor.media_type.partition(";")[0].strip()
    return said if said in (oci.MANIFEST, oci.DOCKER_MANIFEST) else oci.MANIFEST


def _checked(data: bytes, descriptor: Descriptor) -> bytes:
    if len(data) != descriptor.size:
        why = f"{descriptor.digest} has {len(data)} bytes, but {descriptor.size} are said of it"
        raise LeftOut("size-mismatch", why)
    if oci.digest_of(data) != descriptor.digest:
        raise LeftOut("digest-mismatch", f"the bytes under {descriptor.digest} have another digest")
    return data


def _is_attestation(descriptor: Descriptor) -> bool:
    platform = descriptor.platform
    return platform.os == "unknown" and platform.architecture == "unknown"
