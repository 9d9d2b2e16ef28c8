"""Units for systemd, as texts: for a watch, or for a publish by a timer, shut off from all that they don't need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import templating
from builder.errors import UsageError

USER = "flatdex"
STATE = Path("/var/lib/flatdex")
"""The user's home, which systemd makes."""
MARK = "# Made by `flatdex units`"
"""How each of these files starts."""

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_BACKOFF = 254
"""The version of systemd that has longer and longer pauses between restarts."""


@dataclass(frozen=True)
class Service:
    """What is to run, as whom, and the places that it needs. All paths are absolute.

    `name` is empty for the only remote of a machine. `version` is systemd's; 0 if it is not known.
    """

    program: Path
    config: Path
    store: Path
    own_store: bool = False
    """Whether the store is not the one that the configuration names."""
    written: tuple[Path, ...] = ()
    """Folders that it writes to, beside the store."""
    sockets: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    """Files and folders that the configuration names, and links lead to."""
    user: str = USER
    name: str = ""
    netlink: bool = False
    """Whether it looks for others on the LAN."""
    version: int = 0

    @property
    def unit(self) -> str:
        """How the units' names start."""
        return f"flatdex-{self.name}" if self.name else "flatdex"

    @property
    def places(self) -> tuple[Path, ...]:
        """All that it has to reach."""
        return (self.program, self.config, self.store, *self.written, *self.sockets, *self.read)


def units(service: Service) -> dict[str, str]:
    """The units by their names. Raises UsageError for names and paths that no unit can have."""
    _check(service)
    words = ("-c", str(service.config), *(("--store", str(service.store)) if service.own_store else ()))
    runtime, more = _runtime(service.sockets)
    shared = any(_is_below(path, _TEMPORARY) for path in service.places)
    places = (service.store, *service.written, *more, *(_TEMPORARY if shared else ()))
    written = [path for path in places if not _is_below(path, [STATE])]
    values = {
        "unit": service.unit,
        "about": service.name or "a Flatpak remote",
        "user": service.user,
        "command": " ".join((quoted(str(service.program)), *map(argument, words))),
        "environment": f"/etc/flatdex/{service.name}.environment" if service.name else "/etc/flatdex/environment",
        "mounts": quoted(str(service.store)),
        # What is not there, such as a target on a disk that is away, is no reason not to start.
        "written": [quoted(f"-{path}") for path in dict.fromkeys(written)],
        "runtime": " ".join(runtime),
        "home": "read-only" if any(_is_below(path, _HOMES) for path in service.places) else "yes",
        "tmp": "no" if shared else "yes",
        "families": "AF_UNIX AF_INET AF_INET6" + (" AF_NETLINK" if service.netlink else ""),
        "backoff": service.version >= _BACKOFF,
    }
    kinds = ("watch.service", "publish.service", "publish.timer")
    return {f"{service.unit}-{kind}": templating.render(kind, **values) for kind in kinds}


def sysusers(service: Service) -> tuple[str, str]:
    """The file that makes the user: its name and its text."""
    name = "flatdex.conf" if service.user == USER else f"flatdex-{service.user}.conf"
    return name, templating.render("sysusers.conf", user=service.user)


def notes(service: Service) -> Iterator[str]:
    """What an admin should know of the places that are named."""
    for path in dict.fromkeys(service.places):
        if _is_below(path, _HOMES):
            why = f"{service.user} has to be able to reach it, and /home, /root and /run/user are shown to the service"
            yield f"{path} is below a home folder: {why}; better move it"
        elif _is_below(path, _TEMPORARY):
            yield f"{path} is in a folder for temporary files: the service gets none of its own; better move it"
    for path in service.sockets:
        if path.parent in (Path("/run"), Path("/var/run")):
            yield f"{path}: no socket can be made in {path.parent} itself; name one in /run/flatdex"


def quoted(text: str) -> str:
    """A word of a unit that systemd reads as `text`, whatever is in it but line breaks and the like."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def argument(text: str) -> str:
    """The same for a word of a command line behind the program, where variables are looked for, too."""
    plain = re.fullmatch(r"[A-Za-z0-9_/.,:=@+-]+", text)
    return text if plain else quoted(text).replace("$", "$$")


def _runtime(sockets: Iterable[Path]) -> tuple[list[str], list[Path]]:
    """The folders below /run that systemd is to make, and those of other sockets."""
    runtime, others = ["flatdex"], []
    for path in sockets:
        below = re.fullmatch(r"/(?:var/)?run/([A-Za-z0-9_@-][A-Za-z0-9_.@-]*(?:/[A-Za-z0-9_@-]+)*)", str(path.parent))
        if below and not _is_below(path, _HOMES):
            runtime.append(below[1])
        else:
            others.append(path.parent)
    return list(dict.fromkeys(runtime)), others


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _check(service: Service) -> None:
    if service.name and not _NAME.fullmatch(service.name):
        raise UsageError(f"no unit can be called {service.name!r}", "Choose letters, digits, `-`, `_` and `.`.")
    if not _USER.fullmatch(service.user):
        raise UsageError(f"no user can be called {service.user!r}", "Choose small letters, digits, `-` and `_`.")
    if re.search(r"""["'\\\x00-\x1f]""", str(service.program)) or ".." in service.program.parts:
        raise UsageError(f"systemd runs no program called {str(service.program)!r}", "Name another with --program.")
    for path in service.places:
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", str(path)):
            why = "which has characters that are none, or break lines"
            raise UsageError(f"no unit can name {str(path)!r}, {why}", "Rename it.")


def changed(there: Mapping[str, str | None], wanted: Mapping[str, str]) -> list[str]:
    """The names of the files to write. Raises UsageError for one that somebody else has made."""
    for name, text in there.items():
        if text is not None and not text.startswith(MARK):
            raise UsageError(f"{name} is there, and was not made by `flatdex units`", "Move it away, or use --name.")
    return [name for name, text in wanted.items() if there.get(name) != text]
