"""The verbs that decide what is served, and what stays: promote, hold, release, pin, unpin, prune."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from builder.errors import Exit, FlatdexError, UsageError
from sync import log, notes, releases
from sync.prune import Pruned, prune
from sync.publication import publish
from sync.verbs.common import AddVerb, Place, Report, add_wait, newest


class HeldError(FlatdexError):
    """A hold keeps what was to be promoted back."""

    exit_code = Exit.PARTLY


def add(verb: AddVerb) -> None:
    """Adds them."""
    promoting = verb("promote", "let `current` name a snapshot (default: the newest complete one)", run_promote)
    promoting.add_argument("id", metavar="ID", nargs="?", help="the snapshot's id, or how it starts")
    holding = verb("hold", "let nothing be promoted by `publish` until `release`", run_hold)
    holding.add_argument("reason", metavar="REASON", help="why, for whoever asks")
    releasing = verb("release", "end a hold", run_release)
    pinning = verb("pin", "never remove these snapshots", run_pin)
    unpinning = verb("unpin", "let these snapshots be removed again in their turn", run_unpin)
    for parser in (pinning, unpinning):
        parser.add_argument("id", metavar="ID", nargs="+", help="a snapshot's id, or how it starts")
    pruning = verb("prune", "remove snapshots that `keep` no longer asks for, here and on the targets", run_prune)
    pruning.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    pruning.add_argument("--local", action="store_true", help="leave the targets alone")
    for parser in (promoting, holding, releasing, pinning, unpinning, pruning):
        add_wait(parser)


def run_promote(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex promote [ID]`."""
    store = place.store
    with store.locked("promote", wait=args.wait):
        held = notes.hold(store)
        if held and args.id is None:
            fix = "`flatdex release` ends the hold; `flatdex promote ID` promotes one all the same."
            raise HeldError(f"not promoted: {held.text}", fix)
        snapshot = store.find(args.id) if args.id is not None else newest(store)
        before = releases.before(store)
        published = publish(store, place.settings, "promote", snapshot, (), report)
    promotion = published.promotion
    if promotion is None:
        raise AssertionError("there was a snapshot to promote")
    if args.json:
        report.result(json.dumps({**asdict(promotion), "changed": promotion.changed}))
    else:
        report.line(promotion.line)
        if held:
            report.warn(f"still {held.text}")
        if before and promotion.changed and before.created > snapshot.created:
            report.warn(
                f"{snapshot.id} is older than {before.id}: clients that ask by date keep the newer one;"
                f" `flatdex rollback {snapshot.id}` dates it anew"
            )
    for line in published.warnings:
        report.warn(line)
    return Exit.DONE if published.whole else Exit.PARTLY


def run_hold(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex hold REASON`."""
    reason = " ".join(args.reason.split())
    if not reason:
        raise UsageError("a hold needs a reason", "Say why, for whoever asks: `flatdex hold 'waiting for QA'`.")
    with place.store.locked("hold", wait=args.wait):
        before = notes.hold(place.store)
        held = notes.set_hold(place.store, reason)
        log.append(place.store, "hold", reason=reason)
    if args.json:
        report.result(json.dumps(asdict(held)))
    else:
        report.line(held.text + (f" (before: {before.text})" if before else ""))
    return Exit.DONE


def run_release(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex release`."""
    with place.store.locked("release", wait=args.wait):
        held = notes.release(place.store)
        if held:
            log.append(place.store, "release", reason=held.reason)
    if args.json:
        report.result(json.dumps({"released": asdict(held) if held else None}))
    else:
        report.line(f"released; it was {held.text}" if held else "there is no hold")
        latest, current = place.store.newest(), place.store.current()
        if held and latest and latest.id != current:
            report.line(
                f"the next `flatdex publish` promotes {latest.id}, or what the sources hold then: `flatdex diff`"
            )
    return Exit.DONE


def run_pin(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex pin ID..`."""
    return _pin(args, place, report, pinned=True)


def run_unpin(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex unpin ID..`."""
    return _pin(args, place, report, pinned=False)


def _pin(args: argparse.Namespace, place: Place, report: Report, pinned: bool) -> int:
    verb = "pin" if pinned else "unpin"
    with place.store.locked(verb, wait=args.wait):
        before = notes.pins(place.store)
        ids = {each if each in before else place.store.find(each).id for each in args.id}
        after = before | ids if pinned else before - ids
        if after != before:
            notes.set_pins(place.store, after)
            log.append(place.store, verb, snapshots=sorted(ids))
    if args.json:
        report.result(json.dumps({"pinned": sorted(after)}))
    else:
        report.line(f"pinned: {', '.join(sorted(after)) or 'none'}")
    return Exit.DONE


def run_prune(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex prune`."""
    targets = () if args.local else place.settings.targets
    with place.store.locked("prune", wait=args.wait):
        pruned = prune(place.store, place.settings, targets, args.dry_run)
        if not args.dry_run:
            tell_pruned(place, pruned)
    if args.json:
        report.result(json.dumps({**asdict(pruned), "dry_run": args.dry_run}))
    else:
        show_pruned(pruned, report, args.dry_run)
    return Exit.PARTLY if pruned.errors else Exit.DONE


def tell_pruned(place: Place, pruned: Pruned) -> None:
    """Its line in the log."""
    if pruned.snapshots or any(pruned.targets.values()):
        log.append(place.store, "prune", snapshots=pruned.snapshots, removed_from=pruned.targets)


def show_pruned(pruned: Pruned, report: Report, dry_run: bool = False, quiet: bool = False) -> None:
    """A line for each snapshot that went; also where none did, unless `quiet`."""
    verb = "would remove" if dry_run else "removed"
    for identifier in pruned.snapshots:
        report.line(f"{verb} {identifier}")
    for target, gone in pruned.targets.items():
        for identifier in gone:
            report.line(f"{verb} {identifier} from {target}")
    if not quiet and not pruned.snapshots and not any(pruned.targets.values()):
        report.line("nothing to remove")
    for target, error in pruned.errors.items():
        report.warn(f"{target}: nothing was removed there: {error}")
