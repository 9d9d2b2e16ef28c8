"""A build must not take applications away by accident: which refs an index would lose, and whether that is too many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from builder.catalog import Image
from builder.config import Index
from builder.report import counted

_MOST_SHOWN = 20


@dataclass(frozen=True)
class Loss:
    """The refs that an index would lose, of how many."""

    index: Index
    before: int
    refs: tuple[str, ...]

    @property
    def too_much(self) -> bool:
        """Whether it is more than the index allows."""
        return len(self.refs) * 100 > self.before * self.index.max_shrink

    @property
    def text(self) -> str:
        """As a list of lines."""
        left = self.before - len(self.refs)
        end = "would become empty" if not left else f"would lose {len(self.refs)} of {counted(self.before, 'ref')}"
        more = len(self.refs) - _MOST_SHOWN
        lines = [f"the index {self.index.name} {end} (`max_shrink` is {self.index.max_shrink}%):"]
        lines += [f"  {ref}" for ref in self.refs[:_MOST_SHOWN]] + ([f"  and {more} more"] if more > 0 else [])
        return "\n".join(lines)


def losses(
    before: Iterable[Mapping[str, Any]], after: Mapping[str, tuple[Image, ...]], indexes: Iterable[Index]
) -> list[Loss]:
    """What each index would lose; `before` are the images in a `snapshot.json`, `after` those of the next one."""
    had: dict[str, set[str]] = {}
    for image in before:
        had.setdefault(image["index"], set()).add(image["ref"])
    found = []
    for index in indexes:
        refs = had.get(index.name, set())
        gone = refs.difference(image.ref for image in after[index.name])
        if gone:
            found.append(Loss(index, len(refs), tuple(sorted(gone))))
    return found
