"""The shop, made by the real command in two steps so that there are changes, and served by Apache; and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.builder.helpers import Answer, scripted
from tests.e2e.site import Flatdex
from tests.pages import shop
from tests.real.apache import Apache
from tests.real.chromium import Watched, chromium, window
from tests.real.files import readable_folder, remove

expect.set_options(timeout=30_000)  # a busy machine is not a failure

CONFIG = """
store: ./store
remote:
  name: example
  title: Example Flatpaks
  url: "{url}"
  comment: Free applications for calm desktops
  description: Made with care, and served from plain files.
  homepage: https://example.org/
languages: [en, de, ar]
screenshots: {{mode: mirror, hosts: ["127.0.0.1"]}}
theme: {{links: {{Help: "https://example.org/help"}}, footer: "Served from plain files."}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  defaults: {{architectures: [amd64, arm64], extract_icons: true, max_shrink: 100%}}
  stable: {{tags: [latest]}}
  beta: {{tags: [beta]}}
"""


@dataclass(frozen=True)
class Shop:
    """A site that is served: its URL, and its files."""

    url: str
    root: Path

    @property
    def html(self) -> list[Path]:
        """All of its pages."""
        return sorted(self.root.resolve().rglob("*.html"))


@pytest.fixture(scope="session")
def site() -> Iterator[Shop]:
    """The shop below a path of its own, after one application came, one went and one was updated."""
    with readable_folder() as folder, scripted(_pictures) as pictures:
        root = folder / "site" / "store" / "current"
        root.parent.mkdir(parents=True)
        with Apache(folder / "apache", root, mount="/deep/shop/") as apache:
            flatdex = Flatdex(folder / "site", CONFIG.format(url=apache.url))
            images = folder / "site" / "images"
            shop.write(images, _before(pictures.url + "/"))
            flatdex.run("publish")
            remove(images)
            shop.write(images, shop.apps(pictures.url + "/"))
            flatdex.run("publish")
            yield Shop(apache.url, root)


def _before(pictures: str) -> Iterator[shop.App]:
    """The shop as it was: with one that goes, without one that comes, and with an older version."""
    for app in shop.apps(pictures):
        if app.id == shop.SKETCH:
            yield replace(app, appdata=app.appdata.replace("4.8.0", "4.7.9"))
        elif app.id != shop.HOSTILE:
            yield app
    yield shop.App("org.example.Gone", shop.component("org.example.Gone", "Gone <b>soon</b>", "It was here"), 0.5)


def _pictures(path: str) -> Answer | None:
    number = path.removeprefix("/shot").removesuffix(".png")
    if not number.isdecimal():
        return Answer(b"", 404)
    return Answer(shop.picture(int(number)), headers={"Content-Type": "image/png"})


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a process; each test has a window of its own."""
    with chromium() as running:
        yield running


@pytest.fixture
def seen(site: Shop, browser: Browser) -> Iterator[Watched]:
    """A window on the shop. Whatever a test does in it: no other host is asked, and nothing is complained about."""
    with window(browser, site.url) as watched:
        yield watched
        check(watched)


def check(watched: Watched) -> None:
    """That a window asked no other host, and that Chromium found nothing to complain about."""
    assert watched.elsewhere == []
    assert watched.complaints == []
    assert all(urlsplit(url).path.startswith("/deep/shop/") for url in watched.asked)
