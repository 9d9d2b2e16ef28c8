"""Which configuration, store and targets a command works on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from builder import configfile, mirrorfile
from builder.config import Config, Mirror
from builder.copied import Copied
from builder.errors import ConfigError
from builder.store import Store
from sync.settings import Settings, settings
from sync.verbs import reading
from sync.verbs.common import Place


def load(args: argparse.Namespace) -> Config:
    """The configuration that the options name. Raises ConfigError."""
    try:
        file = configfile.find(args.config, os.environ)
    except ConfigError:
        store = Store(Path(args.store).absolute()) if args.store else None
        if store is None or not Copied(store).is_there:
            raise
        # Made by `flatdex mirror --from URL --store DIR`: what is in it says enough for other verbs.
        return mirrorfile.config(Mirror(()), store.root, Path(configfile.NAME).absolute())
    return configfile.load(file, os.environ, args.store)


def place(args: argparse.Namespace, load: Callable[[], Config]) -> Place:
    """The store and targets. A store that was named, or a folder, is enough for the verbs that need no target."""
    of_folder = args.verb == "verify" and reading.is_folder(args.id)
    alone = args.store and args.verb not in ("push", "status") and not (args.verb == "prune" and not args.local)
    if (alone or of_folder) and not args.config:
        return bare(args.store or ".")
    return place_of(load())


def bare(store: str) -> Place:
    """A store alone, without targets."""
    return Place(Store(Path(store).absolute()), Settings(Path.cwd()))


def place_of(config: Config) -> Place:
    """The store and the targets of a configuration."""
    return Place(Store(config.store), settings(config.publishing, config.folder))
