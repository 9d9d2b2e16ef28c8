"""How snapshots get to a target: what push needs of it, whatever program carries the files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from builder.description import Invalid, Snapshot, parse


@dataclass(frozen=True)
class Live:
    """What a target shows: the id that its pointer names, and what it is described as, where that could be read.

    `same` is whether the description is, byte by byte, the one of the snapshot that it was held against.
    """

    id: str | None = None
    described: Snapshot | None = None
    same: bool = False


class Carrier(Protocol):
    """Brings snapshots to one target. All raise FlatdexError, whose `again` tells whether another try may help."""

    def look(self, snapshot: Snapshot) -> Live:
        """What is live there, held against `snapshot`."""

    def description(self) -> bytes:
        """The `snapshot.json` that is live there; nothing if there is none."""

    def fetch(self, snapshot: Snapshot) -> None:
        """Copies the files of the snapshot that is live there into its folder here, whose parent folders exist."""

    def send(self, snapshot: Snapshot, live: Live, thorough: bool) -> int:
        """Brings all that readers don't see yet, whatever is missing or damaged there; how many files were sent.

        If it is `thorough`, every byte there is looked at; else size and date are believed.
        """

    def flip(self, snapshot: Snapshot, live: Live) -> None:
        """Lets readers see it; then looks whether they do, as far as that can be told from here."""

    def snapshots(self) -> frozenset[str]:
        """The ids of the snapshots that lie there, finished or not."""

    def remove(self, identifiers: Collection[str]) -> None:
        """Removes snapshots, none of which is live."""


def described(description: bytes) -> Snapshot | None:
    """What a target's `snapshot.json` says; None where it is none."""
    try:
        return parse(description)
    except Invalid:
        return None
