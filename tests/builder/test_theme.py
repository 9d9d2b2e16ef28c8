"""Colours: whatever a site chooses can be read, on light and on dark."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builder.site.pages.theme import DARK_GROUND, LIGHT_GROUND, colours, contrast

AA = 4.5


@given(st.integers(0, 0xFFFFFF))
def test_every_accent_becomes_readable(number: int) -> None:
    found = colours(f"#{number:06x}")
    assert contrast(found.light_accent, LIGHT_GROUND) >= AA
    assert contrast(found.dark_accent, DARK_GROUND) >= AA
    assert contrast(found.light_on_accent, found.light_accent) >= AA
    assert contrast(found.dark_on_accent, found.dark_accent) >= AA


def test_a_readable_accent_stays_as_it_is_on_its_ground() -> None:
    assert colours("#1c66d4").light_accent == "#1c66d4"


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48
