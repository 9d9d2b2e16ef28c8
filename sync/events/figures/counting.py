"""What is counted of a watch. Threads of all origins may count, whether or not anybody has asked for figures."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from builder.store import Store
from sync.events.model import Result
from sync.events.settings import Metrics


@dataclass(frozen=True)
class Watched:
    """What the figures are about: a store, the targets by name, the seconds between two sweeps, and who looks."""

    store: Store
    targets: tuple[str, ...]
    every: float
    version: str


class Figures:
    """This one counts nothing, since nobody has asked for figures."""

    def event(self, origin: str, outcome: str) -> None:
        """An event came in, by an origin; what became of it: `taken`, `unknown`, `unauthorized`, .."""

    def waiting(self, events: int, repositories: int, oldest: float) -> None:
        """So many events wait for a round, that name so many repositories, the oldest for so many seconds."""

    def round(self, result: Result) -> None:
        """A round has ended."""

    def live(self, seconds: float) -> None:
        """What an event has caused is live, so many seconds after its notice."""

    def origin(self, name: str, up: bool) -> None:
        """Whether events can come in by an origin."""

    def only_origins(self, names: Collection[str]) -> None:
        """Another configuration has only these."""

    def config_reload(self, ok: bool) -> None:
        """The configuration was read again, or refused."""

    def tick(self) -> None:
        """Writes what is due. To be called about once a second, and after a round."""

    def configure(self, watched: Watched, metrics: Metrics) -> Figures:
        """The figures to use with another configuration. If FlatdexError is raised, these go on as they are."""
        return self

    def close(self) -> None:
        """Ends: the last figures are written, and nobody is answered any more."""
