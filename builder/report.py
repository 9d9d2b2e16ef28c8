"""What a person reads while work goes on: progress on a terminal, plain lines elsewhere, little when quiet."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

_PASSWORD = re.compile(r"(://)[^\s/@:]*:[^\s/@]*@")
_REDRAWN = 0.1  # seconds between two drawings of progress
_TOLD = 30.0  # seconds between two lines where there is no terminal


def counted(number: int, noun: str) -> str:
    """`1 ref`, `2 refs`, `2 repositories`, `2 indexes`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("x") else "s")
    return f"{number} {plural}"


def span(seconds: float) -> str:
    """A span of time as a person says it: `5 s`, `3 min`, `2 h 10 min`, `4 d`."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} d"


def sized(number: int) -> str:
    """A number of bytes as a person says it: `512 B`, `3.4 MB`, `12 GB`."""
    left = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if left < 999.5:
            return f"{left:.0f} {unit}" if unit == "B" or left >= 9.95 else f"{left:.1f} {unit}"
        left /= 1000
    return f"{left:.0f} TB" if left >= 9.95 else f"{left:.1f} TB"


def printable(text: str) -> str:
    """`text` without what a terminal would act on, and without passwords in URLs: others' words may hold anything."""
    shown = _PASSWORD.sub(r"\1***@", text)
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in shown
    )


def _progress(what: str, done: int, total: int, seconds: float) -> str:
    """`main: images: 120 of 300, 45/s, 4 s left`."""
    line = f"{what}: {done} of {total}"
    if seconds < 1 or not done:
        return line
    rate = done / seconds
    return f"{line}, {rate:.0f}/s, {span((total - done) / rate)} left"


def _transfer(what: str, count: tuple[int, int], moved: tuple[int, int], seconds: float) -> str:
    """`objects: 120 of 400, 1.2 GB of 4.0 GB, 45 MB/s, 62 s left`."""
    (done, total), (came, size) = count, moved
    line = f"{what}: {done} of {total}, {sized(came)} of {sized(size)}"
    if seconds < 1 or came <= 0:
        return line
    rate = came / seconds
    return f"{line}, {sized(int(rate))}/s, {span((size - came) / rate)} left"


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

    def note(self, text: str) -> None:
        """What an admin may want to know."""
        if self._level >= 0:
            self.warn(text)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A function to call with how much is done and of how much.

        On a terminal it draws one line again and again; elsewhere it prints one now and then, if work takes long.
        """
        show = self._shower()
        return lambda done, total: show(done == total, lambda seconds: _progress(what, done, total, seconds))

    def transfer(self, what: str) -> Callable[[int, int, int, int], None]:
        """The same for what has a size: to call with how many are done, of how many, and the bytes of both."""
        show = self._shower()

        def draw(done: int, total: int, came: int, size: int) -> None:
            show(done == total, lambda seconds: _transfer(what, (done, total), (came, size), seconds))

        return draw

    def _shower(self) -> Callable[[bool, Callable[[float], str]], None]:
        """A function that shows a line, made of how many seconds have passed, unless one was shown a moment ago."""
        started = shown = time.monotonic()

        def show(over: bool, line: Callable[[float], str]) -> None:
            nonlocal shown
            now = time.monotonic()
            if self._live:
                if over:
                    self._clear()
                elif now - shown >= _REDRAWN or not self._drawn:
                    shown = now
                    print(f"\r\x1b[K{line(now - started)}", end="", file=self._err, flush=True)
                    self._drawn = True
            elif self._level >= 0 and now - shown >= _TOLD and not over:
                shown = now
                self.warn(line(now - started))

        return show

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=self._err, flush=True)
            self._drawn = False
