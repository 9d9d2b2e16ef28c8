"""What a file that was dropped into a spool folder names."""

from __future__ import annotations

import re
from urllib.parse import unquote

from builder.oci import is_repository
from sync.events.model import Hint

EVERYTHING = ("*", "everything")
"""What a line says, or the name of an empty file, to have everything looked at; the second only as a file's name."""

_TEMPORARY = re.compile(r"\..*|.*(~|\.(tmp|temp|part|partial|filepart|swp|new))", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"(?=.*[.:]|localhost)([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(:[0-9]+)?")
_SCHEME = re.compile(r"(?:docker|oci|https?)://")


class UnclearError(ValueError):
    """A file that names nothing, or not as it should."""


def is_temporary(name: str) -> bool:
    """Whether this is the name of a file that will have another one when it is complete."""
    return bool(_TEMPORARY.fullmatch(name))


def hint(name: str, data: bytes) -> tuple[Hint, list[int]]:
    """What the file says, and the numbers of the lines that name nothing. Raises UnclearError if none does.

    A line has the name of a repository, perhaps with its host before it and a tag or a digest behind it; `#` begins a
    comment; `*` is everything. Of an empty file the name says it, with `%2F` for `/`.
    """
    if not data.strip():
        if name in EVERYTHING:
            return Hint(everything=True, about=f"{name}"), []
        found = repositories(unquote(name))
        if not found:
            raise UnclearError("an empty file whose name is not a repository's")
        return Hint(frozenset(found), about=unquote(name)), []
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UnclearError("it is not UTF-8") from error
    words = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    names = {number: repositories(word) for number, word in words if word and word != EVERYTHING[0]}
    everything = any(word == EVERYTHING[0] for _, word in words)
    meant = frozenset(one for each in names.values() for one in each)
    if not (meant or everything):
        raise UnclearError("no line of it names a repository")
    # What is in a file that was dropped is nobody's business but the registry's: a line is told by its number.
    return Hint(meant, everything=everything, about=name), [number for number, each in names.items() if not each]


def repositories(text: str) -> tuple[str, ...]:
    """The names that a reference such as `registry.example.org/apps/hello:stable` may mean; none if it is no such.

    Names may have dots as hosts have: then it means both.
    """
    path = _SCHEME.sub("", text, count=1).partition("@")[0]
    folder, slash, last = path.rpartition("/")
    path = folder + slash + last.partition(":")[0]
    host, _, rest = path.partition("/")
    as_host = _HOST.fullmatch(host)
    return tuple(each for each in (path, *((rest,) if as_host else ())) if is_repository(each))
