"""Runs of the command, to their end, recorded, or killed at a point."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from tests.real.process import find

_ROOT = Path(__file__).parents[2]
MOMENT = 1709337600
"""When the first runs are, in seconds; the example's snapshots are older."""
LATER = MOMENT + 60
"""When the next ones are."""


@dataclass(frozen=True)
class Run:
    """How one ended; a signal's number is below zero."""

    code: int
    said: str


class How(TypedDict, total=False):
    """How it is run: with more in its environment; `broken`: with this part of it made unsafe."""

    env: Mapping[str, str]
    broken: str


class Runner:
    """Runs the command in the folder `work`, once at a time, in forks of a process that `number` tells from others.

    That process ends with the thread that makes the first one. `module` is what it runs, if it isn't the command.
    """

    def __init__(self, number: int, work: Path, out: Path, module: str = "tests.crash.forks") -> None:
        self._work, self._out = work, out
        self._forks = _forks(number, module)

    def run(self, *args: str, moment: int = MOMENT, strace: Sequence[str] = (), **how: Unpack[How]) -> Run:
        """One run, at a `moment`; `strace`: its command line, but for the process."""
        request = {
            "args": args,
            "cwd": str(self._work),
            "env": {"TMPDIR": str(self._work / "tmp"), **how.get("env", {})},
            "out": str(self._out),
            "moment": moment,
            "strace": strace,
            "broken": how.get("broken", ""),
        }
        assert self._forks.stdin and self._forks.stdout
        self._forks.stdin.write(json.dumps(request).encode() + b"\n")
        code = int(self._forks.stdout.readline())
        return Run(code, self._out.read_text(encoding="utf-8", errors="replace"))


@functools.cache
def _forks(number: int, module: str) -> subprocess.Popen[bytes]:
    setpriv = find("setpriv")
    forks = subprocess.Popen(
        [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )

    def end() -> None:
        forks.kill()
        forks.communicate()

    atexit.register(end)
    return forks
