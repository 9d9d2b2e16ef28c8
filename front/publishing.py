"""`flatdex publish`, and `mirror`: build, promote and push under one lock, so that nobody comes in between."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from builder import mirrored, outcome, plan, renewal, snapshot
from builder.build import How as BuildHow
from builder.build import build
from builder.cli import how_of
from builder.config import Config
from builder.description import Snapshot
from builder.doctor.cli import examined, table
from builder.doctor.findings import Finding
from builder.errors import Exit, FlatdexError
from builder.memo import NOTHING, Memo
from builder.report import Report
from builder.store import Store
from front.places import place_of
from sync import notes
from sync.ahead import Ahead
from sync.mirror import run
from sync.mirror.run import Mirrored
from sync.outcome import How
from sync.prune import Pruned, prune
from sync.publication import Publication, publish
from sync.targets import Target, chosen
from sync.verbs import mirroring, pushing, releasing
from sync.verbs.common import Place
from sync.wanted import Wish, served, targets_of

_SAMPLE = 5  # images that a look at a target pulls


@dataclass(frozen=True)
class Task:
    """What to do: as which verb, how to build and push, whether to look at what the targets serve then (`doctor`), and
    whether to remove what is no longer needed (`tidy`).

    If it is `lagging` only, targets that are known to show what is current are left alone: nobody asks them.
    """

    verb: str
    how: BuildHow = field(default_factory=BuildHow)
    doctor: bool = False
    tidy: bool = True
    push: How = field(default_factory=lambda: How(thorough=False))
    lagging: bool = False
    memo: Memo = NOTHING


@dataclass(frozen=True)
class Published:
    """What one `publish` came to; without a `publication` nothing was ever promoted, and a hold keeps it so."""

    built: outcome.Built
    publication: Publication | None
    hold: notes.Hold | None
    pruned: Pruned | None = None
    examined: Mapping[str, tuple[Finding, ...]] | None = None
    """What doctor found of weight on targets, by their names, if it was to look."""
    copied: Mirrored | None = None
    """Where from, if it is a copy."""
    snapshot: Snapshot | None = None
    """The one that was built, if it was to be published."""
    build_seconds: float = 0.0
    push_seconds: float = 0.0
    """How long it took from when that was built until all targets were dealt with."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left to be done."""
        failed = self.hold or (self.publication and not self.publication.whole) or (self.pruned and self.pruned.errors)
        return self.built.whole and not failed and not any((self.examined or {}).values())


