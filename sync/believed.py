"""What was read when it was promoted need not be read again for each of a watch's rounds, for a day.

Of the files that a round promotes nearly all are those that the round before has promoted, and there are the more of
them, the more rounds there were: older indexes stay for the grace time. Whoever promotes otherwise reads all.
"""

from __future__ import annotations

import json
import time

from builder.description import Snapshot
from builder.files import replace_file
from builder.store import Store

_NOTE = "verified"
_DAY = 86400  # seconds, as for the files on targets


def believed(store: Store, current: Snapshot | None) -> Snapshot | None:
    """What `current` names, if it was held against its description when it was promoted, and not too long ago."""
    return current if current and 0 <= time.time() - _read_at(store, current.id) < _DAY else None


def note(store: Store, identifier: str, before: Snapshot | None) -> None:
    """Keeps that a snapshot was verified: all of it, or all but what was `before`, and was read when that was."""
    read = _read_at(store, before.id) if before else int(time.time())
    text = json.dumps({"snapshot": identifier, "read": read})
    replace_file(store.root / _NOTE, text.encode("ascii"), durable=False)


def _read_at(store: Store, identifier: str) -> int:
    """When all files of a snapshot were read, in seconds; 0 if nobody knows."""
    try:
        found = json.loads((store.root / _NOTE).read_bytes())
        return int(found["read"]) if found["snapshot"] == identifier else 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return 0
