"""What templates are given, in one language: everything is decided here, so that a template only says where it goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from urllib.parse import urlsplit

from markupsafe import Markup

from builder.appdata.components import Said, Texts, said
from builder.changes import GONE, Change
from builder.config import Config, Remote, Screenshots
from builder.screenshots.shots import Shot
from builder.site import flatpakrepo
from builder.site.pages import permissions, rating
from builder.site.pages.categories import CATEGORIES, Category, categories_of
from builder.site.pages.languages import Language, day_of
from builder.site.pages.offer import Channel, Item
from builder.site.pages.shown import (
    Card,
    Day,
    Group,
    RemoteChannel,
    Row,
    ShownCategory,
    ShownChange,
    ShownChannel,
    ShownEndOfLife,
    ShownPermission,
    ShownRating,
    ShownRelease,
    ShownRuntime,
    ShownShot,
)

A_PAGE = 60
"""How many items a page of a list has."""
ON_FRONT = 60
"""How many applications the front page shows."""
NEW = 8
"""How many of them as new."""
_SPDX = re.compile(r"[A-Za-z0-9.-]+\+?")


Pictures = Mapping[str, Shot]
"""Mirrored screenshots by the URL of their original."""


class Views:
    """All items in one language."""

    def __init__(
        self,
        config: Config,
        remote: Remote,
        screenshots: Screenshots,
        items: Iterable[Item],
        language: Language,
        pictures: Pictures,
    ) -> None:
        self._config = config
        self._remote = remote
        self._base = f"{remote.url.rstrip('/')}/"
        self._screenshots = screenshots
        self._language = language
        self._pictures = pictures
        every = tuple(items)
        self.by_id = {(item.kind == "app", item.id): item for item in every}
        self.applications = self._sorted(item for item in every if item.kind == "app")
        self.runtimes = self._sorted(item for item in every if item.kind == "runtime")
        self.extensions = self._sorted(item for item in every if item.kind == "extension")

    def _sorted(self, items: Iterable[Item]) -> tuple[Item, ...]:
        """By name; what is no longer maintained comes last."""
        return tuple(
            sorted(items, key=lambda item: (item.end_of_life is not None, self.name(item).casefold(), item.id))
        )

    def say(self, message: str, values: Mapping[str, str] | None = None) -> str:
        """A message in this language, with its values filled in."""
        text = self._language.messages.gettext(message) if message else ""
        return text % values if values else text

    def said(self, texts: Texts) -> Said:
        """Somebody else's text in the best language for the reader."""
        return said(texts, self._language.code)

    def marked(self, texts: Texts) -> Said:
        """The same of a text that is safe HTML."""
        found = self.said(texts)
        return Said(Markup(found.text), found.language)  # noqa: S704 - made by markup.py

    def name(self, item: Item) -> str:
        """An item's name."""
        return self.said(item.component.name).text

    def href(self, item: Item) -> str:
        """Its page, or its place on a page, as a path from the language's root."""
        if item.kind == "app":
            return f"apps/{item.folder}/index.html"
        return f"{page_path(f'{item.kind}s', self._page_of[item.kind, item.id])}#{item.id}"

    @cached_property
    def _page_of(self) -> dict[tuple[str, str], int]:
        """On which page of its list a runtime or an extension is."""
        lists = (self.runtimes, self.extensions)
        return {(item.kind, item.id): place // A_PAGE + 1 for items in lists for place, item in enumerate(items)}

    # Lists

    def card(self, item: Item) -> Card:
        """An application in a list."""
        return self._cards[item.id]

    @cached_property
    def _cards(self) -> dict[str, Card]:
        return {item.id: self._card(item) for item in self.applications}

    def _card(self, item: Item) -> Card:
        return Card(
            id=item.id,
            name=self.said(item.component.name),
            summary=self.said(item.component.summary),
            icon=icon_of(item),
            href=self.href(item),
            version=item.channels[0].version,
            end_of_life=item.end_of_life is not None,
        )

    @cached_property
    def categories(self) -> tuple[tuple[ShownCategory, tuple[Item, ...]], ...]:
        """The categories that have applications, with these."""
        found: dict[Category, list[Item]] = {}
        for item in self.applications:
            for category in categories_of(item.component.categories):
                found.setdefault(category, []).append(item)
        return tuple(
            (self._category(category, len(found[category])), tuple(found[category]))
            for category in CATEGORIES
            if category in found
        )

    def _category(self, category: Category, total: int) -> ShownCategory:
        return ShownCategory(category.id, self.say(category.name), f"categories/{category.id}/index.html", total)

    def category_names(self, item: Item) -> str:
        """The names of the categories that an application is listed under."""
        return " ".join(self.say(category.name) for category in categories_of(item.component.categories))

    def new(self, changes: Iterable[Change]) -> tuple[Card, ...]:
        """The applications that came or were updated last; what images say of themselves counts for nothing here."""
        ids = dict.fromkeys(change.id for change in changes if change.type == "app" and change.kind != GONE)
        found = (self.by_id.get((True, identifier)) for identifier in ids)
        return tuple(self.card(item) for item in found if item and item.end_of_life is None)[:NEW]

    def groups(self, room: int) -> tuple[Group, ...]:
        """All categories, each with its share of the `room` for applications; small ones leave theirs to others.

        Each application is there once: in the first of its categories.
        """
        own = [
            [item for item in items if categories_of(item.component.categories)[0].id == category.id]
            for category, items in self.categories
        ]
        shares = shared([len(items) for items in own], room)
        return tuple(
            Group(category, tuple(map(self.card, items[:share])), len(everything))
            for (category, everything), items, share in zip(self.categories, own, shares, strict=True)
            if share
        )

    def row(self, item: Item) -> Row:
        """A runtime or an extension."""
        return Row(
            id=item.id,
            anchor=item.id,
            name=self.said(item.component.name),
            summary=self.said(item.component.summary),
            icon=icon_of(item),
            channels=self.channels(item),
            end_of_life=self.end_of_life(item),
        )

    def remotes(self) -> tuple[RemoteChannel, ...]:
        """All tags as remotes, the main one first."""
        main = self._config.dispatch.default_tag
        tags = sorted(self._config.dispatch.tags, key=lambda tag: tag != main)
        return tuple(self._remote_channel(tag, main) for tag in tags)

    def _remote_channel(self, tag: str, main: str) -> RemoteChannel:
        file = flatpakrepo.path(self._remote, tag, main)
        url = f"{self._base}{file}"
        name = self._remote.called(tag, main)
        return RemoteChannel(tag, file, f"flatpak remote-add --if-not-exists {name} {url}")

    # One application

    def channels(self, item: Item) -> tuple[ShownChannel, ...]:
        """All channels of an item."""
        return tuple(self._channel(item, channel) for channel in item.channels)

    def _channel(self, item: Item, channel: Channel) -> ShownChannel:
        file = channel.flatpakref if item.kind == "app" else ""
        # The file's URL is enough for a client that doesn't have the remote yet.
        what = f"--from {self._base}{file}" if file else f"{channel.remote} {item.id}//{channel.branch}"
        command = f"flatpak install {what}"
        return ShownChannel(channel.tag, channel.branch, channel.main, file, command, channel.version, channel.images)

    def application(self, item: Item) -> dict[str, object]:
        """All that an application's page tells."""
        component = item.component
        return {
            "item": item,
            "name": self.said(component.name),
            "summary": self.said(component.summary),
            "developer": self.said(component.developer),
            "description": self.marked(component.description),
            "icon": icon_of(item),
            "categories": tuple(self._category(each, 0) for each in categories_of(component.categories)),
            "shots": tuple(self._shots(item)),
            "releases": tuple(self._releases(item)),
            "license": component.license,
            "license_url": license_url(component.license),
            "links": component.links,
            "rating": self._rating(item),
            "permissions": tuple(
                ShownPermission(each.level.value, self.say(each.title, dict(each.values)), self._detail(each))
                for each in _permissions(item.metadata)
            ),
            "channels": self.channels(item),
            "runtime": self._runtime(item),
            "end_of_life": self.end_of_life(item),
        }

    def beside(self, item: Item) -> tuple[object, ...]:
        """What its page tells that is not its own: it may change although the item doesn't."""
        kept = (self._pictures.get(shot.url) for shot in item.component.screenshots)
        paths = tuple((shot.full.path, shot.small.path) if shot else () for shot in kept)
        return self._screenshots, paths, self._runtime(item), self.end_of_life(item)

    def _detail(self, permission: permissions.Permission) -> str:
        return self.say(permission.detail, dict(permission.values))

    def _shots(self, item: Item) -> Iterator[ShownShot]:
        for shot in item.component.screenshots:
            caption, host = self.said(shot.caption), urlsplit(shot.url).hostname or ""
            kept = self._pictures.get(shot.url) if self._screenshots is Screenshots.MIRROR else None
            if kept:
                full, small = kept.full, kept.small
                sizes = (full.width, full.height, small.width, small.height)
                yield ShownShot(caption, shot.url, host, full.path, small.path, *sizes)
            elif self._screenshots is Screenshots.HOTLINK and shot.url.startswith("https:"):  # no page lets others in
                sizes = (shot.width, shot.height, shot.width, shot.height)
                yield ShownShot(caption, shot.url, host, shot.url, shot.url, *sizes)
            else:
                yield ShownShot(caption, shot.url, host, "", "", 0, 0, 0, 0)

    def _releases(self, item: Item) -> Iterator[ShownRelease]:
        for release in item.component.releases:
            yield ShownRelease(release.version, release.date, self.marked(release.notes), release.development)

    def _rating(self, item: Item) -> ShownRating | None:
        if item.component.rating is None:
            return None
        found = rating.rated(item.component.rating)
        return ShownRating(found.age, tuple(map(self.say, found.words)))

    def _runtime(self, item: Item) -> ShownRuntime | None:
        if not item.runtime:
            return None
        name = item.runtime.partition("/")[0]
        here = self.by_id.get((False, name))
        branch = item.runtime.rpartition("/")[2]
        if here and item.channels[0].runtime_in:
            return ShownRuntime(f"{self.name(here)} {branch}", item.runtime, self.href(here), "")
        return ShownRuntime(f"{name} {branch}", item.runtime, "", self._remote.runtime_repo)

    def end_of_life(self, item: Item) -> ShownEndOfLife | None:
        """Its end of life, with a link to what to use instead, if that is here."""
        if item.end_of_life is None:
            return None
        successor = self.by_id.get((item.kind == "app", item.end_of_life.successor))
        href = self.href(successor) if successor and successor.id != item.id else ""
        return ShownEndOfLife(item.end_of_life.why, item.end_of_life.successor, href)

    # Changes

    def changes(self, found: Iterable[Change]) -> Iterator[ShownChange]:
        """Changes as they are shown, in the order in which they come."""
        for change in found:
            item = self.by_id.get((change.type == "app", change.id))
            name = self.said(item.component.name) if item else Said(change.name or change.id, "en")
            yield ShownChange(
                kind=change.kind,
                name=name,
                id=change.id,
                href=self.href(item) if item and change.kind != GONE else "",
                version=change.version,
                version_before=change.before,
                branch=change.branch,
                tags=self._tags_of(change.index),
                time=change.time,
                entry_id=f"{self._remote.id}#{change.time}/{change.index}/{change.type}/{change.id}/{change.branch}",
            )

    def _tags_of(self, index: str) -> tuple[str, ...]:
        """The tags of a change's index, where there is more than one to tell apart."""
        if len(self._config.dispatch.tags) < 2:
            return ()
        return next((each.tags for each in self._config.indexes if each.name == index), ())


@lru_cache(maxsize=100_000)
def _permissions(metadata: str) -> tuple[permissions.Permission, ...]:
    """The same in all languages."""
    return permissions.permissions(metadata)


def days(found: Iterable[ShownChange]) -> tuple[Day, ...]:
    """Changes by day, in UTC."""
    by_day: dict[str, list[ShownChange]] = {}
    for change in found:
        day = day_of(change.time)
        by_day.setdefault(day.isoformat() if day else "", []).append(change)
    return tuple(Day(day, tuple(entries)) for day, entries in by_day.items())


def shared(sizes: list[int], room: int) -> list[int]:
    """How many of each may be shown: as equal as their sizes allow, `room` in all."""
    shares = [0] * len(sizes)
    while room > 0 and any(share < size for share, size in zip(shares, sizes, strict=True)):
        for place, size in enumerate(sizes):
            if shares[place] < size and room > 0:
                shares[place] += 1
                room -= 1
    return shares


def icon_of(item: Item) -> str:
    """The larger of its icons, as a path from the site's top; empty if there is none."""
    return max(item.icons, default=(0, ""))[1]


def page_path(folder: str, number: int) -> str:
    """The path of a list's page, the first one being number 1."""
    return f"{folder}/index.html" if number == 1 else f"{folder}/page/{number}/index.html"


def license_url(expression: str) -> str:
    """Where one SPDX license is explained; empty for an expression of several, or another one's name."""
    if not _SPDX.fullmatch(expression) or expression.startswith(("LicenseRef-", "DocumentRef-")):
        return ""
    return f"https://spdx.org/licenses/{expression}.html"
