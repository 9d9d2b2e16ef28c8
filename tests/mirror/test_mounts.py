"""Sticks are found by the kernel's list of what is mounted, whatever they are called and wherever they are."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UsageError
from sync.mirror import mounts
from sync.mirror.model import Found
from sync.mirror.mounts import MountRule, points, sources
from tests.mirror.lists import described
from tests.real.process import require, run, unavailable

REAL = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
24 22 0:22 / /sys rw shared:6 - sysfs sysfs rw
25 22 0:5 / /dev rw shared:2 - devtmpfs udev rw,size=8041248k
26 25 0:23 / /dev/pts rw shared:3 - devpts devpts rw
27 22 0:24 / /run rw shared:4 - tmpfs tmpfs rw
28 23 0:31 / /proc/sys/fs/binfmt_misc rw shared:7 - autofs systemd-1 rw,fd=30
29 22 8:17 / /media/somebody/MY\\040STICK rw,nosuid shared:99 master:3 - vfat /dev/sdb1 rw,uid=1000
30 22 8:33 / /media/tab\\011line\\012back\\134slash rw - exfat /dev/sdc1 rw
31 22 0:50 / /mnt/nas rw - nfs4 nas:/export rw
32 27 0:51 / /run/user/1000/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw
33 22 0:52 / /mnt/ntfs rw - fuseblk /dev/sdd1 rw
34 22 0:53 / /media/\xfc rw optional fields of any number - ext4 /dev/sde1 rw
35 22 0:54 / /mnt/again rw - ext4 /dev/sdf1 rw
36 35 0:55 / /mnt/again rw - ext4 /dev/sdg1 rw
"""


def test_what_may_hold_files_of_somebody() -> None:
    assert [str(each) for each in points(REAL)] == [
        "/",
        "/media/somebody/MY STICK",
        "/media/tab\tline\nback\\slash",
        "/mnt/nas",
        "/mnt/ntfs",
        "/media/ü",
        "/mnt/again",
    ]


@given(st.text() | st.text("0123 -/\\\n:ext4 "))
def test_any_text(text: str) -> None:
    assert isinstance(points(text), tuple)


def test_this_machine_s_own() -> None:
    assert Path("/") in points(Path("/proc/self/mountinfo").read_text())


def info(tmp_path: Path, *places: Path) -> MountRule:
    def escaped(path: Path) -> str:
        return str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\n", "\\012")

    lines = [f"{number} 1 8:{number} / {escaped(each)} rw - vfat /dev/sda1 rw\n" for number, each in enumerate(places)]
    (tmp_path / "mountinfo").write_text("".join(lines))
    return MountRule(mountinfo=tmp_path / "mountinfo")


def stick(place: Path, name: str = ".flatdex") -> Path:
    (place / name).mkdir(parents=True)
    (place / name / "snapshot.json").write_bytes(described(1))
    return place


def test_only_the_well_known_folder_is_one(tmp_path: Path) -> None:
    good = stick(tmp_path / "a good\\one")
    root = tmp_path / "root"
    root.mkdir()
    (root / "snapshot.json").write_bytes(described(1))
    empty = tmp_path / "empty"
    (empty / ".flatdex").mkdir(parents=True)
    file = tmp_path / "file"
    file.mkdir()
    (file / ".flatdex").write_text("")
    (tmp_path / "etc-hosts").write_text("a file that something is mounted on")
    places = (good, root, empty, file, tmp_path / "etc-hosts", tmp_path / "gone")
    found, warnings = sources(info(tmp_path, *places))
    assert [(each.folder, each.found) for each in found] == [(good / ".flatdex", Found.MOUNTED)]
    assert warnings == ()


def test_another_name(tmp_path: Path) -> None:
    rule = info(tmp_path, stick(tmp_path / "a", "Flatpaks"), stick(tmp_path / "b"))
    [found], _ = sources(MountRule("Flatpaks", rule.mountinfo))
    assert found.folder == tmp_path / "a/Flatpaks"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\n"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(UsageError, match="no folder at the root"):
        MountRule(name)


def test_what_is_mounted_twice_is_one(tmp_path: Path) -> None:
    place = stick(tmp_path / "a")
    (tmp_path / "b").symlink_to(place)
    [found], _ = sources(info(tmp_path, tmp_path / "b", place))
    assert found.folder == place / ".flatdex"


def test_a_label_that_would_write_on_the_screen_is_left_out(tmp_path: Path) -> None:
    assert sources(info(tmp_path, stick(tmp_path / "a\nb"), stick(tmp_path / "a\x1b[2Jb"))) == ((), ())


def test_a_dead_file_system_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, dead = stick(tmp_path / "good"), stick(tmp_path / "dead")
    ended, is_file = threading.Event(), Path.is_file

    def hangs(path: Path) -> bool:
        return ended.wait(20) if "dead" in path.parts else is_file(path)

    monkeypatch.setattr(Path, "is_file", hangs)
    rule = info(tmp_path, dead, good)
    [found], [warning] = sources(MountRule(mountinfo=rule.mountinfo, seconds=0.5))
    ended.set()
    assert found.folder == good / ".flatdex"
    assert warning == f"the file system on {dead} gave no answer in 0.5 seconds, and is left out"


def test_no_list_of_mounts(tmp_path: Path) -> None:
    found, [warning] = sources(MountRule(mountinfo=tmp_path / "nowhere"))
    assert found == () and "not looked at" in warning and "No such file" in warning


def test_so_many_and_no_more(tmp_path: Path) -> None:
    found, [warning] = sources(info(tmp_path, *(stick(tmp_path / f"{number:03}") for number in range(70))))
    assert len(found) == 64 and "70 mounted file systems" in warning


def test_a_real_mount(tmp_path: Path) -> None:
    """A folder mounted on another one, in a mount namespace of its own, as the kernel tells of it."""
    require("unshare", "mount")
    there, here = stick(tmp_path / "there"), tmp_path / "a stick, mounted"
    here.mkdir()
    script = f'mount --bind "{there}" "{here}" && cat /proc/self/mountinfo'
    try:
        told = run([shutil.which("unshare") or "unshare", "-m", "sh", "-c", script])
    except subprocess.CalledProcessError as error:
        unavailable(f"nothing can be mounted here: {error}")
    assert here in points(told.stdout)
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in told.stdout.splitlines()}
    assert kinds & mounts._PSEUDO, "this machine shows what is left out"
