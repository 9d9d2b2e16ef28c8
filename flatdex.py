"""The front door: one command, `flatdex VERB`, that puts the two packages' verbs together."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import builder.cli
import sync.cli
from builder import configfile, mirrored, mirrorfile, outcome, plan, renewal, signing, snapshot
from builder.build import How as BuildHow
from builder.build import build
from builder.config import GRACE, Config, Mirror
from builder.copied import Copied
from builder.description import Snapshot
from builder.doctor.cli import examined, table
from builder.doctor.findings import Finding
from builder.errors import ConfigError, Exit, FlatdexError, UsageError
from builder.report import Report
from builder.store import Store
from sync import etags, log, notes
from sync.mirror import run
from sync.mirror.run import Mirrored
from sync.outcome import How
from sync.prune import Pruned, prune
from sync.publication import Publication, publish
from sync.settings import Settings, settings
from sync.targets import Target, chosen
from sync.verbs import mirroring, pushing, reading, releasing
from sync.verbs.common import Place, add_wait
from sync.verify import Sound
from sync.wanted import Wish, served, targets_of

_EPILOG = """\
exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong configuration, 4 partly done (a skip to act on, a failed target,
a hold), 11 another process writes to the store, 130 interrupted"""
_SAMPLE = 5  # images that a look at a target pulls


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
    publishing = add("publish", help="build, promote and push: the one that cron calls")
    publishing.add_argument("--json", action="store_true", help="print the result as JSON")
    text = "look at what the targets serve then, as their clients do; what hurts these is an exit code 4"
    publishing.add_argument("--doctor", action="store_true", help=text)
    publishing.set_defaults(front=_publish)
    builder.cli.add_build_options(publishing)
    pushing.add_choice(publishing)
    add_wait(publishing)
    copying = add("mirror", help="copy another remote, or a part of it, then promote and push the copy")
    mirroring.add_options(copying)
    copying.set_defaults(front=_publish, doctor=False, offline=False, allow_shrink=True, only=[])
    add_wait(copying)
    sync.cli.add_verbs(add)
    back = add("rollback", help="publish again what an earlier snapshot held, and hold it there until `release`")
    back.add_argument("id", metavar="ID", nargs="?", help="the snapshot's id (default: what was current before)")
    back.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever asks")
    back.add_argument("--no-push", action="store_true", help="only in the store: leave the targets to `push`")
    back.add_argument("--json", action="store_true", help="print the result as JSON")
    back.set_defaults(front=_rollback)
    add_wait(back)
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
    if "front" in args:
        front: Callable[..., int] = args.front
        return front(args, load, report)
    if "make" in args:
        args.targets = lambda config: etags.told(_place_of(config).settings.targets)
        args.sources = lambda config: mirroring.explained(config, Store(config.store), args.json, report)
        make: Callable[..., int] = args.make
        return make(args, lambda: mirrored.known(load()), report)
    publish: Callable[..., int] = args.publish
    return publish(args, _place(args, load), report)


def _load(args: argparse.Namespace) -> Config:
    try:
        file = configfile.find(args.config, os.environ)
    except ConfigError:
        store = Store(Path(args.store).absolute()) if args.store else None
        if store is None or not Copied(store).is_there:
            raise
        # Made by `flatdex mirror --from URL --store DIR`: what is in it says enough for other verbs.
        return mirrorfile.config(Mirror(()), store.root, Path(configfile.NAME).absolute())
    return configfile.load(file, os.environ, args.store)


def _place(args: argparse.Namespace, load: Callable[[], Config]) -> Place:
    """The store and targets. A store that was named, or a folder, is enough for the verbs that need no target."""
    of_folder = args.verb == "verify" and reading.is_folder(args.id)
    alone = args.store and args.verb not in ("push", "status") and not (args.verb == "prune" and not args.local)
    if (alone or of_folder) and not args.config:
        return Place(Store(Path(args.store or ".").absolute()), Settings(Path.cwd()))
    return _place_of(load())


def _place_of(config: Config) -> Place:
    return Place(Store(config.store), settings(config.publishing, config.folder))


@dataclass(frozen=True)
class Published:
    """What one `publish` came to; without a `publication` nothing was ever promoted, and a hold keeps it so."""

    built: outcome.Built
    publication: Publication | None
    hold: notes.Hold | None
    pruned: Pruned | None = None
    examined: Mapping[str, tuple[Finding, ...]] | None = None
    """What doctor found of weight on targets, by their names, if it was to look."""
    copied: Mirrored | None = None
    """Where from, if it is a copy."""

    @property
    def whole(self) -> bool:
        """Whether nothing is left to be done."""
        failed = self.hold or (self.publication and not self.publication.whole) or (self.pruned and self.pruned.errors)
        return self.built.whole and not failed and not any((self.examined or {}).values())


def _publish(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex publish`, and `mirror`, under one lock, so that nobody comes in between."""
    config = mirroring.config_of(args, load) if args.verb == "mirror" else load()
    place = _place_of(config)
    if args.verb == "mirror" and (args.explain or args.dry_run):
        return mirroring.look(args, config, place.store, report)
    targets = chosen(place.settings.targets, args.only)
    done: list[Published | Publication] = []

    def work(wishes: list[Wish]) -> None:
        publishing = [wish for wish in wishes if wish.verb == "publish"]
        if publishing:
            names = targets_of(publishing, [target.name for target in place.settings.targets])
            reached = chosen(place.settings.targets, names) if names else ()
            done.append(_published(args, config, place, reached, report))
        done.extend(pushing.push_wished(place, [wish for wish in wishes if wish.verb == "push"], report))

    how = builder.cli.how_of(args)
    leaving = args.verb == "publish" and how == BuildHow() and not args.doctor
    wish = Wish("publish", tuple(target.name for target in targets))
    # What was to be done otherwise than usual can't be left to another process.
    try:
        served(place.store, wish, work, args.wait, create=True, leaving=leaving)
    finally:  # also if what another process has asked for fails
        for each in done:
            if isinstance(each, Published):
                _show(each, args, report)
                continue
            if not args.json:
                report.line("asked for by another `flatdex push`:")
            pushing.show(each, report, quiet=args.json)
    return Exit.DONE if all(each.whole for each in done) else Exit.PARTLY


