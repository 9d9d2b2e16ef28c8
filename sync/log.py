"""The release log: `log.jsonl`, one line for each release, of which each holds the hash of the line before."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.description import time_text
from builder.errors import FlatdexError
from builder.files import make_durable
from builder.store import Store
from sync.notes import who

LOG = "log.jsonl"
START = "0" * 64
"""What the first line has in place of a hash."""


@dataclass(frozen=True)
class Line:
    """A line of the log, by its number; `fault` says what is wrong with it."""

    number: int
    entry: Mapping[str, Any]
    fault: str = ""


def path(store: Store) -> Path:
    """Where the log is."""
    return store.root / LOG


def append(store: Store, verb: str, **more: Any) -> None:
    """Adds a line, durably. The caller holds the lock. Raises FlatdexError; what was released stays so.

    What has no end of line is what a crash has left of a line that was never told to be there; it goes.
    """
    try:
        _append(path(store), {"time": time_text(int(time.time())), "verb": verb, "who": who(), **more})
    except OSError as error:
        what = f"{path(store)} could not be written: {error.strerror}"
        raise FlatdexError(what, "What was released stays so; the next release tells of it in the log.") from error


def _append(file: Path, entry: Mapping[str, Any]) -> None:
    new = not file.exists()
    with file.open("a+b") as opened:
        if new:
            os.fchmod(opened.fileno(), 0o644)
        opened.seek(0)
        data = opened.read()
        whole = _whole_lines(data)
        size = data.rfind(b"\n") + 1
        opened.truncate(size)
        before = hash_of(whole[-1]) if whole else START
        try:
            opened.write(json.dumps({**entry, "before": before}).encode() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        except OSError:
            os.ftruncate(opened.fileno(), size)
            raise
    if new:
        make_durable(file.parent)


def hash_of(line: bytes) -> str:
    """What the next line holds of a line, whose end belongs to it: its sha256."""
    return hashlib.sha256(line).hexdigest()


def _whole_lines(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def lines(store: Store) -> list[Line]:
    """All whole lines, each checked against the one before it."""
    try:
        return list(checked(_whole_lines(path(store).read_bytes())))
    except FileNotFoundError:
        return []


def checked(raw: Iterable[bytes]) -> Iterator[Line]:
    """The lines, with what is wrong: one that is not JSON, or that does not hold the hash of the one before."""
    before = START
    for number, line in enumerate(raw, 1):
        try:
            entry = json.loads(line)
            found = entry["before"]
        except (ValueError, KeyError, TypeError, RecursionError):
            yield Line(number, {}, "is not a line of the log")
        else:
            fault = "" if found == before else "does not follow from the line before: one of them was changed"
            yield Line(number, entry, fault)
        before = hash_of(line)


def promoted(store: Store) -> Iterator[tuple[str, str]]:
    """What `current` came to name, and when, the newest first."""
    for line in reversed(lines(store)):
        if line.entry.get("to") and line.entry.get("to") != line.entry.get("from"):
            yield str(line.entry["to"]), str(line.entry.get("time", ""))


def tell_untold(store: Store) -> None:
    """Adds a line if `current` names what no line tells of: by a run that was cut off, or by hand."""
    current = store.current()
    told = next((to for to, _ in promoted(store)), None)
    if current and current != told:
        append(
            store, "found", **{"from": told, "to": current, "result": "promoted by a run that was cut off, or by hand"}
        )
