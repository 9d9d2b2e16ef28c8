"""That pages are what they say they are: valid HTML and CSS, links that lead somewhere, a feed that readers take."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import feedparser
import pytest

from tests.e2e.site import get
from tests.pages import shop
from tests.pages.conftest import Shop
from tests.real import nu

ATOM = "{http://www.w3.org/2005/Atom}"
OUTSIDE = {"example.org", "spdx.org"}
"""The hosts that the shop's own texts link to."""


@dataclass
class Parsed(HTMLParser):
    """A page's links, with the tags that have them, and its ids."""

    text: str
    links: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "data-index") and value is not None:
                self.links.append((tag, value))
            if name == "id" and value:
                self.ids.append(value)
        if tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))


def test_html_and_css_are_valid(site: Shop) -> None:
    assert nu.complaints([*site.html, *site.root.resolve().glob("assets/*.css")]) == []


def test_checker_finds_faults(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<!DOCTYPE html><html lang=en><title>t</title><p><div>a</div></p><img src=x><i id=a></i><i id=a></i>"
    )
    found = " ".join(nu.complaints([page]))
    assert "No “p” element in scope" in found or "No p element in scope" in found
    assert "Duplicate ID" in found


def test_headings_go_down_by_one(site: Shop) -> None:
    for file in site.html:
        levels = Parsed(file.read_text()).headings
        assert levels.count(1) == 1, file
        assert levels[0] == 1, file
        assert all(after - before <= 1 for before, after in pairwise(levels)), (file, levels)


def test_all_links_lead_somewhere(site: Shop) -> None:
    """Those to the site itself, to its pages' parts too; relative ones name a file, so that any host can serve them."""
    root = site.root.resolve()
    pages = {file.relative_to(root).as_posix(): Parsed(file.read_text()) for file in site.html}
    wanted: dict[str, set[str]] = {}
    for path, page in pages.items():
        for tag, link in page.links:
            address = urljoin(site.url + path, link)
            if not address.startswith(site.url):
                assert tag == "a", f"{path} takes {address} from elsewhere"
                assert urlsplit(address).hostname in OUTSIDE, f"{path} links to {address}"
                continue
            target = unquote(urlsplit(address).path.removeprefix(urlsplit(site.url).path))
            if not urlsplit(link).scheme:
                assert (root / (target or path)).is_file(), f"{path} links to {link}"
            wanted.setdefault(address.partition("#")[0], set()).add(path)
            if part := urlsplit(address).fragment:
                assert unquote(part) in pages[target].ids, f"{path} links to {link}"
    assert len(wanted) > 100
    for address, where in wanted.items():
        assert get(address).status == 200, f"{address} in {sorted(where)}"


def test_every_page_is_linked(site: Shop) -> None:
    """From the front page, step by step."""
    root = site.root.resolve()
    found, left = set[str](), ["index.html"]
    while left:
        path = left.pop()
        if path in found or not path.endswith(".html"):
            continue
        found.add(path)
        page = Parsed((root / path).read_text())
        links = (urljoin(site.url + path, link) for tag, link in page.links if tag == "a")
        left += [
            urlsplit(link).path.removeprefix(urlsplit(site.url).path) for link in links if link.startswith(site.url)
        ]
    assert {file.relative_to(root).as_posix() for file in site.html} - found == {"404.html"}


def test_no_id_stands_twice(site: Shop) -> None:
    for file in site.html:
        ids = Parsed(file.read_text()).ids
        assert len(ids) == len(set(ids)), file


@pytest.mark.parametrize("folder", ["", "de/"])
def test_feed_is_taken_by_readers(site: Shop, folder: str) -> None:
    answer = get(f"{site.url}{folder}feed.atom")
    assert answer.headers["content-type"].partition(";")[0] == "application/atom+xml"
    feed = feedparser.parse(answer.body)
    assert not feed.bozo
    assert feed.version == "atom10"
    assert feed.feed.title == "Example Flatpaks"
    assert feed.feed.language == (folder.strip("/") or "en")
    titles = " ".join(entry.title for entry in feed.entries)
    assert "Sketchbook" in titles
    assert all(entry.published_parsed if "published" in entry else entry.updated_parsed for entry in feed.entries)
    assert all(get(entry.link).status == 200 for entry in feed.entries)


def test_feed_keeps_the_rules_of_its_standard(site: Shop) -> None:
    """RFC 4287: what has to be there once, what has to be unlike, what has to be a time or an absolute address."""
    feed = ET.fromstring((site.root / "feed.atom").read_bytes())  # noqa: S314 - our own
    assert feed.tag == f"{ATOM}feed"
    assert [link.get("href") for link in feed.findall(f"{ATOM}link[@rel='self']")] == [f"{site.url}feed.atom"]
    assert len(feed.findall(f"{ATOM}author/{ATOM}name")) == 1
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) >= 3
    for element in (feed, *entries):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
            assert (element.findtext(f"{ATOM}{name}") or "").strip()
        assert urlsplit(element.findtext(f"{ATOM}id")).scheme
        assert datetime.fromisoformat(element.findtext(f"{ATOM}updated") or "").tzinfo
        assert len(element.findall(f"{ATOM}link[@rel='alternate']")) == 1
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(ids) == len(set(ids))
    times = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
    assert times == sorted(times, reverse=True)
    assert feed.findtext(f"{ATOM}updated") == times[0]
    titles = [entry.findtext(f"{ATOM}title") or "" for entry in entries]
    assert any(shop.HOSTILE_NAME in title for title in titles)  # a plain text, though it looks like markup


def _tokens(csp: str) -> Iterator[tuple[str, list[str]]]:
    for directive in csp.split(";"):
        name, *values = directive.split()
        yield name, values


def test_every_page_forbids_what_it_does_not_need(site: Shop) -> None:
    """By a header, and by the page itself for hosts that send no headers."""
    for file in site.html:
        text = file.read_text()
        start = text.index('http-equiv="Content-Security-Policy" content="')
        csp = text[start:].split('"')[3].replace("&#39;", "'")
        assert text.index("<meta charset") < start < text.index("<title>")
        allowed = dict(_tokens(csp))
        assert allowed["default-src"] == ["'none'"]
        assert all(value in ("'none'", "'self'") for values in allowed.values() for value in values)
    header = get(f"{site.url}index.html").headers["content-security-policy"]
    assert dict(_tokens(header))["frame-ancestors"] == ["'none'"]


def test_front_page_is_light(site: Shop) -> None:
    """All that it needs but icons: at most 100 kB."""
    root = site.root.resolve()
    needed = [root / "index.html", *root.glob("assets/*.css"), *root.glob("assets/*.js"), *root.glob("assets/*.svg")]
    assert sum(file.stat().st_size for file in needed) < 100_000
