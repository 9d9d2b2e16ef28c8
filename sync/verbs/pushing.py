"""The verbs that copy: push, adopt."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from builder.errors import Exit, UsageError
from sync import adopt, log, notes
from sync.outcome import How
from sync.promote import promote
from sync.publication import Publication, publish
from sync.targets import Target, chosen
from sync.verbs.common import AddVerb, Place, Report, add_wait
from sync.verify import Sound
from sync.wanted import Wish, served, targets_of

_PATIENCE = 10.0  # seconds, for a target that would be left out if nobody had asked for it


def add(verb: AddVerb) -> None:
    """Adds them."""
    pushing = verb("push", "copy what `current` names to all targets, or to those named", run_push)
    pushing.add_argument("target", metavar="TARGET", nargs="*", help="a target's name")
    add_choice(pushing)
    text = "trust what a target's description says: read nothing there that is up to date by it"
    pushing.add_argument("--quick", action="store_true", help=text)
    text = "overwrite a target that shows what another store, or another remote, has published"
    pushing.add_argument("--force", action="store_true", help=text)
    text = "wait for nobody: neither for what a target comes after, nor for those that flip together"
    pushing.add_argument("--anyway", action="store_true", help=text)
    add_wait(pushing)
    adopting = verb("adopt", "take over from what is live: copy it into a new store, dates and all", run_adopt)
    text = "a target's name, the URL of a site, or an rsync destination that holds `current`"
    adopting.add_argument("source", metavar="TARGET|URL", help=text)
    add_wait(adopting)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options that choose targets, of all verbs that push."""
    text = "push to this target only (may be repeated); those that come after it wait for `push --rest`"
    parser.add_argument("--only", metavar="TARGET", action="append", default=[], help=text)
    if parser.prog.endswith(" push"):
        text = "push to all targets but those that others come after and that come after none: these have to be live"
        parser.add_argument("--rest", action="store_true", help=text)


def run_push(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex push [TARGET..]`."""
    if not place.settings.targets:
        raise UsageError(
            "there is nowhere to push to", "Name targets in the configuration: `targets: {here: {rsync: DIR}}`."
        )
    names = [*args.target, *args.only]
    if args.rest and names:
        raise UsageError("--rest chooses the targets itself", "Say either --rest or which targets.")
    targets = rest(place.settings.targets) if args.rest else chosen(place.settings.targets, names)
    how = How(thorough=not (args.quick or args.rest), force=args.force, anyway=args.anyway)
    done: list[Publication] = []

    def work(wishes: list[Wish]) -> None:
        done.extend(push_wished(place, wishes, report))

    wish = Wish("push", tuple(target.name for target in targets), how.thorough, how.force, how.anyway)
    try:
        served(place.store, wish, work, args.wait)
    finally:  # also if what another process has asked for fails
        if done and args.json:
            report.result(json.dumps([asdict(outcome) for each in done for outcome in each.outcomes]))
        for each in done:
            show(each, report, quiet=args.json)
    if args.json and not done:
        report.result("[]")
    return Exit.DONE if all(each.whole for each in done) else Exit.PARTLY


def push_wished(
    place: Place, wishes: Sequence[Wish], report: Report, patience: Mapping[str, float] | None = None
) -> Iterator[Publication]:
    """Does what pushes were asked for, those that were to be done alike as one. The caller holds the lock.

    `patience` is how many seconds each target is given, if there is an end to it; nobody who is asked for is left out.
    """
    given = {name: seconds or _PATIENCE for name, seconds in (patience or {}).items()}
    for how in dict.fromkeys(_how(wish) for wish in wishes):
        alike = [wish for wish in wishes if _how(wish) == how]
        names = targets_of(alike, [target.name for target in place.settings.targets])
        if names:
            targets = chosen(place.settings.targets, names)
            patient = replace(how, patience=given)
            yield publish(place.store, place.settings, "push", None, targets, report, patient)


def _how(wish: Wish) -> How:
    return How(wish.thorough, wish.force, wish.anyway)


def rest(targets: Sequence[Target]) -> tuple[Target, ...]:
    """All targets but those that others come after, and that come after none: these have to be live already."""
    gates = {name for target in targets for name in target.after}
    return tuple(target for target in targets if target.after or target.name not in gates)


def show(publication: Publication, report: Report, quiet: bool = False) -> None:
    """A line for each target, and the warnings; `quiet`: only these, since the rest is said otherwise."""
    for outcome in () if quiet else publication.outcomes:
        (report.warn if outcome.error else report.line)(outcome.line)
    for line in publication.warnings:
        report.warn(line)


def run_adopt(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex adopt TARGET|URL`."""
    live = adopt.source(args.source, place.settings)
    with place.store.locked("adopt", create=True, wait=args.wait):
        found = adopt.adopt(place.store, live, place.settings, report.progress("adopting: files"))
        promotion = promote(place.store, Sound(found))
        removed = adopt.remove_later(place.store, found)
        if isinstance(live, Target) and live in place.settings.targets:
            notes.note_live(place.store, live.name, found.id, checked=False)
        if promotion.changed:
            log.append(
                place.store, "adopt", **{"from": promotion.before}, to=found.id, source=args.source, result="done"
            )
    if args.json:
        report.result(
            json.dumps(
                {"snapshot": found.id, "version": found.version, "files": len(found.all_files), "removed": removed}
            )
        )
    else:
        report.line(f"adopted {found.id}, version {found.version}: {len(found.all_files)} files")
        for identifier in removed:
            report.line(f"removed {identifier}, which was built without knowing of it")
        report.line("`flatdex publish` goes on from there")
    return Exit.DONE
