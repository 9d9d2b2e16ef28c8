"""What makes a watch's rounds short: what was promoted is not read again, ssh connects once, each file is sent once."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder import snapshot
from builder.content import InMemory
from builder.description import Snapshot
from builder.report import Report
from builder.site.tree import Site
from builder.store import Store
from sync.outcome import How
from sync.publication import Publication, publish
from sync.settings import Settings
from sync.shared import Shared
from sync.targets import Target, target
from sync.verify import DamagedError
from tests.builder.helpers import GOOD, loaded
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd

QUICK = How(thorough=False, believing=True)
USUAL = How(thorough=False)
ICON = "icons/ab/c.png"


def index(text: str) -> str:
    """An index that names the icon."""
    labels = f'{{"org.freedesktop.appstream.icon-64":"../{ICON}","x":"{text}"}}'
    images = f'[{{"Digest":"sha256:x","Labels":{labels}}}]'
    return f'{{"Registry":"http://x/","Results":[{{"Images":{images},"Name":"a"}}]}}'


class Rounds:
    """A store whose snapshots are made and published one after the other, without a registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = loaded(folder, GOOD)
        self.store = Store(self.config.store)
        self.store.root.mkdir()
        self.now = int(time.time()) - 100_000
        self.targets: tuple[Target, ...] = ()

    def build(self, **texts: str) -> Snapshot:
        """A snapshot of these texts; in names `__` stands for a slash, and `_` for a dot."""
        self.now += 10
        files = {name.replace("__", "/").replace("_", "."): InMemory(text.encode()) for name, text in texts.items()}
        with self.store.locked("build", create=True):
            written = snapshot.write(self.store, Site(dict(files), {"stable": ()}, ()), self.config, self.now)
        assert written.changed
        return self.store.find(written.id)

    def publish(self, one: Snapshot, how: How = QUICK) -> Publication:
        """Promotes and pushes it."""
        settings = Settings(self.folder, targets=self.targets)
        with self.store.locked("watch"):
            return publish(
                self.store, settings, "watch", one, self.targets, Report(-1, io.StringIO(), io.StringIO()), how
            )


@pytest.fixture
def rounds(real_tmp: Path) -> Rounds:
    """A store without any snapshot."""
    return Rounds(real_tmp)


def spoil(file: Path, anew: bool = False) -> None:
    """Other bytes of the same size and date, in all hard links of the file, or in a file of its own."""
    before, data = file.stat(), file.read_bytes()
    if anew:
        file.unlink()
    with file.open("wb" if anew else "r+b") as opened:
        opened.write(bytes(byte ^ 1 for byte in data))
    os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))


# What is read


def test_the_first_round_reads_all(rounds: Rounds) -> None:
    one = rounds.build(same="same", page="one")
    rounds.publish(one, USUAL)
    spoil(one.folder / "same")
    with pytest.raises(DamagedError):
        rounds.publish(rounds.build(same="same", page="two"))


def test_a_later_round_reads_what_is_new_and_another_one_reads_all(rounds: Rounds) -> None:
    rounds.publish(rounds.build(same="same", page="one"))
    two = rounds.build(same="same", page="two")
    spoil(two.folder / "same")
    assert rounds.publish(two).whole
    three = rounds.build(same="same", page="three")
    with pytest.raises(DamagedError, match="same: has other bytes"):
        rounds.publish(three, USUAL)
    assert rounds.publish(three).whole


