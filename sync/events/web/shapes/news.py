"""What all notifications come down to: something was done to a tag, or to a whole repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from builder.oci import is_repository, is_tag
from sync.events.model import Hint

MOST = 1000
"""How many repositories one notification may name; the others are left to the next sweep."""
_LONGEST = 100  # characters of a name in a log


@dataclass(frozen=True)
class News:
    """What was done (`push`, `deletion`, ..), to which repository, and to which tag if that is known."""

    what: str
    repository: str
    tag: str = ""


def hint(registry: str, news: Iterable[News]) -> Hint:
    """The hint that these come to; names that no registry can have are left out."""
    first: News | None = None
    names: set[str] = set()
    for each in news:
        if not is_repository(each.repository):
            continue
        first = first or each
        names.add(each.repository)
        if len(names) == MOST:
            break
    return Hint(frozenset(names), about=_about(registry, first, len(names) - 1))


def _about(registry: str, first: News | None, others: int) -> str:
    if first is None:
        return f"nothing new ({registry})"
    tag = f":{first.tag}" if is_tag(first.tag) else ""
    more = f" and {others} more" if others else ""
    return f"{first.what} of {(first.repository + tag)[:_LONGEST]}{more} ({registry})"


def text(value: Any, *keys: str) -> str:
    """The text at this place of nested objects, or nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def objects(value: Any, *keys: str) -> Iterator[dict[str, Any]]:
    """The objects in the list at this place."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()
