"""What an export does to a stick: what is written, what is right already, and what goes. Others read and write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder.description import Snapshot
from sync.export.items import Item, Rank, recorded

FAT_LIMIT = 4 * 1024**3 - 1
"""Bytes of the largest file that FAT can hold."""
STAGE = ".flatdex-export"
"""The folder of a stick in which files are written before they get their names."""


@dataclass(frozen=True)
class Plan:
    """`written` in the order in which files get their names; `kept` are paths that are right already.

    `removed` are paths that earlier exports wrote, and nobody needs any more.
    """

    written: tuple[Item, ...]
    kept: frozenset[str]
    removed: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(item.size for item in self.written)

    @property
    def present(self) -> frozenset[str]:
        """What the stick holds of the snapshot afterwards."""
        return self.kept | {item.path for item in self.written}

    def room(self, cluster: int) -> int:
        """Bytes that are taken before anything is given back: each file, and each folder, takes whole clusters."""
        folders = {item.path.rpartition("/")[0] for item in self.written}
        return cluster * (len(folders) + sum(-(-item.size // cluster) for item in self.written))


def plan(
    wanted: Collection[Item],
    same: Collection[str],
    there: Collection[str],
    ours: Iterable[str],
    needed: Collection[str],
    since: Snapshot | None = None,
) -> Plan:
    """`same` are paths where the stick has what is `wanted`; `there`, those where it has anything.

    `ours` are paths that exports may have written: of these goes what is not `needed`. `since`: what that snapshot
    had is not written, but for what readers begin with, and what would stay in an older form.
    """
    news = None if since is None else {item.path for item in _news(wanted, since)}
    written = [
        item for item in wanted if item.path not in same and (news is None or item.path in news or item.path in there)
    ]
    return Plan(
        tuple(sorted(written, key=lambda item: (item.rank, item.path))),
        frozenset(item.path for item in wanted if item.path in same),
        tuple(sorted(path for path in ours if path in there and path not in needed)),
    )


def _news(wanted: Iterable[Item], since: Snapshot) -> Iterator[Item]:
    had = dict(recorded(since))
    hashes = frozenset(had.values())
    for item in wanted:
        if item.rank is Rank.OBJECT:
            if item.sha256 not in hashes:
                yield item
        elif item.rank is not Rank.PAGE or had.get(item.path) != item.sha256:
            yield item


def too_large(written: Iterable[Item]) -> list[str]:
    """What FAT can't hold, a line each."""
    return [f"{item.path}: {item.size / 1e9:.1f} GB" for item in written if item.size > FAT_LIMIT]


def in_the_way(paths: Iterable[str], there: Mapping[str, bool], ours: Collection[str]) -> list[str]:
    """The paths where something lies that no export has put there; `there` tells whether it is a plain file."""
    return sorted(path for path in paths if path in there and not (there[path] and path in ours))
