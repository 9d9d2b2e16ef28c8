"""The lock among processes: operators go before a watch's next round, and meet its short rounds without a word."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from builder import lock
from builder.errors import LockedError
from builder.store import Store
from tests.real.process import Child, wait_for
from tests.sync.command import FLATDEX
from tests.sync.site import DONE, LOCKED, MIDDLE, NEW, OLD, Site, served

ROOT = Path(__file__).parents[2]

# Rounds that hold the lock nine tenths of the time. The first one lasts until the file `go` is there.
_ROUNDS = """
import sys, time
from pathlib import Path
from builder.store import Store
folder, verb, defer = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "defer"
store, journal = Store(folder / "store"), (folder / "journal").open("a", buffering=1)
while True:
    with store.locked(verb, wait=120, defer=defer):
        print(time.time_ns(), file=journal)
        while not (folder / "go").exists():
            time.sleep(0.01)
        time.sleep(0.27)
    time.sleep(0.03)
"""
# The same, with what others have left to be done.
_SERVING = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from builder.store import Store
from sync.wanted import Wish, served
folder = Path(sys.argv[1])
journal = (folder / "journal").open("a", buffering=1)
def work(wishes):
    print(json.dumps([asdict(wish) for wish in wishes]), file=journal)
    while not (folder / "go").exists():
        time.sleep(0.01)
served(Store(folder / "store"), Wish("watch", ("one",)), work, 120, leaving=False, defer=True)
"""


