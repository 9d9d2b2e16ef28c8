"""The verbs that only read, and so never lock: list, show, diff, verify, log, status."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builder import signing
from builder.description import Invalid, Snapshot, read_snapshot, time_text
from builder.diff import Diff, RefChange, diff, ref_changes
from builder.errors import Exit, FlatdexError, UsageError
from builder.report import counted
from builder.spans import seconds
from builder.stick import is_stick, read_export
from builder.store import Store
from sync import log, notes, status, verify
from sync.verbs.common import AddVerb, Place, Report, newest, refs, size, wanted

_IDS_SHOWN = 3


def add(verb: AddVerb) -> None:
    """Adds them."""
    verb("list", "the complete snapshots, the oldest first", run_list)
    showing = verb("show", "what a snapshot holds (default: the current one, else the newest)", run_show)
    showing.add_argument("id", metavar="ID", nargs="?", help="the snapshot's id, or how it starts")
    text = "what changed between two snapshots (default: what a promotion would change, or the last one did)"
    comparing = verb("diff", text, run_diff)
    comparing.add_argument("ids", metavar="ID", nargs="*", help="from which (and to which: else the newest)")
    comparing.add_argument("--files", action="store_true", help="name all files, too")
    text = "hold a snapshot's files against its description, and look for all that they name (default: the current one)"
    verifying = verb("verify", text, run_verify)
    verifying.add_argument("id", metavar="ID|DIR", nargs="?", help="the snapshot's id, how it starts, or a folder")
    text = "leave dates out: for places that keep none, such as object storage"
    verifying.add_argument("--no-dates", action="store_true", help=text)
    logging = verb("log", "the releases: who published what, when and where to", run_log)
    logging.add_argument("-n", metavar="N", type=int, default=20, help="the newest N lines (default: 20; 0: all)")
    telling = verb("status", "what the store and each target serve", run_status)
    text = "fail if a target is behind or a watch silent for longer than this, or no build was done since, such as 2h"
    telling.add_argument("--max-age", metavar="AGE", type=_age, help=text)


def _age(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}[smhdwy]", text):
        raise argparse.ArgumentTypeError("a whole number and s, m, h, d, w or y, such as 2h")
    return seconds(text)


def run_list(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex list`."""
    rows = list(_rows(place.store))
    if args.json:
        report.result(json.dumps(rows))
        return Exit.DONE
    for row in rows:
        report.result(_row_line(row))
    if not rows:
        report.line(f"no snapshots in {place.store.root}: `flatdex build` makes one")
    return Exit.DONE


def _rows(store: Store) -> Iterator[dict[str, Any]]:
    """A snapshot in a list: what it holds, what it changed against the one before it, and what became of it."""
    current, pinned, when = store.current(), notes.pins(store), dict(reversed(list(log.promoted(store))))
    before: Snapshot | None = None
    for snapshot in reversed(list(store.complete())):
        known = before is not None and before.id == snapshot.previous
        first = snapshot.previous is None
        old = before.document["images"] if before and known else ()
        changes = Diff(ref_changes(old, snapshot.document["images"])).counts if known or first else None
        yield {
            "id": snapshot.id,
            "created": time_text(snapshot.created),
            "current": snapshot.id == current,
            "pinned": snapshot.id in pinned,
            "promoted": when.get(snapshot.id),
            "expires": snapshot.document.get("expires"),
            "version": snapshot.version,
            "mirror": snapshot.document.get("mirror"),
            "previous": snapshot.previous,
            **snapshot.document["counts"],
            "changes": changes,
            "skips": len(snapshot.document["skips"]),
        }
        before = snapshot


def _row_line(row: dict[str, Any]) -> str:
    changes = row["changes"]
    told = f"+{changes['new']} ~{changes['updated']} -{changes['gone']}" if changes else ""
    marks = (
        f"promoted {row['promoted']}" if row["promoted"] else "",
        "pinned" if row["pinned"] else "",
        f"copy of {row['mirror']['id']}" if row["mirror"] else "",
    )
    start = "*" if row["current"] else " "
    line = f"{start} {row['id']}  {row['created']}  {row['refs']:>6} refs  {size(row['bytes']):>9}  {told:<12}"
    return f"{line}  {', '.join(filter(None, marks))}".rstrip()


