"""The newest version that appdata names: looked for without parsing, since each architecture's image has its own."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime

_RELEASE = re.compile(r"<release\b([^>]*)>")
_ATTRIBUTE = re.compile(r"""\b(version|date|timestamp|type)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LONGEST_VERSION = 60
_LONGEST_ATTRIBUTE = 200


def newest_version(text: str) -> str:
    """The version of the newest release in appdata; of those without a date the first; empty if there is none."""
    best: tuple[bool, str] | None = None
    version = ""
    for release in _RELEASE.finditer(text):
        given = {name: _unescaped(double or single) for name, double, single in _ATTRIBUTE.findall(release[1])}
        rank = (given.get("type") != "development", _day(given))
        if given.get("version") and (best is None or rank > best):
            best, version = rank, given["version"]
    return "".join(character for character in version if character.isprintable())[:_LONGEST_VERSION]


def _unescaped(value: str) -> str:
    """An attribute's value. What stands in a comment may hold references that no parser would take."""
    try:
        return html.unescape(value[:_LONGEST_ATTRIBUTE])
    except (ValueError, OverflowError):
        return ""


def _day(release: Mapping[str, str]) -> str:
    """The day of a release in a form that sorts."""
    seconds = release.get("timestamp", "")
    if seconds.isascii() and seconds.isdecimal() and len(seconds) < 12:
        return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
    return release.get("date", "")[:10]
