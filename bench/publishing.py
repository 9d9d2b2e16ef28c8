"""A large snapshot on its way to readers: built, verified, promoted, pushed, and read while `current` is flipped."""

from __future__ import annotations

import gc
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from bench import measure, pushing, reading
from bench.large import BORN, CHANGED, Large, large, sites
from bench.measure import Row
from bench.turns import turns
from builder import snapshot
from builder.files import files_in, make_durable
from builder.store import Store
from sync.promote import promote
from sync.verify import Sound, faults

_FLATDEX = str(Path(sys.executable).with_name("flatdex"))


def rows(folder: Path, icons: int, pairs: int) -> Iterator[Row]:
    """All rows about publishing; those of functions are measured in this process."""
    yield from _interpreter(pairs)
    print(f"making snapshots of {icons} icons", flush=True)
    made = large(folder, icons)
    gc.disable()  # as the command does
    try:
        with made.store.locked("bench"):
            yield from _promotions(made, pairs)
            yield _verification(made, pairs)
            yield from pushing.rows(made, pairs)
            yield from reading.rows(made, pairs)
            yield _next_tree(made, icons, pairs)  # last, since it needs much memory, which makes starting programs slow
    finally:
        gc.enable()


def _interpreter(pairs: int) -> Iterator[Row]:
    """What every command starts with, and no other row here has in it."""
    found = measure.pairs([_FLATDEX, "--version"], [sys.executable, "-c", "pass"], pairs)
    floor, ours = found.floor_seconds * 1e3, found.seconds * 1e3
    yield Row("the interpreter's start", floor, "ms", None, "python -c pass")
    yield Row("the command's start", ours, "ms", None, "flatdex --version")


def _promotions(made: Large, pairs: int) -> Iterator[Row]:
    """Promotes what was verified before, against the system calls that a durable flip can't do without."""
    sounds = [Sound(each) for each in (made.newer, made.newest)]
    for each in sounds:
        each.checked()
    turn = cycle(sounds)

    def ours() -> None:
        assert promote(made.store, next(turn)).changed  # noqa: S101

    for durable, floor in ((False, "syncfs, symlink, rename:"), (True, "syncfs, symlink, rename, syncfs:")):
        found = turns(ours, _bare_flip(made.store, durable), pairs * 4)
        yield found.more_row(f"promote, {'durable as the floor' if durable else 'verified before'}", floor, 20)


def _bare_flip(store: Store, durable: bool) -> Callable[[], None]:
    """A flip of a link beside `current`; only if `durable` it returns when that would survive a loss of power."""
    names = cycle(path.name for path in sorted(store.snapshots.iterdir()))

    def flip() -> None:
        make_durable(store.root)
        link = store.root / "bare-new"
        link.symlink_to(f"snapshots/{next(names)}")
        link.replace(store.root / "bare")
        if durable:
            make_durable(store.root)

    return flip


def _next_tree(made: Large, icons: int, pairs: int) -> Row:
    """Writes the second snapshot of a store that has the first."""
    store = Store(made.folder / "next" / "store")
    older, newer = sites(made.config, icons)
    with store.locked("bench", create=True):
        one = store.find(snapshot.write(store, older, made.config, BORN).id)
        copy = store.root / "copy"

        def before() -> None:
            for other in (*store.snapshots.iterdir(), copy):
                if other.name != one.id:
                    shutil.rmtree(other, ignore_errors=True)
            make_durable(store.root)

        def ours() -> None:
            assert snapshot.write(store, newer, made.config, BORN + 1).changed  # noqa: S101

        def floor() -> None:
            subprocess.run(["cp", "-al", one.folder, copy], check=True)

        found = turns(ours, floor, pairs, before)
    shutil.rmtree(store.root)
    return found.ratio_row(f"next snapshot's tree, {CHANGED} icons changed", "cp -al:", 2)


def _verification(made: Large, pairs: int) -> Row:
    folder = made.newer.folder

    def ours() -> None:
        assert not list(faults(made.newer))  # noqa: S101

    def floor() -> None:
        for path in files_in(folder):
            hashlib.sha256((folder / path).read_bytes()).digest()

    return turns(ours, floor, pairs).ratio_row("verify", "hashing all files in a loop:", None)
