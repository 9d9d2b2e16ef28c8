"""Each kind of target with its real server: restricted ssh, rsync daemons in their own root, WebDAV by rclone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.description import Snapshot, read_snapshot, spells_hash
from tests.real.process import located, require, run
from tests.real.rclone import Webdav
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd
from tests.sync.command import FLATDEX
from tests.sync.places import COPY, KINDS, Place, place, scripted
from tests.sync.site import DONE, MIDDLE, NEW, OLD, PARTLY, Settings, Site, one_line, served, tree

KEEP_ONE = "keep: {snapshots: 1, days: 0}\n"


def configure(site: Site, settings: Settings, more: str = "") -> None:
    """Writes the configuration with one target, "web", and more lines."""
    site.configure({"web": settings})
    file = site.folder / "flatdex.yaml"
    file.write_text(file.read_text() + more)


def push(site: Site, start: str, *options: str, env: Mapping[str, str] | None = None) -> str:
    """Promotes a snapshot and pushes it; gives what was said of the target."""
    identifier = site.promote(start)
    result = site.flatdex("push", *options, code=DONE, env=env)
    assert result.stderr == "", result.stderr
    line = one_line(result.stdout).removeprefix("web: ")
    assert identifier in line
    return line.replace(identifier, "it")


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def shared(site: Site, one: str, other: str) -> set[str]:
    """The paths of files that two snapshots of the store have in common."""
    first, second = inodes(site.snapshot(one)), inodes(site.snapshot(other))
    return {path for path in first if first[path] == second.get(path)}


def spoil(file: Path) -> None:
    """Changes a byte, but neither the size nor the date, nor any other link to the file."""
    state, data = file.stat(), file.read_bytes()
    file.unlink()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def arrives(site: Site, target: Place) -> None:
    """A first and a second snapshot, of which the second shares with the first what they have in common."""
    configure(site, target.settings, KEEP_ONE)
    assert push(site, OLD) == "has it"
    first = target.root / "snapshots" / site.snapshot(OLD).name
    assert served(target.root) == first.name and tree(first) == tree(site.snapshot(OLD))

    assert push(site, NEW) == "has it"
    second = target.root / "snapshots" / site.snapshot(NEW).name
    assert served(target.root) == second.name and tree(second) == tree(site.snapshot(NEW))
    same = shared(site, OLD, NEW)
    before, after = inodes(first), inodes(second)
    assert {path for path in after if after[path] == before.get(path)} == same
    assert len(same) > 5 and all((second / path).stat().st_nlink > 1 for path in same)


def lives_well(site: Site, target: Place) -> None:
    """All that an operator does to a target over time."""
    arrives(site, target)
    first, second = (target.root / "snapshots" / site.snapshot(start).name for start in (OLD, NEW))
    state = (tree(second), inodes(second), (target.root / "current").lstat().st_ino)
    assert push(site, NEW, "--quick") == "already has it"
    assert push(site, NEW) == "already has it"
    assert (tree(second), inodes(second), (target.root / "current").lstat().st_ino) == state

    lost, spoilt = sorted(shared(site, OLD, NEW))[:2]
    (second / lost).unlink()
    spoil(second / spoilt)
    (second / "foreign").write_text("not ours")
    assert push(site, NEW) == "has it (mended, 2 files sent)"
    assert tree(second) == tree(site.snapshot(NEW)) and tree(first) == tree(site.snapshot(OLD))

    old, middle, new = site.ids
    (site.store / "log.jsonl").unlink()  # else the one before stays, for a rollback
    found = site.json("prune")
    assert (found["snapshots"], found["targets"], found["errors"]) == ([old, middle], {"web": [old]}, {})
    assert [path.name for path in (target.root / "snapshots").iterdir()] == [new] == site.ids
    assert tree(second) == tree(site.snapshot(NEW))
    assert {path.name for path in target.root.iterdir()} == {"snapshots", "current"}


@contextmanager
def restricted(site: Site, destination: str) -> Iterator[Place]:
    """A target behind a key that may only run rsync, only in one folder, of which destinations are relative."""
    folder = site.folder / "restricted"
    folder.mkdir()
    options = f'restrict,command="{located("rrsync")} {folder}"'
    with Sshd(site.folder / "sshd", key_options=options) as sshd:
        settings = {"rsync": f"{sshd.host}:{destination}", "ssh": sshd.command}
        yield Place(folder / destination.strip("/"), settings)


def test_ssh_that_is_restricted_to_rsync_in_a_folder(site: Site) -> None:
    with restricted(site, "/") as target:
        lives_well(site, target)


@pytest.mark.parametrize("destination", ["", "sub", "/deep/er"], ids=repr)
def test_ssh_that_is_restricted_to_rsync_and_a_place_below_its_folder(site: Site, destination: str) -> None:
    with restricted(site, destination) as target:
        arrives(site, target)


@pytest.mark.parametrize("kind", KINDS)
def test_all_other_ways_by_rsync(site: Site, kind: str) -> None:
    with place(kind, site) as target:
        lives_well(site, target)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change its root")
@pytest.mark.parametrize("path", ["", "sub/folder"])
def test_a_daemon_in_a_root_of_its_own(site: Site, path: str) -> None:
    root = site.folder / "module"
    with Rsyncd(site.folder / "rsyncd", root, chroot=True) as daemon:
        lives_well(site, Place(root / path, {"rsync": daemon.url(path)}))


@pytest.mark.parametrize("munge", [None, True], ids=["by default", "as configured"])
def test_a_daemon_that_stores_links_in_its_own_form_is_told_of_every_time(site: Site, munge: bool | None) -> None:
    root = site.folder / "module"
    with Rsyncd(site.folder / "rsyncd", root, munge=munge) as daemon:
        configure(site, {"rsync": daemon.url()})
        site.promote(NEW)
        for options in ((), ("--quick",), ()):
            result = site.flatdex("push", *options, code=PARTLY)
            line = one_line(result.stderr)
            assert line.startswith("web: failed: copied, but the rsync daemon stores symbolic links munged")
            assert "munge symlinks = no" in line and "use chroot = yes" in line and result.stdout == ""
        [row] = site.json("status", code=PARTLY)["targets"]
        assert not row["up_to_date"], "readers find nothing behind `current`"
    assert (root / "current").readlink() == Path(f"/rsyncd-munged/snapshots/{site.current}")
    with Rsyncd(site.folder / "mended", root, munge=False) as daemon:
        configure(site, {"rsync": daemon.url()})
        site.flatdex("push", code=DONE)
    assert served(root) == site.current


@contextmanager
def linked(site: Site, kind: str, owner: str | None) -> Iterator[Place]:
    """A target whose folder is a link to another place."""
    with place(kind, site) as target:
        real = site.folder / "disk"
        real.mkdir()
        target.root.symlink_to(real)
        if owner:
            run(["chown", "-h", owner, target.root])
        yield target
    assert target.root.is_symlink()


@pytest.mark.parametrize("kind", ["folder", "ssh"])
def test_a_target_whose_folder_is_a_link(site: Site, kind: str) -> None:
    with linked(site, kind, None) as target:
        arrives(site, target)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a link away")
@pytest.mark.parametrize("kind", KINDS)
def test_a_target_whose_folder_is_a_link_of_another_user(site: Site, kind: str) -> None:
    """Some versions of rsync refuse such a link; which one a configuration names here is the operator's business."""
    with linked(site, kind, "nobody") as target:
        configure(site, target.settings)
        site.promote(NEW)
        result = site.flatdex("push")
        if kind == "folder" or result.returncode == DONE:
            arrives(site, target)
        else:
            line = one_line(result.stderr)
            assert "symbolic link" in line.lower() and "chown -h" in line and result.returncode == PARTLY
            assert served(target.root) is None


