"""What was fetched of another site, as it lies in the store: its list, what was chosen of it, and the objects.

```
STORE/mirror/list.json      the other site's `snapshot.json`, byte for byte
STORE/mirror/chosen.json    which of its images were taken
STORE/mirror/objects/HEX    files by the sha256 of their bytes, checked, until a snapshot holds them
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from builder import signing
from builder.description import Invalid, Snapshot, parse
from builder.errors import FlatdexError
from builder.files import create_folder, replace_file
from builder.store import Store

FOLDER = "mirror"
LIST = "list.json"
CHOSEN = "chosen.json"
OBJECTS = "objects"
UPSTREAM = "upstream"
"""The folder of a site in which a copy keeps what it was made of."""

_FORMAT = 1
_HEX = re.compile(r"[0-9a-f]{64}")
_AGAIN = "`flatdex mirror` fetches it again."

Key = tuple[str, str]
"""A repository and a digest."""


@dataclass(frozen=True)
class Chosen:
    """Which images of a list were taken, and the choice that this was made by; `partial`: not all were."""

    images: frozenset[Key]
    partial: bool
    choice: str = ""
    notes: tuple[str, ...] = ()
    """What the operator should know of it, in each run."""


class Objects:
    """Where objects lie, by the sha256 of their bytes: beside the snapshots, or in one of them."""

    def __init__(self, store: Store) -> None:
        self.folder = store.root / FOLDER / OBJECTS
        self._complete = store.complete()
        self._held: dict[str, Path] = {}

    def find(self, sha256: str) -> Path | None:
        """The file, of which only size and name are known to be right; None if it is nowhere."""
        file = self.folder / sha256
        if _HEX.fullmatch(sha256) and file.is_file():
            return file
        while sha256 not in self._held:
            snapshot = next(self._complete, None)
            if snapshot is None:
                return None
            for entry in snapshot.all_files:
                self._held.setdefault(entry.sha256, snapshot.folder / entry.path)
        return self._held[sha256]


class Copied:
    """What was fetched into a store. Raises FlatdexError for what isn't there, or is damaged."""

    def __init__(self, store: Store) -> None:
        self._folder = store.root / FOLDER
        self.objects = Objects(store)

    @property
    def is_there(self) -> bool:
        """Whether anything was fetched to its end, and is whole: a list and the choice of it."""
        try:
            return bool(self.chosen.images)
        except FlatdexError:
            return False

    @cached_property
    def data(self) -> bytes:
        """The list, byte for byte."""
        return _read(self._folder / LIST)

    @cached_property
    def snapshot(self) -> Snapshot:
        """What the list says. Its files are nowhere as such: `objects` has them by their hash."""
        try:
            return parse(signing.unsealed(self.data)[0])
        except Invalid as error:
            raise FlatdexError(f"{self._folder / LIST}: {error}", _AGAIN) from error

    @cached_property
    def chosen(self) -> Chosen:
        """What was taken of it."""
        try:
            found = json.loads(_read(self._folder / CHOSEN))
            if found["format"] != _FORMAT or found["list"] != self.snapshot.id:
                raise ValueError("it belongs to another list")
            images = frozenset((str(repository), str(digest)) for repository, digest in found["images"])
            notes = tuple(map(str, found["notes"]))
            return Chosen(images, bool(found["partial"]), str(found["choice"]), notes)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FlatdexError(f"{self._folder / CHOSEN}: {error}", _AGAIN) from error

    @cached_property
    def state(self) -> str:
        """A text that is the same as long as the list and the choice are."""
        return f"{self.snapshot.id} {self.snapshot.version} {_read(self._folder / CHOSEN).decode('utf-8', 'replace')}"

    def keep(self, data: bytes, snapshot: Snapshot, chosen: Chosen) -> None:
        """Makes this what is there. Until the last step the list and the choice don't fit, and nothing is believed."""
        create_folder(self._folder)
        document = {
            "format": _FORMAT,
            "list": snapshot.id,
            "partial": chosen.partial,
            "choice": chosen.choice,
            "notes": list(chosen.notes),
            "images": sorted(map(list, chosen.images)),
        }
        replace_file(self._folder / LIST, data)
        replace_file(self._folder / CHOSEN, (json.dumps(document) + "\n").encode("utf-8"))
        for name in ("data", "snapshot", "chosen", "state"):
            self.__dict__.pop(name, None)


def variants(document: Mapping[str, Any], tags: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """The variants of a list that answer queries for these tags, or for any."""
    wanted = set(tags)
    files = {str(route["file"]) for route in document["dispatch"]["routes"] if not wanted or route.get("tag") in wanted}
    for variant in document["variants"]:
        if str(variant["path"]).removeprefix("index/").removesuffix(".json") in files:
            yield variant


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise FlatdexError(f"nothing was mirrored yet: {file} is not there", "`flatdex mirror` fetches it.") from error
    except OSError as error:
        raise FlatdexError(f"{file}: {error.strerror}", "Look at its rights, and at the disk.") from error
