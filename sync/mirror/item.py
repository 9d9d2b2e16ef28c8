"""Objects to fetch: each once, whoever wants it for whatever reason, and bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from builder.sources.walk import LARGEST_MANIFEST
from sync.mirror.model import Wanted

LARGEST_UNKNOWN = 64 * 1024 * 1024
"""Bytes of an object whose size nobody has told."""


@dataclass(frozen=True)
class Item:
    """An object that is wanted, be it for several reasons: `size` as the first one that knows it has it."""

    sha256: str
    size: int | None
    repositories: tuple[str, ...]
    is_manifest: bool
    limit: int
    """The most bytes it may have."""

    def misfit(self, size: int) -> str:
        """Why so many bytes can't be it; empty if they can."""
        if self.size is not None and size != self.size:
            return f"{size} bytes, not {self.size}"
        return f"{size} bytes, more than {self.limit}" if size > self.limit else ""

    @property
    def name(self) -> str:
        """For a person."""
        return f"sha256:{self.sha256[:12]}.."


def items_of(wanted: Iterable[Wanted]) -> list[Item]:
    """Each object once, the largest first, so that no thread is left with one when the others are done."""
    found: dict[str, list[Wanted]] = {}
    for each in wanted:
        found.setdefault(each.sha256, []).append(each)
    items = [_item(sha256, reasons) for sha256, reasons in found.items()]
    return sorted(items, key=lambda item: -(item.size or 0))


def _item(sha256: str, reasons: list[Wanted]) -> Item:
    size = next((each.size for each in reasons if each.size is not None), None)
    is_manifest = any(each.is_manifest for each in reasons)
    limit = size if size is not None else LARGEST_MANIFEST if is_manifest else LARGEST_UNKNOWN
    repositories = tuple(dict.fromkeys(each.repository for each in reasons if each.repository))
    return Item(sha256, size, repositories, is_manifest, limit)