@contextmanager
def recorded(site: Site) -> Iterator[Path]:
    """A folder for the start of PATH, in which rsync adds its arguments to the file `calls` beside it."""
    folder = site.folder / "bin"
    folder.mkdir()
    rsync = folder / "rsync"
    rsync.write_text(f'#!/bin/sh\necho "$*" >> {site.folder}/calls\nexec {located("rsync")} "$@"\n')
    rsync.chmod(0o755)
    yield folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_is_durable_before_the_flip(site: Site, kind: str) -> None:
    """On another machine rsync has to see to it; a folder's whole file system is asked once."""
    with place(kind, site) as target, recorded(site) as programs:
        configure(site, target.settings)
        push(site, NEW, env={"PATH": f"{programs}:{os.environ['PATH']}"})
        calls = (site.folder / "calls").read_text().splitlines()
    copies = [call for call in calls if f"/snapshots/{site.current}/" in call.split()[-1]]
    assert len(copies) == 1
    assert ("--fsync" in copies[0].split()) == (kind != "folder")


def test_the_other_side_is_told_to_make_it_durable(site: Site) -> None:
    script, target = scripted(site)
    configure(site, target.settings)
    push(site, NEW)
    [copied] = [call for call in script.calls if COPY in call]
    assert "--fsync" in copied.split()


