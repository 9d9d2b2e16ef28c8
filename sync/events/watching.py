"""How the watch does, in a file of the store: `watch.json`, for whoever asks from outside."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from builder import files
from builder.store import Store

NAME = "watch.json"
FORMAT = 1
BEAT = 10.0
"""So often, in seconds, the file is written at least while a watch is at work."""
_SILENCE = 3 * BEAT
_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Source:
    """How an origin of events does, in words, whether events can come in by it, and since when that is so."""

    state: str
    up: bool
    since: float


@dataclass(frozen=True)
class Round:
    """A round that is under way: since when, and the ids of the events that it is for."""

    since: float
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Last:
    """The last round: when it ended, what it came to (`done`, `failed`, ..), the snapshot that is live now, and how
    many seconds passed from the notice of its first event; None if it was for none, or if nothing became live."""

    at: float
    result: str
    snapshot: str = ""
    seconds: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Watching:
    """A watch: which process, since when, when it was last heard of, what waits, what it does and what it did.

    Times are in seconds since the epoch, 0: never. `stopped` is when it ended in order; `waiting_since` when the
    oldest event that waits came in.
    """

    pid: int
    host: str
    version: str
    started: float
    beat: float
    stopped: float = 0
    configuration: str = ""
    reload_error: str = ""
    """Why the configuration that is in the file is not the one that it works by."""
    waiting: int = 0
    waiting_since: float = 0
    round: Round | None = None
    last: Last | None = None
    origins: Mapping[str, Source] = field(default_factory=dict)


def path(store: Store) -> Path:
    """Where the file is."""
    return store.root / NAME


def read(store: Store) -> Watching | None:
    """What the last watch of a store has left there; None if there was none, or if it can't be told."""
    try:
        return parse(files.read(path(store), _LARGEST))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def parse(data: bytes) -> Watching:
    """The state that a `watch.json` holds. Raises ValueError, KeyError, TypeError or AttributeError."""
    found = json.loads(data)
    if found.pop("format") != FORMAT:
        raise ValueError("written by another version")
    under_way, last, origins = found.pop("round"), found.pop("last"), found.pop("origins")
    watching = Watching(
        **found,
        round=Round(float(under_way["since"]), tuple(map(str, under_way["ids"]))) if under_way else None,
        last=Last(**last) if last else None,
        origins={name: Source(**each) for name, each in origins.items()},
    )
    _check(watching)
    return watching


def _check(watching: Watching) -> None:
    """Raises TypeError for what is of another type than it should be: others take it at its word."""
    numbers = [watching.started, watching.beat, watching.stopped, watching.waiting_since]
    texts = [watching.host, watching.version, watching.configuration, watching.reload_error]
    texts += [each.state for each in watching.origins.values()]
    numbers += [each.since for each in watching.origins.values()]
    whole = all(type(each) is int for each in (watching.pid, watching.waiting)) and watching.pid > 0
    whole &= all(type(each.up) is bool for each in watching.origins.values())
    if watching.last:
        numbers += [watching.last.at, *([] if watching.last.seconds is None else [watching.last.seconds])]
        texts += [watching.last.result, watching.last.snapshot, watching.last.error]
    if watching.round:
        numbers.append(watching.round.since)
    known = all(type(each) in (int, float) and 0 <= each < 2**40 for each in numbers)
    if not (whole and known and all(type(each) is str for each in texts)):
        raise TypeError("a value is of another type")


def written(watching: Watching) -> bytes:
    """The same as `parse` reads it."""
    return json.dumps({"format": FORMAT, **asdict(watching)}).encode() + b"\n"


def is_here(watching: Watching) -> bool:
    """Whether it is a process of this machine, of which more is known than what it says itself."""
    return watching.host == socket.gethostname()


def is_alive(watching: Watching) -> bool:
    """Whether its process is there; another machine's is believed to be."""
    if not is_here(watching):
        return True
    try:
        os.kill(watching.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def is_silent(watching: Watching, now: float) -> bool:
    """Whether it was not heard of for so long that something is wrong."""
    return now - watching.beat > _SILENCE
