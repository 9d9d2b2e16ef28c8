"""What became of screenshots, and how `snapshot.json` tells of it, so that a lost cache costs no request."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from builder.advice import Advice
from builder.content import InMemory, OnDisk
from builder.description import Snapshot
from builder.report import counted

KEY = "screenshots"
"""Of `snapshot.json`, and the name of the folder in the site."""
NEVER = 2**40
"""A time, in seconds, that never comes."""
_LONGEST = 200  # characters of a URL that are shown
_MOST_PIXELS = 16383  # that a WebP can be wide or high


@dataclass(frozen=True)
class Known:
    """A picture that was made, by the sha256 of its bytes, with its size in pixels."""

    sha256: str
    width: int
    height: int

    @property
    def path(self) -> str:
        """In the site; it spells the hash of the bytes."""
        return f"{KEY}/{self.sha256[:2]}/{self.sha256[2:]}.webp"


@dataclass(frozen=True)
class KnownShot:
    """The pictures that were made of a screenshot; `source` is the sha256 of the bytes that they were made of."""

    full: Known
    small: Known
    source: str


@dataclass(frozen=True)
class Picture:
    """A picture that is part of the site, at `path`; width and height are in pixels."""

    path: str
    width: int
    height: int
    content: OnDisk | InMemory


@dataclass(frozen=True)
class Shot:
    """A screenshot as the site has it: at most 1600 pixels wide, and at most 640 (the same if `full` is no wider)."""

    full: Picture
    small: Picture
    source: str = ""


@dataclass(frozen=True, order=True)
class Trouble:
    """A screenshot that there is no picture of, and why; it will not be asked for before `again`, in seconds.

    0: it was not asked for yet; NEVER: its URL is none that anybody can be asked for.
    """

    url: str
    why: str
    again: int = 0


def described(shots: Mapping[str, Shot]) -> dict[str, Any]:
    """For `snapshot.json`: what each URL's pictures are."""
    return {
        url: {"full": _described(shot.full), "small": _described(shot.small), "source": shot.source}
        for url, shot in sorted(shots.items())
    }


def _described(picture: Picture) -> list[object]:
    return [picture.content.sha256, picture.width, picture.height]


def as_document(shot: KnownShot) -> dict[str, Any]:
    """The same for one that is known."""
    full, small = ([each.sha256, each.width, each.height] for each in (shot.full, shot.small))
    return {"full": full, "small": small, "source": shot.source}


def from_document(document: Any) -> KnownShot:
    """What `described` told of one URL. Raises ValueError, TypeError or KeyError for anything else."""
    source = document["source"]
    if not isinstance(source, str):
        raise TypeError("no hash")
    return KnownShot(_known(*document["full"]), _known(*document["small"]), source)


def _known(sha256: str, width: int, height: int) -> Known:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("no hash")
    if any(type(number) is not int or not 0 < number <= _MOST_PIXELS for number in (width, height)):
        raise ValueError("no size of a picture")
    return Known(sha256, width, height)


def known_to(snapshot: Snapshot | None) -> dict[str, KnownShot]:
    """What a snapshot tells of its screenshots; what it doesn't tell well is left out."""
    told = snapshot.document.get(KEY) if snapshot else None
    found = {}
    for url, document in told.items() if isinstance(told, dict) else ():
        try:
            found[url] = from_document(document)
        except (ValueError, TypeError, KeyError):
            continue
    return found


def host_of(url: str) -> str:
    """`example.org`, or `example.org:8080`; empty if there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def advice(troubles: Iterable[Trouble]) -> tuple[Advice, ...]:
    """A sentence for each host."""
    by_host: dict[str, list[Trouble]] = defaultdict(list)
    for trouble in sorted(troubles):
        by_host[host_of(trouble.url) or trouble.url[:_LONGEST]].append(trouble)
    return tuple(Advice("screenshot-missing", host, _sentence(each)) for host, each in sorted(by_host.items()))


def _sentence(troubles: list[Trouble]) -> str:
    whys = Counter(trouble.why for trouble in troubles)
    ((first, _), *others) = whys.most_common(3)
    such = next(trouble.url for trouble in troubles if trouble.why == first)[:_LONGEST]
    more = "".join(f"; of {number}: {why}" for why, number in others)
    return (
        f"pages link to {counted(len(troubles), 'screenshot')} in place of showing them, such as {such}: {first}{more}"
    )
