"""What a message of a queue means: repositories by name, a registry's notification, or news of Fedora's systems."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from builder.oci import is_repository
from sync.events.broker import topics
from sync.events.model import Hint
from sync.events.web import shapes

LARGEST = 4 * 2**20
"""Bytes that a message may have."""
MOST = 1000
"""Repositories that a message may name."""
EVERYTHING = "*"

_SCHEMA = "fedora_messaging_schema"
_PLAIN = "base.message"
"""The header that tells a message's type with fedora-messaging, and its value for messages of no special one."""
_SCHEME = re.compile(r"(?:docker|oci|https?)://")
_HOST = re.compile(r"localhost|(?=.*[.:])[A-Za-z0-9\[].*")
_LONGEST_ABOUT = 140
_TOO_MANY = f"names more than {MOST} repositories"


def hint_of(topic: str, headers: Mapping[str, Any], body: bytes) -> Hint:
    """What a message says may be new. Raises ValueError, in a few words, for one that nobody can read.

    JSON of an unknown shape says nothing, and so does a message of a type that fedora-messaging knows and this module
    does not: a whole bus may come by.
    """
    kind = topics.kind(topic)
    if not kind and headers.get(_SCHEMA, _PLAIN) != _PLAIN:
        return Hint(about=_short(topic))
    text = _text(body)
    hint = topics.hint_of(kind, _json(text)) if kind else _plain(text, headers)
    if len(hint.repositories) + len(hint.components) > MOST:
        raise ValueError(_TOO_MANY)
    return replace(hint, about=_short(hint.about or topic))


def names_of(reference: str) -> frozenset[str]:
    """The repositories that may be meant: `apps/hello`, or `docker://registry.example.org:5000/apps/hello:stable`.

    As everywhere with images, a first part with a colon, or one with a dot behind `docker://`, is a registry's host.
    Without that, a part with a dot may be either.
    """
    name = _SCHEME.sub("", reference.strip(), count=1)
    sure = name != reference.strip()
    path, slash, last = name.partition("@")[0].rpartition("/")
    name = path + slash + last.partition(":")[0]
    first, _, rest = name.partition("/")
    may_be_host = bool(rest) and bool(_HOST.fullmatch(first))
    names = {rest} if may_be_host and sure else {name, rest} if may_be_host else {name}
    return frozenset(filter(is_repository, names))


def _text(body: bytes) -> str:
    if len(body) > LARGEST:
        raise ValueError(f"has more than {LARGEST // 2**20} MiB")
    try:
        return body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _plain(text: str, headers: Mapping[str, Any]) -> Hint:
    if not text:
        return Hint(everything=True)
    if text[0] not in '{["':
        return _named(text.splitlines())
    value = _json(text)
    if isinstance(value, dict) and value.get("everything") is True:
        return Hint(everything=True)
    try:
        return shapes.hint_of(text.encode(), {key: each for key, each in headers.items() if isinstance(each, str)})
    except (ValueError, RecursionError):
        return _named(_own(value))


def _own(value: object) -> list[str]:
    """The names in JSON that is meant for us; none in any other."""
    if isinstance(value, dict):
        found = value.get("repositories", [])
        one = [value["repository"]] if "repository" in value else []
        value = [*found, *one] if isinstance(found, list) else None
    given = [value] if isinstance(value, str) else value
    return given if isinstance(given, list) and all(isinstance(each, str) for each in given) else []


def _named(references: Iterable[str]) -> Hint:
    given = {reference.strip() for reference in references} - {""}
    if EVERYTHING in given:
        return Hint(everything=True)
    if len(given) > MOST:
        raise ValueError(_TOO_MANY)
    found = frozenset(name for reference in given for name in names_of(reference))
    if given and not found:
        raise ValueError(f"no repository is called {_short(min(given))}")
    return Hint(repositories=found)


def _short(text: str) -> str:
    """Text of whomever, for a line of a log."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[:_LONGEST_ABOUT])
