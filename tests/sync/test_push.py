"""A push brings a target to what `current` names: whole, linked to what is there already, and flipped last."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.real.process import wait_for
from tests.sync.command import FLATDEX
from tests.sync.places import COPY, FLIP, KINDS, Place, place, scripted
from tests.sync.site import DONE, FAILED, INTERRUPTED, MIDDLE, NEW, OLD, PARTLY, USAGE, Site, served, tree


def push(site: Site, start: str, target: Place) -> Path:
    """Promote a snapshot and push it; gives its folder on the target."""
    site.configure({"web": target.settings})
    identifier = site.promote(start)
    result = site.flatdex("push", code=DONE)
    assert result.stdout == f"web: has {identifier}\n" and result.stderr == ""
    assert served(target.root) == identifier
    return target.root / "snapshots" / identifier


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def unchanged(site: Site, one: str, other: str) -> set[str]:
    """The paths that two snapshots of the store share: there they are hard links, too."""
    first, second = inodes(site.snapshot(one)), inodes(site.snapshot(other))
    return {path for path in first if first[path] == second.get(path)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_rsync_brings_a_target_up_to_date(site: Site, kind: str) -> None:
    same, other = unchanged(site, OLD, NEW), set(inodes(site.snapshot(NEW)))
    assert len(same) > 5 and len(other - same) > 5
    with place(kind, site) as target:
        first = push(site, OLD, target)
        assert tree(first) == tree(site.snapshot(OLD))
        second = push(site, NEW, target)
    assert tree(second) == tree(site.snapshot(NEW))
    assert tree(first) == tree(site.snapshot(OLD))
    before, after = inodes(first), inodes(second)
    assert {path for path in after if after[path] == before.get(path)} == same
    assert {path.name for path in target.root.iterdir()} == {"snapshots", "current"}


@pytest.mark.parametrize("kind", KINDS)
def test_status_sees_what_a_target_serves(site: Site, kind: str) -> None:
    with place(kind, site) as target:
        site.configure({"web": target.settings})
        old = site.promote(OLD)
        missing = {"target": "web", "live": None, "up_to_date": False, "error": ""}
        (row,) = site.json("status", code=PARTLY)["targets"]
        assert missing.items() <= row.items()
        site.flatdex("push", code=DONE)
        (row,) = site.json("status", code=DONE)["targets"]
        assert {**missing, "live": old, "up_to_date": True, "behind": None, "last_error": ""}.items() <= row.items()
        assert row["since"] is not None
        site.promote(NEW)
        (row,) = site.json("status", code=PARTLY)["targets"]
        assert {**missing, "live": old, "behind": 2}.items() <= row.items()
        if kind == "folder":
            assert f"target   web: {old}, 2 behind" in site.flatdex("status", code=PARTLY).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_on_a_target_is_open_to_its_web_server_under_any_umask(site: Site, kind: str) -> None:
    mask = os.umask(0o077)
    try:
        with place(kind, site) as target:
            folder = push(site, NEW, target)
    finally:
        os.umask(mask)
    assert tree(folder) == tree(site.snapshot(NEW))
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (target.root, target.root / "snapshots")}
    assert modes == {"target": "0o755", "snapshots": "0o755"}


def in_folder(site: Site) -> Place:
    return Place(site.folder / "target", {"rsync": "./target"})


def test_a_second_push_of_the_same_says_so(site: Site) -> None:
    folder = push(site, NEW, in_folder(site))
    before = tree(folder), inodes(folder), (site.folder / "target" / "current").lstat().st_ino
    assert site.flatdex("push", code=DONE).stdout == f"web: already has {site.current}\n"
    assert (tree(folder), inodes(folder), (site.folder / "target" / "current").lstat().st_ino) == before


def test_going_back_needs_no_new_copy(site: Site) -> None:
    first = push(site, OLD, in_folder(site))
    before = inodes(first)
    push(site, NEW, in_folder(site))
    assert inodes(push(site, OLD, in_folder(site))) == before


def test_a_push_mends_what_is_damaged_on_the_target(site: Site) -> None:
    first = push(site, OLD, in_folder(site))
    folder = push(site, NEW, in_folder(site))
    shared = sorted(unchanged(site, OLD, NEW))
    lost, changed = (folder / path for path in shared[:2])
    lost.unlink()
    mtime = changed.stat().st_mtime_ns
    data = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(changed, ns=(mtime, mtime))
    (folder / "extra").write_text("not ours")
    site.flatdex("push", code=DONE)
    assert tree(folder) == tree(site.snapshot(NEW))
    assert tree(first) == tree(site.snapshot(OLD))


def test_a_push_leaves_other_things_of_the_target_alone(site: Site) -> None:
    precious = site.folder / "target" / "precious"
    precious.parent.mkdir()
    precious.write_text("kept")
    push(site, OLD, in_folder(site))
    push(site, NEW, in_folder(site))
    assert precious.read_text() == "kept"
    assert served(site.folder / "target") and len(list((site.folder / "target" / "snapshots").iterdir())) == 2


def test_a_target_folder_may_have_any_name(site: Site) -> None:
    names = ["with space", "ünïcode", "a'b\"c", "co:lon", "$HOME", "star*", "-dash"]
    _, target = scripted(site)
    here = {f"here{number}": {"rsync": f"./here/{name}"} for number, name in enumerate(names)}
    remote = {**target.settings, "rsync": f"host:{site.folder}/there/"}
    there = {f"there{number}": {**remote, "rsync": remote["rsync"] + name} for number, name in enumerate(names)}
    site.configure({**here, **there})
    identifier = site.promote(NEW)
    site.flatdex("push", code=DONE)
    found = {str(path.parent.relative_to(site.folder)) for path in site.folder.glob("*/*/current")}
    assert found == {f"{parent}/{name}" for parent in ("here", "there") for name in names}
    assert {served(site.folder / path) for path in found} == {identifier}


def test_the_flip_comes_last(site: Site) -> None:
    script, target = scripted(site)
    push(site, OLD, target)
    script.write()
    new = push(site, NEW, target)
    looked, copied, flipped = script.calls
    assert looked.endswith(f" . {target.root}/current {target.root}/current/snapshot.json")
    assert copied.endswith(f" . {new}/") and flipped.endswith(f" . {target.root}/")


@pytest.mark.parametrize("step", [COPY, FLIP], ids=["copy", "flip"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_push_that_is_ended_leaves_the_old_site(site: Site, step: str, number: signal.Signals) -> None:
    script, target = scripted(site)
    old = push(site, OLD, target)
    script.write(held=step)
    new = site.promote(NEW)
    with subprocess.Popen([FLATDEX, "push"], cwd=site.folder, stderr=subprocess.PIPE, text=True) as pushing:
        wait_for(lambda: script.held, "the transfer")
        pushing.send_signal(number)
        _, said = pushing.communicate(timeout=10)
    assert pushing.returncode == (INTERRUPTED if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    end_leftovers(site)
    wait_for(lambda: not is_locked(site), "the lock, which rsync's own children hold, too")
    assert served(target.root) == old.name and tree(old) == tree(site.snapshot(OLD))
    script.write()
    site.flatdex("push", code=DONE)
    assert served(target.root) == new
    assert tree(target.root / "snapshots" / new) == tree(site.snapshot(NEW))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_no_rsync_works_on_without_the_lock(site: Site, number: signal.Signals) -> None:
    """As long as an rsync of an ended push could still write, a second writer must not come in."""
    script, target = scripted(site)
    site.configure({"web": target.settings})
    script.write(held=COPY)
    site.promote(NEW)
    with subprocess.Popen([FLATDEX, "push"], cwd=site.folder, stderr=subprocess.DEVNULL) as pushing:
        wait_for(lambda: script.held, "the transfer")
        pushing.send_signal(number)
        pushing.wait(10)
    alive = bool(ours(site))
    locked = is_locked(site)
    end_leftovers(site)
    assert not alive or locked


def is_locked(site: Site) -> bool:
    """Whether a writer would be kept out of the store."""
    return subprocess.run(["flock", "--nonblock", site.store / "lock", "true"], check=False).returncode != 0


def end_leftovers(site: Site) -> None:
    """End what an ended push left running."""
    while found := ours(site):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def ours(site: Site) -> list[int]:
    """The processes that name this test's folder on their command lines, or hold its store's lock."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            opened = {str(each.readlink()) for each in (process / "fd").iterdir()}
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(site.folder).encode() in words or f"{site.store}/lock" in opened):
            found.append(int(process.name))
    return found


