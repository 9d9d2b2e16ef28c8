"""`.flatpakrepo` and `.flatpakref` files, read as GLib reads key files; and links to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin

REPO_GROUP = "Flatpak Repo"
REF_GROUP = "Flatpak Ref"
_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_LINK = re.compile(rb"""href\s*=\s*["']?([^"'\s>]+\.flatpakrepo)["'\s>]""", re.IGNORECASE)
_MOST_LINKS = 5


def values(data: bytes, group: str) -> Mapping[str, str] | None:
    """The entries of `group`; None if there is no such group, or the bytes are no key file."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    found: dict[str, str] | None = None
    inside = False
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            inside = stripped[1:-1] == group
            found = {} if inside and found is None else found
            continue
        key, equals, value = line.partition("=")
        if not equals:
            return None
        if inside and found is not None:
            found[key.strip()] = re.sub(r"\\(.)", _unescaped, value.strip())
    return found


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])


def links(page: bytes, url: str) -> Iterator[str]:
    """Where the `.flatpakrepo` files are that a page names."""
    found = dict.fromkeys(match.decode("ascii", "replace") for match in _LINK.findall(page))
    for link in list(found)[:_MOST_LINKS]:
        try:
            target = urljoin(url, link)
        except ValueError:
            continue
        if target.startswith(("http://", "https://")):
            yield target