def test_after_a_day_all_is_read_again(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    rounds.publish(rounds.build(same="same", page="one"))
    for hours, text in ((12, "two"), (23, "three")):
        monkeypatch.setattr("sync.believed.time.time", lambda hours=hours: real() + hours * 3600)
        assert rounds.publish(rounds.build(same="same", page=text)).whole
    four = rounds.build(same="same", page="four")
    spoil(four.folder / "same")
    monkeypatch.setattr("sync.believed.time.time", lambda: real() + 25 * 3600)
    with pytest.raises(DamagedError, match="same: has other bytes"):
        rounds.publish(four)


def shorter(file: Path) -> None:
    os.truncate(file, 2)


def dated_otherwise(file: Path) -> None:
    os.utime(file, (5, 5))


def in_a_file_of_its_own(file: Path) -> None:
    spoil(file, anew=True)


@pytest.mark.parametrize("damage", [shorter, dated_otherwise, in_a_file_of_its_own, Path.unlink])
def test_other_damage_is_found_in_any_round(rounds: Rounds, damage: Callable[[Path], None]) -> None:
    one = rounds.build(same="same", page="one")
    rounds.publish(one)
    two = rounds.build(same="same", page="two")
    damage(two.folder / "same")
    with pytest.raises(DamagedError):
        rounds.publish(two)
    assert rounds.store.current() == one.id


def test_what_is_new_is_read_in_any_round(rounds: Rounds) -> None:
    rounds.publish(rounds.build(same="same", page="one"))
    two = rounds.build(same="same", page="two")
    spoil(two.folder / "page")
    with pytest.raises(DamagedError, match="page: has other bytes"):
        rounds.publish(two)


def test_a_file_that_is_said_to_have_other_bytes_is_read_in_any_round(rounds: Rounds) -> None:
    one = rounds.build(same="same", page="one")
    rounds.publish(one)
    two = rounds.build(same="same", page="two")
    described = two.folder / "snapshot.json"
    described.write_text(described.read_text().replace(one.by_path["same"].sha256, one.by_path["page"].sha256))
    with pytest.raises(DamagedError, match="same: has other bytes"):
        rounds.publish(rounds.store.find(two.id))


def set_by_hand(rounds: Rounds, other: Snapshot) -> None:
    rounds.store.current_link.unlink()
    rounds.store.current_link.symlink_to(f"snapshots/{other.id}")


def note_lost(rounds: Rounds, other: Snapshot) -> None:
    (rounds.store.root / "verified").unlink()


def note_damaged(rounds: Rounds, other: Snapshot) -> None:
    (rounds.store.root / "verified").write_text('{"snapshot": [], "read": {}}')


def note_of_the_future(rounds: Rounds, other: Snapshot) -> None:
    text = f'{{"snapshot": "{rounds.store.current()}", "read": {int(time.time()) + 10_000}}}'
    (rounds.store.root / "verified").write_text(text)


@pytest.mark.parametrize("change", [set_by_hand, note_lost, note_damaged, note_of_the_future])
def test_what_nobody_knows_to_have_been_read_is_read(
    rounds: Rounds, change: Callable[[Rounds, Snapshot], None]
) -> None:
    rounds.publish(rounds.build(same="same", page="one"))
    other = rounds.build(same="same", page="other")
    last = rounds.build(same="same", page="last")
    spoil(last.folder / "same")
    change(rounds, other)
    with pytest.raises(DamagedError, match="same: has other bytes"):
        rounds.publish(last)


def test_an_index_that_did_not_change_still_has_all_that_it_names(rounds: Rounds) -> None:
    icon = {ICON.replace("/", "__").replace(".", "_"): "icon"}
    rounds.publish(rounds.build(index__static=index("one"), page="one", **icon))
    assert rounds.publish(rounds.build(index__static=index("one"), page="two", **icon)).whole
    with pytest.raises(DamagedError, match=f"names {ICON}, which is not there"):
        rounds.publish(rounds.build(index__static=index("one"), page="three", other="x"))


# How it is sent


def test_a_file_with_two_names_is_sent_once_and_is_one_file_there(rounds: Rounds) -> None:
    with Rsyncd(rounds.folder / "rsyncd", rounds.folder / "daemon", munge=False) as daemon:
        places = {"folder": "./folder", "daemon": daemon.url()}
        rounds.targets = tuple(target(name, {"rsync": place}, rounds.folder) for name, place in places.items())
        for text in ("one", "two"):
            done = rounds.publish(rounds.build(a="x" * 1000 + text, b="x" * 1000 + text, c="same"))
            assert done.whole
            for name in places:
                shown = rounds.folder / name / "current"
                assert (shown / "a").read_text().endswith(text)
                assert (shown / "a").samefile(shown / "b") and not (shown / "a").samefile(shown / "c")


# ssh


def ended(folder: Path) -> None:
    """Ends the processes that have the connections."""
    for socket in folder.glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"], check=False, capture_output=True)


@pytest.fixture
def by_ssh(rounds: Rounds) -> Iterator[Sshd]:
    """An ssh server, which is the only target."""
    with Sshd(rounds.folder / "sshd") as sshd:
        given = {"rsync": f"{sshd.host}:{rounds.folder}/there", "ssh": sshd.command}
        rounds.targets = (target("there", given, rounds.folder),)
        try:
            yield sshd
        finally:
            ended(rounds.store.cache / "ssh")


def serving(sshd: Sshd) -> list[int]:
    """The server's processes that have connections, and what they have started."""

    def found(*how: str) -> list[int]:
        return [int(pid) for pid in subprocess.run(["pgrep", *how], check=False, capture_output=True).stdout.split()]

    (listening,) = found("-f", f"sshd: .*{sshd.state}/sshd_config")
    pids, new = [], found("-P", str(listening))
    while new:
        pids += new
        new = [inner for pid in new for inner in found("-P", str(pid))]
    assert pids
    return pids


def logins(sshd: Sshd) -> int:
    """How often anybody was let in."""
    return len(re.findall("Accepted publickey", sshd.log()))


def test_rounds_connect_once_and_hold_no_lock(rounds: Rounds, by_ssh: Sshd) -> None:
    for text in ("one", "two", "three"):
        one = rounds.build(page=text)
        assert rounds.publish(one).whole
        assert (rounds.folder / "there" / "current" / "page").read_text() == text
    assert logins(by_ssh) == 1
    assert list((rounds.store.cache / "ssh").iterdir()), "the connection is still there, and the lock was free"
    assert (rounds.store.cache / "ssh").stat().st_mode & 0o777 == 0o700


def test_whoever_pushes_otherwise_leaves_nothing_behind(rounds: Rounds, by_ssh: Sshd) -> None:
    assert rounds.publish(rounds.build(page="one"), USUAL).whole
    assert logins(by_ssh) >= 3 and not (rounds.store.cache / "ssh").exists()


@pytest.mark.parametrize("what", ["server", "socket", "leftover"])
def test_a_connection_that_is_lost_is_made_anew(rounds: Rounds, by_ssh: Sshd, what: str) -> None:
    assert rounds.publish(rounds.build(page="one")).whole
    (socket,) = (rounds.store.cache / "ssh").iterdir()
    if what == "server":  # the server's side of it ends
        for pid in serving(by_ssh):
            os.kill(pid, signal.SIGKILL)
    else:
        ended(socket.parent)
    if what == "leftover":
        shutil.rmtree(socket.parent)
        socket.parent.mkdir(mode=0o700)
        socket.write_text("no socket")
    assert rounds.publish(rounds.build(page="two")).whole
    assert (rounds.folder / "there" / "current" / "page").read_text() == "two"


def test_a_connection_that_hangs_is_given_up(rounds: Rounds, by_ssh: Sshd) -> None:
    rounds.targets = tuple(replace(each, timeout=2) for each in rounds.targets)
    assert rounds.publish(rounds.build(page="one")).whole
    hanging = serving(by_ssh)
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert rounds.publish(rounds.build(page="two")).whole
        assert (rounds.folder / "there" / "current" / "page").read_text() == "two"
    finally:
        for pid in hanging:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("ssh", "folder", "shared"),
    [
        ("ssh -p 5", "/c", True),
        ("/usr/bin/ssh", "/c", True),
        ("./ssh-wrapper", "/c", False),
        ("ssh -o ControlMaster=no", "/c", False),
        ("ssh -S none -o controlpath=/x", "/c", False),
        ("ssh", "/with space", False),
        ("ssh", "/per%cent", False),
        ("ssh", f"/{'long' * 20}", False),
        ("ssh", None, False),
    ],
)
def test_only_ssh_itself_is_told_so(tmp_path: Path, ssh: str, folder: str | None, shared: bool) -> None:
    there = target("x", {"rsync": "host:/srv", "ssh": ssh}, tmp_path)
    place = Path(folder) if folder else None
    if place and shared:
        place = Path("/tmp") / f"f{os.getpid()}"  # noqa: S108 - short
    command = Shared(place, there).command
    assert (command != ssh) == shared and command.startswith(ssh)
    if place and shared:
        assert f"ControlPath={place}/" in command
        place.rmdir()


def test_a_folder_that_can_t_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    there = target("x", {"rsync": "host:/srv", "ssh": "ssh"}, tmp_path)
    assert Shared(Path("/proc/none"), there).command == "ssh"
