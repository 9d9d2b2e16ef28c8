"""Names that others chose: told apart where file systems don't, and left out where there is nothing to see."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable

_LONGEST_NAME = 200
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that are nothing to see


def told_apart(identifiers: Iterable[str], first: Callable[[str], bool]) -> dict[str, str]:
    """The name of each one's folder: the id itself, unless it is very long, or another one differs in case alone.

    Not all file systems, and so not all targets, tell these apart, and a name can have 255 bytes, `.flatpakref` too.
    Of two the `first` keeps its name: nobody takes over somebody else's page.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for identifier in sorted(identifiers, key=lambda each: (not first(each), each)):
        name = identifier
        if len(name) > _LONGEST_NAME or name.lower() in taken:
            name = f"{identifier[:_LONGEST_NAME]}~{hashlib.sha256(identifier.encode()).hexdigest()[:16]}"
        found[identifier] = name
        taken.add(name.lower())
    return found


def can_be_seen(text: str) -> bool:
    """Whether there is anything to see of a text."""
    return any(unicodedata.category(each)[0] in "LNPS" and each not in _UNSEEN for each in text)
