"""The verb that copies a remote: its options, what it says, and how it looks before it leaps."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from builder import configfile, mirrorfile
from builder.config import Config, Mirror
from builder.errors import ConfigError, Exit, UsageError
from builder.flatpak import OCI_ARCHITECTURES
from builder.report import counted, sized
from builder.store import Store
from sync.mirror import explain, run
from sync.mirror.judge import Taken
from sync.mirror.run import Mirrored, Planned
from sync.verbs.common import Report

Load = Callable[[], Config]
_MOST_SHOWN = 20
_SAY = "Say which remote, and where to: `flatdex mirror --from URL --store DIR`; or write a `mirror:` section."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `flatdex mirror`; each stands before what a `mirror:` section of the configuration says."""
    text = "a URL or a folder that has the remote; may be given several times (default: `from` of the configuration)"
    parser.add_argument("--from", dest="sources", metavar="URL", action="append", help=text)
    text = "take only what fits: an id, a ref or a glob, such as 'org.gnome.*' or 'app/org.kde.krita//stable'"
    parser.add_argument("--only", dest="patterns", metavar="PATTERN", action="append", help=text)
    text = "only for this architecture, by OCI's name, such as amd64"
    parser.add_argument("--arch", metavar="ARCH", action="append", help=text)
    parser.add_argument("--tag", metavar="TAG", action="append", help="only this tag")
    text = "leave out runtimes and extensions that nobody asked for, though something needs them"
    parser.add_argument("--no-deps", action="store_true", help=text)
    text = "a public key, or a file with some: believe only a list that one of them signed"
    parser.add_argument("--trusted-key", metavar="KEY", action="append", help=text)
    text = "look for a copy in .flatdex/ of each mounted file system, too"
    parser.add_argument("--mounts", action="store_true", help=text)
    parser.add_argument("--discover", action="store_true", help="look for copies on the LAN, too")
    text = "the address at which clients reach the copy (default: `remote.url`, else that of the remote itself)"
    parser.add_argument("--url", metavar="URL", help=text)
    text = "a folder in which other programs name sources (default: /run/flatdex/sources.d)"
    parser.add_argument("--sources-dir", metavar="DIR", help=text)
    text = "trust no file that is here before its bytes were read, and fetch again what is damaged"
    parser.add_argument("--full", action="store_true", help=text)
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be fetched, and from where")
    text = "only say of each source why it would be taken or dropped"
    parser.add_argument("--explain", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def config_of(args: argparse.Namespace, load: Load) -> Config:
    """The configuration with what the command line says, or one that is nothing but that."""
    named = args.sources or args.mounts or args.discover or args.sources_dir
    if named and args.store and not args.config:
        folder = Path.cwd()
        bare = Mirror((), sources_folder=mirrorfile.SOURCES_FOLDER)
        config = mirrorfile.config(bare, Path(args.store).absolute(), folder / "flatdex.yaml")
    else:
        try:
            config = load()
        except ConfigError as error:
            if args.config or Path(configfile.NAME).exists():
                raise
            raise UsageError(f"nothing says {'where to' if named else 'which remote is'} to be copied", _SAY) from error
    if config.mirror is None:
        raise UsageError(f"{config.file} is not the configuration of a mirror", _SAY)
    return replace(config, mirror=_given(args, config.mirror))


def _given(args: argparse.Namespace, mirror: Mirror) -> Mirror:
    folder = Path.cwd()
    lines = (line for each in args.trusted_key or () for line in mirrorfile.trusted_keys(each, folder))
    given: dict[str, Any] = {
        "sources": tuple(mirrorfile.source_place(folder, each) for each in args.sources or ()),
        "only": tuple(args.patterns or ()),
        "architectures": tuple(map(_architecture, args.arch or ())),
        "tags": tuple(args.tag or ()),
        "trusted_keys": tuple(dict.fromkeys(lines)),
        "mounts": mirrorfile.MOUNTED_FOLDER if args.mounts and not mirror.mounts else "",
        "discover": mirrorfile.DISCOVER if args.discover and not mirror.discover else 0,
        "sources_folder": Path(args.sources_dir).absolute() if args.sources_dir else None,
    }
    found = replace(mirror, **{key: value for key, value in given.items() if value})
    if args.url:
        found = replace(found, own={**found.own, "remote": {**found.own.get("remote", {}), "url": args.url}})
    return replace(found, dependencies=False) if args.no_deps else found


def _architecture(name: str) -> str:
    ours = OCI_ARCHITECTURES.get(name, name)
    if ours != name:
        raise UsageError(f"{name} is Flatpak's name of an architecture; indexes use OCI's", f"Did you mean `{ours}`?")
    return name


def fetched(config: Config, store: Store, report: Report, full: bool = False) -> Mirrored:
    """Asks, decides and fetches; says why sources were dropped. The caller holds the store's lock."""
    mirror = config.mirror
    assert mirror is not None  # noqa: S101 - or nobody would ask
    decision = run.survey(store, mirror, report)
    for each in decision.verdicts if decision.listed else ():  # else all of them are told
        if each.taken is Taken.DROPPED:
            source = each.probed.source
            # A stick that is not there needs nobody's attention as long as nothing is lacking.
            say = report.note if each.code == "missing" and source.is_file else report.warn
            say(f"dropped {source.folder if source.is_file else source.url}: {each.why}")
    found = run.take(config, store, decision, report, full)
    for line in found.notes:
        # A pattern that fits nothing is a typo, most of the time; the rest is no news for cron.
        say = report.warn if line.startswith(run.UNMATCHED) else report.note
        say(f"note: {line}")
    return found


def look(args: argparse.Namespace, config: Config, store: Store, report: Report) -> int:
    """`--explain` and `--dry-run`: nothing is written."""
    mirror = config.mirror
    assert mirror is not None  # noqa: S101
    if args.explain:
        return explained(config, store, args.json, report)
    decision = run.survey(store, mirror, report, remember=False)
    with tempfile.TemporaryDirectory(prefix="flatdex-") as scratch:
        planned = run.plan(config, store, decision, report, Path(scratch))
    if args.json:
        report.result(json.dumps(_planned_as_json(planned)))
    else:
        _show_planned(planned, report)
    return Exit.DONE


def explained(config: Config, store: Store, as_json: bool, report: Report) -> int:
    """Says of each source why it would be taken or dropped."""
    assert config.mirror is not None  # noqa: S101
    decision = run.survey(store, config.mirror, report, remember=False)
    if as_json:
        report.result(json.dumps(explain.as_json(decision)))
    for line in () if as_json else explain.lines(decision, int(time.time())):
        report.result(line)
    return Exit.DONE if decision.listed else Exit.FAILED


def _show_planned(planned: Planned, report: Report) -> None:
    needed = f", {len(planned.needed)} of them since others need them" if planned.needed else ""
    report.result(f"the list is {planned.list}; would take {counted(len(planned.refs), 'ref')}{needed}:")
    for ref in planned.refs[:_MOST_SHOWN]:
        report.result(f"  {ref}" + (" (needed)" if ref in planned.needed else ""))
    if len(planned.refs) > _MOST_SHOWN:
        report.result(f"  and {len(planned.refs) - _MOST_SHOWN} more (--json has all)")
    for line in planned.notes:
        report.warn(f"note: {line}")
    size = sum(size for _, size in planned.objects.values())
    report.result(f"would fetch {sized(size)}: {run.fetched_line(planned.objects) or 'nothing, all of it is here'}")


def _planned_as_json(planned: Planned) -> dict[str, Any]:
    return {
        "list": planned.list,
        "refs": list(planned.refs),
        "needed": list(planned.needed),
        "objects": {source.url: {"objects": n, "bytes": size} for source, (n, size) in planned.objects.items()},
        "notes": list(planned.notes),
        **explain.as_json(planned.decision),
    }


def show(found: Mirrored, report: Report) -> None:
    """What a run has fetched, in a line."""
    listed = found.decision.listed
    nothing = "nothing new, all of it was here" if found.new else "nothing changed"
    what = run.fetched_line(found.fetched) or nothing
    report.line(f"mirrored {listed.snapshot.id if listed else ''}: {what}")


def as_json(found: Mirrored) -> dict[str, Any]:
    """The same for a script."""
    return {
        "new": found.new,
        "fetched": {source.url: {"objects": n, "bytes": size} for source, (n, size) in found.fetched.items()},
        "needed": list(found.needed),
        "notes": list(found.notes),
        **explain.as_json(found.decision),
    }
