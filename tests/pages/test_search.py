"""Search as you type, in Chromium: what is found, in which order, and that it can be linked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages import shop
from tests.pages.conftest import Shop
from tests.real.chromium import Watched


def found(page: Page, text: str) -> list[str]:
    """The names of what is found, in their order."""
    page.get_by_label("Search applications").fill(text)
    expect(page.locator("#count")).to_contain_text(re.compile("Results|Nothing"))
    return page.locator("#results strong").all_inner_texts()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        pytest.param("ske", "Sketchbook", id="prefix"),
        pytest.param("SKETCHBOOK", "Sketchbook", id="capitals"),
        pytest.param("think draw", "Sketchbook", id="several words"),
        pytest.param("illustr", "Sketchbook", id="keyword"),
        pytest.param("makers", "Sketchbook", id="developer"),
        pytest.param("skechbook", "Sketchbook", id="a letter too few"),
        pytest.param("sketcchbook", "Sketchbook", id="a letter too many"),
        pytest.param("sketvhbook", "Sketchbook", id="another letter"),
        pytest.param("ksetchbook", "Sketchbook", id="two changed places"),
        pytest.param("sletchbokk", "Sketchbook", id="two slips in a long word"),
        pytest.param("mabs", "Maps", id="a slip in a short word"),
        pytest.param("msuic", "Musicbox", id="a slip in a beginning"),
        pytest.param("elektrizitaten", "Donaudampf", id="a part of a compound"),
        pytest.param("donaudampfschifffahrtselektrizitaten", "Donaudampf", id="no accents"),
        pytest.param("النصوص", "محرر النصوص", id="arabic"),
        pytest.param("יומן", "יומן (Diary)", id="hebrew"),
        pytest.param("板", "画板", id="writing without spaces"),
        pytest.param("<script>", shop.HOSTILE_NAME, id="markup"),
        pytest.param("org.example.Bare", "org.example.Bare", id="id"),
        pytest.param("🎲 dice", "🎲 Dice 🦊", id="emoji"),
        pytest.param("mab", "", id="no slips in three letters"),
        pytest.param("sketchbook chess", "", id="all words have to be there"),
    ],
)
def test_finds(seen: Watched, text: str, first: str) -> None:
    names = found(seen.open(), text)
    assert names[0].startswith(first) if first else not names, names


def test_names_come_before_other_words(seen: Watched) -> None:
    """`letters` is a name, and a word in the summary of the same; `play` is in summaries only."""
    page = seen.open()
    assert found(page, "paint") == ["Old Paint", "Sketchbook"]  # a name, then a keyword
    assert found(page, "draw")[:2] == ["Sketchbook", "Old Paint"]  # a keyword, then a summary
    assert set(found(page, "play")) >= {"Chess", "Musicbox"}


def test_nothing_found_is_said(seen: Watched) -> None:
    page = seen.open()
    assert found(page, "qqqqqqqq") == []
    expect(page.get_by_role("status").first).to_contain_text("Nothing matches")


def test_a_search_can_be_linked_and_come_back_to(seen: Watched) -> None:
    page = seen.open("index.html?q=chess")
    expect(page.locator("#results strong")).to_have_text(["Chess"])
    found(page, "maps & more")
    assert page.url.endswith("#q=maps%20%26%20more")
    found(page, "maps")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Maps")
    page.go_back()
    expect(page.get_by_label("Search applications")).to_have_value("maps")
    expect(page.locator("#results strong")).to_have_text(["Maps"])


def test_found_from_deep_pages_in_the_page_s_language(seen: Watched) -> None:
    page = seen.open(f"de/apps/{shop.CHINESE}/index.html")
    page.locator("#q").fill("zeichnen")
    expect(page.locator("#results strong")).to_have_text(["Sketchbook"])
    icon = page.locator("#results img").first
    assert icon.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/deep/shop/de/apps/{shop.SKETCH}/index.html*")


def test_the_index_is_read_when_it_is_needed_and_once(seen: Watched) -> None:
    held: list[Route] = []
    seen.page.route("**/search.json.gz", lambda route: held.append(route))
    page = seen.open()
    assert held == []
    page.locator("#q").press_sequentially("ske")
    expect(page.locator("#count")).to_have_text("Loading …")
    assert len(held) == 1  # typing went on while it was on its way
    held[0].continue_()
    expect(page.locator("#results strong")).to_have_text(["Sketchbook"])
    found(page, "chess")
    assert len(held) == 1


def test_what_is_wrong_with_the_index_is_said(site: Shop, seen: Watched) -> None:
    seen.page.route("**/search.json*", lambda route: route.abort())
    page = seen.open()
    page.locator("#q").fill("chess")
    expect(page.locator("#count")).to_contain_text("couldn’t be loaded")
    seen.complaints.clear()  # that the file could not be loaded
    page.unroute("**/search.json*")
    assert found(page, "ches") == ["Chess"]
