"""Whole processes, timed; pairs of them, one after the other, since a machine's speed changes from minute to minute."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """A process that ended: wall-clock seconds, and the most memory it held, in MB."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure, in `unit`, what it is held against, and the most it may be."""

    what: str
    value: float
    unit: str
    target: float | None
    detail: str

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.target is None or self.value <= self.target

    @property
    def text(self) -> str:
        """As a line."""
        target = "" if self.target is None else f"(at most {self.target:g})"
        mark = "" if self.met else "  MISSED"
        return f"{self.what:<46} {self.value:7.2f} {self.unit:<10} {target:<15} {self.detail}{mark}"


def run(command: Sequence[str]) -> Run:
    """Runs a command. Raises SystemExit if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)


@dataclass(frozen=True)
class Pairs:
    """Runs of ours and of the floor, in turns."""

    ours: tuple[Run, ...]
    floor: tuple[Run, ...]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(mine.seconds / its.seconds for mine, its in zip(self.ours, self.floor, strict=True))

    @property
    def seconds(self) -> float:
        """The median of ours."""
        return statistics.median(each.seconds for each in self.ours)

    @property
    def floor_seconds(self) -> float:
        """The median of the floor's."""
        return statistics.median(each.seconds for each in self.floor)

    @property
    def megabytes(self) -> float:
        """The most that ours ever held."""
        return max(each.megabytes for each in self.ours)

    def row(self, what: str, floor: str, target: float | None) -> Row:
        """The ratio as a line of the table."""
        detail = f"{self.seconds:.2f} s, {self.megabytes:.0f} MB; {floor} {self.floor_seconds:.2f} s"
        return Row(what, self.ratio, "x floor", target, detail)


def pairs(ours: Sequence[str], floor: Sequence[str], runs: int, before: Callable[[], object] = lambda: None) -> Pairs:
    """Runs both in turns; `before` each of ours."""
    found = []
    for _ in range(runs):
        before()
        found.append((run(ours), run(floor)))
    return Pairs(tuple(mine for mine, _ in found), tuple(its for _, its in found))
