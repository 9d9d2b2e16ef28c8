r"""A dispatch as one table for servers whose patterns know backreferences: one pattern, however many routes there are.

A key is a tag, the form that is asked for, and an architecture, with a space after each; all but the architecture are
spelled out, so that a query needs at most two looks: with its architecture, and with none. What is searched begins with
the table, and a question mark, which no key has in it, ends it: so nothing that a client sends is taken for a part of
it. A query has no spaces in it (no HTTP request line can), so nothing in it reaches over the end of a key.

The pattern is read by PCRE, and by Python's `re` but for a word at its start. In an `.htaccess` file it is compiled at
each request: so what no route tells apart is not in it, and PCRE is told not to look for what it could make faster.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.dispatch import COLON, Dispatch, Route
from builder.site.rules.common import WANTED, Targets

NOTHING = "404"
"""In place of the two files: there is none of this name. `!` is the key of the last row, for all that has no other."""
_ANY = "*"
"""In place of a tag: all that have no keys of their own."""


def _first(name: str) -> str:
    """Captures the first parameter `name` of a query, be it empty."""
    return rf"(?=(?:(?!{name}=)[^& ]*&)*+(?:{name}=|[^& ]*+)([^& ]*))"


_GZIP = rf"(?:(?=\S* (?:.*[\s,])?(gzip){WANTED}))?"
_FORM = rf"(?:(?!(?:\S*&)?label{COLON})(?=(?:\S*&)?(annotation){COLON}))?"


def pattern(dispatch: Dispatch) -> str:
    """Of `TABLE?QUERY ACCEPT-ENCODING` captures the file that answers, as its fifth group."""
    form, form_asked = ("(?(4)annotation)", _FORM) if len(_forms(dispatch)) > 1 else ("", "()")
    skip = r"(?:[^,;?]*+[,;])*?"
    tags = [r"\1"]
    if dispatch.unknown_tag is not None:  # a known tag was found by the looks before, since it has a key for any
        tags.append(rf"\{_ANY}")
    looks = "|".join(rf"{skip} {tag} {form} {architecture} " for tag in tags for architecture in (r"\2", ""))
    asked = rf"(?=[^?]*+\?{_first('tag')}{_first('architecture')}{_GZIP}{form_asked})"
    return rf"(*NO_AUTO_POSSESS)^{asked}(?:{looks}|[^!]*!)(?=[,=])[^=]*= (?(3)\S+ )(\S+)"


def _forms(dispatch: Dispatch) -> tuple[str, ...]:
    return ("", "annotation") if any(route.annotations for route in dispatch.routes) else ("",)


def rows(dispatch: Dispatch, targets: Targets) -> Iterator[str]:
    """The table, an entry a row: the keys, and after `=` the two files that answer them."""
    keys: dict[str, list[str]] = {}
    for tag in dispatch.tags:
        names = [tag]
        if tag == dispatch.default_tag:
            names.append("")
        if tag == dispatch.unknown_tag:
            names.append(_ANY)
        for form in _forms(dispatch):
            for architecture, file in _answers(dispatch, tag, form):
                keys.setdefault(file, []).extend(f" {name} {form} {architecture} " for name in names)
    for file, found in keys.items():
        target = targets.get(file)
        files = f"{target.plain} {target.gzip}" if target else f"{NOTHING} {NOTHING}"
        yield f"{','.join(found)}= {files} "


def _answers(dispatch: Dispatch, tag: str, form: str) -> Iterator[tuple[str, str]]:
    """The architectures of a tag, with an empty one for all others, and what answers each in a form."""
    fitting = [route for route in dispatch.of_tag(tag) if form or not route.annotations]
    for architecture in dict.fromkeys((*(route.architecture for route in fitting), "")):
        yield architecture, next((route.file for route in fitting if _fits(route, architecture)), NOTHING)


def _fits(route: Route, architecture: str) -> bool:
    return route.architecture in ("", architecture)
