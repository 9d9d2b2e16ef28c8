"""A stick: a site in a folder that any file system can hold, FAT too, with each blob and manifest once.

What whoever fills one and whoever reads one have to agree on; all else is in its `snapshot.json`, which is the store's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder import files
from builder.description import Invalid, is_id, is_inside

EXPORT = "export.json"
"""Where this file lies, the folder is a stick."""
FORMAT = 1
BLOBS = "blobs/sha256"
"""The folder of manifests, configs and layers, by the hexadecimal digits of their digests."""

_OBJECT = re.compile(r"v2/.+/(?:blobs|manifests)/sha256:([0-9a-f]{64})")
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Export:
    """An `export.json`: the snapshot that the stick holds, None before the first one is complete.

    `since`: what that earlier snapshot had need not be there. `writing` are the paths that an export which was cut
    off may have written: nothing is known of them but their names. None: it was not cut off.
    """

    snapshot: str | None
    since: str | None = None
    writing: tuple[str, ...] | None = None

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        found: dict[str, Any] = {"format": FORMAT, "snapshot": self.snapshot, "since": self.since}
        if self.writing is not None:
            found["writing"] = list(self.writing)
        return (json.dumps(found, indent=1) + "\n").encode("utf-8")


def is_stick(folder: Path) -> bool:
    """Whether the folder was filled by an export."""
    return (folder / EXPORT).is_file()


def placed(path: str) -> str:
    """Where a stick has the file that a site has at `path`: FAT allows no `:` in names."""
    match = _OBJECT.fullmatch(path)
    return f"{BLOBS}/{match[1]}" if match else path


def read_export(folder: Path) -> Export | None:
    """What the folder's `export.json` says; None if there is none. Raises Invalid, OSError."""
    try:
        return parse(files.read(folder / EXPORT, _LONGEST))
    except FileNotFoundError:
        return None


def parse(data: bytes) -> Export:
    """What an `export.json` says. Raises Invalid."""
    try:
        value = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']} is not known to this version of flatdex")
        writing = value.get("writing")
        return Export(_id(value["snapshot"]), _id(value["since"]), None if writing is None else _paths(writing))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(str(error)) from error


def _id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not is_id(value):
        raise ValueError(f"{value!r:.80} is not a snapshot's id")
    return value


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("`writing` is not a list")
    for path in value:
        if not isinstance(path, str) or not is_inside(path):
            raise ValueError(f"names a file outside of the stick: {path!r:.80}")
    return tuple(value)
