"""What can go wrong in a way that a user should read: each error says what, where and the likely fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    PARTLY = 4
    LOCKED = 11
    INTERRUPTED = 130


class FlatdexError(Exception):
    """An expected failure. `what` is one sentence; `fix` is the likely remedy, where one is known."""

    exit_code = Exit.FAILED
    again = False
    """Whether it may get better by itself, so that another try is worth it."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n  {self.fix}" if self.fix else self.what

    @property
    def line(self) -> str:
        """The same in one line."""
        return " ".join((f"{self.what}. {self.fix}" if self.fix else self.what).split())


class UsageError(FlatdexError):
    """The command line asks for something that is not there."""

    exit_code = Exit.USAGE


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a configuration file, at a line and a key path such as `indexes.stable.tags[0]`."""

    line: int
    key: str
    what: str
    fix: str = ""

    def text(self, file: str) -> str:
        """The problem as `FILE:LINE: KEY: WHAT`, with the fix on a line of its own."""
        place = f"{file}:{self.line}: " + (f"{self.key}: " if self.key else "")
        return place + self.what + (f"\n  {self.fix}" if self.fix else "")


class ConfigError(FlatdexError):
    """All that is wrong in a configuration file, in the order of its lines."""

    exit_code = Exit.CONFIG

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = sorted(set(problems))
        super().__init__("\n".join(problem.text(file) for problem in self.problems))


class SourceError(FlatdexError):
    """A source, or a repository of it, could not be read; `code` is a stable name of the kind of failure."""

    def __init__(self, source: str, operation: str, cause: str, fix: str = "", code: str = "unreadable") -> None:
        super().__init__(f"source {source}: failed to {operation}: {cause}", fix)
        self.source = source
        self.operation = operation
        self.cause = cause
        self.code = code


class LockedError(FlatdexError):
    """Another process is writing to the store; `orphaned` by one that has ended and left it running."""

    exit_code = Exit.LOCKED

    def __init__(self, what: str, fix: str = "", orphaned: bool = False) -> None:
        super().__init__(what, fix)
        self.orphaned = orphaned