def run_show(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex show [ID]`."""
    snapshot = wanted(place.store, args.id)
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
        f"holds     {refs(counts['refs'])} by {counts['images']} images in {counts['repositories']} repositories",
        f"files     {counts['files']}, {size(counts['bytes'])}",
    ]
    lines += [f"copy of   {_origin(document['mirror'])}"] if document.get("mirror") else []
    lines += [f"signed    {_signed(snapshot)}"] if snapshot.expires is not None else []
    lines += [f"again     what {document['again']} held"] if document.get("again") else []
    lines += [f"index     {variant['path']}: {refs(variant['refs'])}" for variant in document["variants"]]
    lines += [
        f"image     {each['index']}: {each['ref']} {each['repository']}@{each['digest']}" for each in document["images"]
    ]
    lines += [
        f"skipped   {skip['source']} {skip['repository']}: {skip['code']}: {skip['why']}" for skip in document["skips"]
    ]
    return lines


def _origin(mirror: Mapping[str, Any]) -> str:
    """Which list of which remote a copy was made of."""
    return f"{mirror['id']}, version {mirror['version']}" + (", a part of it" if mirror["partial"] else "")


def _signed(snapshot: Snapshot) -> str:
    """By whom, and until when it is valid; what can't be checked is no reason to say nothing of the rest."""
    try:
        keys = signing.signers(snapshot.described)
        by = f"by {', '.join(key.fingerprint for key in keys)}" if keys else "by nobody"
    except (OSError, Invalid, FlatdexError) as error:
        by = f"by nobody knows whom: {error.line if isinstance(error, FlatdexError) else error}"
    return f"{by}, valid until {snapshot.document['expires']}"


def run_diff(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex diff [A] [B]`."""
    before, after = _compared(place.store, args.ids)
    found = diff(before, after)
    start = before.id if before else None
    if args.json:
        report.result(json.dumps({"from": start, "to": after.id, **asdict(found), "counts": found.counts}))
        return Exit.DONE
    report.line(f"from {start or 'nothing'} to {after.id}")
    for change in found.refs:
        report.result(_change_line(change))
    for sign, paths in (("+", found.added), ("~", found.changed), ("-", found.removed)):
        for path in paths if args.files else paths[:0]:
            report.result(f"{sign} file {path}")
    counts, files = found.counts, (len(found.added), len(found.changed), len(found.removed))
    report.line(
        f"refs: {counts['new']} new, {counts['updated']} updated, {counts['gone']} gone;"
        f" files: {files[0]} added, {files[1]} changed, {files[2]} removed" + ("" if args.files else " (--files)")
    )
    return Exit.DONE


def _compared(store: Store, ids: Sequence[str]) -> tuple[Snapshot | None, Snapshot]:
    if len(ids) > 2:
        raise UsageError("diff compares two snapshots", "Name one or two.")
    if len(ids) == 2:
        return store.find(ids[0]), store.find(ids[1])
    last = newest(store)
    if ids:
        return store.find(ids[0]), last
    current = store.current()
    if current and current != last.id:
        return store.snapshot(current), last
    return next((each for each in store.complete() if each.id == last.previous), None), last


def _change_line(change: RefChange) -> str:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    digests = " -> ".join(digest for digest in (change.before, change.after) if digest)
    return f"{sign} {change.index}: {change.ref} {digests}"


def run_verify(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex verify [ID|DIR]`."""
    snapshot = _of_folder(Path(args.id)) if is_folder(args.id) else wanted(place.store, args.id)
    export = read_export(snapshot.folder) if is_stick(snapshot.folder) else None
    if export:
        found = list(verify.faults_of_stick(snapshot, export))
    else:
        found = list(verify.faults(snapshot, dates=not args.no_dates))
    if args.json:
        report.result(json.dumps({"snapshot": snapshot.id, "ok": not found, "faults": found}))
    else:
        for fault in found:
            report.warn(f"{snapshot.id}: {fault}")
        state = counted(len(found), "fault") if found else "all as written"
        report.line(f"{snapshot.id}: {counted(len(snapshot.all_files), 'file')}, {state}")
    return Exit.FAILED if found else Exit.DONE


def is_folder(text: str | None) -> bool:
    """Whether an argument of verify names a folder, not an id."""
    return text is not None and ("/" in text or Path(text).is_dir())


def _of_folder(folder: Path) -> Snapshot:
    try:
        return read_snapshot(folder.resolve(), own_name=False)
    except Invalid as error:
        fix = "Name a snapshot's folder, or the document root of a target: STORE/current, TARGET/current."
        raise UsageError(f"{folder} holds no snapshot: {error}", fix) from error


def run_log(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex log`."""
    found = log.lines(place.store)
    faults = [line for line in found if line.fault]
    shown = found[-args.n :] if args.n > 0 else found
    if args.json:
        report.result(json.dumps([{**line.entry, "line": line.number, "fault": line.fault} for line in shown]))
    else:
        for line in shown:
            try:
                report.result(_log_line(line))
            except (TypeError, KeyError, AttributeError, ValueError):  # somebody else's
                report.result(json.dumps(line.entry))
        if not found:
            report.line(f"nothing was released from {place.store.root} yet")
    for line in faults:
        report.warn(f"{log.path(place.store)}:{line.number}: {line.fault}")
    return Exit.FAILED if faults else Exit.DONE


def _log_line(line: log.Line) -> str:
    entry = line.entry
    counts = entry.get("refs")
    changes = f"+{counts['new']} ~{counts['updated']} -{counts['gone']}" if counts else ""
    targets = ", ".join(f"{each['target']}: {each['result']}" for each in entry.get("targets", ()))
    parts = (
        f"{entry.get('time', '?')}  {entry.get('verb', '?'):<8}  {entry.get('who', '?')}",
        f"{entry['from'] or 'nothing'} -> {entry['to']}" if "to" in entry else "",
        changes,
        f"[{targets}]" if targets else "",
        _snapshots(entry),
        str(entry.get("reason", "")),
        str(entry.get("result", "")),
    )
    return "  ".join(filter(None, parts))


def _snapshots(entry: Mapping[str, Any]) -> str:
    """What a pin or a removal was about."""
    ids = [str(each) for each in entry.get("snapshots", ())]
    elsewhere = sum(len(gone) for gone in entry.get("removed_from", {}).values())
    shown = ", ".join(ids[:_IDS_SHOWN]) + (f" and {len(ids) - _IDS_SHOWN} more" if len(ids) > _IDS_SHOWN else "")
    return ", ".join(filter(None, (shown, f"{elsewhere} on targets" if elsewhere else "")))


def run_status(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex status`."""
    found = status.status(place.store, place.settings)
    old = status.too_old(found, args.max_age, status.now()) if args.max_age is not None else []
    ending = status.ending(found, status.now())
    if found.error or old or ending.over:
        code = Exit.FAILED
    else:
        behind = found.behind and args.max_age is None
        code = Exit.PARTLY if behind or found.hold else Exit.DONE
    if args.json:
        report.result(json.dumps({**status.as_json(found), "too_old": old, "ending": ending.line}))
        return code
    if found.hold:
        report.result(f"HELD     since {found.hold['since']} by {found.hold['who']}: {found.hold['reason']}")
        report.result("         nothing is promoted by itself until `flatdex release`")
    report.result(f"store    {found.store}")
    since = f" since {found.promoted}" if found.promoted else ""
    report.result(f"current  {found.error or (found.current or 'nothing was promoted yet') + since}")
    if found.mirror:
        report.result(f"copy of  {_origin(found.mirror)}")
    if found.newest != found.current:
        report.result(f"newest   {found.newest or 'nothing was built yet'}")
    if found.built:
        report.result(f"built    {found.built}")
    for target in found.targets:
        report.result(f"target   {target.line}")
    for line in found.watch.lines if found.watch else ():
        report.result(f"watch    {line}")
    for line in old:
        report.warn(f"too old: {line}")
    if ending.line:
        report.warn(ending.line)
    return code
