"""The front door: one command, `flatdex VERB`, that puts the two packages' verbs together."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import builder.cli
import sync.cli
from builder import mirrored
from builder.config import Config
from builder.errors import ConfigError, Exit, FlatdexError
from builder.report import Report
from builder.store import Store
from front import places, publishing, rollback, units
from sync import etags
from sync.verbs import mirroring, pushing
from sync.verbs.common import add_wait

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 partly done (a skip to act on, a failed target,
a hold), 11 another process writes to the store, 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and gives its exit code."""
    # What is made is for web servers to read, from its first moment: a run that is killed mends no mode. What is
    # private says so itself.
    os.umask(0o022)
    args = _parser().parse_args(argv)
    report = Report(-1 if args.quiet else int(args.verbose))
    try:
        return int(_run(args, report))
    except FlatdexError as error:
        report.warn(f"flatdex: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        report.warn("flatdex: interrupted; every site is whole, the old one or the new: `flatdex status` tells")
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
    verb = add("publish", help="build, promote and push: the one that cron calls")
    verb.add_argument("--json", action="store_true", help="print the result as JSON")
    text = "look at what the targets serve then, as their clients do; what hurts these is an exit code 4"
    verb.add_argument("--doctor", action="store_true", help=text)
    verb.set_defaults(front=publishing.run_publish)
    builder.cli.add_build_options(verb)
    pushing.add_choice(verb)
    add_wait(verb)
    copying = add("mirror", help="copy another remote, or a part of it, then promote and push the copy")
    mirroring.add_options(copying)
    copying.set_defaults(front=publishing.run_publish, doctor=False, offline=False, allow_shrink=True, only=[])
    add_wait(copying)
    text = "publish what is new as soon as events tell of it: a process for systemd, in the foreground"
    verb = add("watch", help=text)
    verb.add_argument("--json", action="store_true", help="say each line as a JSON object")
    verb.set_defaults(front=_watch)
    sync.cli.add_verbs(add)
    verb = add("units", help="write units for systemd: a watch, and a publish by a timer")
    units.add_options(verb)
    verb.set_defaults(front=units.run_units)
    back = add("rollback", help="publish again what an earlier snapshot held, and hold it there until `release`")
    back.add_argument("id", metavar="ID", nargs="?", help="the snapshot's id (default: what was current before)")
    back.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever asks")
    back.add_argument("--no-push", action="store_true", help="only in the store: leave the targets to `push`")
    back.add_argument("--json", action="store_true", help="print the result as JSON")
    back.set_defaults(front=rollback.run)
    add_wait(back)
    return parser


def _watch(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    from front import watching  # no other verb needs what it does

    return watching.run(args, load, report)


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
    load = partial(places.load, args)
    if "front" in args:
        front: Callable[..., int] = args.front
        return front(args, load, report)
    if "make" in args:
        args.targets = lambda config: etags.told(places.place_of(config).settings.targets)
        args.sources = lambda config: mirroring.explained(config, Store(config.store), args.json, report)
        make: Callable[..., int] = args.make
        return make(args, lambda: mirrored.known(load()), report)
    publish: Callable[..., int] = args.publish
    try:
        place = places.place(args, load)
    except ConfigError:
        if args.verb == "status" and args.store:  # how it does, and its watch, is not the configuration's business
            publish(args, places.bare(args.store), report)
        raise
    return publish(args, place, report)


if __name__ == "__main__":
    command()