def test_a_folder_is_made_durable_before_and_after_the_flip(site: Site) -> None:
    require("strace", "rsync")
    configure(site, {"rsync": "./target"})
    push(site, OLD)
    new = site.promote(NEW)
    trace = site.folder / "trace"
    calls = "trace=syncfs,rename,renameat,renameat2"
    run(["strace", "-f", "-y", "-o", trace, "-e", calls, FLATDEX, "push"], cwd=site.folder)
    steps = []
    for line in trace.read_text().splitlines():
        synced = re.search(rf"syncfs\(\d+<{site.folder}/target([^>]*)>", line)
        if synced:
            steps.append(f"sync{synced[1]}")
        elif "rename" in line and f'"{site.folder}/target/current")' in line:
            steps.append("flip")
    assert steps == [f"sync/snapshots/{new}", "flip", "sync"], trace.read_text()


@pytest.fixture
def dav(site: Site) -> Iterator[Webdav]:
    """A WebDAV server whose folder is empty."""
    with Webdav(site.folder / "dav", site.folder / "bucket") as server:
        yield server


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder: storage by rclone has no modes, and may have no dates."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def described(site: Site, start: str) -> Snapshot:
    return read_snapshot(site.snapshot(start))


def news(old: Snapshot, new: Snapshot) -> tuple[set[str], set[str]]:
    """The paths to send, and those to remove, between two snapshots."""
    before = {path: (entry.sha256, entry.mtime) for path, entry in old.by_path.items()}
    sent = {path for path, entry in new.by_path.items() if before.get(path) != (entry.sha256, entry.mtime)}
    return sent, old.by_path.keys() - new.by_path.keys()


@pytest.mark.parametrize(
    ("how", "path"), [("on the fly", "a/place below"), ("configured", "bucket"), ("by RCLONE_CONFIG", "")]
)
def test_rclone_brings_all_files_byte_by_byte(site: Site, dav: Webdav, how: str, path: str) -> None:
    env = {}
    if how == "configured":
        (Path(os.environ["HOME"]) / ".rclone.conf").write_text(dav.config.read_text())
    elif how == "by RCLONE_CONFIG":
        env = {"RCLONE_CONFIG": str(dav.config)}
    configure(site, {"rclone": (dav.remote if how == "on the fly" else "web:") + path})
    try:
        assert push(site, OLD, env=env) == "has it"
    finally:
        (Path(os.environ["HOME"]) / ".rclone.conf").unlink(missing_ok=True)
    assert content(dav.root / path) == content(site.snapshot(OLD))


