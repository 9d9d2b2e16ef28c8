"""What pages need beside their text: the style sheet, the script and the logo, each called by the hash of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from builder.config import Pages
from builder.content import InMemory
from builder.errors import FlatdexError
from builder.site.pages import theme
from builder.templating import Templates


def assets_of(pages: Pages) -> Iterator[tuple[str, tuple[str, InMemory]]]:
    """What pages need, by its name in templates: files that are called by the hash of their bytes."""
    templates = Templates(pages.templates, words="")
    colours = theme.colours(pages.theme.accent)
    css = templates.render("site.css", {"theme": pages.theme, "colours": colours})
    yield "css", _asset(css.encode("utf-8"), ".css")
    yield "script", _asset(templates.render("search.js", {}).encode("utf-8"), ".js")
    yield "favicon", _asset(templates.render("icon.svg", {"colours": colours}).encode("utf-8"), ".svg")
    if pages.theme.logo:
        yield "logo", _asset(_logo(pages.theme.logo), pages.theme.logo.suffix.lower())


def logo_path(pages: Pages | None) -> str:
    """Where a site's own logo lies in it; empty if it has none."""
    logo = pages.theme.logo if pages else None
    return _asset(_logo(logo), logo.suffix.lower())[0] if logo else ""


def _asset(data: bytes, suffix: str) -> tuple[str, InMemory]:
    return f"assets/{hashlib.sha256(data).hexdigest()}{suffix}", InMemory(data)


def _logo(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FlatdexError(f"theme.logo: {file}: {error.strerror}", "Name a picture file that can be read.") from error


def own_look(pages: Pages | None) -> str:
    """A hash of a site's own templates and logo: others make other pages. Never empty."""
    found = hashlib.sha256()
    folder = pages.templates if pages else None
    logo = pages.theme.logo if pages else None
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder and folder.is_dir() else []
    for file in (*files, *([logo] if logo and logo.is_file() else [])):
        found.update(str(file).encode("utf-8", "surrogateescape") + b"\0" + _sha256(file))
    return found.hexdigest()


def _sha256(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
