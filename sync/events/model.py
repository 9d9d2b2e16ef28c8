"""What goes through a watch: hints from events, orders for rounds, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Hint:
    """What an event says may be new: nothing of it is believed, the registry is asked.

    `repositories` are whole names, as a registry has them; `components` are last parts of names, for events that know
    no more; `everything` is for events that name no repository. A hint without any of them is of no interest. `about`
    says in a few words what kind of event it was, for the log.
    """

    repositories: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()
    everything: bool = False
    about: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is to be looked at."""
        return not (self.repositories or self.components or self.everything)


class Inbox(Protocol):
    """Who takes events, of whatever origin: `amqp`, `webhook`, `spool`, `signal`, `sweep`, .. Safe for threads."""

    def offer(self, origin: str, hint: Hint, done: Callable[[], None] = ...) -> str:
        """Takes an event and gives its id, which is empty if it names nothing that the configuration takes.

        `done` is called once, from any thread, when all that the event may have caused is live (or kept safe in the
        store for a later round); at once if it is of no interest.
        """

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        """Counts an event that was not taken, by a reason such as `unauthorized`, `malformed` or `too-large`.

        A line tells of it, now and then: floods must not fill a log.
        """

    def state(self, origin: str, state: str, up: bool = True) -> None:
        """Tells how an origin does: `connected`, `listening on ..`, or what is wrong; shown by `status`, said once.

        It is not `up` while no event can come in by it.
        """


class Origin(Protocol):
    """Where events come from. `start` returns at once; what it starts ends with `stop`, within a second or so."""

    def start(self) -> None:
        """Begins to listen, in threads of its own. Raises FlatdexError for what an admin has to mend."""

    def stop(self) -> None:
        """Ends. What was offered and is not done stays with whoever sent it."""


@dataclass(frozen=True)
class Order:
    """What a round is to do: ask these `repositories` (None: all), then bring `targets` (None: all) up to date.

    A target that is not done `patience` seconds after anything else was done is given up for now; with 0 it is left
    out, and counts as failed.
    """

    ids: tuple[str, ...]
    repositories: frozenset[str] | None = None
    targets: tuple[str, ...] | None = None
    patience: Mapping[str, float] = field(default_factory=dict)


OUTCOMES = ("done", "unchanged", "held", "partly", "failed", "locked", "interrupted")
"""What a round may come to."""


@dataclass(frozen=True)
class TargetResult:
    """What became of a target: whether it shows what is current, else why not.

    It may only have been `barred` by others that did not go live, or `left_out` by the order.
    """

    name: str
    live: bool
    error: str = ""
    barred: bool = False
    left_out: bool = False


@dataclass(frozen=True)
class Result:
    """What a round came to. Times are spans in seconds. `error` is a line if it came to nothing."""

    snapshot: str = ""
    changed: bool = False
    error: str = ""
    locked: bool = False
    """Whether somebody else was at work: it is to be tried again soon."""
    interrupted: bool = False
    again: frozenset[str] = frozenset()
    """Repositories that could not be read for a passing reason; the empty name stands for all of a source."""
    held: bool = False
    targets: tuple[TargetResult, ...] = ()
    build_seconds: float = 0.0
    push_seconds: float = 0.0
    lock_seconds: float = 0.0
    """How long it waited for the store's lock."""
    skips: Mapping[str, int] = field(default_factory=dict)
    """How many images were left out, by the reason's code."""
    stale: int = 0
    """How many repositories or sources could not be read and keep their last good images."""
    refs: Mapping[str, int] = field(default_factory=dict)
    """How many refs each index has."""
    expires: int | None = None
    """When what is current stops being valid, in seconds, if it is signed."""
    lines: tuple[str, ...] = ()
    """What an admin should know, beside `error`."""

    @property
    def good(self) -> bool:
        """Whether what was asked for was looked at, and is built."""
        return not (self.error or self.locked or self.interrupted)

    @property
    def outcome(self) -> str:
        """In a word, one of `OUTCOMES`."""
        if self.interrupted:
            return "interrupted"
        if self.locked:
            return "locked"
        if self.error:
            return "failed"
        if self.again or not all(target.live for target in self.targets):
            return "partly"
        if self.held:
            return "held"
        return "done" if self.changed else "unchanged"