def run_publish(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex publish`, and `mirror`, under one lock, so that nobody comes in between."""
    config = mirroring.config_of(args, load) if args.verb == "mirror" else load()
    place = place_of(config)
    if args.verb == "mirror" and (args.explain or args.dry_run):
        return mirroring.look(args, config, place.store, report)
    targets = chosen(place.settings.targets, args.only)
    how = how_of(args)
    task = Task(args.verb, how, args.doctor or place.settings.doctor)
    done: list[Published | Publication] = []

    def work(wishes: list[Wish]) -> None:
        publishing = [wish for wish in wishes if wish.verb == "publish"]
        if publishing:
            names = targets_of(publishing, [target.name for target in place.settings.targets])
            reached = chosen(place.settings.targets, names) if names else ()
            done.append(published(task, config, place, reached, report))
        done.extend(pushing.push_wished(place, [wish for wish in wishes if wish.verb == "push"], report))

    leaving = args.verb == "publish" and how == BuildHow() and not args.doctor
    wish = Wish("publish", tuple(target.name for target in targets))
    # What was to be done otherwise than usual can't be left to another process.
    try:
        served(place.store, wish, work, args.wait, create=True, leaving=leaving)
    finally:  # also if what another process has asked for fails
        for each in done:
            if isinstance(each, Published):
                _show(each, args, report)
                continue
            if not args.json:
                report.line("asked for by another `flatdex push`:")
            pushing.show(each, report, quiet=args.json)
    return Exit.DONE if all(each.whole for each in done) else Exit.PARTLY


def published(task: Task, config: Config, place: Place, targets: Sequence[Target], report: Report) -> Published:
    """Builds, promotes and pushes. The caller holds the lock."""
    store, copied, how, started = place.store, None, task.how, time.monotonic()
    if config.mirror and how.offline:
        config = mirrored.known(config)
    elif config.mirror:
        copied = mirroring.fetched(config, store, report, how.full)
        # Shrinking is what the remote's own build let pass.
        config, how = copied.config, replace(how, allow_shrink=True, full=how.full or copied.damaged)
    quickly = targets if task.push.believing else ()
    with Ahead(store, place.settings, quickly, task.push, report.detail) as ahead:
        built = build(config, report, how, task.memo, ahead.begin)
        outcome.show(built, report)
        if copied:
            run.done(store, built.snapshot)
        held, built_at = notes.hold(store), time.monotonic()
        if held and not store.current():
            return Published(built, None, held, copied=copied, build_seconds=built_at - started)
        wanted = _renewed(store, config) if held else store.find(built.snapshot)
        if task.lagging:
            shown = wanted.id if wanted else store.current()
            targets = [each for each in targets if not notes.of_target(store, each.name).well(shown)]
        publication = publish(store, place.settings, task.verb, wanted, targets, report, task.push, begun=ahead.taken)
    pushed_at = time.monotonic()
    notes.forget_others(store, [target.name for target in place.settings.targets])
    return Published(
        built,
        publication,
        held,
        _pruned(place, publication, targets) if task.tidy and place.settings.keep else None,
        _examined(config, place, publication, report) if task.doctor else None,
        copied,
        wanted,
        built_at - started,
        pushed_at - built_at,
    )


def _pruned(place: Place, publication: Publication, targets: Sequence[Target]) -> Pruned:
    """Removes what is no longer needed, here and on the targets that were reached."""
    reached = {each.target for each in publication.outcomes if not each.error}
    try:
        pruned = prune(place.store, place.settings, [target for target in targets if target.name in reached])
        releasing.tell_pruned(place, pruned)
    except FlatdexError as error:  # what was published is out, and is told
        pruned = Pruned((), {}, {"the store": error.line})
    return pruned


def _renewed(store: Store, config: Config) -> Snapshot | None:
    """What is current, signed anew, if that is due: a hold keeps what users get, and mirrors need a valid list."""
    if config.sign is None:
        return None
    now, current, newest = int(time.time()), store.snapshot(str(store.current())), store.newest()
    if not renewal.due(current, config.sign, now):
        return None
    if newest and plan.has_content(newest, plan.content_hash_of(current)):
        return newest
    return store.find(snapshot.republish(store, current, now, config.grace, config.sign).id)


def _examined(
    config: Config, place: Place, publication: Publication, report: Report
) -> Mapping[str, tuple[Finding, ...]]:
    """What clients would suffer from on the targets that were reached; images are pulled where there is anything new.

    Targets may be reached at URLs of their own: files name the one that users have.
    """
    urls = {target.name: target.url for target in place.settings.targets if target.url}
    public = config.remote.url if config.remote else ""
    return {
        each.target: examined(urls[each.target], public, _SAMPLE if each.changed else 0, report)
        for each in publication.outcomes
        if each.target in urls and not each.error
    }


def _show(published: Published, args: argparse.Namespace, report: Report) -> None:
    publication, promotion = published.publication, published.publication and published.publication.promotion
    if published.hold:
        report.warn(f"{published.built.snapshot} was not promoted: {published.hold.text}\n  `flatdex release` ends it.")
    if args.json:
        result = {
            **outcome.as_json(published.built),
            "promoted": {**asdict(promotion), "changed": promotion.changed} if promotion else None,
            "hold": asdict(published.hold) if published.hold else None,
            "targets": [asdict(each) for each in publication.outcomes] if publication else [],
            "pruned": asdict(published.pruned) if published.pruned else None,
        }
        if published.copied:
            result["mirror"] = mirroring.as_json(published.copied)
        if published.examined is not None:
            result["doctor"] = {name: [each.as_json for each in found] for name, found in published.examined.items()}
        report.result(json.dumps(result))
    else:
        if published.copied:
            mirroring.show(published.copied, report)
        report.line(outcome.summary(published.built))
        if promotion:
            report.line(promotion.line)
    if publication:
        pushing.show(publication, report, quiet=args.json)
    for name, found in (published.examined or {}).items():
        for line in table(found):
            report.warn(f"{name}: {line}")
    if published.pruned and not args.json:
        releasing.show_pruned(published.pruned, report, quiet=True)
