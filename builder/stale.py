"""A failure is not an empty answer: what could not be read stays as it was, marked stale, for as long as is allowed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from builder.catalog import Catalog, Failure, Image
from builder.config import Config, Source
from builder.description import time_text
from builder.report import counted

LastGood = Callable[[Source], tuple[Image, ...]]
"""The images that a source had in the newest snapshot."""


@dataclass(frozen=True, order=True)
class Stale(Failure):
    """A failure, since when it lasts, in seconds, and how many images are kept of earlier."""

    since: int
    kept: int
    ended: bool = False
    """Whether it lasts longer than `max_stale` allows, so that nothing is kept."""

    @property
    def text(self) -> str:
        """As a sentence."""
        place = f"{self.source} {self.repository}".rstrip()
        what = f"kept as it was: {counted(self.kept, 'image')}" if self.kept else "nothing is kept of it"
        if self.ended:
            what = "longer than `max_stale` allows, so its images were taken away"
        return f"stale {place}: {self.code} since {time_text(self.since)}, {what}: {self.why}"


def key(failure: Failure) -> str:
    """The name under which the start of a failure is remembered."""
    return f"{failure.source} {failure.repository}"


def with_kept(
    config: Config, found: Catalog, last_good: LastGood, since: Mapping[str, int], now: int
) -> tuple[Catalog, tuple[Stale, ...]]:
    """The catalog with what is kept for all that failed; `since` has when each failure was first seen."""
    whole = {failure.source for failure in found.failures if not failure.repository}
    failures = [each for each in found.failures if not each.repository or each.source not in whole]
    failed = {(failure.source, failure.repository) for failure in failures}
    images = [image for image in found.images if failed.isdisjoint(_places(image))]
    had: dict[tuple[str, str], list[Image]] = defaultdict(list)
    for name in sorted({failure.source for failure in failures}):
        for image in last_good(config.source(name)):
            for place in _places(image):
                had[place].append(image)
    stale: list[Stale] = []
    for failure in failures:
        most = config.source(failure.source).max_stale
        start = min(since.get(key(failure), now), now)
        ended = most is not None and now - start > most
        kept = [] if ended else had[failure.source, failure.repository]
        images.extend(kept)
        stale.append(Stale(failure.source, failure.repository, failure.code, failure.why, start, len(kept), ended))
    images.sort(key=lambda image: (image.source, image.repository, image.digest))
    return replace(found, images=tuple(images)), tuple(sorted(stale))


def _places(image: Image) -> tuple[tuple[str, str], tuple[str, str]]:
    """What may fail so that the image can't be read: its source, its repository."""
    return (image.source, ""), (image.source, image.repository)
