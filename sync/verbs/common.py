"""What the verbs share: the place they work on, who they talk to, and sizes in words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.store import Store
from sync.settings import Settings

Run = Callable[..., int]
AddVerb = Callable[[str, str, Run], argparse.ArgumentParser]
"""Adds a verb by its name, its help and what runs it: `run(args, place, report) -> exit code`; it takes `--json`."""


class Report(Protocol):
    """Where lines for a person go."""

    def result(self, text: str) -> None:
        """What was asked for."""

    def line(self, text: str) -> None:
        """What was done."""

    def detail(self, text: str) -> None:
        """What only `-v` shows."""

    def note(self, text: str) -> None:
        """What an admin may want to know."""

    def warn(self, text: str) -> None:
        """What an admin should know."""

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A function to call with how much is done and of how much."""

    def transfer(self, what: str) -> Callable[[int, int, int, int], None]:
        """The same for what has a size: to call with how many are done, of how many, and the bytes of both."""


@dataclass(frozen=True)
class Place:
    """What these verbs work on: the store, and how and where its snapshots go."""

    store: Store
    settings: Settings


def add_wait(parser: argparse.ArgumentParser) -> None:
    """The option of all verbs that write."""
    text = "wait so long for another writer to be done (default: 30 for a watch, whose rounds are short, else 0)"
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, help=text)


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("a number of seconds, 0 or more")
    return number


def wanted(store: Store, identifier: str | None) -> Snapshot:
    """The snapshot that is named, else the current one, else the newest."""
    if identifier is not None:
        return store.find(identifier)
    current = store.current()
    return store.snapshot(current) if current else newest(store)


def newest(store: Store) -> Snapshot:
    """The newest complete snapshot. Raises FlatdexError if there is none."""
    found = store.newest()
    if found is None:
        raise FlatdexError(f"no complete snapshot in {store.root}", "`flatdex build` makes one.")
    return found


def refs(number: int) -> str:
    """`1 ref`, `7 refs`."""
    return "1 ref" if number == 1 else f"{number} refs"


def size(number: Any) -> str:
    """Bytes as `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
