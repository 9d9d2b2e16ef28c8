"""What was read before: manifests and image configs by digest, and what each tag pointed to.

Nothing in it is believed without a look: a blob's bytes must have its digest, and a tag's pointer only decides what is
asked conditionally; each JSON file holds the hash of what it says. So the cache may be deleted, cut off, damaged, or
written by two builds at once. A full disk costs speed, no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from builder import files, oci
from builder.files import create_folder, create_private
from builder.oci import Descriptor
from builder.sources.packs import Packs

_LEFT = 86400  # seconds after which a file that was not finished is nobody's any more


@dataclass(frozen=True)
class Tags:
    """What the tags of a repository pointed to when it was last asked, at `asked`, in seconds."""

    asked: int = 0
    pointers: Mapping[str, Descriptor] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """What the last look at a source came to: the `tags` of its repositories.

    `settings` tell under which ones all repositories were looked at; empty: not all were, or nobody knows. Of those in
    `again` nobody knows how they are now.
    """

    tags: Mapping[str, Tags] = field(default_factory=dict)
    settings: str = ""
    again: frozenset[str] = frozenset()


class Cache:
    """A folder of the store. Without `trusted` nothing is taken from it, but all is kept for later builds."""

    def __init__(self, root: Path, trusted: bool = True) -> None:
        self.root = root
        self._trusted = trusted
        _make_private(root)
        self._packs: Packs | None = None
        self._fetching: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception | None):  # after Ctrl-C threads may still be at work
            self._blobs.close()

    @property
    def _blobs(self) -> Packs:
        """Opened when they are needed first: a build that finds nothing changed needs none."""
        if self._packs is None:
            with self._lock:
                self._packs = self._packs or Packs(self.root / "blobs")
        return self._packs

    def blob(self, digest: str) -> bytes | None:
        """The bytes with this digest, if they are here and whole."""
        return self._blobs.get(digest) if self._trusted or self._blobs.was_used(digest) else None

    def use(self, digests: Iterable[str]) -> None:
        """Tells that these blobs are needed, though nobody reads them."""
        for digest in digests:
            self._blobs.use(digest)

    def keep(self, data: bytes) -> str:
        """Keeps a blob under its digest, which is returned."""
        return self._blobs.keep(data)

    def tidy(self) -> None:
        """Removes what is of no use any more; to be called when a build is done and missed nothing."""
        self._blobs.tidy()
        with contextlib.suppress(OSError):
            for left in (*self.root.glob("*.json.*"), *self.root.glob("tags/*.json.*")):
                if left.stat().st_mtime < time.time() - _LEFT:
                    left.unlink()

    def fetching(self, digest: str) -> threading.Lock:
        """To be held while a blob is fetched: who comes second finds what the first one kept."""
        with self._lock:
            return self._fetching.setdefault(digest, threading.Lock())

    def look(self, source: str) -> Look:
        """What the last look at a source came to; without what is not to be trusted."""
        document = self._document(self._tags_file(source)) if self._trusted else {}
        found: dict[str, Tags] = {}
        try:
            for repository, entry in document["repositories"].items():
                pointers = {tag: Descriptor(kind, to, size) for tag, (kind, to, size) in entry["tags"].items()}
                if oci.is_repository(repository) and all(map(_is_sound, pointers.values())):
                    found[repository] = Tags(int(entry["asked"]), pointers)
            settings, again = document["settings"], document["again"]
            whole = len(found) == len(document["repositories"]) and isinstance(settings, str)
            whole = whole and isinstance(again, list) and all(map(oci.is_repository, again))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # another version's
            return Look(found)
        return Look(found, settings, frozenset(again)) if whole else Look(found)

    def keep_look(self, source: str, look: Look) -> None:
        """Replaces it; `source` is any text that tells one from all others.

        If that fails, nothing is known: what an earlier look saw may be older than what is published.
        """
        entries = {
            name: {
                "asked": tags.asked,
                "tags": {tag: [to.media_type, to.digest, to.size] for tag, to in sorted(tags.pointers.items())},
            }
            for name, tags in sorted(look.tags.items())
        }
        value = {"source": source, "repositories": entries, "settings": look.settings, "again": sorted(look.again)}
        self._replace_look(source, value)

    def doubt(self, source: str) -> None:
        """Tells that a look at a source failed: what is known is no longer all that there is."""
        known = self._document(self._tags_file(source))
        if known:
            self._replace_look(source, {**known, "settings": ""})

    def _replace_look(self, source: str, value: Mapping[str, Any]) -> None:
        if not self._write(self._tags_file(source), value):
            with contextlib.suppress(OSError):
                self._tags_file(source).unlink()

    def note(self, name: str, *, always: bool = False) -> dict[str, Any]:
        """A small JSON object kept under a name; empty if there is none. `always`: also where nothing is trusted."""
        return self._document(self.root / f"{name}.json") if self._trusted or always else {}

    def keep_note(self, name: str, value: Mapping[str, Any]) -> None:
        """Replaces it."""
        self._write(self.root / f"{name}.json", value)

    def budget_file(self, registry: str) -> Path:
        """Where the requests to a registry with a limited rate are counted."""
        return self.root / "rates" / _name(registry)

    def _tags_file(self, source: str) -> Path:
        return self.root / "tags" / f"{_name(source)}.json"

    def _document(self, file: Path) -> dict[str, Any]:
        try:
            with files.opened(file) as opened:
                document = json.loads(opened.read())
            value = document["value"]
            whole = document["sha256"] == hashlib.sha256(_text(value)).hexdigest()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}
        return value if whole and isinstance(value, dict) else {}

    def _write(self, file: Path, value: Mapping[str, Any]) -> bool:
        """Whether it succeeded."""
        text = _text({"sha256": hashlib.sha256(_text(value)).hexdigest(), "value": value})
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                create_private(unfinished, text)
                unfinished.replace(file)
                return True
            finally:
                unfinished.unlink(missing_ok=True)
        return False


def _make_private(folder: Path) -> None:
    """What stands here decides what a build asks for: nobody else may write it, nor need anybody read it."""
    with contextlib.suppress(OSError):
        create_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)


def _text(value: object) -> bytes:
    """In ASCII: the names of folders, which are in skips, need not be UTF-8."""
    return json.dumps(value).encode("ascii")


def _name(registry: str) -> str:
    return hashlib.sha256(registry.encode("utf-8")).hexdigest()[:32]


def _is_sound(pointer: Descriptor) -> bool:
    kind, size = pointer.media_type, pointer.size
    return isinstance(kind, str) and oci.is_digest(pointer.digest) and type(size) is int and size >= 0
