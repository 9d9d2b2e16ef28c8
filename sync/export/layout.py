"""A stick as an OCI layout: one flat index of all images, each under its ref, whose blobs the site has anyway."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder import files, oci
from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.oci import Malformed, Manifest
from builder.stick import BLOBS

INDEX = "index.json"
MARKER = "oci-layout"
MARKED = b'{"imageLayoutVersion":"1.0.0"}'
_MANIFEST = re.compile(r"v2/.+/manifests/(sha256:[0-9a-f]{64})")
_LARGEST = 8 * 1024 * 1024  # bytes of a manifest


@dataclass(frozen=True)
class Described:
    """A manifest: its digest, size, media type, and all blobs that its image is made of, itself too, by hash.

    `says_type`: whether its JSON has a `mediaType`, without which no client takes it from a layout.
    """

    digest: str
    size: int
    media_type: str
    says_type: bool
    needs: frozenset[str]


@dataclass(frozen=True)
class Offered:
    """An image of a layout, and what people call it."""

    ref: str
    architecture: str
    manifest: Described
    name: str = ""
    version: str = ""


def manifests(snapshot: Snapshot) -> dict[str, Described]:
    """All manifests that are files of the site, by digest. Raises FlatdexError for one that is damaged."""
    paths = {match[1]: entry.path for entry in snapshot.files if (match := _MANIFEST.fullmatch(entry.path))}
    return {digest: _described(snapshot, digest, path) for digest, path in paths.items()}


def _described(snapshot: Snapshot, digest: str, path: str) -> Described:
    try:
        data = files.read(snapshot.folder / path, _LARGEST)
        if oci.digest_of(data) != digest:
            raise Malformed("has other bytes than were written")
        manifest = oci.parse_manifest(data)
        if not isinstance(manifest, Manifest):
            raise Malformed("is no image's manifest")
    except (OSError, Malformed) as error:
        fix = "`flatdex verify` tells all that is damaged; `flatdex publish --full` makes a sound one."
        raise FlatdexError(f"{snapshot.folder / path}: {error}", fix) from error
    needs = frozenset({digest.removeprefix("sha256:"), *(each.hex for each in (manifest.config, *manifest.layers))})
    media_type = manifest.media_type
    return Described(digest, len(data), media_type or oci.MANIFEST, bool(media_type), needs)


def offered(snapshot: Snapshot, known: Mapping[str, Described]) -> tuple[Offered, ...]:
    """One image a ref: that of the default tag's index, else of the first index that has it.

    Images whose manifests are not `known`, so no part of the site, are left out.
    """
    found: dict[str, Offered] = {}
    first = main_index(snapshot)
    for image in sorted(snapshot.document["images"], key=lambda image: bool(image["index"] != first)):
        manifest = known.get(image["digest"])
        if manifest and image["ref"] not in found:
            words = (str(image.get("name", "")), str(image.get("version", "")))
            found[image["ref"]] = Offered(image["ref"], image["architecture"], manifest, *words)
    return tuple(found[ref] for ref in sorted(found))


def main_index(snapshot: Snapshot) -> str:
    """The name of the index that answers who names no tag; empty if none does."""
    dispatch = snapshot.document["dispatch"]
    paths = {f"index/{route['file']}.json" for route in dispatch["routes"] if route["tag"] == dispatch["default_tag"]}
    return next((each["index"] for each in snapshot.document["variants"] if each["path"] in paths), "")


def complete(images: Iterable[Offered], paths: Collection[str]) -> tuple[Offered, ...]:
    """The images all of whose blobs are among the files at these paths of a stick."""
    return tuple(each for each in images if all(f"{BLOBS}/{needed}" in paths for needed in each.manifest.needs))


def index(images: Iterable[Offered]) -> bytes:
    """The layout's `index.json`."""
    document = {"schemaVersion": 2, "mediaType": oci.IMAGE_INDEX, "manifests": list(map(_descriptor, images))}
    return json.dumps(document, separators=(",", ":")).encode("utf-8")


def _descriptor(image: Offered) -> dict[str, Any]:
    return {
        "mediaType": image.manifest.media_type,
        "digest": image.manifest.digest,
        "size": image.manifest.size,
        "platform": {"architecture": image.architecture, "os": "linux"},
        "annotations": {oci.REF_NAME: image.ref},
    }


def other_types(known: Mapping[str, Described]) -> Iterator[tuple[str, str]]:
    """The digests of manifests that are no OCI manifests, and their media types."""
    for digest, manifest in sorted(known.items()):
        if manifest.media_type != oci.MANIFEST:
            yield digest, manifest.media_type
