"""Applications with appdata, for tests of the pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.catalog import Catalog, Image, collected
from builder.config import Config
from builder.content import Content, InMemory, Joined
from builder.site.tree import Site, Surroundings, site
from tests.builder.helpers import digest, flatpak_labels, icon_uri, image, loaded

CONFIG = """\
store: ./store
remote: {name: example, title: Example, url: "https://example.org/flatpaks/"}
sources:
  main: {registry: "http://127.0.0.1:5000"}
indexes:
  stable: {tags: [latest], architectures: [amd64, arm64]}
"""
TWO_TAGS = CONFIG + "  beta: {tags: [testing]}\n"


def config(folder: Path, more: str = "", text: str = CONFIG) -> Config:
    """A configuration with pages."""
    return loaded(folder, text + more)


def appdata(
    identifier: str, name: str = "", more: str = "", version: str = "1.0", kind: str = "desktop-application"
) -> str:
    """Appdata as flatpak puts it into an image; `more` are elements of the component."""
    releases = f'<releases><release version="{version}" date="2026-01-01"/></releases>' if version else ""
    return (
        f'<components version="0.8"><component type="{kind}"><id>{identifier}</id>'
        f"<name>{name or identifier}</name><summary>What {name or 'it'} is for</summary>"
        f"{more}{releases}</component></components>"
    )


def app(
    name: str = "Hello",
    *,
    arch: str = "x86_64",
    branch: str = "stable",
    kind: str = "app",
    tags: tuple[str, ...] = ("latest",),
    more: str = "",
    text: str | None = None,
    labels: Mapping[str, str] | None = None,
    version: str = "1.0",
    **values: Any,
) -> Image:
    """An image `org.flatdex.NAME`; `more` are elements of its appdata, `text` is all of it."""
    identifier = f"org.flatdex.{name}"
    ref = f"{kind}/{identifier}/{arch}/{branch}"
    found = {
        **flatpak_labels(ref),
        "org.freedesktop.appstream.appdata": appdata(identifier, name, more, version) if text is None else text,
        "org.freedesktop.appstream.icon-64": icon_uri(64),
        "org.freedesktop.appstream.icon-128": icon_uri(128),
        **(labels or {}),
    }
    given = {
        "repository": name.lower(),
        "tags": frozenset(tags),
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[arch],
        "digest": digest(f"{ref} {tags} {version}"),
        "labels": {key: value for key, value in found.items() if value},
        **values,
    }
    return image(ref, **given)


def variant(text: str) -> str:
    """A text as commit metadata carries it."""
    return base64.b64encode(text.encode() + b"\0\0s").decode()


def made(of: Config, *images: Image, surroundings: Surroundings | None = None) -> Site:
    """The site of these images."""
    catalog: Catalog = collected(images)
    return site(of, catalog, lambda content: b"".join(content.parts), (), surroundings)


def bytes_of(content: Content) -> bytes:
    """What a file of the site holds."""
    if isinstance(content, InMemory | Joined):
        return b"".join(content.parts)
    return content.file.read_bytes()


def text_of(found: Site, path: str) -> str:
    """A file of the site as text."""
    return bytes_of(found.files[path]).decode("utf-8")


def json_of(found: Site, path: str) -> Any:
    """A file of the site as JSON."""
    return json.loads(bytes_of(found.files[path]))
