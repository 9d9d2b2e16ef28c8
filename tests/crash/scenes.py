"""What is tried: a verb on a prepared site, what readers may see meanwhile, and what it has come to at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from builder.description import Snapshot
from builder.stick import Export, read_export
from builder.store import Store
from sync import log
from tests.crash.calls import Depth
from tests.crash.looks import check_log, check_stick, shown, snapshots
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
    look: Callable[[Site], None] = lambda site: None
    """What else has to be so when it was cut off."""


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


def _before_export(site: Site, runner: Runner) -> None:
    """A stick with an older snapshot, and somebody's pictures."""
    _promoted(site, runner, MIDDLE)
    stick = site.folder / "stick"
    stick.mkdir()
    _run(runner, "export", "stick")
    (stick / "beach.jpg").write_text("sand")
    _promoted(site, runner)


def _before_first_export(site: Site, runner: Runner) -> None:
    _promoted(site, runner)
    (site.folder / "stick").mkdir()


def _before_export_again(site: Site, runner: Runner) -> None:
    """One before was cut off, and has left what nobody needs, and a name without its bytes."""
    _before_export(site, runner)
    stick = site.folder / "stick"
    [new, *_] = (
        path for path in sorted(site.snapshot(NEW).glob("v2/*/blobs/*")) if path.name not in _blobs(site, MIDDLE)
    )
    lost = f"blobs/sha256/{new.name.removeprefix('sha256:')}"
    cut_off = Export(site.snapshot(MIDDLE).name, None, ("blobs/sha256/left", "index/static", lost))
    (stick / "export.json").write_bytes(cut_off.data)
    (stick / "blobs" / "sha256" / "left").write_text("left")
    (stick / lost).write_bytes(bytes(new.stat().st_size))
    _leave(stick / ".flatdex-export")


def _blobs(site: Site, start: str) -> set[str]:
    return {path.name for path in site.snapshot(start).glob("v2/*/blobs/*")}


def _whole_stick(site: Site) -> None:
    check_stick(site.folder / "stick", (site.snapshot(MIDDLE), site.snapshot(NEW)))


def _exported(site: Site) -> None:
    stick = site.folder / "stick"
    check_stick(stick, (site.snapshot(NEW),))
    assert read_export(stick) == Export(site.snapshot(NEW).name)
    left = {path.name for path in stick.iterdir() if path.name.startswith(".")} - {".htaccess"}
    assert not left and not (stick / "blobs" / "sha256" / "left").exists(), left


COPY = "copy"
MIRROR = "store: ./copy\nmirror: {from: [./store/current], parallel: 1}\n"


def _before_first_mirror(site: Site, runner: Runner) -> None:
    _promoted(site, runner)
    (site.folder / "mirror.yaml").write_text(MIRROR)


def _before_mirror(site: Site, runner: Runner) -> None:
    """A copy of an older snapshot, and something that a download has left."""
    _promoted(site, runner, MIDDLE)
    (site.folder / "mirror.yaml").write_text(MIRROR)
    _run(runner, "-c", "mirror.yaml", "mirror")
    (site.folder / COPY / "mirror/objects" / f"{'0' * 64}.part").write_text("half")
    _promoted(site, runner)


def _whole_copy(site: Site) -> None:
    """Old or new, if there is anything; and what is in it is what was chosen of what the origin said."""
    copy = site.folder / COPY
    snapshots(copy)
    current = shown(copy)
    if current:
        assert current.document["mirror"]["id"] in (site.snapshot(MIDDLE).name, site.snapshot(NEW).name)


def _mirrored(site: Site) -> None:
    copy = site.folder / COPY
    current = shown(copy)
    assert current and current.document["mirror"]["id"] == site.snapshot(NEW).name
    assert (copy / "current/upstream/snapshot.json").read_bytes() == (site.snapshot(NEW) / "snapshot.json").read_bytes()
    assert not list((copy / "mirror/objects").iterdir())
    check_log(copy)


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
_MIRROR = Scene("mirror", ("-c", "mirror.yaml", "mirror"), _before_mirror, _mirrored, 100, every=2, look=_whole_copy)
_EXPORT = Scene("export", ("export", "stick"), _before_export, _exported, 100, look=_whole_stick)

SCENES = (
    Scene("build", ("build",), _before_build, _built, 140),
    _PROMOTE,
    _ROLLBACK,
    Scene("prune", ("prune", "--local"), _before_prune, _pruned, 100),
    Scene("prune-there", ("prune",), _before_prune_there, _pruned_there, 15, Victim.SERVER, every=4),
    replace(_PUSH, name="push-to-folder", prepare=_before_push(IN_FOLDER)),
    replace(_PUSH, name="push-by-client", victim=Victim.CLIENT, fewest=10, every=4),
    replace(_PUSH, name="push-to-server", victim=Victim.SERVER, fewest=85),
    _EXPORT,
    replace(_EXPORT, name="export-again", prepare=_before_export_again, fewest=30, every=4),
    replace(_EXPORT, name="first-export", prepare=_before_first_export, fewest=40, every=4),
    _MIRROR,
    replace(_MIRROR, name="first-mirror", prepare=_before_first_mirror, every=4, fewest=70),
    Scene("first-build", ("build",), _before_first_build, _built_first, 50, every=4),
    replace(_PROMOTE, name="first-promote", prepare=_before_first_promote),
    replace(_FIRST_PUSH, name="first-push-to-folder", prepare=_before_first_push(IN_FOLDER)),
    replace(_FIRST_PUSH, name="first-push-to-server", victim=Victim.SERVER, fewest=15, every=16),
)
