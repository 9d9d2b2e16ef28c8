"""What is asked of a source for an object's sake, and what may come of it."""

from __future__ import annotations

from typing import Protocol

from sync.mirror.item import Item
from sync.mirror.model import Source
from sync.mirror.part import Part


class Absent(Exception):
    """The source does not have, or does not hand out, this one object. The message says why."""


class Wrong(Exception):
    """The source gave something else for the object."""


class Failing(Exception):
    """The source has trouble of its own, and may have it with the next object, too."""


class Lost(Exception):
    """The source can't be asked any more."""


class Stopped(Exception):
    """Nothing more is to be asked: the run is about to end."""


class Reader(Protocol):
    """Reads objects from one source. May be shared by threads."""

    source: Source

    def may_have(self, item: Item) -> bool:
        """Whether it makes sense to ask it."""

    def read(self, item: Item, part: Part) -> None:
        """Adds to the part what is not in it yet, whose digest is still to be checked.

        Raises Absent, Wrong, Failing, Lost, Stopped; and UnwritableError.
        """

    def cut(self) -> None:
        """Ends whatever is under way."""

    def close(self) -> None:
        """When nobody reads any more."""
