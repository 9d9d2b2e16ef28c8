"""What a stick shall hold of a snapshot: each file once, where it lies, and what is written before what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from builder.description import DESCRIPTION, FileEntry, Snapshot, description_mtime, spells_hash
from builder.stick import placed

_POINTER = re.compile(r"(?:[^/]+/)?index/[^/]+|[^/]+\.flatpakrepo|refs/[^/]+|(?:.+/)?\.htaccess|upstream/.+")
"""What readers begin with: the list of whoever a mirror has copied, too."""


class Rank(IntEnum):
    """The order in which files get their names: nothing is named before it is there."""

    OBJECT = 0
    """Named by the hash of its bytes: what is there already is never written again."""
    PAGE = 1
    POINTER = 2
    LAYOUT = 3
    """The OCI layout's index: what `--sideload-repo` begins with."""
    DESCRIPTION = 4


@dataclass(frozen=True)
class Item:
    """A file of a stick; `content` is what it holds, or the file that does. `mtime` is in whole seconds."""

    path: str
    size: int
    sha256: str
    mtime: int
    content: Path | bytes
    rank: Rank


def items(snapshot: Snapshot) -> dict[str, Item]:
    """What a snapshot brings, by the paths on a stick; `snapshot.json`, too, as it is.

    What it keeps of earlier ones is for readers that a flip has overtaken: on a stick there are none.
    """
    found: dict[str, Item] = {}
    for entry in snapshot.files:
        item = _item(entry, snapshot.folder)
        found.setdefault(item.path, item)
    found[DESCRIPTION] = made(DESCRIPTION, snapshot.described, description_mtime(snapshot.created), Rank.DESCRIPTION)
    return found


def _item(entry: FileEntry, folder: Path) -> Item:
    path = placed(entry.path)
    if spells_hash(FileEntry(path, entry.size, entry.sha256, entry.mtime)):
        rank = Rank.OBJECT
    else:
        rank = Rank.POINTER if _POINTER.fullmatch(path) else Rank.PAGE
    return Item(path, entry.size, entry.sha256, entry.mtime, folder / entry.path, rank)


def made(path: str, data: bytes, mtime: int, rank: Rank) -> Item:
    """A file that is made here."""
    return Item(path, len(data), hashlib.sha256(data).hexdigest(), mtime, data, rank)


def recorded(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """The paths that a stick with this `snapshot.json` may have, and the hashes of their bytes."""
    for entry in snapshot.files:
        yield placed(entry.path), entry.sha256
