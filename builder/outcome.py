"""What a build came to, as a person reads it and as a script does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from builder.advice import Advice
from builder.catalog import Skip
from builder.description import time_text
from builder.report import Report, counted
from builder.stale import Stale

_MOST_ALIKE = 5


@dataclass(frozen=True)
class Built:
    """What a build came to: the snapshot, whether it is new, its refs, and all that an admin may want to know."""

    snapshot: str
    changed: bool
    indexes: int
    refs: tuple[str, ...]
    skips: tuple[Skip, ...] = ()
    stale: tuple[Stale, ...] = ()
    advice: tuple[Advice, ...] = ()
    renewed: str = ""
    """Why the snapshot is new although nothing in it is."""

    @property
    def whole(self) -> bool:
        """Whether there is nothing that an admin should act on."""
        return not self.stale and not any(skip.act for skip in self.skips)


def as_json(built: Built) -> dict[str, object]:
    """What a script wants to know of a build."""
    return {
        "snapshot": built.snapshot,
        "changed": built.changed,
        "renewed": built.renewed,
        "refs": list(built.refs),
        "skips": [{**asdict(skip), "act": skip.act} for skip in built.skips],
        "stale": [{**asdict(stale), "since": time_text(stale.since)} for stale in built.stale],
        "advice": [asdict(advice) for advice in built.advice],
    }


def summary(built: Built) -> str:
    """A build in a line."""
    skipped = f", {len(built.skips)} skipped" if built.skips else ""
    stale = f", {len(built.stale)} stale" if built.stale else ""
    state = "built" if built.changed else "unchanged:"
    state = f"renewed ({built.renewed}):" if built.renewed else state
    refs = f"{counted(len(built.refs), 'ref')} in {counted(built.indexes, 'index')}"
    return f"{state} {built.snapshot}: {refs}{skipped}{stale}"


def show(built: Built, report: Report) -> None:
    """Warns of what an admin should act on; tells of what hurts clients; the rest are details."""
    for line in _stale_lines(built.stale):
        report.warn(line)
    for line in _advice_lines(built.advice):
        report.note(line)
    act = [skip for skip in built.skips if skip.act]
    for line in table(act):
        report.warn(line)
    others = [skip for skip in built.skips if not skip.act]
    for line in table(others):
        report.detail(line)
    if others:
        codes = Counter(skip.code for skip in others)
        parts = ", ".join(f"{number} {code}" for code, number in sorted(codes.items()))
        report.note(f"left out as usual: {parts} (-v shows them)")


def table(skips: Sequence[Skip]) -> Iterator[str]:
    """Skips as lines of a table: what, where, why."""
    places = [_in_a_line(f"{skip.source} {skip.repository} {skip.reference[:19]}") for skip in skips]
    wide = min(max(map(len, places), default=0), 72)
    code = max((len(skip.code) for skip in skips), default=0)
    for skip, place in zip(skips, places, strict=True):
        yield f"skipped {skip.code:<{code}}  {place:<{wide}}  {_in_a_line(skip.why)}"


def _in_a_line(text: str) -> str:
    """Names and sentences of others must not look like lines of ours."""
    return text.replace("\n", "\\n")


def _stale_lines(stale: Iterable[Stale]) -> Iterator[str]:
    """One line each, but for many that have the same cause."""
    shown: Counter[tuple[str, str]] = Counter()
    for each in stale:
        kind = (each.source, each.code)
        shown[kind] += 1
        if shown[kind] <= _MOST_ALIKE:
            yield each.text
    for (source, code), number in shown.items():
        if number > _MOST_ALIKE:
            yield f"stale {source}: {code}: {number - _MOST_ALIKE} more repositories"


def _advice_lines(advice: Iterable[Advice]) -> Iterator[str]:
    shown: Counter[str] = Counter()
    for each in advice:
        shown[each.code] += 1
        if shown[each.code] <= _MOST_ALIKE:
            yield f"note {each.code}: {each.about}: {each.what}"
    for code, number in shown.items():
        if number > _MOST_ALIKE:
            yield f"note {code}: {number - _MOST_ALIKE} more"
