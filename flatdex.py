"""The front door: one command, `flatdex VERB`, that puts the two packages' verbs together."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import builder.cli
import sync.cli
from builder import configfile, outcome
from builder.build import build
from builder.config import Config
from builder.errors import Exit, FlatdexError
from builder.report import Report
from builder.store import Store
from sync.promote import promote
from sync.push import push
from sync.targets import target

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 partly done (a skip to act on, a failed target),
11 another process writes to the store, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code."""
    args = _parser().parse_args(argv)
    report = Report(-1 if args.quiet else int(args.verbose))
    try:
        return int(_run(args, report))
    except FlatdexError as error:
        report.warn(f"flatdex: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        report.warn("flatdex: interrupted; what was published is untouched")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has had enough
        return Exit.FAILED
    except OSError as error:
        report.warn(f"flatdex: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return Exit.FAILED
    except Exception:
        report.warn(f"flatdex: this is a bug in flatdex; please report it with these lines:\n{traceback.format_exc()}")
        return Exit.FAILED


def command() -> None:
    """The installed command. It ends at once: after Ctrl-C requests that are under way are not waited for."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    gc.disable()  # hardly anything here is garbage, and what there is soon goes with the process
    code: int | str | None
    try:
        code = main()
    except SystemExit as ended:  # argparse, after --help or wrong usage
        code = ended.code
    if not _said_all():
        code = code or Exit.FAILED
    os._exit(code if isinstance(code, int) else Exit.DONE if code is None else Exit.USAGE)


def _said_all() -> bool:
    """Whether all output could be written; what could not is dropped, or the interpreter would complain of it."""
    all_said = True
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed by whoever started us
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            all_said = False
    return all_said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flatdex",
        description="Turns OCI registries and OCI layouts into a static Flatpak remote.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flatdex {version('flatdex')}")
    _add_common(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(name: str, help: str) -> argparse.ArgumentParser:  # noqa: A002
        verb = verbs.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        _add_common(verb, default=argparse.SUPPRESS)
        return verb

    builder.cli.add_verbs(add)
    publish = add("publish", help="build, promote and push: the one that cron calls")
    publish.add_argument("--json", action="store_true", help="print the result as JSON")
    builder.cli.add_build_options(publish)
    sync.cli.add_verbs(add)
    return parser


def _add_common(parser: argparse.ArgumentParser, **default: Any) -> None:
    """The options that may stand before or after the verb: after it, they must not reset what stood before."""
    text = "the configuration (default: $FLATDEX_CONFIG, ./flatdex.yaml, /etc/flatdex/flatdex.yaml)"
    parser.add_argument("-c", "--config", metavar="FILE", type=_path, help=text, **default)
    store = "the store, in place of the configuration's"
    parser.add_argument("--store", metavar="DIR", type=_path, help=store, **default)
    switch: dict[str, Any] = {"action": "store_true", **default}
    parser.add_argument("-v", "--verbose", help="say more", **switch)
    parser.add_argument("-q", "--quiet", help="say only what was asked for, and warnings", **switch)


def _path(text: str) -> str:
    """Not empty, as an unset variable of a script would be."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path")
    return text


def _run(args: argparse.Namespace, report: Report) -> int:
    load = partial(_load, args)
    if args.verb == "publish":
        return _publish(args, load(), report)
    if "make" in args:
        make: Callable[..., int] = args.make
        return make(args, load, report)
    publish: Callable[..., int] = args.publish
    return publish(args, _place(args, load), report)


def _load(args: argparse.Namespace) -> Config:
    return configfile.load(configfile.find(args.config, os.environ), os.environ, args.store)


def _place(args: argparse.Namespace, load: Callable[[], Config]) -> sync.cli.Place:
    """The store and targets. A store that was named is enough for the verbs that need no target."""
    if args.store and not args.config and args.verb not in ("push", "status"):
        return sync.cli.Place(Store(Path(args.store).absolute()), (), Path.cwd())
    return _place_of(load())


def _place_of(config: Config) -> sync.cli.Place:
    targets = tuple(target(name, settings, config.folder) for name, settings in config.targets.items())
    return sync.cli.Place(Store(config.store), targets, config.folder)


def _publish(args: argparse.Namespace, config: Config, report: Report) -> int:
    """`flatdex publish`, under one lock, so that nobody comes in between."""
    place = _place_of(config)
    with place.store.locked("publish", create=True):
        built = build(config, report, builder.cli.how_of(args))
        outcome.show(built, report)
        promotion = promote(place.store, place.store.find(built.snapshot))
        outcomes = push(place.store, place.targets, place.folder, report.detail)
    if args.json:
        result = {
            **outcome.as_json(built),
            "promoted": {**asdict(promotion), "changed": promotion.changed},
            "targets": [asdict(each) for each in outcomes],
        }
        report.result(json.dumps(result))
    else:
        report.line(outcome.summary(built))
        report.line(sync.cli.promotion_line(promotion))
        sync.cli.show_outcomes(outcomes, report)
    return Exit.DONE if built.whole and not any(each.error for each in outcomes) else Exit.PARTLY


if __name__ == "__main__":
    command()
