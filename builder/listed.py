"""What a snapshot's indexes list, as images again: of a site here, or of one that was fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from builder import flatpak
from builder.catalog import Image
from builder.config import Form, Source
from builder.description import FileEntry, Snapshot

Key = tuple[str, str]
"""A repository and a digest."""
Read = Callable[[FileEntry], bytes]
"""The bytes of a file that the snapshot names; other bytes, or none, where they are not to be had."""


def images(
    snapshot: Snapshot, source: Source, wanted: Mapping[Key, Mapping[str, Any]], variants: Iterable[str], read: Read
) -> tuple[Image, ...]:
    """The `wanted` images, with what `snapshot.json` says of each, as these index files have them; without blobs.

    What can't be made of the files any more is left out.
    """
    if not wanted:
        return ()
    forms = {variant["path"]: variant["form"] for variant in snapshot.document["variants"]}
    icons = {"/".join(path.split("/")[-2:]): entry for path, entry in snapshot.by_path.items() if path.endswith(".png")}
    found: dict[Key, Image] = {}
    for path in variants:
        for key, entry in _entries(snapshot, path, read):
            if key in wanted:
                labels = entry["Annotations"] if forms[path] == Form.ANNOTATIONS.value else entry["Labels"]
                annotations = entry["Annotations"] if forms[path] == Form.BOTH.value else {}
                restored = dict(_restored(labels, icons, read))
                image = _image(source, key, entry, wanted[key], restored, annotations)
                known = found.get(key)
                found[key] = replace(known, tags=known.tags | image.tags) if known else image
    return tuple(found[key] for key in sorted(found))


def _entries(snapshot: Snapshot, path: str, read: Read) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The entries of an index file; none if it is not what was built."""
    written = snapshot.by_path.get(path)
    data = read(written) if written else b""
    if not written or hashlib.sha256(data).hexdigest() != written.sha256:
        return
    for result in json.loads(data)["Results"]:
        for entry in result["Images"]:
            yield (result["Name"], entry["Digest"]), entry


def _image(
    source: Source,
    key: Key,
    entry: Mapping[str, Any],
    listed: Mapping[str, Any],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Image:
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
        labels=labels,
        annotations={label: labels[label] for label in annotations if label in labels},
        rank=source.rank(repository),
        kept=True,
    )


def _restored(labels: Mapping[str, str], icons: Mapping[str, FileEntry], read: Read) -> Iterator[tuple[str, str]]:
    """Labels as the image has them: icons that became files are text again."""
    for label, value in labels.items():
        if label not in flatpak.ICONS or value.startswith("data:"):
            yield label, value
            continue
        entry = icons.get("/".join(value.split("/")[-2:]))
        if entry:
            yield label, "data:image/png;base64," + base64.b64encode(read(entry)).decode("ascii")