def test_a_push_that_breaks_off_leaves_the_old_site_and_the_next_one_completes(site: Site) -> None:
    script, target = scripted(site)
    old = push(site, OLD, target)
    script.write(cut=COPY)
    shutil.rmtree(old / "v2")  # nothing to link to: large files have to be sent
    new = site.promote(NEW)
    result = site.flatdex("push", code=PARTLY)
    assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("web: failed: rsync: ")
    assert served(target.root) == old.name
    assert tree(target.root / "snapshots" / new) != tree(site.snapshot(NEW))
    script.write()
    site.flatdex("push", code=DONE)
    assert served(target.root) == new and tree(target.root / "snapshots" / new) == tree(site.snapshot(NEW))


def two_targets(site: Site) -> tuple[Path, Path]:
    site.configure({"one": {"rsync": "./one"}, "two": {"rsync": "./two"}})
    return site.folder / "one", site.folder / "two"


def test_pushes_to_all_targets_or_to_those_named(site: Site) -> None:
    one, two = two_targets(site)
    old = site.promote(OLD)
    site.flatdex("push", "two", code=DONE)
    assert (served(one), served(two)) == (None, old)
    new = site.promote(NEW)
    site.flatdex("push", code=DONE)
    assert (served(one), served(two)) == (new, new)
    site.promote(MIDDLE)
    outcome = {"target": "one", "snapshot": site.current, "before": new, "error": "", "asked": False}
    (found,) = site.json("push", "one")
    assert outcome.items() <= found.items() and found["sent"] > 0 and not found["again"]
    assert (served(one), served(two)) == (site.current, new)


