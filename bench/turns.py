"""Functions of this process, timed in turns with their floor: what starting an interpreter takes is left out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.measure import Row


@dataclass(frozen=True)
class Turns:
    """Wall-clock seconds of ours and of the floor, in turns."""

    ours: tuple[float, ...]
    floor: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(mine / its for mine, its in zip(self.ours, self.floor, strict=True))

    @property
    def more(self) -> float:
        """The median of the seconds that ours took more than the floor beside it."""
        return statistics.median(mine - its for mine, its in zip(self.ours, self.floor, strict=True))

    def ratio_row(self, what: str, floor: str, target: float | None) -> Row:
        """The ratio as a line of the table."""
        return Row(what, self.ratio, "x floor", target, self._detail(floor))

    def more_row(self, what: str, floor: str, target: float | None) -> Row:
        """The milliseconds more as a line of the table."""
        return Row(what, self.more * 1e3, "ms more", target, self._detail(floor))

    def _detail(self, floor: str) -> str:
        mine, its = (1e3 * statistics.median(each) for each in (self.ours, self.floor))
        return f"{mine:.1f} ms; {floor} {its:.1f} ms; {len(self.ours)} pairs"


def turns(
    ours: Callable[[], object],
    floor: Callable[[], object],
    pairs: int,
    before: Callable[[], object] = lambda: None,
) -> Turns:
    """Calls both in turns; `before` each of them, and untimed, it is made ready."""
    found = []
    for _ in range(pairs):
        before()
        mine = seconds(ours)
        before()
        found.append((mine, seconds(floor)))
    return Turns(tuple(mine for mine, _ in found), tuple(its for _, its in found))


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
