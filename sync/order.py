"""Which targets may flip now, and which never will in this run: pure decisions over where each target stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from sync.settings import Quorum


class Stand(Enum):
    """Where a target stands in a push."""

    SENDING = "sending"
    RETRYING = "retrying"
    """It failed once and is tried again: nobody waits for it."""
    READY = "ready"
    """It has all of the snapshot, and shows the old one."""
    FLIPPING = "flipping"
    LIVE = "live"
    FAILED = "failed"
    BARRED = "barred"
    """Nothing is wrong with it, but it must not flip in this run."""


@dataclass(frozen=True)
class Decision:
    """The targets to flip at once, and those that don't flip in this run, each with the reason."""

    flip: frozenset[str] = frozenset()
    bar: Mapping[str, str] = field(default_factory=dict)


def decide(
    stands: Mapping[str, Stand],
    after: Mapping[str, Collection[str]],
    quorum: Quorum | None = None,
    patient: bool = True,
) -> Decision:
    """What to do next.

    `after` names for each target those that have to be live before it; what is not among `stands` counts as live.
    Targets that may flip do so together: while `patient`, one that is still being sent to holds up those that wait
    for the same targets as it does; what was tried in vain holds up nobody. A quorum has to be ready before any flips.
    """
    if quorum and (missing := _lost(stands, quorum)):
        return Decision(bar={name: missing for name, stand in stands.items() if stand is Stand.READY})
    bar = {
        name: why for name, stand in stands.items() if stand is Stand.READY and (why := _barred(name, stands, after))
    }
    if quorum and not _reached(stands, quorum):
        return Decision(bar=bar)
    free = {
        name
        for name, stand in stands.items()
        if stand in (Stand.READY, Stand.SENDING) and name not in bar and _is_free(name, stands, after)
    }
    ready = frozenset(name for name in free if stands[name] is Stand.READY)
    return Decision(frozenset() if patient and ready != free else ready, bar)


def late(working: Collection[str], quiet: float, patience: Mapping[str, float]) -> frozenset[str]:
    """Those of the targets that threads work for which are given up, after `quiet` seconds in which nothing moved.

    A push moves when a target is begun, is ready, begins to flip, or is done with, whatever came of it. So a target's
    time begins when all others are done, or wait for it or for others as slow as it is; nobody is hurried while a push
    goes on anyway, and together they can't hold one up for longer than the most patient would alone, for each move.
    """
    return frozenset(name for name in working if name in patience and quiet >= patience[name])


def _is_free(name: str, stands: Mapping[str, Stand], after: Mapping[str, Collection[str]]) -> bool:
    return all(stands.get(other, Stand.LIVE) is Stand.LIVE for other in after.get(name, ()))


def _barred(name: str, stands: Mapping[str, Stand], after: Mapping[str, Collection[str]]) -> str:
    failed = [other for other in after.get(name, ()) if stands.get(other) in (Stand.FAILED, Stand.BARRED)]
    return f"not flipped, since {', '.join(failed)} did not go live" if failed else ""


def _there(stands: Mapping[str, Stand]) -> set[str]:
    return {name for name, stand in stands.items() if stand in (Stand.READY, Stand.FLIPPING, Stand.LIVE)}


def _has_begun(stands: Mapping[str, Stand]) -> bool:
    """Whether any target flips or has flipped: none does before the quorum is reached."""
    return not {Stand.FLIPPING, Stand.LIVE}.isdisjoint(stands.values())


def _reached(stands: Mapping[str, Stand], quorum: Quorum) -> bool:
    if _has_begun(stands):
        return True
    there = _there(stands)
    return quorum.names & stands.keys() <= there and min(quorum.number, len(stands)) <= len(there)


def _lost(stands: Mapping[str, Stand], quorum: Quorum) -> str:
    """Why the quorum can't be reached any more."""
    failed = {name for name, stand in stands.items() if stand is Stand.FAILED}
    if _has_begun(stands):
        return ""
    if needed := sorted(quorum.names & failed):
        return f"not flipped, since {', '.join(needed)} can't flip together with it"
    left = len(stands) - len(failed)
    if left < min(quorum.number, len(stands)):
        return f"not flipped, since only {left} of {quorum.number} targets are ready"
    return ""
