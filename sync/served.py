"""What a target's web server shows of itself: a flip that no reader sees is a failure."""

from __future__ import annotations

import json
from urllib.parse import urljoin

from builder.description import DESCRIPTION, is_id
from builder.errors import FlatdexError
from builder.sources.answers import FetchError
from builder.sources.transport import Transport

_LARGEST_DESCRIPTION = 256 * 1024 * 1024


def served(url: str) -> str:
    """The id in the `snapshot.json` below `url`. Raises FlatdexError if there is none."""
    place = description_url(url)
    try:
        with Transport() as transport:
            identifier = json.loads(transport.get(place, _LARGEST_DESCRIPTION).body)["id"]
    except FetchError as error:
        raise FlatdexError(str(error)) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        identifier = None
    if not isinstance(identifier, str) or not is_id(identifier):
        raise FlatdexError(f"{place} is not a snapshot's description")
    return identifier


def description_url(url: str) -> str:
    """Where a site's `snapshot.json` is."""
    return urljoin(url if url.endswith("/") else f"{url}/", DESCRIPTION)
