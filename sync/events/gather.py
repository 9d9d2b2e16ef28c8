"""When the next round begins, and with which events: decided, not yet done. Times are of a monotonic clock, in s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sync.events.model import Result

_FIRST_PAUSE = 1.0  # seconds before what failed is tried once more; then twice as long each time
_LONGEST_PAUSE = 300.0


@dataclass(frozen=True)
class Item:
    """An event, or several alike, that waits for a round: `repositories` to ask, None: all, empty: only to publish.

    `noticed` is when the first of them came in, `latest` when the last one did; what has failed `tries` times waits
    until it is `due`.
    """

    id: str
    origin: str
    repositories: frozenset[str] | None
    noticed: float
    latest: float
    tries: int = 0
    due: float = 0.0

    @property
    def everything(self) -> bool:
        """Whether all sources are to be looked at."""
        return self.repositories is None


@dataclass(frozen=True)
class Batch:
    """What the next round is for, and `at` what time it is due (None: there is nothing to do)."""

    at: float | None = None
    items: tuple[Item, ...] = ()
    targets: tuple[str, ...] = ()
    """Those that are due again by themselves."""

    @property
    def repositories(self) -> frozenset[str] | None:
        """The repositories to ask; None: all."""
        asked = [item.repositories for item in self.items]
        return None if None in asked else frozenset().union(*(each for each in asked if each is not None))


def batch(items: Sequence[Item], owed: Mapping[str, float], now: float, settle: float, most: float) -> Batch:
    """What the next round is for.

    News is gathered until none has come in for `settle` seconds, but for `most` seconds only; what has failed, and the
    targets that are `owed` something, each at its time, join a round that is due anyway, or have one of their own.
    """
    fresh = [item for item in items if not item.tries]
    failed = [item for item in items if item.tries]
    times = [item.due for item in failed] + list(owed.values())
    if fresh:
        settled = min(max(item.latest for item in fresh) + settle, min(item.noticed for item in fresh) + most)
        times.append(settled)
    if not times:
        return Batch()
    at = settled if fresh else min(times)
    if now < at:
        return Batch(at)
    joining = [item for item in failed if item.due <= now]
    asked = Batch(items=(*fresh, *joining)).repositories
    joining = [item for item in failed if item.due <= now or _covers(asked, item)]
    return Batch(at, (*fresh, *joining), tuple(sorted(name for name, due in owed.items() if due <= now)))


def _covers(asked: frozenset[str] | None, item: Item) -> bool:
    """Whether a round that asks these repositories does all that the item waits for."""
    return asked is None or (item.repositories is not None and item.repositories <= asked)


def done(items: Iterable[Item], result: Result) -> tuple[Item, ...]:
    """The items whose cause is dealt with: looked at, built, and live somewhere, if it is to go anywhere.

    A target that failed has it noted in the store, and gets it later; if all have failed nothing is live yet.
    """
    if not result.good or (result.targets and not any(target.live for target in result.targets)):
        return ()
    return tuple(item for item in items if not _unread(item, result.again))


def _unread(item: Item, again: frozenset[str]) -> bool:
    if item.repositories is None or "" in again:
        return bool(again)
    return not again.isdisjoint(item.repositories)


def later(items: Iterable[Item], result: Result, now: float, spread: float = 1.0) -> tuple[Item, ...]:
    """The items to try again, each after a longer pause than before; `spread` is a factor near 1.

    Of everything, only what could not be read is asked again, if that is known.
    """
    unread = result.again if result.again and "" not in result.again else None
    return tuple(
        replace(
            item,
            repositories=unread if item.everything else item.repositories,
            tries=item.tries + 1,
            due=now + pause(item.tries) * spread,
        )
        for item in items
    )


def pause(tries: int) -> float:
    """Seconds before the next try, after so many that failed before."""
    return float(min(_FIRST_PAUSE * 2 ** min(tries, 20), _LONGEST_PAUSE))
