"""What `flatdex rules` prints beside a web server's rules: the cache in front of a remote, and its announcement."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.config import Config
from builder.errors import UsageError
from builder.site.rules import avahi, pull_through, written
from builder.store import CURRENT, Store

_OPTIONS = {
    "the rules of a web server": ("root", "prefix", "stick"),
    "--pull-through": ("pull_through", "cache", "size", "seed", "listen", "resolver", "authorities"),
    "avahi": ("port", "prefix"),
}
"""The options of each thing that is printed, as attributes."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of both."""
    text = "avahi: the port of HTTP that is announced (default: that of the remote's URL)"
    parser.add_argument("--port", type=int, help=text)
    group = parser.add_argument_group("nginx as a cache, instead of rules for a site of one's own")
    text = "a cache in front of the remote at this URL, which needs no configuration file"
    group.add_argument("--pull-through", metavar="URL", help=text)
    text = f"the folder to keep things in, which nginx makes (default: {pull_through.CACHE}HOST)"
    group.add_argument("--cache", metavar="DIR", help=text)
    text = f"how much to keep, such as 500m or 1t (default: {pull_through.SIZE})"
    group.add_argument("--size", metavar="SIZE", help=text)
    text = "a store, a site's folder or a stick that is looked into first, for what is named by its hash"
    group.add_argument("--seed", metavar="DIR", help=text)
    text = f"where to listen: a port, or an address with one; may be repeated (default: {pull_through.LISTEN[0]})"
    group.add_argument("--listen", metavar="[ADDRESS:]PORT", action="append", help=text)
    text = "a name server that knows the remote's host; may be repeated (default: this machine's)"
    group.add_argument("--resolver", metavar="ADDRESS", action="append", help=text)
    text = f"the certificates to trust, in one file (default: {pull_through.AUTHORITIES})"
    group.add_argument("--ca", dest="authorities", metavar="FILE", help=text)


def check(args: argparse.Namespace) -> None:
    """Raises UsageError for options that mean nothing beside what is to be printed."""
    if args.pull_through is not None and args.server != "nginx":
        raise UsageError("--pull-through is for nginx alone", "Say `flatdex rules nginx --pull-through URL`.")
    wanted = "avahi" if args.server == "avahi" else "--pull-through" if args.pull_through is not None else ""
    wanted = wanted or "the rules of a web server"
    for name in sorted({name for names in _OPTIONS.values() for name in names} - {*_OPTIONS[wanted]}):
        if getattr(args, name) is not None:
            option = "--ca" if name == "authorities" else f"--{name.replace('_', '-')}"
            owner = next(owner for owner, names in _OPTIONS.items() if name in names)
            raise UsageError(f"{option} means nothing for {wanted}", f"It belongs to {owner}.")


def cache(args: argparse.Namespace) -> str:
    """nginx's configuration for `--pull-through`."""
    resolvers = args.resolver
    if resolvers is None and pull_through.needs_resolver(args.pull_through):
        resolvers = pull_through.name_servers(_text(pull_through.RESOLVERS))
    wish = pull_through.Wish(
        url=args.pull_through,
        cache=written.folder(args.cache) if args.cache else "",
        size=args.size or pull_through.SIZE,
        seed=_seed(Path(args.seed)) if args.seed else "",
        listen=args.listen or pull_through.LISTEN,
        resolvers=resolvers or (),
        authorities=written.folder(args.authorities or pull_through.AUTHORITIES),
    )
    return pull_through.server(wish)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _seed(folder: Path) -> str:
    """The folder itself, or what is current in it if it is a store: it may be filled later."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there", "Name a store, a site's folder or a stick with --seed.")
    store = (folder / CURRENT).is_symlink() or (folder / "snapshots").is_dir()
    return written.folder(folder / CURRENT if store else folder)


def announcement(args: argparse.Namespace, config: Config) -> str:
    """Avahi's service file."""
    if args.port is not None and not 0 < args.port < 65536:
        raise UsageError(f"{args.port} is not a port", "Name one between 1 and 65535 with --port.")
    store = Store(config.store)
    current = store.current()
    served = store.snapshot(current) if current else None
    return avahi.service(avahi.announcement(config, served, args.port, args.prefix or ""))
