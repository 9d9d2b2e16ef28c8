"""Chromium without a screen, watched: what it asks of whom, and what it complains about."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.real.process import find, unavailable

# As root it can't have its sandbox; all else keeps it from talking to anybody by itself.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
DESKTOP = (1280, 900)
PHONE = (360, 780)

Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium with a new profile, gone when the block ends."""
    program = find("chromium") or find("chromium-browser") or find("google-chrome")
    if program is None:
        unavailable("not installed: chromium")
    # Chromium puts a socket below TMPDIR, and a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="c-") as folder, sync_playwright() as playwright:
        environment: dict[str, str | float | bool] = {**os.environ, "TMPDIR": folder}
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS), env=environment)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A window of its own, with all that it asked for and all that was wrong in it."""

    context: BrowserContext
    page: Page
    home: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def elsewhere(self) -> list[str]:
        """What was asked of another host than that of `home`."""
        return [url for url in self.asked if urlsplit(url).netloc != urlsplit(self.home).netloc]

    def open(self, path: str = "index.html") -> Page:
        """Goes to a page of the site, by its path from `home`."""
        self.page.goto(self.home + path)
        return self.page

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextmanager
def window(
    browser: Browser,
    home: str,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: Scheme = "light",
    script: bool = True,
    **more: bool,
) -> Iterator[Watched]:
    """A window on the site at `home`, without what earlier ones kept; `script` False: without JavaScript."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        java_script_enabled=script,
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
        has_touch=more.get("touch", False),
    )
    try:
        watched = Watched(context, context.new_page(), home)
        _watch(watched)
        yield watched
    finally:
        context.close()


def _watch(watched: Watched) -> None:
    def asks(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            watched.asked.append(request.url)

    def says(message: ConsoleMessage) -> None:
        # Chromium reports violations of a Content Security Policy and what could not be loaded as errors.
        if message.type in ("error", "warning"):
            watched.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    watched.context.on("request", asks)
    watched.page.on("console", says)
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
