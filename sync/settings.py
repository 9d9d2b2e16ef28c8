"""How and where snapshots go, from the configuration's validated settings, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.targets import Target, target

PARALLEL = 8


@dataclass(frozen=True)
class Keep:
    """Snapshots stay that are among so many of the newest, or younger than so many days."""

    snapshots: int = 10
    days: int = 30


@dataclass(frozen=True)
class Quorum:
    """What must be ready before any target flips: these targets by name, and so many in all."""

    names: frozenset[str] = frozenset()
    number: int = 0


@dataclass(frozen=True)
class Hooks:
    """Shell commands, run one after the other."""

    after_promote: tuple[str, ...] = ()
    after_push: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """All of it. `keep` is None where the configuration says nothing: then only `flatdex prune` removes anything.

    `folder` is where programs run, and what relative paths are relative to.
    """

    folder: Path
    targets: tuple[Target, ...] = ()
    parallel: int = PARALLEL
    quorum: Quorum | None = None
    keep: Keep | None = None
    hooks: Hooks = Hooks()
    doctor: bool = False
    """Whether `publish` looks at what targets serve."""


def settings(publishing: Mapping[str, Any], folder: Path) -> Settings:
    """The settings; `publishing` was validated."""
    targets = tuple(target(name, each, folder) for name, each in publishing.get("targets", {}).items())
    hooks = {key: tuple(commands) for key, commands in publishing.get("hooks", {}).items()}
    return Settings(
        folder=folder,
        targets=targets,
        parallel=publishing.get("parallel", PARALLEL),
        quorum=_quorum(publishing.get("together", False), targets),
        keep=Keep(**publishing["keep"]) if "keep" in publishing else None,
        hooks=Hooks(**hooks),
        doctor=publishing.get("doctor", False),
    )


def _quorum(together: bool | int | list[str], targets: tuple[Target, ...]) -> Quorum | None:
    if together is False:
        return None
    if together is True:
        return Quorum(frozenset(target.name for target in targets))
    return Quorum(number=together) if isinstance(together, int) else Quorum(frozenset(together))
