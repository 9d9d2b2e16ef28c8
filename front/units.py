"""The verb that writes units for systemd: what a service needs, by its configuration, and what is left to do then."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.config import Config, LayoutSource, RegistrySource
from builder.errors import Exit, FlatdexError
from builder.files import create_folder, replace_file
from sync.events import settings as events
from sync.events import units
from sync.events.units import Service
from sync.settings import settings
from sync.targets import Kind, Target
from sync.verbs.common import Report


def add_options(parser: argparse.ArgumentParser) -> None:
    """Of `flatdex units`."""
    parser.add_argument("folder", metavar="DIR", help="where to write them, such as /etc/systemd/system")
    text = "where to write what makes the user, such as /etc/sysusers.d (default: DIR)"
    parser.add_argument("--sysusers", metavar="DIR", help=text)
    parser.add_argument("--user", metavar="NAME", default=units.USER, help="whom to run as (default: flatdex)")
    text = "what to call the units, flatdex-NAME-watch.service and so on, where a machine has several remotes"
    parser.add_argument("--name", metavar="NAME", default="", help=text)
    parser.add_argument("--program", metavar="FILE", help="the flatdex to run (default: this one)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="print them, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


@dataclass(frozen=True)
class _Files:
    """All files by their paths, and which of them are written."""

    texts: dict[Path, str]
    changed: list[Path]


def run_units(args: argparse.Namespace, load: Callable[[], Config], report: Report) -> int:
    """`flatdex units DIR`."""
    service = _service(args, load())
    files = _files(service, Path(args.folder).absolute(), Path(args.sysusers or args.folder).absolute())
    if not args.dry_run:
        for path in files.changed:
            create_folder(path.parent)
            replace_file(path, files.texts[path].encode("utf-8"))
    notes = [*units.notes(service), *_unreadable(service)]
    if args.json:
        report.result(json.dumps(_as_json(service, files, notes, args.dry_run)))
        return Exit.DONE
    for path, text in files.texts.items():
        if args.dry_run:
            report.result(f"# ---- {path}\n{text}")
        else:
            report.line(f"{'wrote' if path in files.changed else 'unchanged:'} {path}")
    for note in notes:
        report.note(f"note: {note}")
    if not args.dry_run:
        _show_next(service, files, report)
    return Exit.DONE


def _as_json(service: Service, files: _Files, notes: list[str], dry_run: bool) -> dict[str, object]:
    return {
        "written": [] if dry_run else [str(path) for path in files.changed],
        "unchanged": [str(path) for path in files.texts if path not in files.changed],
        "dry_run": dry_run,
        "files": {str(path): text for path, text in files.texts.items()},
        "notes": notes,
        "next": _next(service, files),
        "watch": _enable(service, "watch.service"),
        "timer": _enable(service, "publish.timer"),
    }


def _show_next(service: Service, files: _Files, report: Report) -> None:
    report.line("next, as root:")
    for command in _next(service, files):
        report.line(f"    {command}")
    report.line("then one of these, not both; the first hears of news and looks at everything now and then as well:")
    report.line(f"    {_enable(service, 'watch.service')}")
    report.line(f"    {_enable(service, 'publish.timer')}")


def _enable(service: Service, kind: str) -> str:
    return f"systemctl enable --now {service.unit}-{kind}"


def _next(service: Service, files: _Files) -> list[str]:
    """The commands that are left to be run before a unit is enabled."""
    user = next(path for path in files.texts if path.suffix == ".conf")
    folders = [path for path in (service.store, *service.written) if not path.is_dir()]
    missing = [path for path in folders if not path.is_relative_to(units.STATE)]
    make = [f"install -d -o {service.user} -g {service.user} {shlex.quote(str(path))}" for path in missing]
    there = [path for path in (service.store, *service.written) if path.is_dir() and _is_others(path, service.user)]
    own = [f"chown -R {service.user}: {' '.join(shlex.quote(str(path)) for path in there)}"] if there else []
    return [f"systemd-sysusers {shlex.quote(str(user))}", *make, *own, "systemctl daemon-reload"]


def _is_others(path: Path, user: str) -> bool:
    try:
        return path.owner() != user
    except (OSError, KeyError):
        return True


def _files(service: Service, folder: Path, sysusers: Path) -> _Files:
    name, text = units.sysusers(service)
    texts = {**{folder / name: text for name, text in units.units(service).items()}, sysusers / name: text}
    there = {str(path): _there(path) for path in texts}
    changed = units.changed(there, {str(path): text for path, text in texts.items()})
    return _Files(texts, [Path(path) for path in changed])


def _there(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _service(args: argparse.Namespace, config: Config) -> Service:
    given = Path(args.program).absolute() if args.program else _program()
    if not given.is_file():
        raise FlatdexError(f"{given} is no program", "Name the installed flatdex with --program.")
    where = settings(config.publishing, config.folder)
    heard = events.events(config.publishing, config.folder)
    shown = events.metrics(config.publishing, config.folder)
    written = [path for target in where.targets if (path := _folder_of(target))]
    written += [heard.spool] if heard.spool else []
    written += [shown.textfile.parent] if shown.textfile else []
    places = [heard.webhook.listen] if heard.webhook else []
    places += [shown.listen] if shown.listen else []
    read = [*_named(config), *_of_targets(where.targets), *_of_events(heard)]
    linked = [path.resolve() for path in (given, config.file, config.store, *written, *read)]
    return Service(
        program=given,
        config=config.file,
        store=config.store,
        own_store=bool(args.store),
        written=tuple(dict.fromkeys(written)),
        sockets=tuple(place.socket for place in places if place.socket),
        read=tuple(dict.fromkeys([*read, *linked])),
        user=args.user,
        name=args.name,
        netlink=bool(config.mirror and config.mirror.discover),
        version=_version(),
    )


def _program() -> Path:
    """The command that runs, by the path that it was called by; that of this environment if it was run otherwise."""
    found = shutil.which(sys.argv[0])
    if found and Path(found).name.startswith("flatdex"):
        return Path(found).absolute()
    return Path(sys.executable).with_name("flatdex")


def _version() -> int:
    """Systemd's; 0 where there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"systemd ([0-9]+)", said.stdout)
    return int(found[1]) if found else 0


