"""What appdata says about an application, in the languages that are wanted: parsed, checked, safe to show.

The format is AppStream's catalog XML as flatpak puts it into images: a `<components>` root with, as a rule, one
component. What was refused by `reading.fault` never comes here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from builder.appdata import facts, locales, markup, reading, translated
from builder.appdata.locales import Wanted

DEFAULT = locales.DEFAULT
"""The key of what is not translated; by AppStream's rules it is English."""

Texts = Mapping[str, str]
"""A text by language (BCP 47, only those that were wanted), and what is not translated under DEFAULT."""


LINKS = ("homepage", "help", "faq", "bugtracker", "contact", "donation", "translate", "contribute", "vcs-browser")
"""The kinds of links, in the order that components have them in."""

_PARTS = frozenset(
    (
        *("id", "name", "summary", "developer", "developer_name", "description", "keywords", "categories"),
        *("project_license", "url", "screenshots", "releases", "content_rating", "extends"),
    )
)
_SHORT, _LONG = 200, 500  # characters
_SCREENSHOTS, _RELEASES, _OTHERS = 30, 20, 60  # how many at most
_CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_ATTRIBUTE = re.compile(r"[a-z]{1,20}-[a-z]{1,20}")


@dataclass(frozen=True)
class Said:
    """A text in the best language there is for a reader; `language` is for `lang=`, as BCP 47."""

    text: str
    language: str

    def __bool__(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Release:
    """A version. `date` is `YYYY-MM-DD`, or empty; `notes` are HTML of the few harmless elements."""

    version: str
    date: str = ""
    notes: Texts = field(default_factory=dict)
    development: bool = False


@dataclass(frozen=True)
class Screenshot:
    """The largest picture of a screenshot at an http(s) URL; width and height in pixels are 0 where not known."""

    url: str
    caption: Texts = field(default_factory=dict)
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Component:
    """One component. Texts are plain, but for `description`, which is HTML of the few harmless elements.

    `links` are pairs of AppStream's kind (`homepage`, `bugtracker`, ..) and an http(s) URL, in a fixed order;
    `rating` has OARS's attributes that are not `none`, and is None for what was never rated; `extends` has the ids of
    what an add-on extends.
    """

    id: str
    kind: str = ""
    name: Texts = field(default_factory=dict)
    summary: Texts = field(default_factory=dict)
    developer: Texts = field(default_factory=dict)
    description: Texts = field(default_factory=dict)
    keywords: Texts = field(default_factory=dict)
    """Words, separated by spaces."""
    categories: tuple[str, ...] = ()
    license: str = ""
    links: tuple[tuple[str, str], ...] = ()
    screenshots: tuple[Screenshot, ...] = ()
    releases: tuple[Release, ...] = ()
    rating: tuple[tuple[str, str], ...] | None = None
    extends: tuple[str, ...] = ()


def said(texts: Texts, language: str) -> Said:
    """The text for a reader of `language`; what is not translated is English."""
    if texts.get(language):
        return Said(texts[language], language)
    return Said(texts.get(DEFAULT, ""), "en")


def parse(appdata: str, languages: Sequence[str]) -> tuple[Component, ...]:
    """The components of appdata that `reading.fault` found nothing wrong with, with texts in `languages` only.

    Of other appdata there are none.
    """
    return look(appdata, languages)[1]


def look(appdata: str, languages: Sequence[str]) -> tuple[str, tuple[Component, ...]]:
    """What `reading.fault` says and what `parse` gives, from reading the text once instead of twice."""
    wanted = locales.wanted(tuple(languages))
    try:
        root = reading.tree(appdata, _PARTS, wanted)
    except reading.Faulty as faulty:
        return str(faulty), ()
    media = facts.address(root.get("media_baseurl", ""))
    return "", tuple(_component(each, wanted, media) for each in root.iterfind("component"))


def _component(element: Element, wanted: Wanted, media: str) -> Component:
    parts: dict[str, list[Element]] = {part: [] for part in _PARTS}
    for part in element:
        parts[part.tag].append(part)
    developers = [name for developer in parts["developer"] for name in developer.iterfind("name")]
    return Component(
        id=next(filter(None, (facts.identifier("".join(each.itertext())) for each in parts["id"])), ""),
        kind=_kind(element.get("type", "")),
        name=translated.texts(parts["name"], wanted, _SHORT),
        summary=translated.texts(parts["summary"], wanted, _LONG),
        developer=translated.texts(developers or parts["developer_name"], wanted, _SHORT),
        description=translated.descriptions(parts["description"], wanted),
        keywords=translated.words(parts["keywords"], wanted, _LONG),
        categories=tuple(_categories(parts["categories"])),
        license=markup.line(parts["project_license"][0], _SHORT) if parts["project_license"] else "",
        links=tuple(_links(parts["url"])),
        screenshots=tuple(_screenshots(parts["screenshots"], wanted, media)),
        releases=tuple(_releases(parts["releases"], wanted)),
        rating=_rating(parts["content_rating"]),
        extends=tuple(_extends(parts["extends"])),
    )


def _kind(said: str) -> str:
    return "desktop-application" if said == "desktop" else markup.cut(markup.clean(said), 40)


def _categories(elements: Iterable[Element]) -> Iterator[str]:
    found = (markup.line(child, _SHORT) for element in elements for child in element.iterfind("category"))
    return iter(list(dict.fromkeys(filter(_CATEGORY.fullmatch, found)))[:_OTHERS])


def _extends(elements: Iterable[Element]) -> Iterator[str]:
    found = (facts.identifier("".join(element.itertext())) for element in elements)
    return iter(list(dict.fromkeys(filter(None, found)))[:_OTHERS])


def _links(elements: Iterable[Element]) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for element in elements:
        kind, url = element.get("type", ""), facts.address("".join(element.itertext()))
        if url:
            found.setdefault(kind, url)
    return ((kind, found[kind]) for kind in LINKS if kind in found)


def _rating(elements: Sequence[Element]) -> tuple[tuple[str, str], ...] | None:
    """None if nothing was said by the rules of OARS; what is not named there is not in it."""
    for element in elements:
        if element.get("type", "").startswith("oars-"):
            said = {each.get("id", ""): (each.text or "").strip() for each in element.iterfind("content_attribute")}
            found = (
                (attribute, value)
                for attribute, value in said.items()
                if _ATTRIBUTE.fullmatch(attribute) and value in ("mild", "moderate", "intense")
            )
            return tuple(found)[:_OTHERS]
    return None


def _screenshots(elements: Iterable[Element], wanted: Wanted, media: str) -> Iterator[Screenshot]:
    every = [screenshot for element in elements for screenshot in element.iterfind("screenshot")]
    every.sort(key=lambda screenshot: screenshot.get("type") != "default")
    found: dict[str, Screenshot] = {}
    for screenshot in every:
        image = _image(screenshot, media)
        if image is not None and len(found) < _SCREENSHOTS:
            url, width, height = image
            caption = translated.texts(screenshot.findall("caption"), wanted, _LONG)
            found.setdefault(url, Screenshot(url, caption, width, height))
    return iter(found.values())


def _image(screenshot: Element, media: str) -> tuple[str, int, int] | None:
    """URL, width and height of the largest picture; thumbnails count only where nothing else is."""
    found = []
    for image in screenshot.findall("image") or [screenshot]:  # once the URL stood in the screenshot itself
        url = facts.address(image.text or "", media)
        width, height = facts.pixels(image.get("width", "")), facts.pixels(image.get("height", ""))
        if url:
            found.append(
                (
                    image.get("type") != "thumbnail",
                    reading.LANG not in image.attrib,
                    width * height,
                    url,
                    width,
                    height,
                )
            )
    return max(found, key=lambda each: each[:3])[3:] if found else None


def _releases(elements: Iterable[Element], wanted: Wanted) -> Iterator[Release]:
    found = [
        (facts.day(release.get("date", ""), release.get("timestamp", "")), release)
        for element in elements
        for release in element.iterfind("release")
        if release.get("version", "").strip()
    ]
    found.sort(key=lambda each: each[0], reverse=True)  # those of one day stay in their order
    for day, release in found[:_RELEASES]:
        version = markup.cut(markup.clean(release.get("version", "")), 60)
        notes = translated.descriptions(release.findall("description"), wanted)
        yield Release(version, day, notes, release.get("type") == "development")