def test_rclone_sends_what_is_pointed_to_first_and_the_description_last(site: Site, dav: Webdav) -> None:
    configure(site, {"rclone": dav.remote})
    push(site, OLD)
    first = dav.requests("PUT")
    wanted = described(site, OLD)
    assert sorted(first) == sorted([*wanted.by_path, "snapshot.json"])
    assert first == by_rank(first, wanted)

    push(site, NEW)
    second, new = dav.requests("PUT")[len(first) :], described(site, NEW)
    assert second == by_rank(second, new)
    sent, gone = news(wanted, new)
    assert set(second) == sent | {"snapshot.json"} and len(second) == len(sent) + 1
    assert len(sent) < len(new.by_path), "what was there is not sent again"
    assert set(dav.requests("DELETE")) == gone
    last = [path for path in dav.requests("PUT", "DELETE") if path in gone or path == "snapshot.json"][-1]
    assert last == "snapshot.json", "until all is done, the next push knows what is left to be removed"
    assert content(dav.root) == content(site.snapshot(NEW))


def by_rank(paths: list[str], snapshot: Snapshot) -> list[str]:
    """The paths, in their order but for: those that spell their hash, those that point to them, the description."""

    def rank(path: str) -> int:
        return 2 if path == "snapshot.json" else 0 if spells_hash(snapshot.by_path[path]) else 1

    return sorted(paths, key=rank)


def test_rclone_sends_a_changed_file_of_the_same_size(site: Site, dav: Webdav) -> None:
    old, new = described(site, OLD), described(site, NEW)
    alike = {
        path
        for path, entry in new.by_path.items()
        if path in old.by_path
        and (old.by_path[path].size, old.by_path[path].sha256 != entry.sha256) == (entry.size, True)
    }
    assert "index/latest.json" in alike
    configure(site, {"rclone": dav.remote})
    for start in (OLD, NEW, OLD, NEW):
        push(site, start, "--quick")
        for path in alike:
            assert (dav.root / path).read_bytes() == (site.snapshot(start) / path).read_bytes()


def test_rclone_removes_what_is_neither_named_nor_kept_and_nothing_else(site: Site, dav: Webdav) -> None:
    configure(site, {"rclone": dav.remote})
    push(site, OLD)
    _, gone = news(described(site, OLD), described(site, NEW))
    kept = {entry.path for entry in described(site, MIDDLE).kept}
    assert kept, "the snapshot keeps something of the one before"
    foreign = {"robots.txt": b"ours", "v2/other/blobs/x": b"theirs", "index/latest.json.bak": b"a copy"}
    for name, data in foreign.items():
        (dav.root / name).parent.mkdir(parents=True, exist_ok=True)
        (dav.root / name).write_bytes(data)
    push(site, MIDDLE)
    assert all((dav.root / path).is_file() for path in kept)
    push(site, NEW)
    assert content(dav.root) == {**content(site.snapshot(NEW)), **foreign}
    assert not any((dav.root / path).exists() for path in gone)
    assert push(site, NEW) == "already has it"


def test_rclone_mends_what_is_damaged_or_lost(site: Site, dav: Webdav) -> None:
    configure(site, {"rclone": dav.remote})
    push(site, NEW)
    paths = sorted(described(site, NEW).by_path)
    blob, other = [path for path in paths if "/blobs/" in path][:2]
    for path in ("index/latest.json", blob):
        spoil(dav.root / path)
    for path in ("index/static", other):
        (dav.root / path).unlink()
    assert push(site, NEW) == "has it (mended, 4 files sent)"
    assert content(dav.root) == content(site.snapshot(NEW))
    spoil(dav.root / "snapshot.json")
    assert push(site, NEW, "--quick") == "has it"
    assert content(dav.root) == content(site.snapshot(NEW))
    assert push(site, NEW) == push(site, NEW, "--quick") == "already has it"


