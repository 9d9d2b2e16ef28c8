"""Few and many applications, on a host that knows nothing but files, and with no host at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from builder.site.pages.offer import Item
from tests.pages import many
from tests.pages.test_accessible import violations
from tests.real import nu
from tests.real.chromium import Scheme, Watched, window

NUMBER = 700


@dataclass(frozen=True)
class Many:
    """A site of many applications."""

    url: str
    root: Path
    items: tuple[Item, ...]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    items = tuple(many.items(NUMBER))
    root = many.write(tmp_path_factory.mktemp("many"), items)
    with many.served(root) as url:
        yield Many(url, root, items)


@pytest.fixture
def seen(site: Many, browser: Browser) -> Iterator[Watched]:
    with window(browser, site.url) as watched:
        yield watched
        assert watched.elsewhere == []
        assert watched.complaints == []


def test_front_page_shows_sixty_and_is_light(site: Many, seen: Watched) -> None:
    page = seen.open()
    assert page.locator(".card").count() == 60
    below = page.evaluate("[...document.images].filter(each => each.getBoundingClientRect().top > 2 * innerHeight)"
                          ".every(each => each.loading === 'lazy')")  # fmt: skip
    assert below
    expect(page.get_by_role("main")).to_contain_text(f"{NUMBER} applications")
    files = [site.root / "index.html", *site.root.glob("assets/*")]
    assert sum(file.stat().st_size for file in files) < 100_000


def test_lists_have_all_page_by_page(site: Many, browser: Browser) -> None:
    """Without JavaScript: every application can be reached."""
    found: list[str] = []
    with window(browser, site.url, script=False) as watched:
        page = watched.open("apps/index.html")
        for _ in range(NUMBER // 60 + 1):
            found += [
                link.split("/")[-2] for link in page.locator(".card").evaluate_all("all => all.map(each => each.href)")
            ]
            onward = page.get_by_role("link", name="Next page")
            if not onward.count():
                break
            onward.click()
        assert page.get_by_role("navigation", name="Pages").locator("[aria-current=page]").inner_text() == "12"
        page.get_by_role("link", name="Page 11").click()
        page.get_by_role("link", name="Previous page").click()
        assert page.get_by_role("navigation", name="Pages").locator("[aria-current=page]").inner_text() == "10"
    assert sorted(found) == sorted(item.id for item in site.items)


def test_lists_are_valid_and_accessible(site: Many, seen: Watched) -> None:
    assert (
        nu.complaints(
            [site.root / "index.html", *site.root.glob("apps/index.html"), *site.root.glob("apps/*/index.html")][:40]
        )
        == []
    )
    for _ in range(2):
        page = seen.open("apps/index.html")
        page.get_by_role("link", name="Next page").click()
        assert violations(page) == []
        page.set_viewport_size({"width": 320, "height": 640})
        assert seen.overflow() == 0


def test_nothing_to_offer(browser: Browser, tmp_path: Path) -> None:
    root = many.write(tmp_path, ())
    assert nu.complaints(sorted(root.rglob("*.html"))) == []
    with many.served(root) as url, window(browser, url) as watched:
        page = watched.open()
        expect(page.get_by_role("main")).to_contain_text("Nothing here yet")
        expect(page.locator("#add")).to_contain_text("flatpak remote-add")
        for path in ("index.html", "apps/index.html", "runtimes/index.html", "changes/index.html"):
            assert violations(watched.open(path)) == []
        page.locator("#q").fill("anything")
        expect(page.locator("#count")).to_contain_text("Nothing matches")
        assert watched.elsewhere == watched.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("accent", ["#ffff00", "#000000", "#ffffff", "#ff69b4", "#808080"])
def test_any_accent_can_be_read(browser: Browser, tmp_path: Path, accent: str, scheme: Scheme) -> None:
    offered = list(many.items(20))
    root = many.write(tmp_path, offered, f'theme: {{accent: "{accent}"}}\n')
    with many.served(root) as url, window(browser, url, scheme=scheme) as watched:
        for path in ("index.html", "apps/index.html", f"apps/{offered[0].id}/index.html"):
            assert violations(watched.open(path)) == []


def test_files_alone_can_be_read(site: Many, browser: Browser) -> None:
    """As from a USB stick: links name files, and the look is there; only the search can't be."""
    with window(browser, f"{site.root.as_uri()}/") as watched:
        page = watched.open()
        assert page.locator(".card").first.evaluate("each => getComputedStyle(each).display") == "flex"
        page.get_by_role("link", name="Applications", exact=True).click()
        page.locator(".card").first.click()
        expect(page.get_by_role("link", name="Install", exact=True)).to_be_visible()
        page.locator("#q").fill("chess")
        expect(page.locator("#count")).to_contain_text("couldn’t be loaded")
        assert watched.elsewhere == []
