"""The colours of the pages, from the one that a site chooses: readable in light and dark, whatever it is."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

# The least favourable of the grounds in site.css that an accent is ever read on.
LIGHT_GROUND = "#f4f4f6"
DARK_GROUND = "#29292e"
_ENOUGH = 4.7  # WCAG AA asks for 4.5; a little more, since grounds are not all pure
_STEP = 0.02

_Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Colours:
    """The accent on a light and on a dark ground, and what is readable on it; all as `#rrggbb`."""

    light_accent: str
    light_on_accent: str
    dark_accent: str
    dark_on_accent: str


def colours(accent: str) -> Colours:
    """The nearest shades of `accent` that are readable as text on both grounds."""
    light = _readable(accent, LIGHT_GROUND, -_STEP)
    dark = _readable(accent, DARK_GROUND, _STEP)
    return Colours(light, _on(light), dark, _on(dark))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21, by WCAG 2."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _readable(accent: str, ground: str, step: float) -> str:
    """`accent`, made lighter or darker by steps until it is readable on the ground, and black or white on it."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_parsed(accent))
    found = accent.lower()
    while contrast(found, ground) < _ENOUGH or contrast(found, _on(found)) < _ENOUGH:
        lightness += step
        if not 0 <= lightness <= 1:
            return "#000000" if step < 0 else "#ffffff"
        found = _written(colorsys.hls_to_rgb(hue, lightness, saturation))
    return found


def _on(colour: str) -> str:
    return max(("#ffffff", "#000000"), key=lambda each: contrast(colour, each))


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parsed(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parsed(colour: str) -> _Colour:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _written(colour: _Colour) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)
