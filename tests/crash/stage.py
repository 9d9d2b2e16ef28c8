"""Plays scenes: once to see where anything changes, then once for each of these points, killed there, and once more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from builder.description import Snapshot
from tests.crash.calls import RECORDING, Point, points, thinned
from tests.crash.looks import check_names, check_open, check_unlocked, shown, snapshots
from tests.crash.runner import LATER, How, Run, Runner
from tests.crash.scenes import Scene, Victim
from tests.real.files import remove
from tests.real.process import located, run
from tests.sync.site import PARTLY, Site, with_images, with_snapshots

_KILLED = -9
_SCRIPT = """\
#!/bin/sh
{start}
echo >> "{records}/calls"
number=$(grep -c ^ "{records}/calls")
{choice}
eval "exec $traced {command}"
"""
_RECORD = 'traced="{strace} -f -bexecve -ff -o {records}/$number {options}"'
_KILL = """\
[ "$number" -gt {number} ] && exit 255  # who was killed does not come back at once
[ "$number" -eq {number} ] && traced="{strace} -f -bexecve -o {records}/killed {options}"
"""


@dataclass(frozen=True)
class Worker:
    """A place to play at."""

    site: Site
    records: Path
    runner: Runner


def worker(number: int, folder: Path) -> Worker:
    """Its place is below `folder`."""
    site, records = Site(folder / f"site-{number}"), folder / f"records-{number}"
    for each in (site.folder, records):
        each.mkdir()
    return Worker(site, records, Runner(number, site.folder, folder / f"said-{number}"))


class Stage:
    """Plays one scene, `broken` or as the command is."""

    def __init__(self, scene: Scene, folder: Path, broken: str = "") -> None:
        self._scene, self._folder, self._broken = scene, folder, broken
        self._pristine = folder / "pristine"

    def points(self, at: Worker) -> list[Point]:
        """Prepares all, then plays undisturbed, and gives where one might be killed."""
        self._prepare(at)
        first = self._record(at)
        assert first.code == 0, first.said
        self._scene.check_end(at.site)
        return thinned(self._recorded(at), self._scene.every)

    def _prepare(self, at: Worker) -> None:
        (at.site.folder / "tmp").mkdir()
        with_images(at.site.folder)
        with_snapshots(at.site.folder)
        self._write_scripts(at)
        self._scene.prepare(at.site, at.runner)
        run(["cp", "-a", at.site.folder, self._pristine])

    def _reset(self, at: Worker) -> None:
        for folder in (at.site.folder, at.records):
            remove(folder)
        at.records.mkdir()
        run(["cp", "-a", self._pristine, at.site.folder])

    def _record(self, at: Worker) -> Run:
        self._reset(at)
        if self._scene.victim is Victim.FLATDEX:
            self._write_scripts(at)
            return self._first_run(at, located("strace"), "-o", str(at.records / "0"), *RECORDING)
        options = " ".join(RECORDING).replace("?", r"\?")
        self._write_scripts(at, _RECORD.format(strace=located("strace"), records=at.records, options=options))
        return self._first_run(at)

    def _recorded(self, at: Worker) -> Iterator[Point]:
        runs: dict[int, list[Path]] = {}
        for record in at.records.glob("[0-9]*"):
            runs.setdefault(int(record.name.partition(".")[0]), []).append(record)
        for number, records in sorted(runs.items()):
            yield from points(records, at.site.folder, number, self._scene.victim.depth)

    def _first_run(self, at: Worker, *strace: str) -> Run:
        return at.runner.run(*self._scene.args, strace=strace, **self._how(at))

    def _how(self, at: Worker) -> How:
        path = f"{at.site.folder / 'bin'}:{os.environ['PATH']}"
        return {"broken": self._broken, "env": {"PATH": path}}

    def _write_scripts(self, at: Worker, choice: str = "") -> None:
        """An ssh that is none, and, if the rsync here is to be traced, one that is found first."""
        client = self._scene.victim is Victim.CLIENT
        self._write(at, "fake-ssh", f"shift; PATH='{os.environ['PATH']}'", "$*", "" if client else choice)
        if client:
            self._write(at, "bin/rsync", "", f'{located("rsync")} \\"\\$@\\"', choice)

    def _write(self, at: Worker, name: str, start: str, command: str, choice: str) -> None:
        records = at.records if choice else at.site.folder / "tmp"
        script = at.site.folder / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(_SCRIPT.format(start=start, records=records, choice=choice, command=command))
        script.chmod(0o755)

    def strike(self, at: Worker, point: Point) -> None:
        """Plays until `point`, looks at what is left, and plays again, to the end. AssertionError if that is wrong."""
        self._reset(at)
        before = {root: shown(root) for root in (at.site.store, at.site.folder / "web")}
        first = self._killed_run(at, point)
        check_unlocked(at.site.store)
        self._check_struck(at, first)
        self._check_between(at.site, before)
        self._write_scripts(at)
        again = at.runner.run(*self._scene.args, moment=LATER, **self._how(at))
        assert again.code == 0, f"the second run: {again.code}: {again.said}"
        self._scene.check_end(at.site)
        check_names(at.site.store, at.site.folder / "web", settled=True)
        check_open(at.site.store)

    def _killed_run(self, at: Worker, point: Point) -> Run:
        strace, record = located("strace"), at.records / "killed"
        if self._scene.victim is Victim.FLATDEX:
            self._write_scripts(at)
            return self._first_run(at, strace, "-o", str(record), *point.options)
        options = " ".join(point.options)
        self._write_scripts(at, _KILL.format(number=point.run, strace=strace, records=at.records, options=options))
        return self._first_run(at)

    def _check_struck(self, at: Worker, first: Run) -> None:
        wanted = _KILLED if self._scene.victim is Victim.FLATDEX else PARTLY
        assert first.code == wanted, f"exit code {first.code}: {first.said}"
        assert "Traceback" not in first.said, first.said
        assert " = ?\n" in (at.records / "killed").read_text(), "no call was cut off"

    def _check_between(self, site: Site, before: dict[Path, Snapshot | None]) -> None:
        for root, old in before.items():
            now = shown(root)
            flips = now is not None and root.name == self._scene.flips and self._scene.may_show(site, now)
            assert flips or (now and now.id) == (old and old.id), f"{root} shows {now and now.id}"
        snapshots(site.store)
        check_names(site.store, site.folder / "web", settled=False)
        self._scene.look(site)

    def failures(self, workers: list[Worker], found: list[Point]) -> dict[Point, str]:
        """What went wrong, at which points."""
        free: SimpleQueue[Worker] = SimpleQueue()
        for each in workers:
            free.put(each)

        def strike(point: Point) -> str:
            at = free.get()
            try:
                self.strike(at, point)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            finally:
                free.put(at)
            return ""

        with ThreadPoolExecutor(len(workers)) as pool:
            return {point: what for point, what in zip(found, pool.map(strike, found), strict=True) if what}
