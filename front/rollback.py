"""`flatdex rollback`: an earlier snapshot's content, published again."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict

from builder import mirrored, signing, snapshot
from builder.config import GRACE, Config
from builder.description import Snapshot
from builder.errors import Exit, UsageError
from builder.report import Report
from builder.store import Store
from front.places import place
from sync import log, notes
from sync.outcome import How
from sync.publication import publish
from sync.verbs import pushing
from sync.verify import Sound


def run(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex rollback [ID]`: the old content, newly dated, as a new snapshot; then a hold, or cron would undo it."""
    config = None if args.store and not args.config else mirrored.known(load())
    grace, sign = (config.grace, config.sign) if config else (GRACE, None)
    where = place(args, load)
    store, targets = where.store, () if args.no_push else where.settings.targets
    with store.locked("rollback", wait=args.wait):
        before = store.current()
        done = _rolled_back(store, store.find(args.id).id if args.id is not None else None)
        old = done or (store.find(args.id) if args.id is not None else _before(store))
        if old.id == before and not done:
            raise UsageError(f"{old.id} is what is current", "Name another one: `flatdex list` shows them.")
        Sound(old).checked()
        if not done:
            _refuse_unsigned(store, config)
        held = done and notes.hold(store)
        back_to = f"back to what {done.document['again'] if done else old.id} held"
        reason = " ".join(args.reason.split()) or (back_to if done else f"{back_to}, from {before or 'nothing'}")
        if held:
            reason = held.reason
        else:
            notes.set_hold(store, reason)
            if done:
                log.append(store, "hold", reason=reason)
        made = old if done else store.find(snapshot.republish(store, old, int(time.time()), grace, sign).id)
        # What goes back was live before: nobody waits for a staging server, or for those that are down.
        how = How(anyway=True)
        publication = publish(store, where.settings, "rollback", made, targets, report, how, reason)
    again = made.document["again"]
    if args.json:
        result = {"snapshot": made.id, "again": again, "before": before, "hold": reason}
        report.result(json.dumps({**result, "targets": [asdict(each) for each in publication.outcomes]}))
    elif done:
        report.line(f"{made.id} is current, and holds again what {again} held: to go further back, name a snapshot")
    else:
        report.line(f"promoted {made.id}, which holds again what {again} held (before: {before or 'nothing'})")
    if not args.json and not held:
        report.line("held: nothing else is promoted by itself until `flatdex release`")
    pushing.show(publication, report, quiet=args.json)
    return Exit.DONE if publication.whole else Exit.PARTLY


def _refuse_unsigned(store: Store, config: Config | None) -> None:
    """Before anything is changed: a key must be there, and what is signed must not be followed by what is not."""
    newest = store.newest()
    if config:
        signing.try_out(config.sign.keys if config.sign else ())
    elif newest and newest.expires is not None:
        fix = "Name the configuration that does with -c FILE."
        raise UsageError("the snapshots are signed, but --store alone doesn't say with which key", fix)


def _rolled_back(store: Store, wanted: str | None) -> Snapshot | None:
    """What is current, if this rollback made it: the same command once more finishes that one, and goes nowhere else.

    Whoever saw the first one die can't know how far it came.
    """
    current = store.current()
    found = store.snapshot(current) if current else None
    again = found.document.get("again") if found else None
    return found if again and wanted in (None, again) else None


def _before(store: Store) -> Snapshot:
    """What was current before what is, if it is still there."""
    current = store.current()
    if current is None:
        raise UsageError("`current` names nothing, so there is nothing before it", "Name a snapshot: `flatdex list`.")
    for identifier, _ in log.promoted(store):
        if identifier != current and (store.snapshots / identifier).is_dir():
            return store.snapshot(identifier)
    older = next((each for each in store.complete() if each.id < current), None)
    if older is None:
        raise UsageError("there is nothing to roll back to", "`flatdex list` shows what is there.")
    return older