@contextmanager
def running(site: Site, program: str, *args: str) -> Iterator[Child]:
    """A process of its own that has done its first entry in the journal."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Child([sys.executable, "-c", program, site.folder, *args], log=site.folder / "log", env=env) as child:
        child.wait_until(lambda: bool(journal(site)), "first round")
        yield child


def rounds(site: Site, verb: str = "watch", defer: str = "defer") -> AbstractContextManager[Child]:
    """Those of above."""
    return running(site, _ROUNDS, verb, defer)


def journal(site: Site) -> list[str]:
    file = site.folder / "journal"
    return file.read_text().splitlines() if file.exists() else []


def begun(site: Site, after: int, before: int) -> int:
    """How many rounds began between two moments, in ns; one that took the lock just before may say so a bit later."""
    return sum(after + 150_000_000 < int(line) < before for line in journal(site))


def go(site: Site) -> None:
    """Lets the first round end."""
    (site.folder / "go").touch()


def waiting(site: Site) -> int:
    """How many processes say that they wait."""
    try:
        inode = (site.store / "waiting").stat().st_ino
    except FileNotFoundError:
        return 0
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(f"{inode}" == words[-3].rpartition(":")[2] and "READ" in words for words in held)


@contextmanager
def operator(site: Site, *args: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in a process of its own."""
    pipes: Mapping[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([FLATDEX, *args], cwd=site.folder, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def flipped_at(site: Site) -> int:
    """When `current` was made, in ns."""
    return (site.store / "current").lstat().st_mtime_ns


# Who waits goes first


def test_an_operator_gets_in_before_the_next_round_each_time(site: Site) -> None:
    site.promote(MIDDLE)
    site.flatdex("list", code=DONE)  # what starts commands does not outlive the thread that started it: this one
    with rounds(site):
        go(site)
        waited = 0
        for number in range(10):
            start = (OLD, NEW)[number % 2]
            promoting = threading.Thread(target=site.flatdex, args=("promote", start, "--wait", "20"), daemon=True)
            promoting.start()
            while promoting.is_alive() and not waiting(site):
                time.sleep(0.001)
            announced = time.time_ns()
            promoting.join(30)
            assert site.current == site.snapshot(start).name
            if announced < flipped_at(site):
                waited += 1
                assert begun(site, announced, flipped_at(site)) == 0, f"a round went before operator {number}"
        assert waited >= 4, "hardly anybody had to wait: that shows nothing"
        wait_for(lambda: begun(site, flipped_at(site), time.time_ns()) > 1, "rounds to go on")


def test_two_operators_get_in_before_the_next_round(site: Site) -> None:
    site.promote(MIDDLE)
    promoting, pinning = (operator(site, *words, "--wait", "20") for words in (("promote", OLD), ("pin", NEW)))
    with rounds(site), promoting as one, pinning as two:
        wait_for(lambda: waiting(site) == 2, "both to wait", seconds=20)
        announced = time.time_ns()
        go(site)
        assert (one.wait(20), two.wait(20)) == (DONE, DONE)
    assert site.current == site.snapshot(OLD).name
    done = max(flipped_at(site), (site.store / "pins").stat().st_mtime_ns)
    assert begun(site, announced, done) == 0


def test_an_operator_that_is_killed_while_it_waits_holds_up_nobody(site: Site) -> None:
    with rounds(site):
        with operator(site, "promote", "--wait", "60") as one:
            wait_for(lambda: waiting(site) == 1, "it to wait", seconds=20)
            one.send_signal(signal.SIGKILL)
            one.wait(10)
        assert waiting(site) == 0
        go(site)
        wait_for(lambda: len(journal(site)) > 2, "the next rounds", seconds=5)


def test_others_are_let_go_first_for_a_while_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A steady stream of operators, of whom one always waits."""
    monkeypatch.setattr(lock, "_MOST_DEFERENCE", 0.5)
    store = Store(tmp_path)
    with subprocess.Popen(["flock", "--shared", tmp_path / "waiting", "sleep", "30"], process_group=0) as stream:
        try:
            wait_for(lambda: lock._somebody_waits(tmp_path), "somebody to wait")
            with pytest.raises(LockedError, match="others wait"), store.locked("watch", wait=0.1, defer=True):
                pytest.fail("it did not defer")
            with store.locked("watch", wait=10, defer=True):
                assert 0.5 <= store.waited < 5
            with store.locked("promote"):
                assert store.waited < 0.1, "only those that defer wait for others that wait"
        finally:
            os.killpg(stream.pid, signal.SIGKILL)
    with store.locked("watch", wait=20, defer=True):
        assert store.waited < 0.4, "nobody waits any more"


def test_who_defers_gives_the_lock_back_to_somebody_who_has_just_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody comes between the first look and the lock."""
    looks = iter([False, True, False, False])
    monkeypatch.setattr(lock, "_somebody_waits", lambda root: next(looks))
    with Store(tmp_path).locked("watch", wait=5, defer=True):
        assert next(looks, None) is None, "it looked again when it had the lock"


# Who meets a watch


@pytest.mark.parametrize("words", [["promote"], ["hold", "a reason"], ["push"], ["publish"]], ids=str)
def test_whoever_meets_a_watch_waits_for_its_round_by_itself(images: Site, words: list[str]) -> None:
    images.configure({"one": {"rsync": "./one"}})
    images.flatdex("publish", code=DONE)
    with rounds(images), operator(images, *words) as process:
        wait_for(lambda: waiting(images) == 1, "it to wait", seconds=20)
        go(images)
        out, err = process.communicate(timeout=20)
        assert process.returncode in (DONE, 4 if words == ["publish"] else DONE), (out, err)
    assert not (images.store / "wanted").exists(), "nothing was left to others"


def test_it_does_not_wait_for_a_watch_if_it_is_told_not_to(site: Site) -> None:
    with rounds(site):
        result = site.flatdex("promote", "--wait", "0", code=LOCKED)
    assert "is being written to by `flatdex watch` (process " in result.stderr
    assert not (site.store / "waiting").exists()


def test_it_does_not_wait_for_a_watch_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_OWN_WAIT", 0.3)
    store = Store(site.store)
    with rounds(site):
        started = time.monotonic()
        with pytest.raises(LockedError, match="`flatdex watch`"), store.locked("promote"):
            pytest.fail("two writers")
        assert 0.3 <= time.monotonic() - started < 3


def test_other_holders_refuse_at_once(site: Site) -> None:
    with rounds(site, "publish"):
        started = time.monotonic()
        result = site.flatdex("promote", code=LOCKED)
        assert time.monotonic() - started < 5
    assert "`flatdex publish`" in result.stderr and not (site.store / "waiting").exists()


def test_what_a_killed_watch_has_left_running_is_not_waited_for(site: Site) -> None:
    (site.store / "lock").write_text("`flatdex watch` (process 4194999) since 2026-01-01 00:00:00 UTC\n")
    with subprocess.Popen(["flock", site.store / "lock", "sleep", "30"], process_group=0) as left:
        try:
            wait_for(lambda: not can_lock(site.store), "the lock to be held")
            result = site.flatdex("promote", code=LOCKED)
        finally:
            os.killpg(left.pid, signal.SIGKILL)
    assert "by what `flatdex watch` (process 4194999) since" in result.stderr


def can_lock(root: Path) -> bool:
    with (root / "lock").open("a") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_watch_that_has_just_taken_the_lock_is_known_in_a_moment(tmp_path: Path) -> None:
    """Until it has said who it is, the file has the words of whoever was before it."""
    file = tmp_path / "lock"
    file.write_text("`flatdex promote` (process 4194999) since 2026-01-01 00:00:00 UTC\n")
    with file.open("r+") as held, file.open() as other:
        fcntl.flock(held, fcntl.LOCK_EX)
        timer = threading.Timer(0.005, lambda: lock.say_who(held.fileno(), "watch"))
        timer.start()
        assert lock._is_watch(other.fileno())
        timer.join()


# What is left to a watch


def test_a_watch_does_in_its_round_what_others_wish_meanwhile(site: Site) -> None:
    site.configure({"one": {"rsync": "./one"}})
    site.promote(NEW)
    with running(site, _SERVING) as watch:
        for verb in ("push", "publish"):
            result = site.flatdex(verb, "--wait", "0", code=LOCKED)
            assert f"Word was left: it will {verb} once more before it is done" in result.stderr
        go(site)
        wait_for(lambda: not watch.alive, "the round to end")
    first, second = (json.loads(line) for line in journal(site))
    assert [wish["verb"] for wish in first] == ["watch"]
    assert [(wish["verb"], wish["targets"]) for wish in second] == [("push", ["one"]), ("publish", ["one"])]
    assert not list((site.store / "wanted").glob("*"))
    assert served(site.folder / "one") is None, "that was the watch's to do"


# How long it took, and what keeps it


def test_how_long_the_lock_was_waited_for_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.locked("promote"):
        assert store.waited < 0.1
    with subprocess.Popen(["flock", tmp_path / "lock", "sleep", "0.5"]):
        wait_for(lambda: not can_lock(tmp_path), "the lock to be held")
        with store.locked("promote", wait=10):
            assert 0.1 < store.waited < 3


@pytest.mark.parametrize("left_behind", [False, True])
def test_what_is_left_behind_keeps_no_lock(tmp_path: Path, left_behind: bool) -> None:
    """Else whatever has the descriptor keeps it."""
    store = Store(tmp_path)
    with store.locked("push"):
        assert store.lock is not None
        program = subprocess.Popen(["sleep", "30"], pass_fds=[store.lock])
        store.left_behind = left_behind
    try:
        assert can_lock(tmp_path) == left_behind and not store.left_behind
    finally:
        program.kill()
        program.wait()
