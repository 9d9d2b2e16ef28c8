"""System calls after which something is different, as strace records them, and the ways to be killed at one of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_NAMES = ("rename", "renameat", "renameat2", "symlink", "symlinkat", "link", "linkat", "unlink", "unlinkat", "rmdir")
_FOLDERS = ("mkdir", "mkdirat")
_DURABLE = ("fsync", "fdatasync", "syncfs", "sync_file_range")
_STATES = ("chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat")
_WRITING = ("write", "pwrite64")
_BYTES = (*_WRITING, "ftruncate", "truncate", "fallocate")
_OPENING = ("open", "openat", "openat2", "creat")
_LASTING = (*_NAMES, *_FOLDERS, *_DURABLE, *_OPENING)

_CALL = re.compile(r"([a-z_0-9]+)\(")
_FAILED = re.compile(r"\) += -1 E")
_FOR_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)")


@dataclass(frozen=True, order=True)
class Point:
    """The moment before a system call: the `number`th of its name in a process; of which run of a program, if many."""

    run: int
    call: str
    number: int

    @property
    def options(self) -> tuple[str, ...]:
        """What lets strace kill there."""
        return (f"-etrace={self.call}", f"-einject={self.call}:signal=KILL:when={self.number}")


class Depth(Enum):
    """Which calls are points."""

    NAMES = "those that change a name, or make something durable"
    READS = "also those that open a file to read it"
    ALL = "also those that change what a file holds, its mode or its date"


RECORDING = ("-y", "-s0", f"-etrace={','.join(f'?{call}' for call in (*_LASTING, *_STATES, *_BYTES))}")
"""strace's options to record all of them; `?`: not every processor has all of them."""


def points(records: Iterable[Path], folder: Path, run: int, depth: Depth) -> list[Point]:
    """Where the processes that these records are of did what `depth` tells of.

    Of what they opened and wrote to, only what is below `folder` counts: the rest is pipes and terminals.
    """
    found: set[Point] = set()
    for record in records:
        counted: Counter[str] = Counter()
        for line in record.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _CALL.match(line):
                call = match[1]
                counted[call] += 1
                if _counts(call, line, str(folder), depth):
                    found.add(Point(run, call, counted[call]))
    return sorted(found)


def thinned(found: Iterable[Point], every: int) -> list[Point]:
    """Of each kind of call in each run of a program the first and the last one, and between them one of so many."""
    kinds: dict[tuple[int, str], list[Point]] = {}
    for point in found:
        kinds.setdefault((point.run, point.call), []).append(point)
    return [point for kind in kinds.values() for point in sorted({*kind[::every], kind[-1]})]


def _counts(call: str, line: str, folder: str, depth: Depth) -> bool:
    if _FAILED.search(line):
        return False
    if call in _OPENING:
        reads = depth is Depth.READS and "O_DIRECTORY" not in line
        return folder in line and (reads or bool(_FOR_WRITING.search(line)))
    if call in _LASTING:
        return True
    return depth is Depth.ALL and (call not in _WRITING or line.partition("<")[2].startswith(folder))
