"""Paths as they can be written into any web server's configuration: what would be misread there is refused."""

from __future__ import annotations

import re
from pathlib import Path

from builder.errors import UsageError


def folder(path: Path | str) -> str:
    """The absolute path of a folder. Raises UsageError for one with quotes, wildcards or line breaks."""
    text = str(Path(path).absolute())
    if re.search(r"""["'`\\*?\[\]{}$%\x00-\x1f]""", text):
        raise UsageError(f"web servers would misread the path {text!r}", "Name one without quotes and wildcards.")
    return text


def mount(path: str) -> str:
    """The path of a URL at which a site is mounted, with a slash at both ends. Raises UsageError for a peculiar one."""
    text = f"/{path.strip('/')}/".replace("//", "/")
    if not re.fullmatch(r"/(?:[A-Za-z0-9_~+@,=-][A-Za-z0-9._~+@,=-]*/)*", text):
        fix = "Name one of letters, digits, `.`, `_`, `~` and `-` with --prefix."
        raise UsageError(f"web servers would misread the path {text!r}", fix)
    return text
