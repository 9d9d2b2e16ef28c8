"""Search as you type over many applications, in Chromium; and what the front page weighs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import expect

from bench.measure import Row
from tests.pages import many
from tests.real.chromium import chromium, window

_TYPED = ("photo editor", "music player", "terminal", "calendar notes", "network monitor", "chess", "spreadsheet")
_SLIPS = ("phtoo", "mussic plaeyr", "termnial", "calnedar", "spreedshet", "netwrok monitro", "translaton", "dictonary")
# Answers within this much seem immediate, and typing never waits.
_AT_MOST = 50.0  # milliseconds
_LIGHT = 100.0  # kB
_TIMES = 5  # each key press; its median counts

# What a key press costs: the search, the list of results, and its layout.
_PRESS = """text => {
  const field = document.getElementById("q"), started = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input"));
  document.getElementById("found").getBoundingClientRect();
  return performance.now() - started;
}"""


def rows(folder: Path, applications: int) -> Iterator[Row]:
    """The front page's weight without icons, and how long answers take."""
    root = many.write(folder, many.items(applications))
    yield _weight(root, applications)
    with many.served(root) as url, chromium() as browser, window(browser, url) as watched:
        page = watched.open()
        started = page.evaluate("performance.now()")
        page.locator("#q").fill("a")
        expect(page.locator("#count")).to_contain_text("Results", timeout=30_000)
        first = page.evaluate("started => performance.now() - started", started)
        times = {text: statistics.median(page.evaluate(_PRESS, text) for _ in range(_TIMES)) for text in _presses()}
    worst = max(times, key=lambda text: times[text])
    what = f"search, {applications} applications"
    detail = f"{len(times)} key presses; the very first answer after {first:.0f} ms"
    yield Row(f"{what}, median", statistics.median(times.values()), "ms", _AT_MOST, detail)
    yield Row(f"{what}, worst", times[worst], "ms", _AT_MOST, repr(worst))


def _presses() -> list[str]:
    """Every state of the field while these are typed."""
    return [text[:length] for text in (*_TYPED, *_SLIPS) for length in range(1, len(text) + 1)]


def _weight(root: Path, applications: int) -> Row:
    sizes = {file.suffix[1:]: file.stat().st_size / 1000 for file in (root / "index.html", *root.glob("assets/*"))}
    detail = ", ".join(f"{suffix} {size:.1f}" for suffix, size in sizes.items())
    return Row(f"front page, {applications} applications", sum(sizes.values()), "kB", _LIGHT, detail)
