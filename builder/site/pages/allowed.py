"""One thing that an application may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much a permission asks of a user's trust."""

    SAFE = "safe"
    NOTABLE = "notable"
    RISKY = "risky"


@dataclass(frozen=True)
class Permission:
    """One thing that is allowed: `title` and `detail` are message ids, with `values` to be filled in by name."""

    level: Level
    title: str
    detail: str = ""
    values: tuple[tuple[str, str], ...] = ()


def listed(names: list[str], most: int = 12) -> str:
    """Names for one of `values`, as many as a person may read."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
