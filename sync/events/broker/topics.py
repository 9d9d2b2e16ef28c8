"""What messages of Fedora's systems mean, by their topics.

Bodhi copies the images of an update to the registry, then tells of each update, by its builds, and at last that the
whole compose is done, which names nothing. Koji tells of a build's tag before Bodhi copies anything: that is news for
the registry that builds are pushed to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from builder.oci import is_repository
from sync.events.model import Hint

_IMAGES = ("flatpak", "container")
"""Bodhi's types of content that are images; Koji's tags have one of these words in their names, too."""
_SUFFIXES = ("-container", "-flatpak")
"""What a build's name may have at its end that its repository's has not."""
_RPM = re.compile(r"\.(?:fc|el)[0-9]|\.eln")
"""What the release of an RPM has in it."""


def kind(topic: str) -> str:
    """Which of the known topics this is, whatever a bus puts before it; empty for all others."""
    return next((known for known in _READERS if f".{topic}".endswith(f".{known}")), "")


def hint_of(kind: str, body: object) -> Hint:
    """What a message of a known topic says; nothing, if it is not of the topic's shape."""
    return _READERS[kind](body) if isinstance(body, dict) else Hint()


def _compose(body: Mapping[str, Any]) -> Hint:
    """A compose that failed has come to its end, too: what it copied before that is there."""
    repo = _text(body, "repo")
    words = _text(body, "ctype") or repo  # earlier messages have no type
    return Hint(everything=any(word in words for word in _IMAGES), about=f"bodhi.compose.complete {repo}")


def _update(body: Mapping[str, Any]) -> Hint:
    update = body.get("update")
    if not isinstance(update, dict):
        return Hint()
    builds = update.get("builds")
    names = [
        name
        for build in (builds if isinstance(builds, list) else ())
        if isinstance(build, dict) and _may_be_image(build, "type") and _may_be_image(update, "content_type")
        for name in _components(_text(build, "nvr").rsplit("-", 2)[0])
    ]
    return Hint(components=frozenset(names), about=f"bodhi.update.complete {_text(update, 'alias')}")


def _tag(body: Mapping[str, Any]) -> Hint:
    name, tag = _text(body, "name"), _text(body, "tag")
    if _RPM.search(_text(body, "release")) and not any(word in tag for word in _IMAGES):
        return Hint()  # most builds by far
    return Hint(components=frozenset(_components(name)), about=f"buildsys.tag {name} {tag}")


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Hint]] = {
    "bodhi.compose.complete": _compose,
    "bodhi.update.complete.stable": _update,
    "bodhi.update.complete.testing": _update,
    "buildsys.tag": _tag,
}


def _may_be_image(value: Mapping[str, Any], key: str) -> bool:
    return (_text(value, key) or _IMAGES[0]) in _IMAGES


def _components(name: str) -> Iterator[str]:
    """`firefox-flatpak-container`, `firefox-flatpak` and `firefox` for the first of them."""
    name = name.lower()
    for suffix in ("", *_SUFFIXES):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            if is_repository(name) and "/" not in name:
                yield name


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    return text if isinstance(text, str) else ""
