"""What a process holds, as the kernel tells it; and whether that grows."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real.process import children_of

_PART = 5  # the first fifth is warm-up; what was in the second is held against the last


@dataclass(frozen=True)
class Vitals:
    """Memory in MB: `resident`, the process's share of it (`proportional`), and what is its own (`anonymous`).

    `children` are processes, of which some may be `dead` and not yet waited for.
    """

    resident: float
    proportional: float
    anonymous: float
    descriptors: int
    threads: int
    children: int
    dead: int


def vitals(pid: int) -> Vitals:
    """Of a process. Raises OSError if it has ended."""
    place = Path(f"/proc/{pid}")
    memory = _fields((place / "smaps_rollup").read_text())
    children = children_of(pid)
    return Vitals(
        resident=memory["Rss"] / 1024,
        proportional=memory["Pss"] / 1024,
        anonymous=memory["Anonymous"] / 1024,
        descriptors=len(list((place / "fd").iterdir())),
        threads=len(list((place / "task").iterdir())),
        children=len(children),
        dead=sum(_state(child) == "Z" for child in children),
    )


def processor_seconds(pid: int) -> float:
    """How long a process has kept a processor busy."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(pid: int) -> str:
    """What a process was started as; nothing if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


@dataclass(frozen=True)
class Growth:
    """What a figure was `early`, when all was warm, and `late`, `hours` later."""

    early: float
    late: float
    hours: float

    @property
    def more(self) -> float:
        """How much it has grown; what has become less has not."""
        return max(0.0, self.late - self.early)

    @property
    def an_hour(self) -> float:
        """How much that would be in an hour."""
        return (self.late - self.early) / self.hours


def growth(figures: Sequence[float], seconds: float, coming_and_going: bool = False) -> Growth:
    """Of figures that were taken at even distances, in so many seconds. There must be five at least.

    Medians are held against each other; of what is `coming_and_going`, such as threads that serve a request, the least
    that there was: what stays can't be missed by that.
    """
    size = len(figures) // _PART
    if not size:
        raise ValueError(f"{len(figures)} figures say nothing of growth")
    typical = min if coming_and_going else statistics.median
    apart = (len(figures) - 2 * size) / len(figures) * seconds
    return Growth(typical(figures[size : 2 * size]), typical(figures[-size:]), apart / 3600)


def _fields(text: str) -> dict[str, int]:
    """The lines `Name: 123 kB`."""
    words = [line.split() for line in text.splitlines() if line.endswith(" kB")]
    return {name.rstrip(":"): int(value) for name, value, _ in words}


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return _stat(pid)[0]
    return ""
