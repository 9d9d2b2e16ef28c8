"""How to push, and what became of a target."""

from __future__ import annotations

from dataclasses import dataclass

from builder.report import counted


@dataclass(frozen=True)
class How:
    """How to push. `thorough` reads every byte there, `force` overwrites what another store has published, `anyway`
    waits for nobody: neither for what a target comes after, nor for a quorum."""

    thorough: bool = True
    force: bool = False
    anyway: bool = False


THOROUGH = How()


@dataclass(frozen=True)
class Outcome:
    """What became of one target: what was live there before, how many files were sent, an error if it failed,
    whether its URL was asked, and whether it had failed the last time, too."""

    target: str
    snapshot: str
    before: str | None = None
    error: str = ""
    asked: bool = False
    sent: int = 0
    again: bool = False

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
