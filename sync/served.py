"""What a target's web server shows of itself: a flip that no reader sees is a failure."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote

from builder.description import DESCRIPTION, Snapshot
from builder.errors import FlatdexError
from builder.sources.answers import FetchError
from builder.sources.transport import Transport
from sync.carrier import described

LARGEST = 256 * 1024 * 1024
_INDEX = "index/static"
_PAUSE = 2.0  # seconds, for caches that need a moment


def served(url: str) -> str:
    """The id in the `snapshot.json` below `url`. Raises FlatdexError if there is none."""
    with Transport() as transport:
        return _shown(transport, url).id


def ask(url: str, snapshot: Snapshot, tries: int = 1) -> None:
    """Raises FlatdexError unless what is served below `url` is this snapshot: its description, and its index."""
    with Transport() as transport:
        for left in range(tries - 1, -1, -1):
            try:
                _ask(transport, url, snapshot)
                break
            except FlatdexError:
                if not left:
                    raise
                time.sleep(_PAUSE)


def _ask(transport: Transport, url: str, snapshot: Snapshot) -> None:
    try:
        shown = _shown(transport, url)
    except FlatdexError as error:
        raise FlatdexError(f"not served: {error.what}") from error
    if shown.id != snapshot.id:
        raise FlatdexError(f"{place(url)} still shows {shown.id}")
    index = snapshot.by_path.get(_INDEX)
    if index and hashlib.sha256(_get(transport, place(url, _INDEX), LARGEST)).hexdigest() != index.sha256:
        fix = "Does another place serve /index/, or does the server know nothing of the site's rules?"
        raise FlatdexError(f"{place(url, _INDEX)} shows another index than that of {shown.id}", fix)


def _shown(transport: Transport, url: str) -> Snapshot:
    shown = described(_get(transport, place(url), LARGEST))
    if shown is None:
        raise FlatdexError(f"{place(url)} is not a snapshot's description")
    return shown


def _get(transport: Transport, url: str, limit: int) -> bytes:
    try:
        return transport.get(url, limit).body
    except FetchError as error:
        raise FlatdexError(str(error)) from error


def place(url: str, path: str = DESCRIPTION) -> str:
    """Where a file of the site below `url` is."""
    return (url if url.endswith("/") else f"{url}/") + quote(path)
