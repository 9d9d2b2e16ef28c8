"""What a snapshot holds, as images again: a source that can't be read keeps what it had."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder import flatpak, oci
from builder.catalog import Image
from builder.config import Form, LayoutSource, Source
from builder.description import Snapshot
from builder.oci import Descriptor, Malformed, Manifest

_Key = tuple[str, str]
"""A repository and a digest."""


def images(snapshot: Snapshot, source: Source) -> tuple[Image, ...]:
    """The images of a source that the indexes of `snapshot` name.

    What can't be made of its files any more is left out.
    """
    wanted = {
        (image["repository"], image["digest"]): image
        for image in snapshot.document["images"]
        if image.get("source") == source.name and source.takes(image["repository"])
    }
    icons = {"/".join(path.split("/")[-2:]): path for path in snapshot.by_path if path.endswith(".png")}
    found: dict[_Key, Image] = {}
    for variant in snapshot.document["variants"] if wanted else ():
        for key, entry in _entries(snapshot, variant["path"]):
            if key in wanted:
                image = _image(snapshot, source, key, entry, wanted[key], variant["form"], icons)
                known = found.get(key)
                found[key] = replace(known, tags=known.tags | image.tags) if known else image
    return tuple(found[key] for key in sorted(found) if _is_whole(found[key], snapshot, source))


def _entries(snapshot: Snapshot, path: str) -> Iterator[tuple[_Key, dict[str, Any]]]:
    """The entries of an index file; none if it is not what was built."""
    data = _bytes(snapshot.folder / path)
    written = snapshot.by_path.get(path)
    if not written or hashlib.sha256(data).hexdigest() != written.sha256:
        return
    for result in json.loads(data)["Results"]:
        for entry in result["Images"]:
            yield (result["Name"], entry["Digest"]), entry


def _image(
    snapshot: Snapshot,
    source: Source,
    key: _Key,
    entry: Mapping[str, Any],
    listed: Mapping[str, Any],
    form: str,
    icons: Mapping[str, str],
) -> Image:
    labels = entry["Annotations"] if form == Form.ANNOTATIONS.value else entry["Labels"]
    annotations = entry["Annotations"] if form == Form.BOTH.value else {}
    restored = dict(_restored(snapshot, labels, icons))
    repository, digest = key
    return Image(
        source=source.name,
        repository=repository,
        tags=frozenset(entry["Tags"]),
        digest=digest,
        media_type=entry["MediaType"],
        os=entry["OS"],
        architecture=entry["Architecture"],
        created=str(listed.get("created", "")),
        labels=restored,
        annotations={label: restored[label] for label in annotations if label in restored},
        rank=source.rank(repository),
        blobs=_blobs(snapshot, repository, digest) if isinstance(source, LayoutSource) else (),
        kept=True,
    )


def _restored(snapshot: Snapshot, labels: Mapping[str, str], icons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Labels as the image has them: icons that became files are text again."""
    for label, value in labels.items():
        if label not in flatpak.ICONS or value.startswith("data:"):
            yield label, value
            continue
        path = icons.get("/".join(value.split("/")[-2:]))
        if path:
            yield label, "data:image/png;base64," + base64.b64encode(_bytes(snapshot.folder / path)).decode("ascii")


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


def _is_whole(image: Image, snapshot: Snapshot, source: Source) -> bool:
    """Whether all files that the image brought are still there; one that stays in a registry brought none."""
    listed = snapshot.by_path
    if isinstance(source, LayoutSource) and not image.blobs:
        return False
    return all(str(file.relative_to(snapshot.folder)) in listed and file.is_file() for _, file in image.blobs)