def _published(
    args: argparse.Namespace, config: Config, place: Place, targets: Sequence[Target], report: Report
) -> Published:
    store, copied, how = place.store, None, builder.cli.how_of(args)
    if config.mirror and how.offline:
        config = mirrored.known(config)
    elif config.mirror:
        copied = mirroring.fetched(config, store, report, how.full)
        # Shrinking is what the remote's own build let pass.
        config, how = copied.config, replace(how, allow_shrink=True, full=how.full or copied.damaged)
    built = build(config, report, how)
    outcome.show(built, report)
    if copied:
        run.done(store, built.snapshot)
    held = notes.hold(store)
    if held and not store.current():
        return Published(built, None, held, copied=copied)
    wanted = _renewed(store, config) if held else store.find(built.snapshot)
    publication = publish(store, place.settings, args.verb, wanted, targets, report, How(thorough=False))
    notes.forget_others(store, [target.name for target in place.settings.targets])
    found = _examined(config, place, publication, report) if args.doctor or place.settings.doctor else None
    if place.settings.keep is None:
        return Published(built, publication, held, None, found, copied)
    reached = {each.target for each in publication.outcomes if not each.error}
    try:
        pruned = prune(store, place.settings, [target for target in targets if target.name in reached])
        releasing.tell_pruned(place, pruned)
    except FlatdexError as error:  # what was published is out, and is told
        pruned = Pruned((), {}, {"the store": error.line})
    return Published(built, publication, held, pruned, found, copied)


def _renewed(store: Store, config: Config) -> Snapshot | None:
    """What is current, signed anew, if that is due: a hold keeps what users get, and mirrors need a valid list."""
    if config.sign is None:
        return None
    now, current, newest = int(time.time()), store.snapshot(str(store.current())), store.newest()
    if not renewal.due(current, config.sign, now):
        return None
    if newest and plan.has_content(newest, plan.content_hash_of(current)):
        return newest
    return store.find(snapshot.republish(store, current, now, config.grace, config.sign).id)


def _examined(
    config: Config, place: Place, publication: Publication, report: Report
) -> Mapping[str, tuple[Finding, ...]]:
    """What clients would suffer from on the targets that were reached; images are pulled where there is anything new.

    Targets may be reached at URLs of their own: files name the one that users have.
    """
    urls = {target.name: target.url for target in place.settings.targets if target.url}
    public = config.remote.url if config.remote else ""
    return {
        each.target: examined(urls[each.target], public, _SAMPLE if each.changed else 0, report)
        for each in publication.outcomes
        if each.target in urls and not each.error
    }


def _show(published: Published, args: argparse.Namespace, report: Report) -> None:
    publication, promotion = published.publication, published.publication and published.publication.promotion
    if published.hold:
        report.warn(f"{published.built.snapshot} was not promoted: {published.hold.text}\n  `flatdex release` ends it.")
    if args.json:
        result = {
            **outcome.as_json(published.built),
            "promoted": {**asdict(promotion), "changed": promotion.changed} if promotion else None,
            "hold": asdict(published.hold) if published.hold else None,
            "targets": [asdict(each) for each in publication.outcomes] if publication else [],
            "pruned": asdict(published.pruned) if published.pruned else None,
        }
        if published.copied:
            result["mirror"] = mirroring.as_json(published.copied)
        if published.examined is not None:
            result["doctor"] = {name: [each.as_json for each in found] for name, found in published.examined.items()}
        report.result(json.dumps(result))
    else:
        if published.copied:
            mirroring.show(published.copied, report)
        report.line(outcome.summary(published.built))
        if promotion:
            report.line(promotion.line)
    if publication:
        pushing.show(publication, report, quiet=args.json)
    for name, found in (published.examined or {}).items():
        for line in table(found):
            report.warn(f"{name}: {line}")
    if published.pruned and not args.json:
        releasing.show_pruned(published.pruned, report, quiet=True)


def _rollback(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex rollback [ID]`: the old content, newly dated, as a new snapshot; then a hold, or cron would undo it."""
    config = None if args.store and not args.config else mirrored.known(load())
    grace, sign = (config.grace, config.sign) if config else (GRACE, None)
    place = _place(args, load)
    store, targets = place.store, () if args.no_push else place.settings.targets
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
        publication = publish(store, place.settings, "rollback", made, targets, report, how, reason)
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


if __name__ == "__main__":
    command()
