"""What each source said last, so that asking it again costs one conditional request. Nothing of it is believed."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builder import files

_FORMAT = 1
_NOTES, _DOCUMENTS = "sources.json", "documents"
_MOST = 64  # sources that are remembered
_LARGEST_NOTES = 1024 * 1024
_LONGEST_HEADER = 500


@dataclass(frozen=True)
class Note:
    """Of a source: how its `snapshot.json` was marked, the sha256 of its bytes, and of those of the list below it.

    `etag` and `modified` are headers as they came; `upstream` is empty where the source is no mirror.
    """

    own: str
    upstream: str = ""
    etag: str = ""
    modified: str = ""


class Memory:
    """In `folder`: `sources.json`, and `documents/` by their sha256. Without a folder nothing outlives the object.

    May be shared by threads. What is lost or broken is asked for again.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._documents: dict[str, bytes] = {}
        self._notes: dict[str, Note] = _read(folder / _NOTES) if folder else {}
        self._asked: set[str] = set()
        self._stored: set[str] = set()
        self._lock = threading.Lock()

    def note(self, url: str) -> Note | None:
        """What is known of a source, if its documents are there."""
        self._asked.add(url)
        found = self._notes.get(url)
        if found is None or self.document(found.own) is None:
            return None
        return None if found.upstream and self.document(found.upstream) is None else found

    def document(self, sha256: str) -> bytes | None:
        """Bytes that have this hash, if they were ever kept."""
        if sha256 in self._documents:
            return self._documents[sha256]
        if self._folder is None or len(sha256) != 64 or not sha256.isalnum():
            return None
        try:
            data = files.read(self._folder / _DOCUMENTS / sha256)
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            return None
        self._stored.add(sha256)
        self._documents[sha256] = data
        return data

    def keep(self, url: str, own: bytes, upstream: bytes | None, etag: str, modified: str) -> None:
        """Remembers what a source said just now."""
        hashes = [hashlib.sha256(each).hexdigest() for each in (own, upstream or b"")]
        note = Note(hashes[0], hashes[1] if upstream is not None else "", _plain(etag), _plain(modified))
        with self._lock:
            self._documents[note.own] = own
            if upstream is not None:
                self._documents[note.upstream] = upstream
            self._notes[url] = note
            self._asked.add(url)

    def forget(self, url: str) -> None:
        """What the source said is not worth a conditional request."""
        with self._lock:
            self._notes.pop(url, None)

    def save(self) -> None:
        """Writes it all, and removes what nobody needs any more. Raises OSError."""
        if self._folder is None:
            return
        with self._lock:
            notes = self._lasting()
        folder = self._folder / _DOCUMENTS
        files.create_folder(folder)
        named = {each for note in notes.values() for each in (note.own, note.upstream) if each}
        for sha256 in sorted((named & self._documents.keys()) - self._stored):
            files.replace_file(folder / sha256, self._documents[sha256])
        text = json.dumps({"format": _FORMAT, "sources": {url: asdict(note) for url, note in notes.items()}}, indent=1)
        if text.encode("ascii") != _bytes(self._folder / _NOTES):
            files.replace_file(self._folder / _NOTES, text.encode("ascii"))
        for name in files.files_in(folder) - named:
            (folder / name).unlink(missing_ok=True)

    def _lasting(self) -> dict[str, Note]:
        """Who was asked now, and as many of the others as there is room for."""
        urls = sorted(self._notes, key=lambda url: (url not in self._asked, url))
        return {url: self._notes[url] for url in sorted(urls[: max(_MOST, len(self._asked))])}


def _plain(header: str) -> str:
    """A header's value, if it can be sent back."""
    return header if len(header) <= _LONGEST_HEADER and header.isascii() and header.isprintable() else ""


def _bytes(file: Path) -> bytes:
    try:
        return files.read(file, _LARGEST_NOTES)
    except OSError:
        return b""


def _read(file: Path) -> dict[str, Note]:
    try:
        document: Any = json.loads(_bytes(file))
        if document["format"] != _FORMAT:
            return {}
        return {str(url): _note(**each) for url, each in document["sources"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _note(**values: Any) -> Note:
    if not all(isinstance(value, str) and value.isprintable() for value in values.values()):
        raise TypeError("a note holds texts")
    return Note(**values)
