r"""A dispatch as one table, for servers whose patterns know backreferences: one pattern, however many routes there are.

A key is a tag, the form that is asked for, and an architecture, with a semicolon before it and a space after each; all
but the architecture are spelled out. Keys with an architecture stand before those with none, and what is for all other
tags after them: so the first key that fits is the right one. After the table come a question mark, which no key has in
it, the query, and what is accepted. What is taken of a query has no spaces in it, so nothing that a client sends
reaches over the end of a key; and the last key, `!`, fits all, so nothing is looked for behind the table.

In an `.htaccess` file the pattern is compiled at each request, which costs more than the search: so it is short, what
no route tells apart is not in it, and PCRE is told not to look for what it could make faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.dispatch import COLON, Dispatch, Route
from builder.site.rules.common import WANTED

COMPILED_OFTEN = "(*NO_AUTO_POSSESS)(*NO_START_OPT)"
"""What a pattern begins with that is compiled more often than it would pay to make it fast."""
CAPTURED = r"(\S+)"
"""The end of a pattern: the answer. Where it is empty, nothing is found."""
_ANY = "*"
"""In place of a tag: all that have no keys of their own."""


def _first(name: str, short: bool) -> str:
    """Captures the first parameter `name` of what is asked, be it empty.

    The short form keeps a place to go back to for each parameter. Compiled to machine code, a pattern has little room
    for that: a query of thousands of them would be an error.
    """
    before = "(?:[^&]*&)+?" if short else f"(?:(?!{name}=)[^&]*+&)*+"
    return rf"(?={before}{name}=([^& ]*))"


_GZIP = rf"(?:(?=\S*+.*[\s,](gzip){WANTED}))?"
_FORM = rf"(?:(?!\S*&label{COLON})(?=\S*&(annotation){COLON}))?"


def asked(query: str, accepted: str = "") -> str:
    """What follows the table: a parameter has an ampersand on both sides, what a query lacks is there, but empty."""
    return f"?&{query}&tag=&architecture=& {accepted}"


def pattern(dispatch: Dispatch, gzip: bool) -> tuple[str, int]:
    """Finds the answer, and the number of the group that captures it.

    With `gzip` an answer is two words, of which the second one is for who accepts gzip; the third group captures that.
    Such a pattern is short, since it is compiled often.
    """
    seen = [_first("tag", short=gzip), _first("architecture", short=gzip), *([_GZIP] if gzip else [])]
    form = ""
    if len(_forms(dispatch)) > 1:
        seen.append(_FORM)
        form = f"(?({len(seen)})annotation)"
    tag = r"\1" if dispatch.unknown_tag is None else rf"(?:\1|\{_ANY})"
    skipped = r"(?(3)\S+ )" if gzip else ""
    look = rf"(?>(?:[^;]*;)+?(?:{tag} {form} \2? |!))[^=]*= {skipped}{CAPTURED}"
    return rf"^(?=[^?]*\?{''.join(seen)}){look}", len(seen) + 1


def _forms(dispatch: Dispatch) -> tuple[str, ...]:
    return ("", "annotation") if any(route.annotations for route in dispatch.routes) else ("",)


def rows(dispatch: Dispatch, answers: Mapping[str, str], nothing: str) -> Iterator[str]:
    """The table, an entry a row: the keys, and after `=` the answer for their file. The last row is for all others."""
    keys: dict[tuple[bool, bool, str], list[str]] = {}
    for tag in dispatch.tags:
        names = [tag]
        if tag == dispatch.default_tag:
            names.append("")
        if tag == dispatch.unknown_tag:
            names.append(_ANY)
        for form in _forms(dispatch):
            for architecture, file in _answers(dispatch, tag, form):
                for name in names:
                    place = (name == _ANY, not architecture, file)
                    keys.setdefault(place, []).append(f";{name} {form} {architecture} ")
    for (_, _, file), found in sorted(keys.items(), key=lambda item: item[0][:2]):
        yield f"{''.join(found)}= {answers.get(file, nothing)} "
    yield f";!= {nothing} "


def _answers(dispatch: Dispatch, tag: str, form: str) -> Iterator[tuple[str, str]]:
    """The architectures of a tag, with an empty one for all others, and what answers each in a form ("": nothing)."""
    fitting = [route for route in dispatch.of_tag(tag) if form or not route.annotations]
    for architecture in dict.fromkeys((*(route.architecture for route in fitting), "")):
        yield architecture, next((route.file for route in fitting if _fits(route, architecture)), "")


def _fits(route: Route, architecture: str) -> bool:
    return route.architecture in ("", architecture)
