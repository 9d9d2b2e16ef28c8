"""Pages that were made before of the same are taken as they are, which is several times faster than to make them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.content import OnDisk
from builder.description import Snapshot

_LIST = "pages"


class Memory:
    """What pages were made of: for a page of `previous` the hash of all that went into it, by its path.

    `of` tells what goes into all pages: the program, the templates. Nothing here is needed: what is not known is made.
    """

    def __init__(self, of: str = "", previous: Snapshot | None = None, note: Mapping[str, Any] | None = None) -> None:
        self._of = of
        self._files = previous.by_path if previous else {}
        self._folder = previous.folder if previous else Path()
        known = (note or {}).get(_LIST) if previous and (note or {}).get("snapshot") == previous.id else None
        self._known: Mapping[str, object] = known if isinstance(known, dict) else {}
        self._made: dict[str, str] = {}

    def page(self, path: str, ingredients: object) -> OnDisk | None:
        """The page at `path`, if it was made of these `ingredients`, which tell all of themselves by their `repr`."""
        key = fingerprint((self._of, ingredients))
        self._made[path] = key
        known = self._files.get(path)
        if known and self._known.get(path) == key:
            return OnDisk(self._folder / path, known.size, known.sha256)
        return None

    def note(self, snapshot: str) -> dict[str, object]:
        """What to remember for the next build, once the pages are in this snapshot."""
        return {"snapshot": snapshot, _LIST: self._made}


def fingerprint(thing: object) -> str:
    """A hash of all that a thing tells of itself by its `repr`, as 32 hexadecimal digits."""
    return hashlib.sha256(repr(thing).encode("utf-8", "surrogatepass")).hexdigest()[:32]
