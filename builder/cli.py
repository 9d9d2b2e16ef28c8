"""The verbs that make a site, and look at it: init, check, build, rules, serve, doctor."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from builder import online, outcome, preview, signing, starter
from builder.build import How, build
from builder.config import Config
from builder.doctor.cli import add_options as add_doctor_options
from builder.doctor.cli import run_doctor
from builder.errors import Exit, UsageError
from builder.mirrored import check_known
from builder.report import Report, counted
from builder.site.pages import ready
from builder.site.rules import SERVERS, beside, stick, written
from builder.site.rules.common import prefix
from builder.store import CURRENT, Store

Load = Callable[[], Config]
"""Finds, reads and checks the configuration that the command line names."""

Parsers = Callable[..., argparse.ArgumentParser]
"""Adds a verb's parser: `add(name, help=..)`."""


def add_verbs(add: Parsers) -> None:
    """Adds this package's verbs; each sets `run(args, load, report) -> exit code`."""
    parser = add("init", help="write a commented starter configuration for a registry, or for a folder of OCI layouts")
    parser.add_argument("url", metavar="URL", help="the registry's URL, or a folder that holds OCI layouts")
    parser.add_argument("--mirror", action="store_true", help="URL is that of a remote, of which this is to be a copy")
    parser.set_defaults(make=run_init)

    parser = add("check", help="check the configuration, all of it at once")
    parser.add_argument("--online", action="store_true", help="also ask the sources, and the targets' URLs")
    text = "with --online: name the repositories that clients without a login can't pull"
    parser.add_argument("--anonymous", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(make=run_check)

    parser = add("build", help="read the sources and write a snapshot, if anything changed")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_build_options(parser)
    parser.set_defaults(make=run_build)

    parser = add("rules", help="print rules for a web server's own configuration")
    text = "the kind of server; avahi: a service file that announces the site on the LAN"
    parser.add_argument("server", choices=[*SERVERS, "avahi"], help=text)
    parser.add_argument("--root", metavar="DIR", help="the document root there (default: STORE/current)")
    text = "the path at which the site is mounted there (default: that of the remote's URL)"
    parser.add_argument("--prefix", metavar="PATH", help=text)
    text = "for a stick that `flatdex export` has filled, served from this folder; no configuration is needed"
    parser.add_argument("--stick", metavar="DIR", help=text)
    beside.add_options(parser)
    parser.set_defaults(make=run_rules)

    parser = add("serve", help="a preview on loopback, for looking at a site, not for production")
    parser.add_argument("folder", metavar="DIR", nargs="?", help="a store, a snapshot or a stick (default: the store)")
    parser.add_argument("--port", type=int, default=8080, help="the port on 127.0.0.1 (default: 8080; 0: any free one)")
    parser.set_defaults(make=run_serve)

    parser = add("doctor", help="check a live remote, ours or not, as its clients meet it")
    add_doctor_options(parser)
    parser.set_defaults(make=run_doctor)


def add_build_options(parser: argparse.ArgumentParser) -> None:
    """What `build` and `publish` have in common."""
    text = "trust nothing in the cache and no file of an earlier snapshot; mends a damaged one"
    parser.add_argument("--full", action="store_true", help=text)
    parser.add_argument("--offline", action="store_true", help="ask no registry: build from the cache alone")
    text = "build although an index loses more of its refs than its `max_shrink` allows"
    parser.add_argument("--allow-shrink", action="store_true", help=text)


def run_init(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex init URL`: never over an existing file."""
    file = Path(args.config or "flatdex.yaml")
    starter.write(file, args.url, args.mirror)
    next_ = "mirror" if args.mirror else "publish"
    report.line(f"wrote {file}: look through it, then try `flatdex check --online` and `flatdex {next_}`")
    return Exit.DONE


def run_check(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex check`."""
    if args.anonymous and not args.online:
        raise UsageError("--anonymous goes with --online", "Say both: `flatdex check --online --anonymous`.")
    config = load()
    ready.check(config.pages)
    signing.try_out(config.sign.keys if config.sign else ())
    if config.mirror and args.online:
        look: Callable[[Config], int] = args.sources
        return look(config)
    answers = online.answers(config, report, anonymous=args.anonymous) if args.online else ()
    targets = args.targets(config) if args.online and "targets" in args else ()
    code = online.exit_code(answers)
    if code == Exit.DONE and not all(each.good for each in targets):
        code = Exit.PARTLY
    if args.json:
        result = {
            "file": str(config.file),
            "ok": code == Exit.DONE,
            "sources": [online.as_json(answer) for answer in answers],
            "targets": [each.as_json for each in targets],
        }
        report.result(json.dumps(result))
        return code
    for answer in (*answers, *targets):
        (report.line if answer.good else report.warn)(answer.text)
    state = {Exit.DONE: "good", Exit.PARTLY: "there is something to act on"}.get(code, "not all sources answer")
    report.line(f"{config.file}: {_contents(config)}: {state}")
    return code


def _contents(config: Config) -> str:
    if config.mirror and not config.sources:
        return f"a mirror of {counted(len(config.mirror.sources), 'source')}, {counted(len(config.targets), 'target')}"
    indexes = f"{counted(len(config.indexes), 'index')} in {counted(len(config.variants), 'file')}"
    return f"{counted(len(config.sources), 'source')}, {indexes}, {counted(len(config.targets), 'target')}"


def run_build(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex build`."""
    config, how = load(), how_of(args)
    with Store(config.store).locked("build", create=True):
        built = build(config, report, how)
    outcome.show(built, report)
    if args.json:
        report.result(json.dumps(outcome.as_json(built)))
    else:
        report.line(outcome.summary(built))
    return Exit.DONE if built.whole else Exit.PARTLY


def how_of(args: argparse.Namespace) -> How:
    """What the options of `build` and `publish` ask for."""
    if args.full and args.offline:
        fix = "Choose one: the first trusts nothing that is in the cache, the second nothing else."
        raise UsageError("--full and --offline contradict each other", fix)
    return How(args.full, args.offline, args.allow_shrink)


def run_rules(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex rules SERVER`; a cache in front of a remote, or a stick, needs no configuration."""
    beside.check(args)
    if args.pull_through is not None:
        text = beside.cache(args)
    elif args.server == "avahi":
        text = beside.announcement(args, load())
    elif args.stick is not None:
        text = stick.rules(args.server, preview.published(Path(args.stick)), args.root, args.prefix)
    else:
        config = load()
        check_known(config)
        root = written.folder(args.root or config.store / CURRENT)
        text = SERVERS[args.server](config, root, written.mount(args.prefix or prefix(config)))
    report.result(text.rstrip("\n"))
    return Exit.DONE


def run_serve(args: argparse.Namespace, load: Load, report: Report) -> int:
    """`flatdex serve`: until Ctrl-C, which is its usual end and needs no word."""
    folder = Path(args.folder).absolute() if args.folder else load().store
    try:
        preview.serve(folder, args.port, report)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.DONE
