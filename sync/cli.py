"""The verbs that publish snapshots: list, show, verify, promote, push, status."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from builder.description import Snapshot
from builder.errors import Exit, FlatdexError, UsageError
from builder.store import Store
from sync import status, verify
from sync.promote import Promotion, promote
from sync.push import Outcome, push
from sync.targets import Target, chosen

Parsers = Callable[..., argparse.ArgumentParser]
Run = Callable[..., int]


class Report(Protocol):
    """Where lines for a person go."""

    def result(self, text: str) -> None:
        """What was asked for."""

    def line(self, text: str) -> None:
        """What was done."""

    def detail(self, text: str) -> None:
        """What only `-v` shows."""

    def warn(self, text: str) -> None:
        """What an admin should know."""


@dataclass(frozen=True)
class Place:
    """What these verbs work on: the store, the targets, and the folder that relative paths are relative to."""

    store: Store
    targets: tuple[Target, ...]
    folder: Path


def add_verbs(add: Parsers) -> None:
    """Adds this package's verbs; each sets `publish(args, place, report) -> exit code`."""

    def verb(name: str, text: str, run: Run) -> argparse.ArgumentParser:
        parser = add(name, help=text)
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.set_defaults(publish=run)
        return parser

    verb("list", "the complete snapshots, the oldest first", run_list)
    for parser in (
        verb("show", "what a snapshot holds (default: the current one, else the newest)", run_show),
        verb("verify", "hold a snapshot's files against its description (default: the current one)", run_verify),
        verb("promote", "let `current` name a snapshot (default: the newest complete one)", run_promote),
    ):
        parser.add_argument("id", metavar="ID", nargs="?", help="the snapshot's id, or how it starts")
    pushing = verb("push", "copy what `current` names to all targets, or to those named", run_push)
    pushing.add_argument("target", metavar="TARGET", nargs="*", help="a target's name")
    verb("status", "what the store and each target serve", run_status)


def run_list(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex list`."""
    current = place.store.current()
    rows = [status.summary(snapshot, current) for snapshot in reversed(list(place.store.complete()))]
    if args.json:
        report.result(json.dumps(rows))
        return Exit.DONE
    for row in rows:
        mark = "*" if row["current"] else " "
        report.result(f"{mark} {row['id']}  {row['created']}  {row['refs']:>6} refs  {_size(row['bytes']):>9}")
    if not rows:
        report.line(f"no snapshots in {place.store.root}: `flatdex build` makes one")
    return Exit.DONE


def run_show(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex show [ID]`."""
    snapshot = _wanted(place.store, args.id)
    if args.json:
        current = snapshot.id == place.store.current()
        report.result(json.dumps({**snapshot.document, "current": current}))
        return Exit.DONE
    for line in _described(snapshot, place.store.current()):
        report.result(line)
    return Exit.DONE


def _described(snapshot: Snapshot, current: str | None) -> list[str]:
    document: Any = snapshot.document
    counts = document["counts"]
    lines = [
        f"snapshot  {snapshot.id}" + (" (current)" if snapshot.id == current else ""),
        f"created   {document['created']}",
        f"version   {snapshot.version}, " + (f"after {snapshot.previous}" if snapshot.previous else "the first"),
        f"holds     {_refs(counts['refs'])} by {counts['images']} images in {counts['repositories']} repositories",
        f"files     {counts['files']}, {_size(counts['bytes'])}",
    ]
    lines += [f"index     {variant['path']}: {_refs(variant['refs'])}" for variant in document["variants"]]
    lines += [
        f"image     {each['index']}: {each['ref']} {each['repository']}@{each['digest']}" for each in document["images"]
    ]
    lines += [
        f"skipped   {skip['source']} {skip['repository']}: {skip['code']}: {skip['why']}" for skip in document["skips"]
    ]
    return lines


def run_verify(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex verify [ID]`."""
    snapshot = _wanted(place.store, args.id)
    found = list(verify.faults(snapshot))
    if args.json:
        report.result(json.dumps({"snapshot": snapshot.id, "ok": not found, "faults": found}))
    else:
        for fault in found:
            report.warn(f"{snapshot.id}: {fault}")
        report.line(
            f"{snapshot.id}: {len(snapshot.all_files)} files, {f'{len(found)} faults' if found else 'all as written'}"
        )
    return Exit.FAILED if found else Exit.DONE


def run_promote(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex promote [ID]`."""
    with place.store.locked("promote"):
        promotion = promote(place.store, place.store.find(args.id) if args.id is not None else _newest(place.store))
    if args.json:
        report.result(json.dumps({**asdict(promotion), "changed": promotion.changed}))
    else:
        report.line(promotion_line(promotion))
    return Exit.DONE


def promotion_line(promotion: Promotion) -> str:
    """A promotion in a line."""
    if not promotion.changed:
        return f"{promotion.now} is current already"
    return f"promoted {promotion.now}" + (f" (before: {promotion.before})" if promotion.before else "")


def run_push(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex push [TARGET..]`."""
    if not place.targets:
        raise UsageError(
            "there is nowhere to push to", "Name targets in the configuration: `targets: {here: {rsync: DIR}}`."
        )
    with place.store.locked("push"):
        outcomes = push(place.store, chosen(place.targets, args.target), place.folder, report.detail)
    if args.json:
        report.result(json.dumps([asdict(outcome) for outcome in outcomes]))
    else:
        show_outcomes(outcomes, report)
    return Exit.PARTLY if any(outcome.error for outcome in outcomes) else Exit.DONE


def show_outcomes(outcomes: list[Outcome], report: Report) -> None:
    """A line for each target."""
    for outcome in outcomes:
        (report.warn if outcome.error else report.line)(outcome.line)


def run_status(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex status`."""
    found: Any = status.status(place.store, place.targets, place.folder)
    behind = [target for target in found["targets"] if not target["up_to_date"]]
    code = Exit.FAILED if found["error"] else Exit.PARTLY if behind else Exit.DONE
    if args.json:
        report.result(json.dumps(found))
        return code
    report.result(f"store    {found['store']}")
    report.result(f"current  {found['error'] or found['current'] or 'nothing was promoted yet'}")
    if found["newest"] != found["current"]:
        report.result(f"newest   {found['newest'] or 'nothing was built yet'}")
    for target in found["targets"]:
        state = "up to date" if target["up_to_date"] else "not the current one: `flatdex push`"
        report.result(f"target   {target['target']}: " + (target["error"] or f"{target['live'] or 'nothing'}, {state}"))
    return code


def _wanted(store: Store, identifier: str | None) -> Snapshot:
    if identifier is not None:
        return store.find(identifier)
    current = store.current()
    return store.snapshot(current) if current else _newest(store)


def _newest(store: Store) -> Snapshot:
    newest = store.newest()
    if newest is None:
        raise FlatdexError(f"no complete snapshot in {store.root}", "`flatdex build` makes one.")
    return newest


def _refs(number: int) -> str:
    return "1 ref" if number == 1 else f"{number} refs"


def _size(size: Any) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
