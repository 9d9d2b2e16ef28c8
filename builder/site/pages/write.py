"""The pages of a site: which there are, and where they lie. What is on them is decided in `views`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from builder import processes
from builder.appdata.components import DEFAULT
from builder.changes import Change
from builder.config import Config, Pages, Remote
from builder.content import Content, InMemory
from builder.site import flatpakrepo
from builder.site.pages import search
from builder.site.pages.assets import assets_of
from builder.site.pages.languages import Language
from builder.site.pages.memory import Memory, fingerprint
from builder.site.pages.messages import N_
from builder.site.pages.offer import Item
from builder.site.pages.shown import ShownCategory, ShownChange
from builder.site.pages.views import (
    A_PAGE,
    ON_FRONT,
    Pictures,
    Views,
    days,
    page_path,
)
from builder.site.rules.common import policy
from builder.templating import Templates

IN_FEED = 50
"""How many changes the feed has."""
Values = Callable[[], Mapping[str, object]]
"""Makes the values that a template is given."""


Draft = Content | Callable[[], bytes]
"""A file, or how to make it."""


@dataclass(frozen=True)
class ShownTheme:
    """A site's own look, as templates see it: `logo` is a path from the site's top, or empty."""

    links: tuple[tuple[str, str], ...]
    footer: str
    logo: str


@dataclass(frozen=True)
class LanguageLink:
    """This page in a language."""

    code: str
    name: str
    href: str


def pages(
    config: Config, items: Sequence[Item], changes: Sequence[Change], pictures: Pictures, memory: Memory
) -> Iterator[tuple[str, Content]]:
    """All pages of a site, and what they need, by their paths. Raises FlatdexError for a template that breaks."""
    if config.remote is None or config.pages is None:
        return
    languages = [Language(code, config.pages.templates) for code in config.pages.languages]
    assets = dict(assets_of(config.pages))
    yield from assets.values()
    for shot in pictures.values():
        yield from ((picture.path, picture.content) for picture in (shot.full, shot.small))
    paths = {name: path for name, (path, _) in assets.items()}
    drafts: dict[str, Draft] = {}
    for language in languages:
        writer = _Writer(config, config.remote, config.pages, language, languages, paths, memory)
        views = Views(config, config.remote, config.pages.screenshots, items, language, pictures)
        drafts.update(writer.pages(views, changes))
    yield from ((path, draft) for path, draft in drafts.items() if not callable(draft))
    unmade = {path: draft for path, draft in drafts.items() if callable(draft)}
    made = processes.shared_out(list(unmade.values()))
    yield from ((path, InMemory(data)) for path, data in zip(unmade, made, strict=True))


def templates_in(language: Language, folder: Path | None = None) -> Templates:
    """The templates in a language, those in `folder` first."""
    filters: Mapping[str, Callable[..., str]] = {
        "date": language.date,
        "size": language.size,
        "number": language.number,
    }
    return Templates(folder, language.messages, filters, language.words)


class _Writer:
    """Writes all pages in one language."""

    def __init__(
        self,
        config: Config,
        remote: Remote,
        pages: Pages,
        language: Language,
        languages: Sequence[Language],
        assets: Mapping[str, str],
        memory: Memory,
    ) -> None:
        self._memory = memory
        self._language = language
        self._prefixes = {each.code: "" if each is languages[0] else f"{each.code}/" for each in languages}
        self._names = {each.code: each.own_name for each in languages}
        self._base = f"{remote.url.rstrip('/')}/"
        self._main = language is languages[0]
        self._templates = templates_in(language, pages.templates)
        self._common = {
            "remote": remote,
            "theme": ShownTheme(pages.theme.links, pages.theme.footer, assets.get("logo", "")),
            "language": language.code,
            "direction": language.direction,
            "css": assets["css"],
            "script": assets["script"],
            "favicon": assets.get("logo", assets["favicon"]),
            "search_index": "search.json",
            "feed": "feed.atom",
            "repo_file": flatpakrepo.path(remote, config.dispatch.default_tag, config.dispatch.default_tag),
            "csp": policy(config, header=False),
        }

    def pages(self, views: Views, changes: Sequence[Change]) -> Iterator[tuple[str, Draft]]:
        """All pages, by their paths."""
        self._common["add_command"] = views.remotes()[0].command
        yield self._page("front.html", "index.html", self._front(views, changes))
        yield from self._listed(views)
        for item in views.applications:
            made_of = (item.fingerprint, views.beside(item))
            yield self._page("application.html", views.href(item), partial(views.application, item), made_of)
        for kind, items in (("runtime", views.runtimes), ("extension", views.extensions)):
            if items or kind == "runtime":
                yield from self._rows(views, kind, items)
        shown = tuple(views.changes(changes))
        yield self._page("changes.html", "changes/index.html", {"days": days(shown)})
        yield self._feed(shown[:IN_FEED])
        yield f"{self._prefix}search.json", InMemory(search.render(entries(views)))
        if self._main:
            yield self._page("404.html", "404.html", {})

    def _front(self, views: Views, changes: Sequence[Change]) -> dict[str, object]:
        new = views.new(changes)
        return {
            "new": new,
            "groups": views.groups(ON_FRONT if len(views.applications) <= ON_FRONT else ON_FRONT - len(new)),
            "channels": views.remotes(),
            "applications": len(views.applications),
            "runtimes": len(views.runtimes),
            "extensions": len(views.extensions),
            "filled": bool(views.applications),
        }

    def _listed(self, views: Views) -> Iterator[tuple[str, Draft]]:
        """All applications, and those of each category, page by page."""
        categories = tuple(category for category, _ in views.categories)
        lists: list[tuple[str, ShownCategory | None, Sequence[Item]]] = [("apps", None, views.applications)]
        lists += [(f"categories/{category.id}", category, items) for category, items in views.categories]
        for folder, category, items in lists:
            for path, values, some in _paged(folder, items):
                title = category.name if category else views.say(N_("All applications"))
                own = {**values, "title": title, "category": category, "categories": categories}
                made_of = (own, tuple(item.fingerprint for item in some))
                yield self._page("list.html", path, partial(_with_cards, views, own, some), made_of)

    def _rows(self, views: Views, kind: str, items: Sequence[Item]) -> Iterator[tuple[str, Draft]]:
        for path, values, some in _paged(f"{kind}s", items):
            own = {"kind": kind, "items": tuple(map(views.row, some)), "extensions": len(views.extensions)}
            yield self._page("runtimes.html", path, {**values, **own})

    def _feed(self, entries: tuple[ShownChange, ...]) -> tuple[str, Draft]:
        """The feed. Where nothing ever changed, it says so as of the beginning of time: no clock gets in."""
        values = {
            "feed_id": f"{self._base}{self._prefix}feed.atom",
            "updated": entries[0].time if entries else "1970-01-01T00:00:00Z",
            "entries": entries,
            "base": f"{self._base}{self._prefix}",
        }
        return self._page("feed.xml", "feed.atom", values)

    @property
    def _prefix(self) -> str:
        return self._prefixes[self._language.code]

    def _page(
        self, template: str, path: str, values: Mapping[str, object] | Values, made_of: object = None
    ) -> tuple[str, Draft]:
        """One page; `path` is that in its language.

        What takes a while to put together is given as a function, with what it is `made_of`.
        """
        home, full = "../" * path.count("/"), f"{self._prefix}{path}"
        top = "../" * full.count("/")
        links = tuple(
            LanguageLink(code, self._names[code], f"{top}{prefix}{path}") for code, prefix in self._prefixes.items()
        )
        address = f"{self._base}{full.removesuffix('index.html')}"
        place = {"top": top, "home": home, "languages": links, "canonical": address, "path": path}

        def made() -> bytes:
            given = values() if callable(values) else values
            return self._templates.render(template, {**self._common, **place, **given}).encode("utf-8")

        ingredients = (template, self._shared, path, made_of if callable(values) else values)
        return full, self._memory.page(full, ingredients) or made

    @cached_property
    def _shared(self) -> str:
        """A hash of what all pages of the language have in common."""
        return fingerprint((self._common, self._prefixes, self._names))


def _with_cards(views: Views, values: Mapping[str, object], items: Sequence[Item]) -> Mapping[str, object]:
    return {**values, "cards": tuple(map(views.card, items))}


def _paged(folder: str, items: Sequence[Item]) -> Iterator[tuple[str, dict[str, object], Sequence[Item]]]:
    """The pages of a list: their paths, what they say of themselves, and their items; at least one page."""
    numbers = range(1, max(1, -(-len(items) // A_PAGE)) + 1)
    hrefs = tuple(page_path(folder, number) for number in numbers)
    for number, path in zip(numbers, hrefs, strict=True):
        yield path, {"number": number, "pages": hrefs}, items[(number - 1) * A_PAGE : number * A_PAGE]


def entries(views: Views) -> Iterator[search.Entry]:
    """What can be searched for: all applications, in the order of their list."""
    for item in views.applications:
        card, component = views.card(item), item.component
        # Many know an application by its untranslated name.
        known_as = component.name.get(DEFAULT, "") if card.name.text != component.name.get(DEFAULT) else ""
        yield search.Entry(
            id=item.folder,
            name=card.name.text,
            summary=card.summary.text,
            developer=views.said(component.developer).text,
            keywords=f"{views.said(component.keywords).text} {known_as}".strip(),
            category=views.category_names(item),
            icon=card.icon,
        )
