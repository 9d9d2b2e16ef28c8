r"""A dispatch as one table for servers whose patterns know backreferences: two patterns, however many routes there are.

A key is a tag, the form that is asked for, and an architecture, with a space after each; all but the architecture are
spelled out, so that a query needs at most two looks: with its architecture, and with none. A query has no spaces in it
(no HTTP request line can), so nothing that a client sends reaches over the end of a key.

The patterns are read by PCRE, and by Python's `re`.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.dispatch import COLON, Dispatch, Route
from builder.site.rules.common import WANTED, Targets

_FORMS = ("", "annotation")
_NOTHING = "404"
"""In place of the two files: there is none of this name."""
_ANY = "*"
"""In place of a tag: all that have no keys of their own."""


def _first(name: str) -> str:
    """Captures the first parameter `name` of a query."""
    return rf"(?=(?:(?!{name}=)[^& ]*&)*+(?:{name}=([^& ]*))?)"


ASKED = (
    "^"
    + _first("tag")
    + _first("architecture")
    + rf"(?:(?!(?:\S*&)?label{COLON})(?=(?:\S*&)?(annotation){COLON}))?"
    + rf"(?:(?=\S* (?:.*[\s,])?(gzip){WANTED}))?"
)
"""Of `QUERY ACCEPT-ENCODING` captures the tag, the architecture, the form and `gzip`; each may be empty."""


def pattern(dispatch: Dispatch) -> str:
    """Of `TAG FORM ARCHITECTURE GZIP; TABLE` captures the file that answers, as its fifth group."""
    skip = r"(?:[^,;]*+[,;])*?"
    looks = [rf"{skip} \1 \2 \3 ", rf"{skip} \1 \2  "]
    if dispatch.unknown_tag is not None:  # a known tag was found by the looks before, since it has a key for any
        looks += [rf"{skip} \{_ANY} \2 \3 ", rf"{skip} \{_ANY} \2  "]
    return rf"^(\S*) (\S*) (\S*) (gzip)?(?:{'|'.join(looks)})(?=[,=])[^=]*= (?(4)\S+ )(\S+)"


def rows(dispatch: Dispatch, targets: Targets) -> Iterator[str]:
    """The table, an entry a row: the keys, and after `=` the two files that answer them."""
    keys: dict[str, list[str]] = {}
    for tag in dispatch.tags:
        names = [tag]
        if tag == dispatch.default_tag:
            names.append("")
        if tag == dispatch.unknown_tag:
            names.append(_ANY)
        for form in _FORMS:
            for architecture, file in _answers(dispatch, tag, form):
                keys.setdefault(file, []).extend(f" {name} {form} {architecture} " for name in names)
    for file, found in keys.items():
        target = targets.get(file)
        files = f"{target.plain} {target.gzip}" if target else f"{_NOTHING} {_NOTHING}"
        yield f"{','.join(found)}= {files} "


def _answers(dispatch: Dispatch, tag: str, form: str) -> Iterator[tuple[str, str]]:
    """The architectures of a tag, with an empty one for all others, and what answers each in a form."""
    fitting = [route for route in dispatch.of_tag(tag) if form or not route.annotations]
    for architecture in dict.fromkeys((*(route.architecture for route in fitting), "")):
        yield architecture, next((route.file for route in fitting if _fits(route, architecture)), _NOTHING)


def _fits(route: Route, architecture: str) -> bool:
    return route.architecture in ("", architecture)
