"""How to push, and what became of a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.report import counted


@dataclass(frozen=True)
class How:
    """How to push. `thorough` reads every byte there, `force` overwrites what another store has published, `anyway`
    waits for nobody: neither for what a target comes after, nor for a quorum. `believing` reads no file again that is
    the very one which was promoted before, if all were read within a day (see `sync.believed`).

    `patience` says how many seconds targets are given, by their names, when nothing else moves any more (see
    `sync.order.late`); one that has 0 is left out and counts as failed, and one that is not named has no limit.
    """

    thorough: bool = True
    force: bool = False
    anyway: bool = False
    believing: bool = False
    patience: Mapping[str, float] = field(default_factory=dict, hash=False)


THOROUGH = How()


@dataclass(frozen=True)
class Outcome:
    """What became of one target: what was live there before, how many files were sent, an error if it failed,
    whether its URL was asked, and whether it had failed the last time, too.

    It may have been `barred` by others that did not go live, or `left_out`, since nobody had patience with it.
    """

    target: str
    snapshot: str
    before: str | None = None
    error: str = ""
    asked: bool = False
    sent: int = 0
    again: bool = False
    barred: bool = False
    left_out: bool = False

    @property
    def changed(self) -> bool:
        """Whether readers, or their files, have anything new."""
        return not self.error and (self.before != self.snapshot or self.sent > 0)

    @property
    def line(self) -> str:
        """For a person; only a target that was asked over HTTP is said to serve."""
        if self.error:
            return f"{self.target}: failed: {self.error}"
        already = "already " if self.before == self.snapshot and not self.sent else ""
        mended = f" (mended, {counted(self.sent, 'file')} sent)" if self.before == self.snapshot and self.sent else ""
        return f"{self.target}: {already}{'serves' if self.asked else 'has'} {self.snapshot}{mended}"
