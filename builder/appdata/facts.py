"""Single facts, an address, a day or a name, out of texts that anybody may have written; empty where there is none."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from builder.appdata import markup

_ADDRESS = re.compile(r"(https?)(://[^\s/?#@\\<>\"`]+(?:[/?#][^\s\\<>\"`]*)?)", re.IGNORECASE)
_RELATIVE = re.compile(r"(?!/)(?!\.\.?/)(?:(?!/\.\.?/)[^\s:?#\\<>\"`])+")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?", re.DOTALL)
_PIXELS = re.compile(r"[0-9]{1,5}")
_LONGEST = 2048


def address(text: str, base: str = "") -> str:
    """An http(s) URL, without a user's name and without what can't be seen; with a base also of a path below it."""
    text = text.strip()
    if len(text) > _LONGEST or markup.clean(text) != text:
        return ""
    match = _ADDRESS.fullmatch(text)
    if match:
        return match[1].lower() + match[2] if _has_host(text) else ""
    joined = f"{base.rstrip('/')}/{text}"
    return joined if base and len(joined) <= _LONGEST and _RELATIVE.fullmatch(text) else ""


def _has_host(url: str) -> bool:
    """Whether a host can be told from the URL: brackets without end, or a port that is none, would fail later."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def day(text: str, timestamp: str = "") -> str:
    """A day as `YYYY-MM-DD`, of a date, with or without a time, or else of seconds since 1970."""
    match = _DAY.fullmatch(text.strip())
    try:
        if match:
            return date.fromisoformat(match[1]).isoformat()
        return datetime.fromtimestamp(int(timestamp[:20]), UTC).date().isoformat() if timestamp else ""
    except (ValueError, OverflowError, OSError):
        return ""


def pixels(text: str) -> int:
    """A width or a height; 0 if it is none."""
    return int(text) if _PIXELS.fullmatch(text) else 0


def identifier(text: str) -> str:
    """A component's id, without the `.desktop` that used to be part of it.

    `org.telegram.desktop` is an id of its own: what is left has to be one, too.
    """
    text = markup.cut(markup.clean(text), 255)
    shorter = text.removesuffix(".desktop")
    return shorter if shorter.count(".") != 1 else text
