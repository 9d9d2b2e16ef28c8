"""The commented configuration that a newcomer starts from."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from builder import templating
from builder.errors import FlatdexError, UsageError


def write(file: Path, url: str) -> None:
    """Writes a starter for the registry at `url`, or for a folder of OCI layouts. Raises if `file` exists."""
    text = render(url)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise FlatdexError(f"{file} is there already", "Name another file with -c FILE.") from error


def render(url: str) -> str:
    """The text of the starter. Raises UsageError for what is neither an http(s) URL nor a folder."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        return templating.render("flatdex.yaml", registry=url.rstrip("/"), layouts=None)
    if "://" not in url and Path(url).is_dir():
        layouts = f"{url.rstrip('/')}/*"
        layouts = layouts if layouts.startswith(("/", ".")) else f"./{layouts}"
        return templating.render("flatdex.yaml", registry=None, layouts=layouts)
    raise UsageError(f"{url!r} is neither a registry's URL nor a folder", "Write the whole URL: https://HOST.")
