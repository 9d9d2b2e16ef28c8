"""Which names a stick can't have: those that FAT, exFAT or Windows refuse, and twins that only differ in case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST_PATH = 240
"""Characters: with more, some programs on Windows won't find a file below a folder."""

_REFUSED = re.compile(r'[\x00-\x1f\x7f"*:<>?\\|]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\..*)?", re.I)
_LONGEST_NAME = 255  # UTF-16 units


def fault(name: str) -> str:
    """Why no stick can have a file or folder of this name; empty if it can."""
    refused = _REFUSED.search(name)
    if refused:
        return f"FAT allows no {refused[0]!r} in names"
    if name[-1:] in (".", " "):
        return "FAT drops a full stop or a space at the end of a name"
    if _RESERVED.fullmatch(name):
        return "Windows takes this name for a device"
    if len(name.encode("utf-16-le", "replace")) > 2 * _LONGEST_NAME:
        return f"FAT allows names of {_LONGEST_NAME} characters"
    return ""


def faults(paths: Iterable[str]) -> Iterator[str]:
    """What no stick can hold of these files, a line each."""
    seen: dict[str, str] = {}
    files: dict[str, str] = {}
    for path in sorted(paths):
        for each in _with_folders(path):
            known = seen.setdefault(each.casefold(), each)
            if known != each:
                yield f"{each}: FAT takes it for {known}"
            elif each == path or each not in files:
                why = fault(each.rpartition("/")[2])
                if why:
                    yield f"{each}: {why}"
            if files.setdefault(each, path) == each != path:
                yield f"{each}: is a file, and the folder of {path}"


def _with_folders(path: str) -> Iterator[str]:
    """The folders above a path, the topmost first, and the path itself."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)
    yield path


def long_ones(paths: Iterable[str]) -> list[str]:
    """Those that are so long that not every program can open them."""
    return sorted(path for path in paths if len(path) > LONGEST_PATH)
