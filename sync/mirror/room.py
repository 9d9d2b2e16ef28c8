"""Whether the disk has room for what is to come."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from builder.errors import FlatdexError
from builder.report import sized
from sync.mirror.item import Item
from sync.mirror.pool import Pool

_BLOCK = 4096  # bytes that file systems give room in


def check(items: Sequence[Item], pool: Pool) -> None:
    """Raises FlatdexError if there is no room for all whose size is known."""
    needed, free = _needed(items, pool), _free(pool)
    if needed > free:
        raise FlatdexError(*_lacking(pool, needed, free))


def used_up(items: Sequence[Item], pool: Pool) -> FlatdexError:
    """How much is lacking on a disk that is full, as an error. Of a quota nobody knows how much that is."""
    needed, free = _needed(items, pool), _free(pool)
    what, fix = f"there is no room for more in {pool.folder}", "Make room there, or mirror less."
    if needed > free:
        what, fix = _lacking(pool, needed, free)
    return FlatdexError(what, f"{fix} What was fetched so far is kept, the next run goes on from there.")


def _lacking(pool: Pool, needed: int, free: int) -> tuple[str, str]:
    what = f"{sized(needed)} are still to be fetched, but {pool.folder} has room for only {sized(free)}"
    return what, f"Make room for {sized(needed - free)} more, or mirror less."


def _needed(items: Sequence[Item], pool: Pool) -> int:
    left = (item for item in items if item.size is not None and pool.have(item.sha256) is None)
    return sum(_rounded(item.size or 0) - _rounded(pool.size_of_part(item.sha256)) for item in left)


def _free(pool: Pool) -> int:
    folder = next(each for each in (pool.folder, *pool.folder.parents) if each.exists())
    return shutil.disk_usage(folder).free


def _rounded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
