"""Targets: the places that push copies to, as the configuration names them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from builder.errors import UsageError
from builder.spans import seconds

DEFAULT_SSH = "ssh -o BatchMode=yes"
"""Never asks for a password: under cron nobody would answer."""
DEFAULT_TIMEOUT = 60


class Kind(Enum):
    """How a target is reached."""

    FOLDER = "folder"
    SSH = "ssh"
    DAEMON = "daemon"
    RCLONE = "rclone"


@dataclass(frozen=True)
class Target:
    """A place that shows snapshots. `destination` is in the form of its program, without a slash at its end.

    By rsync it holds `snapshots/` and `current`; by rclone the files of one snapshot. `timeout` is in seconds without
    a byte; `bwlimit` in the form that both programs know, such as `500k`; `after` names targets.
    """

    name: str
    destination: str
    kind: Kind
    ssh: str = DEFAULT_SSH
    password_file: Path | None = None
    url: str = ""
    timeout: int = DEFAULT_TIMEOUT
    bwlimit: str = ""
    after: tuple[str, ...] = ()


def kind_of(destination: str) -> Kind:
    """How rsync reads a destination."""
    if re.match(r"rsync://|[^/:]+::", destination):
        return Kind.DAEMON
    return Kind.SSH if re.match(r"(?:[^/:@]+@)?(?:\[[^\]/]+\]|[^/:]+):", destination) else Kind.FOLDER


def target(name: str, settings: Mapping[str, Any], folder: Path) -> Target:
    """A target from its validated settings; relative paths are relative to `folder`."""
    by_rclone = "rclone" in settings
    destination: str = settings["rclone" if by_rclone else "rsync"]
    kind = Kind.RCLONE if by_rclone else kind_of(destination)
    if kind is Kind.FOLDER:
        destination = str((folder / Path(destination).expanduser()).absolute())
    password = settings.get("password_file")
    return Target(
        name=name,
        destination=destination.rstrip("/") if by_rclone else _without_end(destination),
        kind=kind,
        ssh=settings.get("ssh", DEFAULT_SSH),
        password_file=(folder / Path(password).expanduser()).absolute() if password else None,
        url=settings.get("url", ""),
        timeout=max(1, seconds(settings["timeout"])) if "timeout" in settings else DEFAULT_TIMEOUT,
        bwlimit=settings.get("bwlimit", ""),
        after=tuple(settings.get("after", ())),
    )


def _without_end(destination: str) -> str:
    """A destination that paths can be added to; `HOST:` is the home folder there, which `HOST:/` is not."""
    return f"{destination}." if destination.endswith(":") else destination.rstrip("/")


def chosen(targets: Iterable[Target], names: Iterable[str]) -> tuple[Target, ...]:
    """The targets that `names` name, or all of them. Raises UsageError for a name that is not there."""
    targets, names = tuple(targets), tuple(names)
    known = [target.name for target in targets]
    unknown = [name for name in names if name not in known]
    if unknown:
        fix = f"The configuration has: {', '.join(known)}." if known else "The configuration has no targets."
        raise UsageError(f"no target is called {unknown[0]!r}", fix)
    return tuple(target for target in targets if not names or target.name in names)
