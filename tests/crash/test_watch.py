"""A watch that is killed at its calls, or whose round is: readers see a whole site, and all that it took comes live."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.store import Store
from sync import log
from tests.crash.looks import shown, snapshots
from tests.e2e.site import Flatdex
from tests.e2e.watching import Watch
from tests.real.files import remove
from tests.real.process import located, require, run, unavailable, wait_for
from tests.sync.site import new_version, with_images

CALLS = ("rename", "unlink", "fsync", "syncfs", "symlink", "link")
EVERY = {"link": 60, "unlink": 3, "fsync": 3, "rename": 3, "syncfs": 2}
"""One of so many calls is enough: those of rounds are tried one by one with `publish`."""
WORKERS = 2
_SECONDS = 120
_PREPARING = threading.Lock()  # the command's server takes one after the other


@dataclass
class Play:
    """A site with a target, whose next version is in a spool folder when the watch begins."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.site = with_images(self.folder)
        more = "targets: {web: {rsync: ./web}}\nevents: {spool: ./spool, settle: 0ms}\n"
        self.flatdex = Flatdex(self.folder, (self.folder / "flatdex.yaml").read_text() + more)
        self.site.flatdex("publish", code=0)
        new_version(self.site, "2.0")
        (self.folder / "spool").mkdir()
        (self.folder / "spool" / "one").write_text("any\n")

    @property
    def over(self) -> bool:
        """Whether the next version is live, and nothing waits."""
        found = shown(self.folder / "web")
        return bool(found and _version(found.document) == "2.0") and not any((self.folder / "spool").iterdir())


def _version(document: object) -> str:
    assert isinstance(document, dict)
    return str(next(each["version"] for each in document["images"] if each["ref"].startswith("app/")))


class Traced(Watch):
    """A watch under strace, which may kill it, or a process of it."""

    def __init__(self, flatdex: Flatdex, options: list[str]) -> None:
        super().__init__(flatdex, ready=False, before=[located("strace"), "-D", "-f", "-qq", *options])


@pytest.fixture
def folder(real_tmp: Path) -> Iterator[Path]:
    """In memory, where there is such a place."""
    require("strace", "rsync")
    if run(["strace", "-o", real_tmp / "trace", "true"], check=False).returncode:
        unavailable("strace may not trace here")
    memory = Path("/dev/shm")  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix="flatdex-", dir=memory if os.access(memory, os.W_OK) else real_tmp))
    made.chmod(0o755)
    try:
        yield made
    finally:
        remove(made)


def points(folder: Path) -> list[tuple[str, int]]:
    """The calls of a run that nobody disturbs: how often, at most, one process makes each."""
    play = Play(folder / "recorded")
    trace = folder / "trace"
    with Traced(play.flatdex, ["-o", str(trace), "-e", f"trace={','.join(CALLS)}"]) as watch:
        wait_for(lambda: play.over, "the new version", _SECONDS)
        watch.stop(seconds=_SECONDS)
    made: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match:
            made[match[1], match[2]] += 1
    most = {call: max((number for (_, each), number in made.items() if each == call), default=0) for call in CALLS}
    return [(call, number) for call in CALLS for number in range(1, most[call] + 1, EVERY.get(call, 1))]


def failure(folder: Path, call: str, number: int) -> str:
    """What is wrong after a kill there; empty: nothing."""
    with _PREPARING:
        play = Play(folder)
    stop, seen = threading.Event(), list[str]()

    def read() -> None:
        while not stop.wait(0.02):
            try:
                assert shown(folder / "web")
            except (AssertionError, OSError, ValueError) as error:
                seen.append(f"a reader: {error!r}")
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with Traced(play.flatdex, ["-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]) as watch:
            until = time.monotonic() + _SECONDS
            # Each new round would be killed at the same call: one is enough.
            while watch.child and watch.child.alive and not (play.over or watch.said("ended by signal 9")):
                assert time.monotonic() < until, "nobody was killed, and nothing is live"
                time.sleep(0.05)
        before = len(watch.lines)
        with Watch(play.flatdex, ready=False) as watch:
            watch.wait("^watching by ", before, _SECONDS)  # before that a signal ends any program
            wait_for(lambda: play.over, "the new version", _SECONDS)
            assert watch.stop(seconds=_SECONDS) == 0
        return _wrong(play) or "".join(seen)
    except (AssertionError, TimeoutError) as error:
        return f"{error!r}\n{watch.log.read_text()[-2000:]}"
    finally:
        stop.set()
        reader.join()
        shutil.rmtree(folder)


def _wrong(play: Play) -> str:
    store = play.site.store
    for root in (store, play.folder / "web"):
        snapshots(root)
    left = list((store / "events").glob("*"))
    lines = log.lines(Store(store))
    released = Counter(line.entry["to"] for line in lines if line.entry.get("to") != line.entry.get("from"))
    doubled = [to for to, number in released.items() if number > 1]
    broken = [line.fault for line in lines if line.fault]
    return f"{left=} {doubled=} {broken=}" if left or doubled or broken else ""


def test_killed_anywhere_it_goes_on(folder: Path) -> None:
    found = points(folder)
    print(f"{len(found)} points")
    assert len(found) > 8 and {call for call, _ in found} >= {"rename", "unlink", "fsync", "syncfs", "symlink"}, found
    with ThreadPoolExecutor(WORKERS) as pool:
        told = pool.map(lambda point: failure(folder / secrets.token_hex(4), *point), found)
        failed = {point: text for point, text in zip(found, told, strict=True) if text}
    assert not failed, "\n".join(f"{point}: {text}" for point, text in [*failed.items()][:5])
