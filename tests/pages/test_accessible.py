"""axe-core on every kind of page, in light and dark; and pictures of each, to be looked at."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import Shop, check
from tests.pages.test_browser import KINDS, each_kind
from tests.real.chromium import DESKTOP, PHONE, Scheme, window
from tests.real.process import unavailable

AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = Path("build/pages")


@cache
def _axe() -> str:
    if not AXE.is_file():
        unavailable(f"not installed: {AXE.name}")
    return AXE.read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong: rule, what it means, and where."""
    page.evaluate(_axe())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def open_all(page: Page) -> None:
    """Shows all that pages fold away."""
    page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true; })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@each_kind
def test_no_violation(site: Shop, browser: Browser, path: str, scheme: Scheme) -> None:
    with window(browser, site.url, scheme=scheme) as watched:
        page = watched.open(path)
        open_all(page)
        assert violations(page) == []
        if scheme == "light":
            page.set_viewport_size({"width": 320, "height": 640})
            assert violations(page) == []
        assert watched.overflow() == 0
        check(watched)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_while_searching(site: Shop, browser: Browser, scheme: Scheme) -> None:
    with window(browser, site.url, scheme=scheme) as watched:
        page = watched.open("index.html?q=a")
        expect(page.locator("#results a").first).to_be_visible()
        assert violations(page) == []
        check(watched)


def test_axe_finds_violations(site: Shop, browser: Browser) -> None:
    with window(browser, site.url) as watched:
        page = watched.open()
        page.evaluate("document.documentElement.removeAttribute('lang')")
        page.evaluate("document.querySelector('h1').style.color = '#ddd'")
        found = " ".join(violations(page))
        assert "html-has-lang" in found


@pytest.mark.parametrize(
    ("name", "scheme", "size"),
    [("light", "light", DESKTOP), ("dark", "dark", DESKTOP), ("phone", "light", PHONE)],
)
def test_pictures(site: Shop, browser: Browser, name: str, scheme: Scheme, size: tuple[int, int]) -> None:
    """Kept under build/pages/: whether pages are beautiful is for people to say."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = {**KINDS, "search": "index.html?q=sk"}
    with window(browser, site.url, scheme=scheme, size=size) as watched:
        for kind, path in pages.items():
            page = watched.open(path)
            if kind == "search":
                expect(page.locator("#results a").first).to_be_visible()
            _load_all(page)
            page.screenshot(path=PICTURES / f"{kind}-{name}.png", full_page=True)
        check(watched)
    assert all((PICTURES / f"{kind}-{name}.png").stat().st_size > 5_000 for kind in pages)


def _load_all(page: Page) -> None:
    """Waits for all icons and screenshots, those below the fold too."""
    loaded = "each => { each.loading = 'eager'; return each.decode().catch(() => 0); }"
    page.evaluate(f"Promise.all([...document.images].map({loaded}))")