def _folder_of(target: Target) -> Path | None:
    """The folder of this machine that a target is."""
    if target.kind is Kind.FOLDER:
        return Path(target.destination)
    here = re.fullmatch(r":local:(/.*)", target.destination) if target.kind is Kind.RCLONE else None
    return Path(here[1]) if here else None


def _named(config: Config) -> Iterator[Path]:
    """What the configuration has a build read."""
    for source in config.sources:
        if isinstance(source, LayoutSource):
            yield from map(_fixed, source.layouts)
        elif isinstance(source, RegistrySource):
            access = source.access
            yield from _there_of(access.auth_file, access.ca, *(access.cert or ()))
    if config.mirror:
        yield from (Path(each.removeprefix("file://")) for each in config.mirror.sources if _is_folder(each))
    if config.pages:
        yield from _there_of(config.pages.templates, config.pages.theme.logo)
    yield from config.sign.keys if config.sign else ()


def _is_folder(source: str) -> bool:
    return source.startswith(("/", "file:///"))


def _fixed(pattern: str) -> Path:
    """The folder in which all lies that an absolute glob may find."""
    parts = Path(pattern).parts
    magic = next((number for number, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    return Path(*parts[:magic])


def _of_targets(targets: Iterable[Target]) -> Iterator[Path]:
    for target in targets:
        yield from _there_of(target.password_file)
        if target.kind is Kind.SSH:
            yield from (Path(word) for word in target.ssh.split() if word.startswith("/"))


def _of_events(heard: events.Settings) -> Iterator[Path]:
    if heard.webhook:
        yield heard.webhook.secret_file
    if heard.amqp:
        yield from _there_of(heard.amqp.ca, heard.amqp.cert, heard.amqp.key, heard.amqp.fedora_messaging)


def _there_of(*paths: Path | None) -> Iterator[Path]:
    return (path for path in paths if path)


def _unreadable(service: Service) -> Iterator[str]:
    """Files that not all may read, and that belong to somebody else."""
    for path in (service.config, *service.read):
        try:
            status, owner = path.stat(), path.owner()
        except (OSError, KeyError):
            continue
        if path.is_file() and not status.st_mode & 0o004 and owner != service.user:
            yield f"{path} belongs to {owner}, and not all may read it: {service.user} has to"