def test_an_unknown_target_is_wrong_usage(site: Site) -> None:
    one, two = two_targets(site)
    site.promote(NEW)
    result = site.flatdex("push", "one", "tow", code=USAGE)
    assert "no target is called 'tow'" in result.stderr and "one, two" in result.stderr
    assert not one.exists() and not two.exists()


def test_without_targets_there_is_nowhere_to_push_to(site: Site) -> None:
    site.promote(NEW)
    result = site.flatdex("push", code=USAGE)
    assert "targets" in result.stderr and "configuration" in result.stderr


def test_before_the_first_promotion_there_is_nothing_to_push(site: Site) -> None:
    one, _ = two_targets(site)
    result = site.flatdex("push", code=FAILED)
    assert "nothing was promoted yet" in result.stderr and "flatdex promote" in result.stderr
    assert not one.exists()


def test_a_current_whose_snapshot_is_gone_is_not_pushed(site: Site) -> None:
    one, _ = two_targets(site)
    site.promote(NEW)
    shutil.rmtree(site.snapshot(NEW))
    result = site.flatdex("push", code=FAILED)
    assert "current" in result.stderr
    assert served(one) is None


def empty(site: Site) -> None:
    (site.folder / "one").mkdir()


def with_a_current_of_the_past(site: Site) -> None:
    """What was live there is gone: nothing to link to."""
    empty(site)
    (site.folder / "one" / "current").symlink_to("snapshots/20230101T000000Z-00000000")


def with_half_a_snapshot(site: Site) -> None:
    folder = site.folder / "one" / "snapshots" / site.snapshot(NEW).name
    shutil.copytree(site.snapshot(NEW), folder)
    shutil.rmtree(folder / "v2")
    (folder / "snapshot.json").write_text("{")


@pytest.mark.parametrize("prepare", [empty, with_a_current_of_the_past, with_half_a_snapshot])
def test_a_push_completes_what_it_finds(site: Site, prepare: Callable[[Site], None]) -> None:
    one, _ = two_targets(site)
    new = site.promote(NEW)
    prepare(site)
    site.flatdex("push", "one", code=DONE)
    assert served(one) == new and tree(one / "snapshots" / new) == tree(site.snapshot(NEW))
