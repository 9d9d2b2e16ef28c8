"""Where the pictures are that were made before: in the newest snapshot, or in the cache until one has them.

So each lies on the disk once, and a cache that is deleted takes none away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Container
from pathlib import Path

from builder import files
from builder.content import InMemory, OnDisk
from builder.description import Snapshot
from builder.files import create_private
from builder.screenshots.shots import Known, KnownShot, Picture, Shot
from builder.screenshots.webp import Webp


class Shelf:
    """Pictures by their hash. May be shared by threads. `full`: no file is believed before its bytes were read."""

    def __init__(self, folder: Path, previous: Snapshot | None, full: bool = False) -> None:
        self._folder = folder
        self._previous = previous
        self._full = full

    def shot(self, known: KnownShot) -> Shot | None:
        """Both pictures, if they are here and whole."""
        full = self._picture(known.full)
        small = full if known.small == known.full else self._picture(known.small)
        return Shot(full, small, known.source) if full and small else None

    def _picture(self, known: Known) -> Picture | None:
        content = self._in_snapshot(known) or self._in_cache(known)
        return Picture(known.path, known.width, known.height, content) if content else None

    def _in_snapshot(self, known: Known) -> OnDisk | None:
        """By size and date, as a build links it; what was changed by hand would be refused when it is copied."""
        entry = self._previous.by_path.get(known.path) if self._previous else None
        if not self._previous or not entry or entry.sha256 != known.sha256:
            return None
        file = self._previous.folder / known.path
        with contextlib.suppress(OSError):
            found = os.lstat(file)
            if found.st_size == entry.size and found.st_mtime_ns == entry.mtime * 10**9:
                return OnDisk(file, entry.size, known.sha256) if not self._full or _is(file, known.sha256) else None
        return None

    def _in_cache(self, known: Known) -> OnDisk | None:
        file = self._file(known.sha256)
        with contextlib.suppress(OSError):
            data = files.read(file)
            if hashlib.sha256(data).hexdigest() == known.sha256:
                return OnDisk(file, len(data), known.sha256)
        return None

    def keep(self, made: Webp) -> Picture:
        """A picture that was just made. It is kept at once, and whole or not at all; on a full disk in memory alone."""
        content = InMemory(made.data)
        known = Known(content.sha256, made.width, made.height)
        if there := self._picture(known):
            return there
        file = self._file(content.sha256)
        kept: OnDisk | InMemory = content
        with contextlib.suppress(OSError):
            unfinished = file.with_name(f"{file.name}.{threading.get_ident()}")  # two URLs may give one picture
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                create_private(unfinished, made.data)
                unfinished.replace(file)
                kept = OnDisk(file, content.size, content.sha256)
            finally:
                unfinished.unlink(missing_ok=True)
        return Picture(known.path, made.width, made.height, kept)

    def tidy(self, named: Container[str]) -> None:
        """Removes from the cache what the snapshot has, and what is not among the hashes `named`."""
        for file in self._folder.glob("*/*"):
            sha256 = f"{file.parent.name}{file.stem}"
            if file.suffix != ".webp" or sha256 not in named or self._in_snapshot(Known(sha256, 1, 1)):
                with contextlib.suppress(OSError):
                    file.unlink()

    def _file(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / f"{sha256[2:]}.webp"


def _is(file: Path, sha256: str) -> bool:
    return files.sha256_of(file) == sha256
