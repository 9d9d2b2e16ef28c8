"""`current` goes to the snapshot that was asked for, at once, and to no other and no damaged one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.store import Store
from sync.promote import promote
from sync.verify import Sound, faults
from tests.sync.site import AMBIGUOUS, DONE, FAILED, MIDDLE, NEW, OLD, USAGE, Site, with_snapshots

FILE = "index/latest.json"

_READER = """\
import sys
folder, files, misses, reads = sys.argv[1], sys.argv[2:], 0, 0
print("ready", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(200):
        for file in files:
            reads += 1
            try:
                open(f"{folder}/{file}", "rb").close()
            except OSError:
                misses += 1
print(reads, misses)
"""


def test_promotes_the_newest_snapshot_by_default(site: Site) -> None:
    newest = site.snapshot(NEW).name
    result = site.flatdex("promote", code=DONE)
    assert site.current == newest
    assert result.stdout == f"promoted {newest}\n" and result.stderr == ""


def test_promotes_by_id(site: Site) -> None:
    wanted = site.snapshot(OLD).name
    site.flatdex("promote", wanted, code=DONE)
    assert site.current == wanted


def test_promotes_by_a_unique_beginning_of_an_id(site: Site) -> None:
    site.flatdex("promote", "20240105T100005", code=DONE)
    assert site.current == site.snapshot(MIDDLE).name


def test_an_unknown_id_is_wrong_usage(site: Site) -> None:
    before = site.promote(OLD)
    result = site.flatdex("promote", "20991231", code=USAGE)
    assert "no complete snapshot starts with '20991231'" in result.stderr and "flatdex list" in result.stderr
    assert site.current == before


def test_an_ambiguous_id_is_wrong_usage(site: Site) -> None:
    before = site.promote(NEW)
    result = site.flatdex("promote", AMBIGUOUS, code=USAGE)
    assert f"several snapshots start with '{AMBIGUOUS}'" in result.stderr and "flatdex list" in result.stderr
    assert site.current == before


def test_promoting_twice_says_so_and_changes_nothing(site: Site) -> None:
    site.flatdex("promote", code=DONE)
    link = (site.store / "current").lstat()
    result = site.flatdex("promote", code=DONE)
    assert result.stdout == f"{site.current} is current already\n"
    assert (site.store / "current").lstat().st_ino == link.st_ino


def test_says_what_was_current_before(site: Site) -> None:
    before = site.promote(OLD)
    now = site.snapshot(NEW).name
    assert site.flatdex("promote").stdout == f"promoted {now} (before: {before})\n"
    assert site.json("promote", OLD) == {"before": now, "now": before, "changed": True}
    assert site.json("promote", OLD) == {"before": before, "now": before, "changed": False}


def test_current_is_a_relative_link(site: Site) -> None:
    site.flatdex("promote", code=DONE)
    moved = site.folder / "moved"
    site.store.rename(moved)
    assert (moved / "current" / FILE).is_file()


def test_leaves_nothing_beside_current(site: Site) -> None:
    site.flatdex("promote", code=DONE)
    names = ["built", "cache", "current", "lock", "log.jsonl", "promoted", "snapshots"]
    assert sorted(path.name for path in site.store.iterdir()) == names


def remove(snapshot: Path) -> None:
    (snapshot / FILE).unlink()


def change_bytes(snapshot: Path) -> None:
    file = snapshot / FILE
    before = file.stat()
    data = file.read_bytes()
    replace(file, data[:-1] + bytes([data[-1] ^ 1]), before.st_mtime_ns)
    assert file.stat().st_size == before.st_size and file.stat().st_mtime_ns == before.st_mtime_ns


def change_size(snapshot: Path) -> None:
    file = snapshot / FILE
    replace(file, file.read_bytes() + b"\n", file.stat().st_mtime_ns)


def change_mtime(snapshot: Path) -> None:
    file = snapshot / FILE
    replace(file, file.read_bytes(), file.stat().st_mtime_ns + 10**9)


def change_mtime_by_less_than_a_second(snapshot: Path) -> None:
    file = snapshot / FILE
    replace(file, file.read_bytes(), file.stat().st_mtime_ns + 1000)


def replace(file: Path, data: bytes, mtime: int) -> None:
    """Write a file anew, with its mtime in nanoseconds: in place, its hard links would change too."""
    file.unlink()
    file.write_bytes(data)
    os.utime(file, ns=(mtime, mtime))


def add_file(snapshot: Path) -> None:
    (snapshot / "index" / "extra.json").write_text("{}")


def add_hidden_file(snapshot: Path) -> None:
    (snapshot / "v2" / ".secret").write_text("{}")


def add_link_to_a_folder(snapshot: Path) -> None:
    (snapshot / "all").symlink_to("/")


def replace_file_by_link(snapshot: Path) -> None:
    """By a symlink to the very same bytes with the very same mtime."""
    (snapshot / FILE).rename(snapshot.parent.parent / "outside.json")
    (snapshot / FILE).symlink_to("../../../outside.json")


def replace_file_by_folder(snapshot: Path) -> None:
    (snapshot / FILE).unlink()
    (snapshot / FILE).mkdir()


def replace_folder_by_link(snapshot: Path) -> None:
    (snapshot / "index").rename(snapshot.parent.parent / "outside")
    (snapshot / "index").symlink_to("../../outside")


DAMAGES: dict[Callable[[Path], None], str] = {
    remove: "is missing",
    change_bytes: "has other bytes than were written",
    change_size: "bytes instead of",
    change_mtime: "has the mtime",
    change_mtime_by_less_than_a_second: "has the mtime",
    add_file: "index/extra.json: is not in snapshot.json",
    add_hidden_file: "v2/.secret: is not in snapshot.json",
    add_link_to_a_folder: "all: is not in snapshot.json",
    replace_file_by_link: "is not a plain file",
    replace_file_by_folder: "is not a plain file",
    replace_folder_by_link: "index: is not in snapshot.json",
}
each_damage = pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])


@each_damage
def test_refuses_a_damaged_snapshot(site: Site, damage: Callable[[Path], None]) -> None:
    before = site.promote(OLD)
    damage(site.snapshot(NEW))
    result = site.flatdex("promote", code=FAILED)
    assert DAMAGES[damage] in result.stderr and result.stdout == ""
    assert site.current == before


@each_damage
def test_verify_finds_the_damage(site: Site, damage: Callable[[Path], None]) -> None:
    snapshot = Store(site.store).find(NEW)
    assert list(faults(snapshot)) == []
    damage(snapshot.folder)
    [fault] = faults(snapshot)
    assert DAMAGES[damage] in fault


def test_a_snapshot_whose_description_is_cut_off_is_damaged(site: Site) -> None:
    before = site.promote(OLD)
    description = site.snapshot(NEW) / "snapshot.json"
    description.write_bytes(description.read_bytes()[:-100])
    result = site.flatdex("promote", site.snapshot(NEW).name, code=FAILED)
    assert "snapshot.json" in result.stderr
    assert site.current == before


def test_the_default_passes_over_an_incomplete_snapshot(site: Site) -> None:
    (site.snapshot(NEW) / "snapshot.json").unlink()
    site.flatdex("promote", code=DONE)
    assert site.current == site.snapshot(MIDDLE).name


def test_many_damages_are_told_in_a_few_lines(site: Site) -> None:
    for number in range(100):
        (site.snapshot(NEW) / f"extra-{number}").touch()
    result = site.flatdex("promote", code=FAILED)
    assert len(result.stderr.splitlines()) < 12


def test_a_copied_snapshot_is_not_another_snapshot(site: Site) -> None:
    """A folder whose description is of another folder is no snapshot, and must not make the real one ambiguous."""
    copy = site.store / "snapshots" / "20240301T100000Z-00000000"
    subprocess.run(["cp", "-a", site.snapshot(NEW), copy], check=True)
    site.flatdex("promote", NEW, code=DONE)
    assert (site.store / "current").readlink() == Path("snapshots") / site.snapshot(NEW).name
    assert len(site.json("list")) == 3


def test_mends_a_current_that_leads_nowhere(site: Site) -> None:
    """The name at its end is right, but the way to it is not: nothing is served."""
    (site.store / "current").symlink_to(f"/nowhere/{site.snapshot(NEW).name}")
    site.flatdex("promote", code=DONE)
    assert site.current == site.snapshot(NEW).name


def test_mends_a_current_whose_snapshot_is_gone(site: Site) -> None:
    (site.store / "current").symlink_to("snapshots/20230101T000000Z-00000000")
    site.flatdex("promote", code=DONE)
    assert site.current == site.snapshot(NEW).name


def test_a_current_that_is_a_folder_is_left_alone(site: Site) -> None:
    (site.store / "current").mkdir()
    (site.store / "current" / "precious").write_text("kept")
    result = site.flatdex("promote", code=FAILED)
    assert f"{site.store}/current is not a symbolic link" in result.stderr
    assert (site.store / "current" / "precious").read_text() == "kept"


def test_a_current_that_is_a_file_is_left_alone(site: Site) -> None:
    (site.store / "current").write_text("kept")
    result = site.flatdex("promote", code=FAILED)
    assert f"{site.store}/current is not a symbolic link" in result.stderr
    assert (site.store / "current").read_text() == "kept"


def test_a_store_without_snapshots_says_what_to_do(real_tmp: Path) -> None:
    site = Site(real_tmp)
    site.configure()
    result = site.flatdex("promote", code=FAILED)
    assert f"no complete snapshot in {site.store}" in result.stderr and "flatdex build" in result.stderr


def test_readers_never_miss_a_file_while_current_goes_back_and_forth(real_tmp: Path) -> None:
    site = with_snapshots(real_tmp)
    store = Store(site.store)
    snapshots = [store.find(OLD), store.find(NEW)]
    promote(store, Sound(snapshots[0]))
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, site.store / "current", FILE, "index/.htaccess", "snapshot.json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader:
        assert reader.stdout and reader.stdout.readline() == "ready\n"
        flips, end = 0, time.monotonic() + 1
        while time.monotonic() < end or flips < 20:
            flips += promote(store, Sound(snapshots[(flips + 1) % 2])).changed
        output, _ = reader.communicate("stop\n")
    reads, misses = map(int, output.split())
    assert reads > 1000
    assert misses == 0


def test_waits_until_no_mtime_lies_ahead(images: Site) -> None:
    images.flatdex("build", code=DONE)
    [identifier] = images.ids
    newest = max(entry["mtime"] for entry in images.json("show", identifier)["files"])
    images.flatdex("promote", code=DONE)
    assert images.current == identifier
    # The kernel dates files by a clock that lags behind the exact one by a tick.
    assert (images.store / "current").lstat().st_mtime > newest + 1 - 0.02


def test_refuses_files_that_are_dated_far_ahead(site: Site) -> None:
    before = site.promote(OLD)
    snapshot = site.snapshot(NEW)
    ahead = int(time.time()) + 3600
    document = json.loads((snapshot / "snapshot.json").read_text())
    [entry] = [entry for entry in document["files"] if entry["path"] == FILE]
    entry["mtime"] = ahead
    (snapshot / "snapshot.json").write_text(json.dumps(document))
    replace(snapshot / FILE, (snapshot / FILE).read_bytes(), ahead * 10**9)
    result = site.flatdex("promote", code=FAILED)
    assert "seconds ahead of this machine's clock" in result.stderr
    assert site.current == before
