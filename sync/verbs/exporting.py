"""The verb that fills a stick: export."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from builder.description import Snapshot
from builder.errors import Exit, FlatdexError
from builder.report import counted
from builder.store import Store
from sync.export import run, write
from sync.export.place import check_folder
from sync.export.run import Prepared
from sync.verbs.common import AddVerb, Place, Report, size


def add(verb: AddVerb) -> None:
    """Adds it."""
    text = "fill a stick, or any folder, with what `current` names: a whole remote, and an OCI layout to sideload from"
    exporting = verb("export", text, run_export)
    exporting.add_argument("folder", metavar="DIR", help="a folder of the stick: empty, or filled by an export before")
    text = "only what that snapshot had not, for a mirror that has it: `copy of`, as `flatdex status` tells it there"
    exporting.add_argument("--since", metavar="ID", help=text)
    exporting.add_argument("-n", "--dry-run", action="store_true", help="only say what would be written and removed")
    text = "read all that is on the stick, and trust no size or note: mends one that has lost bytes"
    exporting.add_argument("--full", action="store_true", help=text)


def run_export(args: argparse.Namespace, place: Place, report: Report) -> int:
    """`flatdex export DIR`. It holds no lock of the store: a stick is slow, and cron shall not wait for it."""
    folder = Path(args.folder).resolve()
    since = _since(place.store, args.since) if args.since is not None else None
    prepare = partial(run.prepare, place.store.root, _current(place), folder, since, args.full)
    check_folder(folder, place.store.root)
    if args.dry_run:
        prepared = prepare()
    else:
        if not folder.exists():
            prepare()  # no folder is made for what can't be done
            folder.mkdir()
        with write.locked(folder):
            prepared = prepare()
            run.export(prepared, report.transfer("exporting: files"))
    for line in prepared.notes:
        report.note(line)
    if args.json:
        report.result(json.dumps(_as_json(prepared, args.dry_run)))
    else:
        _show(prepared, args.dry_run, report)
    return Exit.DONE


def _since(store: Store, wanted: str) -> Snapshot:
    """The snapshot with this id, or the first that was a copy of the remote's list with it: mirrors tell that one."""
    copies = [
        each for each in store.complete() if str(each.document.get("mirror", {}).get("id", "")).startswith(wanted)
    ]
    own = next(store.complete(wanted), None)
    return copies[-1] if copies and wanted and not own else store.find(wanted)


def _current(place: Place) -> Snapshot:
    current = place.store.current()
    if current is None:
        fix = "`flatdex publish`, or `flatdex promote`, decides what is."
        if not place.store.root.is_dir():
            raise FlatdexError(f"there is no store {place.store.root}", "Name one with --store, or a configuration.")
        raise FlatdexError(f"nothing in {place.store.root} was promoted, so there is nothing to export", fix)
    return place.store.snapshot(current)


def _show(prepared: Prepared, dry_run: bool, report: Report) -> None:
    plan, folder = prepared.plan, prepared.folder
    if dry_run:
        for item in plan.written:
            report.detail(f"would write {item.path}: {size(item.size)}")
        for path in plan.removed:
            report.detail(f"would remove {path}")
    elif not prepared.changes:
        report.line(f"{folder} has {prepared.snapshot.id} already")
        return
    would = "would write" if dry_run else "exported"
    of = f" (what is new since {prepared.after.since})" if prepared.after.since else ""
    counts = f"{counted(len(plan.written), 'file')}, {size(plan.size)}"
    kept = (
        f"{counted(len(plan.kept), 'file')} there already, {len(plan.removed)} {'to remove' if dry_run else 'removed'}"
    )
    report.line(f"{would} {prepared.snapshot.id}{of} to {folder}: {counts}; {kept}")
    free = f"{size(plan.room(prepared.room.cluster))} of {size(prepared.room.free)} that are free"
    if dry_run:
        report.line(f"that would take {free}")
    report.line(f"{counted(len(prepared.images), 'image')} to install with --sideload-repo=oci:{folder}")


def _as_json(prepared: Prepared, dry_run: bool) -> dict[str, object]:
    plan = prepared.plan
    return {
        "snapshot": prepared.snapshot.id,
        "version": prepared.snapshot.version,
        "since": prepared.after.since,
        "folder": str(prepared.folder),
        "dry_run": dry_run,
        "changed": prepared.changes,
        "files": len(plan.written),
        "bytes": plan.size,
        "kept": len(plan.kept),
        "removed": len(plan.removed),
        "room": plan.room(prepared.room.cluster),
        "free": prepared.room.free,
        "file_system": prepared.room.kind,
        "images": [{"ref": each.ref, "digest": each.manifest.digest} for each in prepared.images],
        "notes": list(prepared.notes),
    }
