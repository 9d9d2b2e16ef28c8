"""What is remembered of each screenshot's URL, and of hosts that don't answer: when to ask again, and how.

The notes are lines of JSON, of which the last one on a URL counts. Each is written when there is something to tell, so
a run that is killed loses none; what is cut off is no line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builder import files
from builder.files import create_private
from builder.screenshots import shots
from builder.screenshots.shots import KnownShot

_HOUR, _DAY, _WEEK = 3600, 86400, 7 * 86400
_UNUSED = 30 * _DAY  # seconds that a note stays which no build needed
_PLAIN = re.compile(r"[\x20-\x7e]{1,300}")  # of what a header may hold that is sent back


@dataclass(frozen=True)
class Note:
    """On a URL: the pictures that were made of it, when it last answered well (`asked`), and what a request can say.

    On a URL or a host: when it failed last, how many times in a row, why, and when to try `again`. Times are in
    seconds, 0 for never.
    """

    asked: int = 0
    etag: str = ""
    modified: str = ""
    shot: KnownShot | None = None
    failed: int = 0
    times: int = 0
    why: str = ""
    again: int = 0

    @property
    def conditions(self) -> Mapping[str, str]:
        """The headers of a request for what has changed since."""
        given = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in given.items() if value}

    @staticmethod
    def answered(shot: KnownShot, headers: Mapping[str, str], now: int) -> Note:
        """After a good answer."""
        return Note(now, _plain(headers.get("ETag", "")), _plain(headers.get("Last-Modified", "")), shot)

    def unchanged(self, now: int) -> Note:
        """After the answer that nothing has changed."""
        return Note(now, self.etag, self.modified, self.shot)

    def failing(self, why: str, now: int, *, lasting: bool, pause: float = 0) -> Note:
        """After a failure. What is `lasting` is asked again after a day, anything else after an hour (or the `pause`
        that was asked for), and after each further time in a row twice as late, up to a week or a day.
        """
        first, longest = (_DAY, _WEEK) if lasting else (_HOUR, _DAY)
        wait = min(longest, max(pause, first * 2 ** min(self.times, 10)))
        return replace(self, failed=now, times=self.times + 1, why=why, again=now + round(wait))

    def waits(self, now: int) -> bool:
        """Whether it failed so lately that it is left alone. A clock that was put back must not block for years."""
        return now < self.again <= now + _WEEK


def is_due(url: str, note: Note, now: int) -> bool:
    """Whether to ask if a picture that there is has changed: a week or two after the last time, not all on one day."""
    spread = int.from_bytes(hashlib.sha256(url.encode("utf-8", "replace")).digest()[:4]) % _WEEK
    return not note.waits(now) and not 0 <= now - note.asked < _WEEK + spread


def adopted(shot: KnownShot, now: int) -> Note:
    """The note on a URL of which only a snapshot tells: as if asked a week ago, so that a lost cache asks little."""
    return Note(asked=max(0, now - _WEEK), shot=shot)


def _plain(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else ""


@dataclass
class Notes:
    """A file of notes, by URL or host. May be shared by threads; one process at a time may write.

    What failed because of the `hosts` that were allowed then is forgotten when others are.
    """

    file: Path
    hosts: tuple[str, ...] = ()
    _notes: dict[str, Note] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _opened: int | None = None

    def __post_init__(self) -> None:
        allowed: object = []
        with contextlib.suppress(OSError):
            for line in files.read(self.file).splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    document = json.loads(line)
                    allowed = document.get("hosts", allowed)
                    if "of" in document:
                        self._notes[str(document["of"])] = _parsed(document)
        if allowed != list(self.hosts):
            forgotten = {"failed": 0, "times": 0, "why": "", "again": 0}
            self._notes = {key: replace(note, **forgotten) for key, note in self._notes.items()}  # type: ignore[arg-type]

    def __getitem__(self, key: str) -> Note:
        return self._notes.get(key, Note())

    def put(self, key: str, note: Note) -> None:
        """Replaces the note on a URL or a host. A full disk costs no more than the note."""
        with self._lock, contextlib.suppress(OSError):
            self._notes[key] = note
            if self._opened is None:
                self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._opened = os.open(self.file, flags, 0o600)
                os.write(self._opened, b"\n" + _line({"hosts": list(self.hosts)}))  # a line may have been cut off
            os.write(self._opened, _line(_document(key, note)))

    def named(self) -> Iterator[str]:
        """The hashes of all pictures that notes name."""
        for note in self._notes.values():
            if note.shot:
                yield from (note.shot.full.sha256, note.shot.small.sha256)

    def close(self, wanted: Collection[str], now: int) -> None:
        """Makes the file as short as it can be, without what no build has wanted for a month."""
        with self._lock, contextlib.suppress(OSError):
            self._notes = {
                key: note
                for key, note in sorted(self._notes.items())
                if note != Note() and (key in wanted or max(note.asked, note.failed) > now - _UNUSED)
            }
            if self._opened is None:
                return
            os.close(self._opened)
            self._opened = None
            lines = [_line(_document(key, note)) for key, note in self._notes.items()]
            unfinished = self.file.with_name(f"{self.file.name}.new")
            create_private(unfinished, b"".join((_line({"hosts": list(self.hosts)}), *lines)))
            unfinished.replace(self.file)


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode("ascii") + b"\n"


def _document(key: str, note: Note) -> dict[str, Any]:
    document = {name: value for name, value in vars(note).items() if value and name != "shot"}
    return {"of": key, **document, **({"shot": shots.as_document(note.shot)} if note.shot else {})}


def _parsed(document: Mapping[str, Any]) -> Note:
    numbers = {name: _whole(document.get(name, 0)) for name in ("asked", "failed", "times", "again")}
    texts = {name: str(document.get(name, "")) for name in ("etag", "modified", "why")}
    texts.update((name, _plain(texts[name])) for name in ("etag", "modified"))
    shot = shots.from_document(document["shot"]) if "shot" in document else None
    return Note(**numbers, **texts, shot=shot)  # type: ignore[arg-type]


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**53:
        raise ValueError("not a time")
    return number
