"""The commented configuration that a newcomer starts from."""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from builder import templating
from builder.checks import DOCKER_HUB, DOCKER_HUB_PAGES
from builder.errors import FlatdexError, UsageError


def write(file: Path, url: str, mirror: bool = False) -> None:
    """Writes a starter for the registry at `url`, for a folder of OCI layouts, or for a `mirror` of the remote there.

    Raises FlatdexError if `file` exists.
    """
    text = of_mirror(url) if mirror else render(url, file.absolute().parent)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise FlatdexError(f"{file} is there already", "Name another file with -c FILE.") from error


def render(url: str, folder: Path) -> str:
    """The text of a starter in `folder`. Raises UsageError for what is neither an http(s) URL nor a folder."""
    if re.fullmatch(r"https?://[A-Za-z0-9._~:\[\]-]+(?:/[!-~]*)?", url) and _has_host(url):
        registry = re.sub(r"/(?:v2/?)?$", "", url)
        hub = urlsplit(registry).hostname in (*DOCKER_HUB_PAGES, urlsplit(DOCKER_HUB).hostname)
        address = DOCKER_HUB if hub else registry
        return templating.render("flatdex.yaml", registry=_quoted(address), layouts=None, docker_hub=hub)
    if url and "://" not in url and Path(url).is_dir():
        layouts = _quoted(_pattern(Path(url), folder))
        return templating.render("flatdex.yaml", registry=None, docker_hub=False, layouts=layouts)
    raise UsageError(
        f"{url!r} is neither a registry's URL nor a folder that is there", "Write the whole URL: https://HOST."
    )


def of_mirror(url: str) -> str:
    """The text of a starter for a copy of the remote at `url`. Raises UsageError for what is no http(s) URL."""
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:\[\]-]+(?:/[!-~]*)?", url) or not _has_host(url):
        raise UsageError(f"{url!r} is not the URL of a remote", "Write the whole URL: https://flatpaks.example.org/.")
    return templating.render("mirror.yaml", url=_quoted(url))


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def _pattern(images: Path, folder: Path) -> str:
    """All that is in `images`, relative to the configuration's folder where it lies within it."""
    place = Path(os.path.abspath(images))  # noqa: PTH100
    inside = place.is_relative_to(folder)
    start = f"./{place.relative_to(folder)}" if inside and place != folder else "." if inside else str(place)
    return glob.escape(start) + "/*"


def _quoted(text: str) -> str:
    """As a YAML string in which no variable is filled in."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)
