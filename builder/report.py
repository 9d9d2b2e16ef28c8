"""What a person reads while work goes on: progress on a terminal, plain lines elsewhere, little when quiet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO


def counted(number: int, noun: str) -> str:
    """`1 ref`, `2 refs`, `2 repositories`, `2 indexes`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("x") else "s")
    return f"{number} {plural}"


def printable(text: str) -> str:
    """`text` without what a terminal would act on: others' names and messages may hold anything."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def _nowhere() -> TextIO:
    """For a stream that whoever started us has closed."""
    return Path(os.devnull).open("w", encoding="utf-8")


class Report:
    """`level` is -1 (quiet), 0, or 1 (verbose). Results go to `out`, all else to `err`."""

    def __init__(self, level: int = 0, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._level = level
        self._out: TextIO = out or sys.stdout or _nowhere()
        self._err: TextIO = err or sys.stderr or _nowhere()
        self._live = self._err.isatty() and level >= 0
        self._drawn = False

    def result(self, text: str) -> None:
        """What was asked for: shown also when quiet."""
        self._clear()
        print(printable(text), file=self._out, flush=True)

    def line(self, text: str) -> None:
        """What was done."""
        if self._level >= 0:
            self.result(text)

    def detail(self, text: str) -> None:
        """What only `-v` shows."""
        if self._level > 0:
            self.warn(text)

    def warn(self, text: str) -> None:
        """What an admin should know, shown also when quiet."""
        self._clear()
        print(printable(text), file=self._err, flush=True)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A function to call with how much is done and of how much: one line, redrawn, on a terminal only."""

        def show(done: int, total: int) -> None:
            if self._live:
                print(f"\r\x1b[K{what}: {done} of {total}", end="", file=self._err, flush=True)
                self._drawn = True
                if done == total:
                    self._clear()

        return show

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=self._err, flush=True)
            self._drawn = False
