"""`search.json`: what the script of the pages searches in. One file for each language, read when somebody searches."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What can be found of an application.

    `id` is the name of its folder, `keywords` are separated by spaces, `icon` is a path from the site's top.
    """

    id: str
    name: str
    summary: str
    developer: str
    keywords: str
    category: str
    icon: str


def render(entries: Iterable[Entry]) -> bytes:
    """A JSON list with a list for each entry, in the order of the fields: names would be half of the file."""
    rows = [
        [each.id, each.name, each.summary, each.developer, each.keywords, each.category, each.icon] for each in entries
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
