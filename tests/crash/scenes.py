"""What is tried: a verb on a prepared site, what readers may see meanwhile, and what it has come to at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from builder.description import Snapshot
from builder.store import Store
from sync import log
from tests.crash.calls import Depth
from tests.crash.looks import check_log, shown, snapshots
from tests.crash.runner import Runner
from tests.sync.site import MIDDLE, NEW, OLD, Site, new_version

KEEP = "keep: {snapshots: 1, days: 1}\n"
BY_SSH = {"web": {"rsync": "host:web", "ssh": "./fake-ssh"}}
IN_FOLDER = {"web": {"rsync": "./web"}}


class Victim(Enum):
    """Who is killed."""

    FLATDEX = Depth.ALL
    CLIENT = Depth.READS  # whoever only sends changes nothing; how far it has come is all there is
    SERVER = Depth.NAMES

    @property
    def depth(self) -> Depth:
        """At which of its calls."""
        return self.value


@dataclass(frozen=True)
class Scene:
    """A verb on a site that was prepared for it."""

    name: str
    args: tuple[str, ...]
    prepare: Callable[[Site, Runner], None]
    check_end: Callable[[Site], None]
    """What has to be so when the verb was done, be it by a second run."""
    fewest: int
    """Points at the least: whoever finds fewer has looked at the wrong ones."""
    victim: Victim = Victim.FLATDEX
    every: int = 1
    """One point of so many is enough, where another scene has the like of them."""
    may_show: Callable[[Site, Snapshot], bool] = lambda site, snapshot: False
    """Whether readers may get this already: what `flips` shows, beside what it showed before."""
    flips: str = ""


def _run(runner: Runner, *args: str) -> None:
    run = runner.run(*args)
    assert run.code == 0, run.said


def _leave(folder: Path) -> None:
    (folder / "some" / "where").mkdir(parents=True)
    (folder / "some" / "where" / "file").write_text("left")


def _promoted(site: Site, runner: Runner, start: str = NEW) -> None:
    _run(runner, "promote", site.snapshot(start).name)


def _left_behind(site: Site) -> None:
    _leave(site.store / "snapshots" / ".unfinished-20240101T000000Z-00000000")
    _leave(site.store / "snapshots" / ".removed-20240102T000000Z-00000000")


def _before_build(site: Site, runner: Runner) -> None:
    _promoted(site, runner)
    _left_behind(site)
    new_version(site, "1.9")


def _before_first_build(site: Site, runner: Runner) -> None:
    shutil.rmtree(site.store)


def _before_first_promote(site: Site, runner: Runner) -> None:
    """Nothing was ever promoted."""


def _before_promote(site: Site, runner: Runner) -> None:
    _promoted(site, runner, MIDDLE)
    (site.store / ".current-1").symlink_to(f"snapshots/{site.snapshot(OLD).name}")


def _before_rollback(site: Site, runner: Runner) -> None:
    _promoted(site, runner, MIDDLE)
    _promoted(site, runner)
    _left_behind(site)


def _before_prune(site: Site, runner: Runner) -> None:
    _promoted(site, runner)
    _left_behind(site)
    with (site.folder / "flatdex.yaml").open("a") as opened:
        opened.write(KEEP)


def _before_first_push(targets: dict[str, dict[str, str]]) -> Callable[[Site, Runner], None]:
    def prepare(site: Site, runner: Runner) -> None:
        site.configure(targets)
        _promoted(site, runner)

    return prepare


def _before_push(targets: dict[str, dict[str, str]]) -> Callable[[Site, Runner], None]:
    def prepare(site: Site, runner: Runner) -> None:
        site.configure(targets)
        _promoted(site, runner, MIDDLE)
        _run(runner, "push")
        _promoted(site, runner)

    return prepare


def _before_prune_there(site: Site, runner: Runner) -> None:
    _before_push(BY_SSH)(site, runner)
    _run(runner, "push")
    _before_prune(site, runner)
    (site.store / "log.jsonl").unlink()  # else what was current before would stay, for a rollback
    log.append(Store(site.store), "promote", **{"from": None}, to=site.current, result="done")


def _hashes(snapshot: Snapshot) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in snapshot.files}


def _built(site: Site) -> None:
    """One more than before, of what the images are now."""
    *older, newest = snapshots(site.store).values()
    assert [snapshot.id[:17] for snapshot in older] == [OLD, MIDDLE, NEW]
    assert newest.version == older[-1].version + 1
    assert [image["digest"] for image in newest.document["images"]] != [
        image["digest"] for image in older[-1].document["images"]
    ]
    assert (site.store / "built").exists()


def _built_first(site: Site) -> None:
    [only] = snapshots(site.store).values()
    assert only.version == 1
    assert (site.store / "built").exists()


def _is_new(site: Site, snapshot: Snapshot) -> bool:
    return snapshot.id.startswith(NEW)


def _is_middle_again(site: Site, snapshot: Snapshot) -> bool:
    return snapshot.document.get("again") == site.snapshot(MIDDLE).name


def _new_is_current(site: Site) -> None:
    current = shown(site.store)
    assert current and _is_new(site, current)
    assert [name[:17] for name in snapshots(site.store)] == [OLD, MIDDLE, NEW]
    check_log(site.store)


def _rolled_back(site: Site) -> None:
    current, middle = shown(site.store), snapshots(site.store)[site.snapshot(MIDDLE).name]
    assert current and _is_middle_again(site, current)
    assert _hashes(current) == _hashes(middle)
    assert (site.store / "hold").exists()
    check_log(site.store)


def _pruned(site: Site) -> None:
    assert [name[:17] for name in snapshots(site.store)] == [NEW]
    check_log(site.store)


def _pruned_there(site: Site) -> None:
    _pruned(site)
    assert [name[:17] for name in snapshots(site.folder / "web")] == [NEW]


def _pushed(*expected: str) -> Callable[[Site], None]:
    def check(site: Site) -> None:
        _new_is_current(site)
        live = shown(site.folder / "web")
        assert live and _is_new(site, live)
        assert [name[:17] for name in snapshots(site.folder / "web")] == [*expected]
        assert live.id in (site.store / "targets" / "web.json").read_text()

    return check


_PUSH = Scene("push", ("push",), _before_push(BY_SSH), _pushed(MIDDLE, NEW), 10, may_show=_is_new, flips="web")
_FIRST_PUSH = replace(_PUSH, prepare=_before_first_push(BY_SSH), check_end=_pushed(NEW))
_PROMOTE = Scene("promote", ("promote",), _before_promote, _new_is_current, 12, may_show=_is_new, flips="store")
_ROLLBACK = Scene(
    "rollback",
    ("rollback", MIDDLE, "--no-push"),
    _before_rollback,
    _rolled_back,
    110,
    may_show=_is_middle_again,
    flips="store",
)

SCENES = (
    Scene("build", ("build",), _before_build, _built, 140),
    _PROMOTE,
    _ROLLBACK,
    Scene("prune", ("prune", "--local"), _before_prune, _pruned, 100),
    Scene("prune-there", ("prune",), _before_prune_there, _pruned_there, 15, Victim.SERVER, every=4),
    replace(_PUSH, name="push-to-folder", prepare=_before_push(IN_FOLDER)),
    replace(_PUSH, name="push-by-client", victim=Victim.CLIENT, fewest=10, every=4),
    replace(_PUSH, name="push-to-server", victim=Victim.SERVER, fewest=90),
    Scene("first-build", ("build",), _before_first_build, _built_first, 50, every=4),
    replace(_PROMOTE, name="first-promote", prepare=_before_first_promote),
    replace(_FIRST_PUSH, name="first-push-to-folder", prepare=_before_first_push(IN_FOLDER)),
    replace(_FIRST_PUSH, name="first-push-to-server", victim=Victim.SERVER, fewest=15, every=16),
)
