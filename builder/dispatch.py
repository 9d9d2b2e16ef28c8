"""Which index file answers a query: one set of rules, from which every web server's configuration is rendered.

A query is matched as it stands, not decoded, since that is what a web server's rules see; of a repeated parameter the
first counts, and an empty `tag` or `architecture` is the same as none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
COLON = r"(?::|%3[Aa])"
ANNOTATION = rf"(?:^|&)annotation{COLON}"
LABEL = rf"(?:^|&)label{COLON}"
"""A filter by annotation or by label, wherever it stands in a query: what rendered rules match, too."""


@dataclass(frozen=True, order=True)
class Route:
    """A query for `tag` and `architecture` (empty: any), asking by annotation or by label, is answered by `file`."""

    tag: str
    architecture: str
    annotations: bool
    file: str


@dataclass(frozen=True)
class Dispatch:
    """All routes; `default_tag` is meant by a query without tag, `unknown_tag` by one that no route has (else: 404)."""

    routes: tuple[Route, ...]
    default_tag: str
    unknown_tag: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that have routes, in their order."""
        return tuple(dict.fromkeys(route.tag for route in self.routes))

    def answer(self, query: str) -> str | None:
        """The file (without `.json`) that answers `query`, the part of a URL behind `?`; None is a 404."""
        tag = first(query, "tag") or self.default_tag
        if tag not in self.tags:
            tag = self.unknown_tag or ""
        for route in self.of_tag(tag):
            if route.architecture in ("", first(query, "architecture")) and route.annotations in (
                False,
                wants_annotations(query),
            ):
                return route.file
        return None

    def of_tag(self, tag: str) -> tuple[Route, ...]:
        """The routes of a tag, the most particular first: the first that fits a query answers it."""
        routes = [route for route in self.routes if route.tag == tag]
        return tuple(sorted(routes, key=lambda route: (not route.annotations, not route.architecture)))


def described(document: Mapping[str, Any]) -> Dispatch:
    """The dispatch that a site was built with, as its `snapshot.json` has it.

    It may be anybody's, and becomes rules of web servers: raises ValueError for words that would be more there.
    """
    routes = tuple(Route(**route) for route in document["routes"])
    found = Dispatch(routes, document["default_tag"], document["unknown_tag"])
    words = [found.default_tag, *([] if found.unknown_tag is None else [found.unknown_tag])]
    words += [word for route in routes for word in (route.tag, route.file, route.architecture or "any")]
    for word in words:
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise ValueError(f"{word!r:.80} can't be a part of a query, or of a file's name")
    return found


def first(query: str, name: str) -> str:
    """The value of the first parameter `name` in `query`; empty if there is none."""
    for parameter in query.split("&"):
        key, equals, value = parameter.partition("=")
        if key == name and equals:
            return value
    return ""


def wants_annotations(query: str) -> bool:
    """Whether the query filters by annotation, as clients up to 1.4 do, and not by label."""
    return bool(re.search(ANNOTATION, query)) and not re.search(LABEL, query)
