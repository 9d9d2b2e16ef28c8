"""Pushes that were asked for while another one ran: that one does them before it is done."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from builder.errors import LockedError
from builder.files import replace_file
from builder.lock import WATCH
from builder.store import Store

WANTED = "wanted"

_DOES = {"push": ("push",), "publish": ("push", "publish"), WATCH: ("push", "publish")}
"""Which wishes each verb can fulfil."""


@dataclass(frozen=True)
class Wish:
    """What was asked for: to push, or to publish, to these targets, and how, as `sync.outcome.How` has it."""

    verb: str
    targets: tuple[str, ...] = ()
    thorough: bool = True
    force: bool = False
    anyway: bool = False


def served(
    store: Store,
    first: Wish,
    work: Callable[[list[Wish]], None],
    wait: float | None = None,
    create: bool = False,
    leaving: bool = True,
    defer: bool = False,
) -> None:
    """Does `work` for a wish as the store's writer, and for all that are left by others meanwhile.

    If another process does the like, it is told (unless `leaving` is forbidden), and LockedError is raised; it will do
    it before it is done. `wait` and `defer` are those of `Store.locked`.
    """
    try:
        _rounds(store, [first], first.verb, work, wait, create, defer)
    except LockedError as refused:
        if not (leaving and _leave(store, first, refused)):
            raise
        try:  # it may have been done before it could be told
            _rounds(store, [], first.verb, work, 0, create)
        except LockedError:
            fix = f"Word was left: it will {first.verb} once more before it is done, or else the next one will."
            raise LockedError(refused.what, fix) from refused


def _rounds(
    store: Store,
    wishes: list[Wish],
    verb: str,
    work: Callable[[list[Wish]], None],
    wait: float | None,
    create: bool,
    defer: bool = False,
) -> None:
    again = False
    while True:
        try:
            with store.locked(verb, create, wait, defer):
                left = list(_left(store, verb))
                while wishes or left:
                    work([*wishes, *(wish for _, wish in left)])
                    for file, _ in left:  # only now: what failed is left to the next one
                        file.unlink(missing_ok=True)
                    wishes, left = [], list(_left(store, verb))
        except LockedError:
            if again:  # whoever came does it, or leaves it to the next one
                return
            raise
        if not any(_left(store, verb)):  # nobody came between the last look and the end of the lock
            return
        again, wait = True, wait or 0


def _leave(store: Store, wish: Wish, refused: LockedError) -> bool:
    """Leaves word for whoever holds the lock. Gives whether it is somebody who will do it."""
    holder = re.search(r"`flatdex ([a-z]+)`", refused.what)
    if refused.orphaned or holder is None or wish.verb not in _DOES.get(holder[1], ()):
        return False
    text = json.dumps(asdict(wish)).encode()
    try:
        _folder(store).mkdir(exist_ok=True)
        replace_file(_folder(store) / f"{time.time_ns()}-{os.getpid()}.json", text)
    except OSError:
        return False
    return True


def _left(store: Store, verb: str) -> Iterator[tuple[Path, Wish]]:
    """What is asked for that `verb` can do, in its order; what can't be read is passed over."""
    for file in sorted(_folder(store).glob("*.json")):
        try:
            each = json.loads(file.read_bytes())
            names = tuple(map(str, each["targets"]))
            how = [bool(each[key]) for key in ("thorough", "force", "anyway")]
            wish = Wish(str(each["verb"]), names, *how)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if wish.verb in _DOES[verb]:
            yield file, wish


def targets_of(wishes: Iterable[Wish], known: Iterable[str]) -> tuple[str, ...]:
    """The names of the targets of all wishes at once, as far as they are known."""
    asked = {name for wish in wishes for name in wish.targets}
    return tuple(name for name in known if name in asked)


def _folder(store: Store) -> Path:
    """A file for each wish, so that one that comes while others are taken is not lost."""
    return store.root / WANTED
