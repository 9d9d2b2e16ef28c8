"""`flatdex watch`: what its rounds do, and what the configuration means to it."""

from __future__ import annotations

import argparse
import gc
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version

from builder.build import How as BuildHow
from builder.build import warmed
from builder.config import Config, LayoutSource, RegistrySource, is_glob
from builder.memo import NOTHING, Memo
from builder.report import Report
from builder.sources.cache import Cache
from builder.sources.reading import known_as
from builder.store import Store
from front.places import place_of
from front.publishing import Published, Task, published
from sync import notes
from sync.events import settings
from sync.events.lines import Lines
from sync.events.model import Hint, Order, Result, TargetResult
from sync.events.notify import Notifier
from sync.events.rounds import Rounds
from sync.events.setup import Setup
from sync.events.signals import Signals
from sync.events.telling import Teller
from sync.events.watch import Watch, alone
from sync.outcome import How, Outcome
from sync.publication import Publication
from sync.targets import chosen
from sync.verbs import pushing
from sync.verbs.common import Place
from sync.wanted import Wish, served, targets_of

_PASSING = ("unreachable", "server-error", "rate-limited", "bad-answer", "unreadable")
"""Why a repository can't be read now, but perhaps in a moment."""
_LOCK_WAIT = 600.0  # seconds
_PRELOAD = ("front.warm",)


