"""When what failed is tried again, and how much time it is given then: pure values, one for each target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sync.events.model import TargetResult

_FIRST, _FACTOR, _LONGEST = 5.0, 3.0, 600.0  # seconds, with the widest spread
_SPREAD = 0.2
_PATIENCE, _MOST_PATIENCE = 10.0, 900.0  # seconds
_MOST = 32
"""Failures that are counted: more change nothing."""


@dataclass(frozen=True)
class Retry:
    """How often something failed in a row, and when it is tried again, in seconds of the caller's clock."""

    failures: int = 0
    due: float = 0.0


WELL = Retry()


def pause(failures: int, chance: float = 0.5) -> float:
    """Seconds before the next try after so many failures in a row; `chance`, from 0 to 1, spreads it."""
    grown = _FIRST * _FACTOR ** (min(max(failures, 1), _MOST) - 1)
    return float(min(grown, _LONGEST / (1 + _SPREAD)) * (1 + _SPREAD * (2 * chance - 1)))


def patience(failures: int) -> float:
    """Seconds that a target is given which failed so often in a row."""
    return float(min(_PATIENCE * 2 ** min(max(failures, 0), _MOST), _MOST_PATIENCE))


def failed(before: Retry, now: float, chance: float = 0.5) -> Retry:
    """After one more failure."""
    failures = min(before.failures + 1, _MOST)
    return Retry(failures, now + pause(failures, chance))


def after_round(
    retries: Mapping[str, Retry], results: Iterable[TargetResult], now: float, chance: Callable[[], float]
) -> dict[str, Retry]:
    """What is to be tried again after a round, by name. Who is live is done with; who was not in the round stays.

    A target that was not flipped on account of others has done nothing wrong: it is tried again with the first of
    these. So is one that was left out of the round, for which its own time counts.
    """
    results = list(results)
    new = {name: each for name, each in retries.items() if name not in {result.name for result in results}}
    for each in results:
        before = retries.get(each.name, WELL)
        if each.left_out:
            new[each.name] = before
        elif not each.live and not each.barred:
            new[each.name] = failed(before, now, chance())
    first = min((each.due for each in new.values()), default=now + pause(1, chance()))
    barred = {each.name: retries.get(each.name, WELL).failures for each in results if each.barred and not each.live}
    return {**new, **{name: Retry(failures, first) for name, failures in barred.items()}}


def first_due(retries: Mapping[str, Retry]) -> float | None:
    """When the next try is due."""
    return min((each.due for each in retries.values()), default=None)


def patiences(retries: Mapping[str, Retry], names: Iterable[str], now: float) -> dict[str, float]:
    """For an `Order`: how patient to be with each of these targets; 0 leaves one out whose next try is not due yet."""
    found = {name: retries.get(name, WELL) for name in names}
    return {name: 0.0 if each.due > now else patience(each.failures) for name, each in found.items()}
