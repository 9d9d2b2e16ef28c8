"""The verbs that make a site: init, check, build, rules, serve."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builder import preview, starter
from builder.build import Built, build
from builder.catalog import Skip
from builder.config import Config, RegistrySource, Source
from builder.errors import Exit, FlatdexError, UsageError
from builder.report import Report, counted
from builder.site import rules
from builder.sources import layouts
from builder.sources.registry import Registry
from builder.sources.transport import Transport
from builder.store import CURRENT, Store

Load = Callable[[], Config]
"""Finds, reads and checks the configuration that the command line names."""

Parsers = Callable[..., argparse.ArgumentParser]
"""Adds a verb's parser: `add(name, help=..)`."""


def add_verbs(add: Parsers) -> None:
    """Adds this package's verbs; each sets `run(args, load, report) -> exit code`."""
    parser = add("init", help="write a commented starter configuration for a registry, or for a folder of OCI layouts")
    parser.add_argument("url", metavar="URL", help="the registry's URL, or a folder that holds OCI layouts")
    parser.set_defaults(make=run_init)

    parser = add("check", help="check the configuration, all of it at once")
    parser.add_argument("--online", action="store_true", help="also ask whether the sources answer")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(make=run_check)

    parser = add("build", help="read the sources and write a snapshot, if anything changed")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_build_options(parser)
    parser.set_defaults(make=run_build)

    parser = add("rules", help="print rules for a web server's own configuration")
    parser.add_argument("server", choices=["apache"], help="the kind of server")
    parser.add_argument("--root", metavar="DIR", help="the document root there (default: STORE/current)")
    parser.set_defaults(make=run_rules)

    parser = add("serve", help="a preview on loopback, for looking at a site, not for production")
    parser.add_argument("folder", metavar="DIR", nargs="?", help="a store or a snapshot (default: the store)")
    parser.add_argument("--port", type=int, default=8080, help="the port on 127.0.0.1 (default: 8080; 0: any free one)")
    parser.set_defaults(make=run_serve)


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """What `build` and `publish` have in common."""
    parser.add_argument("--full", action="store_true", help="trust no file of an earlier snapshot; mends a damaged one")
    parser.add_argument("--allow-shrink", action="store_true", help="build although an index would become empty")


def run_init(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex init URL`: never over an existing file."""
    file = Path(args.config or "flatdex.yaml")
    starter.write(file, args.url)
    report.line(f"wrote {file}: look through it, then try `flatdex check --online` and `flatdex publish`")
    return Exit.DONE


def run_check(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex check`."""
    config = load()
    answers = list(_online(config)) if args.online else []
    failed = [answer for answer in answers if "error" in answer]
    if args.json:
        result = {"file": str(config.file), "ok": not failed, "sources": answers}
        report.result(json.dumps(result))
        return Exit.FAILED if failed else Exit.DONE
    for answer in answers:
        if "error" in answer:
            report.warn(f"flatdex: {answer['error']}")
        else:
            report.line(f"source {answer['source']}: answers, {counted(answer['repositories'], 'repository')}")
    report.line(f"{config.file}: {_contents(config)}: " + ("not all sources answer" if failed else "good"))
    return Exit.FAILED if failed else Exit.DONE


def _contents(config: Config) -> str:
    indexes = f"{counted(len(config.indexes), 'index')} in {counted(len(config.variants), 'file')}"
    return f"{counted(len(config.sources), 'source')}, {indexes}, {counted(len(config.targets), 'target')}"


def _online(config: Config) -> Iterator[dict[str, Any]]:
    with Transport() as transport:
        for source in config.sources:
            try:
                yield {"source": source.name, "repositories": len(_repositories(source, transport))}
            except FlatdexError as error:
                yield {"source": source.name, "error": str(error)}


def _repositories(source: Source, transport: Transport) -> list[str]:
    if isinstance(source, RegistrySource):
        registry = Registry(transport, source)
        registry.ping()
        return registry.repositories()
    return list(layouts.folders(source))


def run_build(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex build`."""
    config = load()
    with Store(config.store).locked("build", create=True):
        built = build(config, report, args.full, args.allow_shrink)
    show_built(built, report)
    if args.json:
        report.result(json.dumps(as_json(built)))
    else:
        report.line(summary(built))
    return Exit.PARTLY if built.to_act_on else Exit.DONE


def as_json(built: Built) -> dict[str, object]:
    """What a script wants to know of a build."""
    refs = sorted({image.ref for images in built.site.images.values() for image in images})
    skips = [{**asdict(skip), "act": skip.act} for skip in built.site.skips]
    return {"snapshot": built.snapshot, "changed": built.changed, "refs": refs, "skips": skips}


def summary(built: Built) -> str:
    """A build in a line."""
    refs = {image.ref for images in built.site.images.values() for image in images}
    skipped = f", {len(built.site.skips)} skipped" if built.site.skips else ""
    state = "built" if built.changed else "unchanged:"
    return (
        f"{state} {built.snapshot}: {counted(len(refs), 'ref')} in {counted(len(built.site.images), 'index')}{skipped}"
    )


def show_built(built: Built, report: Report) -> None:
    """Warns of the skips that an admin should act on; the others are details."""
    for skip in built.site.skips:
        (report.warn if skip.act else report.detail)(skip_line(skip))


def skip_line(skip: Skip) -> str:
    """A skip in a line."""
    line = f"skipped {skip.source} {skip.repository} {skip.reference[:19]}: {skip.code}: {skip.why}"
    return line.replace("\n", "\\n")


def run_rules(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex rules apache`."""
    config = load()
    root = Path(args.root).absolute() if args.root else config.store / CURRENT
    if re.search(r'["\\*?\[\x00-\x1f]', str(root)):
        raise UsageError(f"Apache would misread the path {str(root)!r}", "Name one without quotes and wildcards.")
    report.result(rules.server(config, str(root)).rstrip("\n"))
    return Exit.DONE


def run_serve(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex serve`: until Ctrl-C, which is its usual end and needs no word."""
    folder = Path(args.folder).absolute() if args.folder else load().store
    try:
        preview.serve(folder, args.port, report)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.DONE
