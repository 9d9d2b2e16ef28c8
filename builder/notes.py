"""What a build leaves for the next one: what it was made of, what it came to, and since when something fails."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import templates
from builder import stale
from builder.advice import Advice
from builder.catalog import Skip
from builder.config import Config
from builder.description import Snapshot
from builder.outcome import Built
from builder.sources.cache import Cache

_BUILT = "built"
_STALE = "stale"


def inputs_of(config: Config, states: Sequence[str]) -> str:
    """A hash of all that a site is made of: equal inputs give equal sites. Empty if not all is known."""
    if not all(states):
        return ""
    return hashlib.sha256("\0".join((program(), repr(config), *states)).encode("utf-8", "surrogateescape")).hexdigest()


@cache
def program() -> str:
    """A hash of the program itself: another version may make another site of the same images."""
    folders = (Path(__file__).parent, Path(str(templates.__file__)).parent)
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def built_before(kept: Cache, previous: Snapshot, inputs: str, now: int) -> Built | None:
    """The newest snapshot, if it was made of the same inputs: then there is nothing to do, before a certain time."""
    note = kept.note(_BUILT)
    if note.get("inputs") != inputs or note.get("snapshot") != previous.id:
        return None
    try:
        if note["until"] is not None and int(note["until"]) <= now:
            return None
        skips = tuple(Skip(**skip) for skip in note["skips"])
        told = tuple(Advice(**each) for each in note["advice"])
        indexes = int(note["indexes"])
    except (TypeError, KeyError, ValueError):  # another version's
        return None
    refs = tuple(sorted({image["ref"] for image in previous.document["images"]}))
    return Built(previous.id, False, indexes, refs, skips, (), told)


def remember(kept: Cache, built: Built, inputs: str, *, offline: bool = False, until: int | None = None) -> None:
    """Keeps what a build came to; also what it was made of, if nothing was left out for a passing reason.

    A build that asked nobody (`offline`) doesn't know whether what failed is mended. At `until`, in seconds, another
    build may come to something else although its inputs are the same.
    """
    before = failing_since(kept) if offline else {}
    kept.keep_note(_STALE, {"since": {**before, **{stale.key(each): each.since for each in built.stale}}})
    lasting = inputs and all(skip.lasting for skip in built.skips) and not built.stale
    note = {
        "inputs": inputs,
        "snapshot": built.snapshot,
        "until": until,
        "indexes": built.indexes,
        "skips": [asdict(skip) for skip in built.skips],
        "advice": [asdict(each) for each in built.advice],
    }
    kept.keep_note(_BUILT, note if lasting else {})
    if not built.stale:  # what could not be read now needs its blobs later
        kept.tidy()


def failing_since(kept: Cache) -> dict[str, int]:
    """When each failure was first seen. If that was lost, the time starts anew: rather too long kept than too short."""
    noted = kept.note(_STALE, always=True).get("since")
    return {key: since for key, since in noted.items() if type(since) is int} if isinstance(noted, dict) else {}