def test_rclone_tells_what_is_live(site: Site, dav: Webdav) -> None:
    configure(site, {"rclone": dav.remote})
    site.promote(OLD)
    [row] = site.json("status", code=PARTLY)["targets"]
    assert (row["live"], row["up_to_date"], row["error"]) == (None, False, "")
    push(site, OLD)
    [row] = site.json("status")["targets"]
    assert (row["live"], row["up_to_date"]) == (site.current, True)
    old, _ = site.current, site.promote(NEW)
    [row] = site.json("status", code=PARTLY)["targets"]
    assert (row["live"], row["up_to_date"], row["behind"]) == (old, False, 2)
    assert site.json("prune", "-n")["errors"] == {}


@pytest.mark.parametrize("destination", ["nowhere:", "nowhere:bucket/path"])
def test_rclone_knows_no_remote_of_that_name(site: Site, destination: str) -> None:
    require("rclone")
    configure(site, {"rclone": destination})
    site.promote(NEW)
    line = one_line(site.flatdex("push", code=PARTLY).stderr)
    assert line.startswith("web: failed: rclone: ") and "nowhere" in line and "rclone config" in line
    [row] = site.json("status", code=PARTLY)["targets"]
    assert "nowhere" in row["error"] and not row["up_to_date"]


def test_rclone_is_not_installed(site: Site) -> None:
    configure(site, {"rclone": "web:"})
    site.promote(NEW)
    line = one_line(site.flatdex("push", code=PARTLY, env={"PATH": str(FLATDEX.parent)}).stderr)
    assert "rclone is not installed" in line and "apt-get install rclone" in line


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_rclone_that_breaks_off_leaves_work_that_the_next_push_completes(site: Site, dav: Webdav, method: str) -> None:
    """With a folder that can't be written to; the old description is still there, since it comes last."""
    configure(site, {"rclone": dav.remote})
    push(site, OLD)
    site.promote(NEW)
    rclone = site.folder / "bin" / "rclone"
    rclone.parent.mkdir()
    verb = {"PUT": "copy", "DELETE": "delete"}[method]
    rclone.write_text(
        f'#!/bin/sh\ncase $1 in {verb}) echo "403 Forbidden" >&2; exit 1;; esac\nexec {located("rclone")} "$@"\n'
    )
    rclone.chmod(0o755)
    env = {"PATH": f"{rclone.parent}:{os.environ['PATH']}"}
    line = one_line(site.flatdex("push", code=PARTLY, env=env).stderr)
    assert line.startswith("web: failed: rclone: ") and "403 Forbidden" in line
    assert json.loads((dav.root / "snapshot.json").read_bytes())["id"] == site.snapshot(OLD).name
    push(site, NEW, "--quick")
    assert content(dav.root) == content(site.snapshot(NEW))


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_rclone_going_back_after_a_push_that_ended_halfway(site: Site, dav: Webdav, how: str) -> None:
    """The pointers are those of the new one, and the description still that of the old one: it is not to be trusted."""
    configure(site, {"rclone": dav.remote})
    push(site, OLD)
    site.promote(NEW)
    ended = 'echo "403 Forbidden" >&2; exit 1' if how == "fails" else "kill -9 $PPID; exit 1"
    rclone = site.folder / "bin" / "rclone"
    rclone.parent.mkdir()
    rclone.write_text(f'#!/bin/sh\ncase $1 in delete) {ended};; esac\nexec {located("rclone")} "$@"\n')
    rclone.chmod(0o755)
    env = {"PATH": f"{rclone.parent}:{os.environ['PATH']}"}
    result = site.flatdex("push", env=env)
    assert result.returncode == (PARTLY if how == "fails" else -9)
    index = dav.root / "index" / "latest.json"
    assert index.read_bytes() == (site.snapshot(NEW) / "index" / "latest.json").read_bytes()
    push(site, OLD, "--quick")
    old = content(site.snapshot(OLD))
    assert {path: data for path, data in content(dav.root).items() if path in old} == old
