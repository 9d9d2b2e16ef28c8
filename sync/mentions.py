"""What a snapshot's files mention has to be there: icons and images of the indexes, and what the rules lead to."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from builder.description import Snapshot

_INDEX = re.compile(r"(?:[^/]+/)?index/(?:static|[^/]+\.json)")
_RULE = re.compile(r"(?<= )sha256/\S+")
ICONS = frozenset(("org.freedesktop.appstream.icon-64", "org.freedesktop.appstream.icon-128"))
"""The labels that name icons, as the protocol has them."""


def missing(snapshot: Snapshot, wrong: Collection[str], believed: Snapshot | None = None) -> Iterator[str]:
    """What is mentioned and not there, a line each. The files that are `wrong` are told already.

    What a file mentions that a `believed` snapshot has, too, was there: so it is, if all that was there is.
    """
    seen: set[tuple[str, str]] = set()
    if believed and believed.by_path.keys() <= snapshot.by_path.keys():
        before = believed.by_path
        seen = {(entry.sha256, posixpath.dirname(path)) for path, entry in before.items() if _INDEX.fullmatch(path)}
    for path, entry in sorted(snapshot.by_path.items()):
        folder = posixpath.dirname(path)
        if path in wrong or (entry.sha256, folder) in seen:  # the same bytes in the same place name the same
            continue
        if _INDEX.fullmatch(path):
            seen.add((entry.sha256, folder))
            yield from _told(path, "names", _of_index(snapshot, path), snapshot)
        elif path.rpartition("/")[2] == ".htaccess":
            text = (snapshot.folder / path).read_text(encoding="utf-8", errors="replace")
            targets = {posixpath.join(folder, name) for name in _RULE.findall(text)}
            yield from _told(path, "leads to", targets, snapshot)


def _told(path: str, how: str, names: set[str], snapshot: Snapshot) -> Iterator[str]:
    for name in sorted(names - snapshot.by_path.keys()):
        yield f"{path}: {how} {name}, which is not there"


def _of_index(snapshot: Snapshot, path: str) -> set[str]:
    """The files that an index names: those that are not elsewhere."""
    try:
        index = json.loads((snapshot.folder / path).read_bytes())
        images = [(result["Name"], image) for result in index["Results"] for image in result["Images"]]
        urls = {url for _, image in images for url in _icons(image)}
        found = {icon for url in urls if (icon := _resolved(path, url)) is not None}
        here = _resolved(path, index["Registry"])
        if here is not None:
            for name, image in images:
                found |= set(_blobs(snapshot, posixpath.join(here, "v2", name), image["Digest"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"what is no valid index"}
    return found


def _icons(image: Mapping[str, Any]) -> Iterator[str]:
    for labels in (image.get("Labels", {}), image.get("Annotations", {})):
        for label, value in labels.items():
            if label in ICONS and not value.startswith("data:"):
                yield value


def _resolved(path: str, url: str) -> str | None:
    """A relative URL in the file at `path`, as a path of the site; None if it is another server's, or outside."""
    if "://" in url or url.startswith(("/", "data:")):
        return None
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), url))
    return None if resolved.startswith("..") else resolved if resolved != "." else ""


def _blobs(snapshot: Snapshot, repository: str, digest: str) -> Iterator[str]:
    """The manifest, and what it names in turn."""
    place = posixpath.normpath(repository)
    manifest = f"{place}/manifests/{digest}"
    yield manifest
    if manifest in snapshot.by_path:
        content = json.loads((snapshot.folder / manifest).read_bytes())
        for blob in (content["config"], *content["layers"]):
            yield f"{place}/blobs/{blob['digest']}"
