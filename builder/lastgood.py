"""What a snapshot holds, as images again: a source that can't be read keeps what it had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builder import listed, oci
from builder.catalog import Image
from builder.config import LayoutSource, Source
from builder.description import FileEntry, Snapshot
from builder.oci import Descriptor, Malformed, Manifest


def images(snapshot: Snapshot, source: Source) -> tuple[Image, ...]:
    """The images of a source that the indexes of `snapshot` name.

    What can't be made of its files any more is left out.
    """
    wanted = {
        (image["repository"], image["digest"]): image
        for image in snapshot.document["images"]
        if image.get("source") == source.name and source.takes(image["repository"])
    }

    def read(entry: FileEntry) -> bytes:
        return _bytes(snapshot.folder / entry.path)

    found = listed.images(snapshot, source, wanted, (each["path"] for each in snapshot.document["variants"]), read)
    if not isinstance(source, LayoutSource):
        return found
    whole = (replace(image, blobs=_blobs(snapshot, image.repository, image.digest)) for image in found)
    return tuple(image for image in whole if image.blobs and _is_whole(image, snapshot))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _blobs(snapshot: Snapshot, repository: str, digest: str) -> tuple[tuple[Descriptor, Path], ...]:
    """The files of an image that is part of the site; none if its manifest is not there any more."""
    place = f"v2/{repository}"
    data = _bytes(snapshot.folder / place / "manifests" / digest)
    if oci.digest_of(data) != digest:
        return ()
    try:
        manifest = oci.parse_manifest(data)
    except Malformed:
        return ()
    if not isinstance(manifest, Manifest):
        return ()
    own = Descriptor("", digest, len(data))
    blobs = ((each, snapshot.folder / place / "blobs" / each.digest) for each in (manifest.config, *manifest.layers))
    return ((own, snapshot.folder / place / "manifests" / digest), *blobs)


def _is_whole(image: Image, snapshot: Snapshot) -> bool:
    """Whether all files that the image brought are still there."""
    by_path = snapshot.by_path
    return all(str(file.relative_to(snapshot.folder)) in by_path and file.is_file() for _, file in image.blobs)
