"""The values that templates are given, in one language: an appearance, not the thing itself."""

from __future__ import annotations

from dataclasses import dataclass

from builder.appdata.components import Said
from builder.site.pages.offer import Image


@dataclass(frozen=True)
class Card:
    """An application in a list. `icon` is a path from the site's top, `href` one from the language's."""

    id: str
    name: Said
    summary: Said
    icon: str
    href: str
    version: str
    end_of_life: bool


@dataclass(frozen=True)
class ShownCategory:
    """A category, by its folder and its name in the page's language; `total` applications are in it."""

    id: str
    name: str
    href: str
    total: int


@dataclass(frozen=True)
class Group:
    """A category on the front page, with some of its applications."""

    category: ShownCategory
    cards: tuple[Card, ...]
    total: int


@dataclass(frozen=True)
class RemoteChannel:
    """A tag as a remote: its `.flatpakrepo` file, from the site's top, and the line that adds it."""

    tag: str
    repo_file: str
    command: str


@dataclass(frozen=True)
class ShownChannel:
    """A channel of an item, with the line that installs from it."""

    tag: str
    branch: str
    main: bool
    flatpakref: str
    command: str
    version: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class ShownShot:
    """A screenshot: `url` is the original at `host`; `image` and `small` are empty where there only is a link."""

    caption: Said
    url: str
    host: str
    image: str
    small: str
    width: int
    height: int
    small_width: int
    small_height: int


@dataclass(frozen=True)
class ShownRelease:
    """A release, its notes as safe HTML."""

    version: str
    date: str
    notes: Said
    development: bool


@dataclass(frozen=True)
class ShownPermission:
    """A permission in the page's language; `level` is safe, notable or risky."""

    level: str
    title: str
    detail: str


@dataclass(frozen=True)
class ShownRating:
    """From which age, and why."""

    age: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class ShownRuntime:
    """The runtime of an application.

    `href` is empty where it is not offered here; `elsewhere` is then the URL of another remote's file, if one is known.
    """

    name: str
    ref: str
    href: str
    elsewhere: str


@dataclass(frozen=True)
class ShownEndOfLife:
    """That something is no longer maintained."""

    why: str
    successor: str
    successor_href: str


@dataclass(frozen=True)
class Row:
    """A runtime or an extension in its list."""

    id: str
    anchor: str
    name: Said
    summary: Said
    icon: str
    channels: tuple[ShownChannel, ...]
    end_of_life: ShownEndOfLife | None


@dataclass(frozen=True)
class ShownChange:
    """A line of the page of changes, and an entry of the feed; `time` is RFC 3339."""

    kind: str
    name: Said
    id: str
    href: str
    version: str
    version_before: str
    branch: str
    tags: tuple[str, ...]
    time: str
    entry_id: str


@dataclass(frozen=True)
class Day:
    """The changes of a day, as `YYYY-MM-DD`."""

    date: str
    entries: tuple[ShownChange, ...]
