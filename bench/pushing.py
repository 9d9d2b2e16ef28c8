"""Pushes of a large snapshot to folders, and to the same folders at the end of a long line, against bare rsync."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import distant
from bench.large import CHANGED, Large
from bench.measure import Row
from bench.turns import turns
from builder.store import CURRENT, SNAPSHOTS
from sync.outcome import How, Outcome
from sync.promote import _flip
from sync.push import push
from sync.settings import Settings, settings
from sync.targets import Target
from sync.verify import Sound

_FLEET = 8
_QUICK = How(thorough=False)
_LINE = f"{sys.executable} -I -S {Path(distant.__file__).absolute()}"
"""What stands for `ssh` in a target; a bare interpreter, which starts soonest."""
_AWAY = f"{2e3 * distant.ONE_WAY:.0f} ms away"


def rows(made: Large, pairs: int) -> Iterator[Row]:
    """All rows about pushing."""
    fleet = _Fleet(made)
    print(f"filling {_FLEET} targets", flush=True)
    fleet.fill()
    fleet.reach()  # all bytes were compared today: a quick push is a quick one
    yield from _one_changed(fleet, pairs)
    yield from _many_changed(fleet, pairs)
    fleet.reach()
    yield from _unchanged(fleet, pairs)
    shutil.rmtree(fleet.folder)


def _one_changed(fleet: _Fleet, pairs: int) -> Iterator[Row]:
    here, far = fleet.here[:1], fleet.far[:1]
    before = partial(fleet.reset, here)
    rows: tuple[tuple[str, Sequence[Target], How, str, float | None], ...] = (
        ("", here, _QUICK, "-rltp", 1.5),
        (", thorough", here, How(), "-rltpc", 1.5),
        (f", {_AWAY}", far, _QUICK, "-rltp", None),
    )
    for where, targets, how, options, most in rows:
        bring, floor = partial(fleet.bring, targets, how), partial(fleet.copy, targets, options)
        found = turns(bring, floor, pairs, before)
        floor_text = f"rsync {options} --delete --link-dest, rsync -l:"
        yield found.ratio_row(f"push, {CHANGED} icons changed{where}", floor_text, most)


def _many_changed(fleet: _Fleet, pairs: int) -> Iterator[Row]:
    for where, targets, most in (("here", fleet.here, 2.5), (_AWAY, fleet.far, 1.5)):
        before = partial(fleet.reset, targets)
        found = turns(partial(fleet.bring, targets), partial(fleet.bring, targets[:1]), pairs, before)
        what = f"{_FLEET} targets {where}, {CHANGED} icons changed"
        yield found.ratio_row(what, "one target:", most)
        found = turns(partial(fleet.copy, targets), partial(fleet.copy, targets[:1]), pairs, before)
        yield found.ratio_row("  the same by rsync alone", "one rsync:", None)


def _unchanged(fleet: _Fleet, pairs: int) -> Iterator[Row]:
    most: float | None
    here, far, what = fleet.here[:1], fleet.far[:1], "push, nothing changed"
    for where, targets, most in (("", here, 1), (f", {_AWAY}", far, None)):
        found = turns(partial(fleet.confirm, targets), partial(fleet.compare, targets, "-rlt"), pairs)
        yield found.ratio_row(f"{what}{where}", "rsync -rlt:", most)
    found = turns(partial(fleet.confirm, here, How()), partial(fleet.compare, here, "-rltc"), pairs)
    yield found.ratio_row(f"{what}, thorough", "rsync -rltc:", None)
    for where, targets, most in (("here", fleet.here, 2.5), (_AWAY, fleet.far, 1.5)):
        found = turns(partial(fleet.confirm, targets), partial(fleet.confirm, targets[:1]), pairs * 2)
        yield found.ratio_row(f"{_FLEET} targets {where}, nothing changed", "one target:", most)
        found = turns(partial(fleet.compare, targets, "-rlt"), partial(fleet.compare, targets[:1], "-rlt"), pairs * 2)
        yield found.ratio_row("  the same by rsync alone", "one rsync:", None)


class _Fleet:
    """Folders that have the older snapshot, or the newer one too, each known as a target here and as a distant one."""

    def __init__(self, made: Large) -> None:
        self.folder = made.folder / "fleet"
        self._made = made
        self._sound = Sound(made.newer)
        self._sound.checked()
        self._settings = self._configured()
        self.here, self.far = self._settings.targets[:_FLEET], self._settings.targets[_FLEET:]

    def _configured(self) -> Settings:
        places = {f"t{number}": self.folder / f"t{number}" for number in range(_FLEET)}
        here = {name: {"rsync": str(place)} for name, place in places.items()}
        far = {f"far-{name}": {"rsync": f"far:{place}", "ssh": _LINE} for name, place in places.items()}
        return settings({"targets": {**here, **far}}, self._made.folder)

    def _place(self, target: Target) -> Path:
        return self.folder / target.name.removeprefix("far-")

    def fill(self) -> None:
        """Brings the older snapshot to all folders, as copies of their own."""
        old = self._made.older
        for target in self.here:
            snapshots = self._place(target) / SNAPSHOTS
            snapshots.mkdir(parents=True)
            subprocess.run(["cp", "-a", old.folder, snapshots], check=True)
        _flip(self._made.store, self._made.newer.id)

    def reset(self, targets: Sequence[Target]) -> None:
        """Lets the folders have, and show, the older snapshot alone."""
        for target in targets:
            place = self._place(target)
            shutil.rmtree(place / SNAPSHOTS / self._made.newer.id, ignore_errors=True)
            (place / CURRENT).unlink(missing_ok=True)
            (place / CURRENT).symlink_to(f"{SNAPSHOTS}/{self._made.older.id}")
        os.sync()

    def bring(self, targets: Sequence[Target], how: How = _QUICK) -> None:
        """Pushes what is new there."""
        assert all(each.changed for each in self._pushed(targets, how))  # noqa: S101

    def confirm(self, targets: Sequence[Target], how: How = _QUICK) -> None:
        """Pushes what is there already."""
        assert not any(each.changed for each in self._pushed(targets, how))  # noqa: S101

    def reach(self) -> None:
        """Pushes to every target, so that all is known to be there."""
        self._pushed(self.here, How())
        self._pushed(self.far, How())

    def _pushed(self, targets: Sequence[Target], how: How) -> list[Outcome]:
        outcomes = push(self._made.store, self._sound, self._settings, targets, how)
        for each in outcomes:
            if each.error:
                raise SystemExit(each.line)
        return outcomes

    def copy(self, targets: Sequence[Target], options: str = "-rltp") -> None:
        """What a push of something new can't do without, to all at once; by checksum with `c` among the options."""
        new = self._made.newer
        how = (options, "--delete", f"--link-dest=../{self._made.older.id}")
        self._rsyncs(targets, *how, f"{new.folder}/", f"/{SNAPSHOTS}/{new.id}/")
        self._rsyncs(targets, "-l", str(self._made.store.current_link), "/")

    def compare(self, targets: Sequence[Target], options: str) -> None:
        """rsync alone where nothing is to be done, to all at once."""
        new = self._made.newer
        self._rsyncs(targets, options, f"{new.folder}/", f"/{SNAPSHOTS}/{new.id}/")

    def _rsyncs(self, targets: Sequence[Target], *arguments: str) -> None:
        """The last argument is a path on each target."""
        *arguments_before, end = arguments
        running = [
            subprocess.Popen(["rsync", f"--rsh={each.ssh}", *arguments_before, f"{each.destination}{end}"])
            for each in targets
        ]
        codes = [each.wait() for each in running]
        if any(codes):
            raise SystemExit(f"rsync ended with {codes}")