def run(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex watch`."""
    gc.enable()  # this process is to stay, others are not
    lines = Lines(report, args.json)
    notifier = Notifier.taken(os.environ)
    with Signals() as signals, ExitStack() as opened:
        setup = setup_of(load())
        opened.enter_context(alone(setup.store))
        teller = Teller(setup, lines, version("flatdex"), notifier)
        rounds = Rounds(round_, warm, _PRELOAD)
        return Watch(setup, lambda: setup_of(load()), rounds, teller, signals, notifier).run()


def setup_of(config: Config) -> Setup:
    """What a configuration means to a watch."""
    remote = config.remote.id if config.remote else config.mirror.remote_id if config.mirror else ""
    return Setup(
        context=config,
        file=config.file,
        store=config.store,
        targets=tuple(config.targets),
        takes=lambda hint: takes(config, hint, lambda: known(config)),
        events=settings.events(config.publishing, config.folder),
        metrics=settings.metrics(config.publishing, config.folder),
        identity=f"{remote} {config.store} {socket.gethostname()}",
    )


def takes(config: Config, hint: Hint, names: Callable[[], Iterable[str]]) -> frozenset[str] | None:
    """The repositories that a hint means, of those that the configuration takes; None: all that there are.

    `names` gives those that are known, for hints that have no whole names. A copy of another site is looked at whole.
    """
    if hint.everything or (config.mirror and not hint.empty):
        return None
    registries = [each for each in config.sources if isinstance(each, RegistrySource) and config.tags_of(each)]
    layouts = any(isinstance(each, LayoutSource) for each in config.sources)
    meant = set(hint.repositories)
    if hint.components:
        meant.update(name for name in names() if name.rpartition("/")[2] in hint.components)
    return frozenset(name for name in meant if layouts or any(source.takes(name) for source in registries))


def known(config: Config) -> frozenset[str]:
    """The repositories that were seen, or that the configuration names."""
    found: set[str] = set()
    kept = Cache(Store(config.store).cache)
    for source in config.sources:
        if isinstance(source, RegistrySource):
            found.update(name for name in source.repositories if not is_glob(name))
            found.update(kept.look(known_as(source)).tags)
    return frozenset(found)


class _Gathered(Report):
    """Keeps what an admin should know for the end; only progress of long work is shown at once."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._shown = Report()

    def result(self, text: str) -> None:
        """Nothing: the watch tells of it."""

    def detail(self, text: str) -> None:
        """Nothing, likewise."""

    def warn(self, text: str) -> None:
        """Kept."""
        self.lines.append(text)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """Shown."""
        return self._shown.progress(what)

    def transfer(self, what: str) -> Callable[[int, int, int, int], None]:
        """Shown."""
        return self._shown.transfer(what)


def warm(config: Config) -> Memo:
    """What the next round can take as it is."""
    return warmed(config, _Gathered())


def round_(config: Config, order: Order, memo: Memo | None) -> Result:
    """A round, as the store's writer; with it go the pushes and publications that others have asked for meanwhile."""
    place, report, started = place_of(config), _Gathered(), time.monotonic()
    done: list[Published] = []
    pushed: list[Publication] = []
    waited: list[float] = []

    def work(wishes: list[Wish]) -> None:
        waited.append(time.monotonic() - started)
        asked = [wish for wish in wishes if wish.verb != "push"]
        if asked:
            whole = any(wish.verb == "publish" for wish in asked)
            done.append(_published(config, place, order, asked, whole, memo or NOTHING, report))
        pushes = [wish for wish in wishes if wish.verb == "push"]
        pushed.extend(pushing.push_wished(place, pushes, report, order.patience))

    names = tuple(config.targets) if order.targets is None else order.targets
    served(place.store, Wish("watch", names), work, _LOCK_WAIT, create=True, leaving=False, defer=True)
    for each in pushed:
        pushing.show(each, report, quiet=True)
    result = _result(done, report.lines, waited[0])
    return replace(result, targets=(*result.targets, *_well(place, names, result)))


def _published(
    config: Config, place: Place, order: Order, wishes: Sequence[Wish], whole: bool, memo: Memo, report: Report
) -> Published:
    """Everything is looked at now and then; then, too, old snapshots go, and targets are looked at as clients do."""
    everything = whole or order.repositories is None
    names = targets_of(wishes, [target.name for target in place.settings.targets])
    task = Task(
        "watch",
        BuildHow(only=None if everything else order.repositories),
        doctor=everything and place.settings.doctor,
        tidy=everything,
        push=How(thorough=False, believing=not everything, patience=order.patience),
        lagging=not everything,
        memo=NOTHING if everything else memo,
    )
    return published(task, config, place, chosen(place.settings.targets, names) if names else (), report)


def _result(done: Sequence[Published], lines: Sequence[str], waited: float) -> Result:
    """What it came to in the end, if it was done more than once."""
    last = done[-1]
    built = last.built
    publications = [each.publication for each in done if each.publication]
    outcomes = {each.target: each for publication in publications for each in publication.outcomes}
    images = last.snapshot.document["images"] if last.snapshot else ()
    return Result(
        snapshot=built.snapshot,
        changed=any(map(_changed, done)),
        again=frozenset(each.repository for each in built.stale if each.code in _PASSING),
        held=last.hold is not None,
        targets=tuple(map(_target, outcomes.values())),
        build_seconds=sum(each.build_seconds for each in done),
        push_seconds=sum(each.push_seconds for each in done),
        lock_seconds=waited,
        skips=Counter(skip.code for skip in built.skips),
        stale=len(built.stale),
        refs=Counter(index for index, _ in {(each["index"], each["ref"]) for each in images}),
        expires=last.snapshot.expires if last.snapshot else None,
        lines=(*lines, *(line for publication in publications for line in publication.warnings)),
    )


def _well(place: Place, names: Iterable[str], result: Result) -> Iterator[TargetResult]:
    """The targets that nothing was pushed to, since they show already what they should."""
    pushed = {target.name for target in result.targets}
    current = place.store.current()
    for name in names:
        if name not in pushed and current is not None and notes.of_target(place.store, name).well(current):
            yield TargetResult(name, True)


def _changed(done: Published) -> bool:
    publication = done.publication
    flipped = publication and publication.promotion and publication.promotion.changed
    return bool(done.built.changed or flipped or (publication and any(each.changed for each in publication.outcomes)))


def _target(outcome: Outcome) -> TargetResult:
    return TargetResult(outcome.target, not outcome.error, outcome.error, outcome.barred, outcome.left_out)
