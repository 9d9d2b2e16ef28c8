"""What people do on the pages, done in Chromium: add the remote, look for an application, open it, install it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages import shop
from tests.pages.conftest import Shop, check
from tests.real.chromium import Scheme, Watched, window

KINDS = {
    "front": "index.html",
    "applications": "apps/index.html",
    "category": "categories/games/index.html",
    "application": f"apps/{shop.SKETCH}/index.html",
    "hostile": f"apps/{shop.HOSTILE}/index.html",
    "end-of-life": f"apps/{shop.OLD}/index.html",
    "bare": f"apps/{shop.BARE}/index.html",
    "long": f"apps/{shop.LONG}/index.html",
    "hebrew": f"apps/{shop.HEBREW}/index.html",
    "runtimes": "runtimes/index.html",
    "extensions": "extensions/index.html",
    "changes": "changes/index.html",
    "german": f"de/apps/{shop.SKETCH}/index.html",
    "arabic-front": "ar/index.html",
    "arabic": f"ar/apps/{shop.ARABIC}/index.html",
    "not-found": "404.html",
}
"""One page of each kind, and some that are hard to get right; by the name of its picture."""

each_kind = pytest.mark.parametrize("path", KINDS.values(), ids=KINDS)


def named(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_front_page_tells_how_to_add_the_remote(seen: Watched, site: Shop) -> None:
    page = seen.open()
    line = f"flatpak remote-add --if-not-exists example {site.url}example.flatpakrepo"
    expect(page.locator("#add")).to_have_text(line)
    page.get_by_role("button", name="Copy").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == line
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Add to software centre").click()
    assert download.value.suggested_filename == "example.flatpakrepo"
    assert f"Url=oci+{site.url}" in Path(download.value.path()).read_text()


def test_install_button_gets_the_flatpakref(seen: Watched, site: Shop) -> None:
    page = seen.open()
    page.get_by_role("link", name="Sketchbook").first.click()
    named(page, "Sketchbook")
    with page.expect_download() as download:
        page.get_by_role("link", name="Install", exact=True).click()
    text = Path(download.value.path()).read_text()
    assert download.value.suggested_filename.endswith(".flatpakref")
    assert f"Name={shop.SKETCH}\n" in text
    assert f"Url=oci+{site.url}" in text


def test_page_of_an_application_tells_all(seen: Watched) -> None:
    page = seen.open(KINDS["application"])
    main = page.get_by_role("main")
    for text in (
        "Draw without thinking twice",
        "by The Sketchbook makers",
        "chalk, ink and watercolour",
        "Version 4.8.0",
    ):
        expect(main).to_contain_text(text)
    for text in (
        "GPL-3.0-or-later",
        "Example Platform",
        "Undo reaches further back.",
        "June 20, 2026",
        "123 MB",
        "309 MB",
    ):
        expect(main).to_contain_text(text)
    expect(page.get_by_role("link", name="Report a problem")).to_have_attribute(
        "href", "https://example.org/sketchbook/issues"
    )
    expect(page.get_by_role("table")).to_have_count(2)
    expect(page.get_by_role("table").first.get_by_role("row")).to_have_count(3)
    expect(page.locator(".permissions .risky").first).to_contain_text("home folder")
    page.get_by_text("Earlier releases").click()
    expect(page.get_by_text("Version 4.1.0")).to_be_visible()
    pictures = page.get_by_role("img", name=re.compile("Screenshot"))
    expect(pictures).to_have_count(3)
    assert pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    page.locator(".digest summary").first.click()
    expect(page.locator(".digest code").nth(1)).to_contain_text(re.compile("@sha256:[0-9a-f]{64}$"))


def test_end_of_life_leads_to_what_came_after(seen: Watched) -> None:
    page = seen.open(KINDS["end-of-life"])
    note = page.get_by_role("note")
    expect(note).to_contain_text("<b>Sketchbook</b> does the same")
    note.get_by_role("link", name=shop.SKETCH).click()
    named(page, "Sketchbook")


def test_runtimes_and_extensions_have_pages_of_their_own(seen: Watched) -> None:
    page = seen.open(KINDS["application"])
    page.get_by_role("link", name="Example Platform stable").click()
    named(page, "Runtimes")
    assert page.url.endswith(f"#{shop.RUNTIME}")
    expect(page.get_by_role("main")).to_contain_text(f"flatpak install example {shop.RUNTIME}//stable")
    expect(page.get_by_role("main")).to_contain_text("612 MB")
    page.get_by_role("link", name="1 extension").click()
    named(page, "Extensions")
    expect(page.get_by_role("main")).to_contain_text("No longer maintained The platform has them now")


@each_kind
def test_hostile_texts_stay_texts(seen: Watched, path: str) -> None:
    """Also: on every kind of page, at every width that people have, nothing is wider than the window."""
    page = seen.open(path)
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert (
        page.locator("main script, main style, main iframe, main object, [onerror], [onclick], [onmouseover]").count()
        == 0
    )
    assert page.locator("a[href^='javascript:' i]").count() == 0
    for width in (320, 390, 768, 1024, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert seen.overflow() == 0, f"{width} pixels"


def test_hostile_name_is_shown_as_it_is(seen: Watched) -> None:
    named(seen.open(KINDS["hostile"]), shop.HOSTILE_NAME)


def test_texts_of_two_directions(seen: Watched) -> None:
    page = seen.open(KINDS["arabic"])
    assert page.evaluate("getComputedStyle(document.documentElement).direction") == "rtl"
    page = seen.open(KINDS["hebrew"])
    heading = page.get_by_role("heading", level=1)
    assert heading.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert page.evaluate("getComputedStyle(document.documentElement).direction") == "ltr"


def test_languages_lead_to_the_same_page(seen: Watched) -> None:
    page = seen.open(KINDS["application"])
    page.locator(".languages summary").click()
    page.get_by_role("link", name="Deutsch").click()
    assert page.url.endswith(f"/deep/shop/de/apps/{shop.SKETCH}/index.html")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("main")).to_contain_text("Zeichnen, ohne lange zu überlegen")
    expect(page.get_by_role("main")).to_contain_text("20. Juni 2026")


def test_changes_tell_what_came_went_and_was_updated(seen: Watched) -> None:
    page = seen.open(KINDS["changes"])
    rows = {row.split("\n")[0] for row in page.get_by_role("main").get_by_role("listitem").all_inner_texts()}
    assert {"New", "Updated", "Gone"} <= {next(iter(row.split()), "") for row in rows}
    expect(page.get_by_role("main")).to_contain_text("Gone <b>soon</b>")
    expect(page.get_by_role("main")).to_contain_text("4.7.9 to 4.8.0")
    page.get_by_role("link", name="Sketchbook").first.click()
    named(page, "Sketchbook")


def test_dark_where_the_system_is_dark(site: Shop, browser: Browser) -> None:
    grounds = {}
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        with window(browser, site.url, scheme=scheme) as watched:
            watched.open()
            ground = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds[scheme] = sum(map(int, re.findall(r"\d+", ground)[:3]))
            check(watched)
    assert grounds["dark"] < 150 < 700 < grounds["light"]


def test_all_of_it_works_without_javascript(site: Shop, browser: Browser) -> None:
    with window(browser, site.url, script=False) as watched:
        page = watched.open()
        assert not page.locator("#search").is_visible()
        assert page.get_by_role("button").count() == 0
        page.get_by_role("link", name="Applications", exact=True).click()
        page.get_by_role("link", name=re.compile("^Games")).click()
        named(page, "Games")
        page.get_by_role("link", name="Chess").click()
        named(page, "Chess")
        page.locator(".digest summary").first.click()
        assert page.locator(".digest > code").first.is_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Install", exact=True).click()
        assert download.value.suggested_filename.endswith(".flatpakref")
        check(watched)


def test_phone(site: Shop, browser: Browser) -> None:
    with window(browser, site.url, size=(360, 740), touch=True) as watched:
        page = watched.open()
        page.get_by_label("Search applications").tap()
        page.keyboard.type("sketch")
        page.locator("#results a").first.tap()
        named(page, "Sketchbook")
        button = page.get_by_role("link", name="Install", exact=True).bounding_box()
        assert button is not None
        assert button["height"] >= 44  # to be hit with a thumb
        assert button["y"] + button["height"] < 740  # without scrolling
        assert watched.overflow() == 0
        check(watched)


def test_keyboard_alone(seen: Watched) -> None:
    page = seen.open()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert page.get_by_role("link", name="Skip to the content").is_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.get_by_label("Search applications").focus()
    page.keyboard.type("skethc")
    expect(page.locator("#count")).to_have_text("Results: 1")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results a").first).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Search applications")).to_be_focused()
    page.keyboard.press("Escape")
    assert not page.locator("#found").is_visible()
    page.keyboard.type("")
    page.keyboard.press("End")
    page.keyboard.press("Backspace")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    named(page, "Sketchbook")
