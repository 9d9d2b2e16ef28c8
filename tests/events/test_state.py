"""How a watch does, as its file in the store tells, and `flatdex status`: at work, hanging, dead, stopped, or none."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.store import Store
from sync.events import shown, watching
from sync.events.state import Keeper
from sync.events.watching import Last, Round, Source, Watching
from tests.sync.site import DONE, FAILED, NEW, Site, with_snapshots

NOW = 1_800_000_000.0
FULL = Watching(
    pid=4_000_000,
    host="other",
    version="1.0",
    started=NOW - 7200,
    beat=NOW - 3,
    configuration="/etc/flatdex.yaml",
    reload_error="flatdex.yaml:3: no",
    waiting=3,
    waiting_since=NOW - 4,
    round=Round(NOW - 3, ("aa", "bb")),
    last=Last(NOW - 12, "done", "20240201T100000Z-00000000", 0.84, "a\nb"),
    origins={"amqp": Source("not connected: refused", False, NOW - 60), "spool": Source("watching /x", True, NOW)},
)
PLAIN = Watching(os.getpid(), socket.gethostname(), "1.0", NOW - 7200, NOW)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def put(store: Store, found: Watching) -> None:
    """As another process would have left it."""
    watching.path(store).write_bytes(watching.written(found))


def dead_process() -> int:
    """The id of a process that has just ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def said(found: Watching, state: str = shown.RUNNING, now: float = NOW) -> list[str]:
    return list(shown.Seen(found, state, now).lines)


@pytest.mark.parametrize("found", [FULL, PLAIN, replace(PLAIN, stopped=NOW)])
def test_what_is_written_is_read(store: Store, found: Watching) -> None:
    put(store, found)
    assert watching.read(store) == found


def spoilt(*path: str, value: object) -> bytes:
    """A good file in which one value is another."""
    document: Any = json.loads(watching.written(FULL))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"null", b"[]", b"3", b"{}", b"\xff", b'{"format": 1}', watching.written(FULL)[:-20], b"[" * 100_000),
        spoilt("format", value=2),
        spoilt("new", value=1),
        spoilt("pid", value="1"),
        spoilt("pid", value=-1),
        spoilt("pid", value=True),
        spoilt("beat", value="now"),
        spoilt("beat", value=1e300),
        spoilt("stopped", value=float("nan")),
        spoilt("host", value=None),
        spoilt("reload_error", value=1),
        spoilt("origins", value=["amqp"]),
        spoilt("origins", "amqp", value="down"),
        spoilt("origins", "amqp", "up", value=1),
        spoilt("origins", "amqp", "since", value="x"),
        spoilt("round", value=[1]),
        spoilt("round", "since", value={}),
        spoilt("last", "seconds", value="1"),
        spoilt("last", "error", value=5),
        b" " * (1024 * 1024) + watching.written(FULL),
    ],
)
def test_what_is_damaged_or_of_another_version_says_nothing(store: Store, data: bytes) -> None:
    watching.path(store).write_bytes(data)
    assert watching.read(store) is None
    assert shown.seen(store, NOW) is None


def test_a_pipe_in_its_place_holds_nobody_up(store: Store) -> None:
    os.mkfifo(watching.path(store))
    assert watching.read(store) is None


def test_a_keeper_tells_all_of_it(store: Store) -> None:
    before = time.time()
    keeper = Keeper(store, "1.0", "/etc/flatdex.yaml")
    keeper.beat()
    found = watching.read(store)
    assert found and (found.pid, found.host, found.version) == (os.getpid(), socket.gethostname(), "1.0")
    assert before - 1 <= found.started <= found.beat <= time.time() and not found.stopped
    assert stat.S_IMODE(watching.path(store).stat().st_mode) == 0o644
    keeper.origin("amqp", "connected to x", True)
    keeper.origin("webhook", "listening", True)
    keeper.configured("/etc/other.yaml", "it is wrong")
    keeper.waiting(2, 30.0)
    keeper.begin(("aa",))
    found = watching.read(store)
    assert found and found.round and found.round.ids == ("aa",) and found.round.since >= before
    assert (found.configuration, found.reload_error) == ("/etc/other.yaml", "it is wrong")
    assert found.waiting == 2 and abs(time.time() - 30 - found.waiting_since) < 5
    assert found.origins["amqp"].state == "connected to x" and found.origins["amqp"].up
    keeper.only_origins(["amqp"])
    keeper.waiting(0)
    keeper.end("done", "20240201T100000Z-00000000", 0.8)
    found = watching.read(store)
    assert found and found.round is None and list(found.origins) == ["amqp"]
    assert (found.waiting, found.waiting_since) == (0, 0)
    assert found.last == Last(found.last.at if found.last else 0, "done", "20240201T100000Z-00000000", 0.8)
    keeper.stop()
    found = watching.read(store)
    assert found and found.stopped >= before
    assert [path.name for path in store.root.iterdir()] == ["watch.json"], "nothing half is left"


def test_an_origin_is_down_since_it_went_down(store: Store) -> None:
    keeper = Keeper(store, "1.0")
    keeper.origin("amqp", "connected", True)
    keeper.origin("amqp", "not connected: refused", False)
    keeper.stop()
    first = watching.read(store)
    time.sleep(0.01)
    keeper.origin("amqp", "not connected: no route", False)
    keeper.stop()
    second = watching.read(store)
    assert first and second
    assert second.origins["amqp"] == replace(first.origins["amqp"], state="not connected: no route")
    keeper.origin("amqp", "connected", True)
    keeper.stop()
    third = watching.read(store)
    assert third and third.origins["amqp"].since > first.origins["amqp"].since


def test_what_changes_all_the_time_is_written_now_and_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    keeper = Keeper(store, "1.0")

    def waiting() -> int | None:
        found = watching.read(store)
        return found.waiting if found else None

    keeper.beat()
    for number in range(1, 50):
        keeper.waiting(number)
    assert waiting() == 0
    clock[0] += 0.3
    keeper.beat()
    assert waiting() == 49
    first = watching.path(store).stat().st_ino
    clock[0] += 9.9
    keeper.beat()
    assert watching.path(store).stat().st_ino == first, "nothing has changed"
    clock[0] += 0.2
    keeper.beat()
    assert watching.path(store).stat().st_ino != first, "a beat at least every ten seconds"


def test_threads_lose_nothing(store: Store) -> None:
    keeper = Keeper(store, "1.0")
    names = [f"{letter}{number}" for letter in "abcd" for number in range(50)]

    def tell(letter: str) -> None:
        for name in names:
            if name.startswith(letter):
                keeper.origin(name, "connected", True)

    threads = [threading.Thread(target=tell, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper.stop()
    found = watching.read(store)
    assert found and sorted(found.origins) == sorted(names)


def test_a_store_that_can_not_be_written_ends_no_watch(store: Store) -> None:
    keeper = Keeper(store, "1.0")
    blocked = store.root / ".watch.json.new"
    blocked.mkdir()
    keeper.begin(("aa",))
    assert watching.read(store) is None
    blocked.rmdir()
    time.sleep(0.21)
    keeper.beat()
    found = watching.read(store)
    assert found and found.round, "what could not be told is told by the next beat"


def test_lines_for_a_person() -> None:
    assert said(FULL) == [
        "running since 2027-01-15T06:00:00Z (process 4000000); a round is under way for 3 s; last round 12 s ago:"
        " done, 20240201T100000Z-00000000, live 0.8 s after the notice: a b; waiting: 3 events, the oldest for 4 s",
        "amqp: not connected: refused, since 2027-01-15T07:59:00Z",
        "works by its old configuration: flatdex.yaml:3: no",
    ]
    process = f"(process {os.getpid()})"
    assert said(PLAIN) == [f"running since 2027-01-15T06:00:00Z {process}; no round yet; waiting: nothing"]
    assert said(PLAIN, shown.SILENT) == [
        f"hangs: process {os.getpid()} is there, but was last heard of 2027-01-15T08:00:00Z: start it again"
    ]
    assert said(PLAIN, shown.DEAD) == [
        f"not running: last heard of 2027-01-15T08:00:00Z {process}, and it did not stop in order: start it again"
    ]
    assert said(replace(PLAIN, stopped=NOW), shown.STOPPED) == ["not running: stopped 2027-01-15T08:00:00Z"]
    assert all(len(line.splitlines()) == 1 for line in said(replace(FULL, reload_error="a\nb")))


def test_whether_it_is_alive(store: Store) -> None:
    def state(found: Watching, now: float = NOW) -> str:
        put(store, found)
        seen = shown.seen(store, now)
        assert seen
        return seen.state

    assert shown.seen(store, NOW) is None
    assert state(PLAIN) == "running"
    assert state(PLAIN, NOW + 29) == "running"
    assert state(PLAIN, NOW - 3600) == "running", "a clock that was set back"
    assert state(PLAIN, NOW + 31) == "silent"
    assert state(replace(PLAIN, pid=1), NOW + 1) == "running", "another user's"
    assert state(replace(PLAIN, pid=dead_process())) == "dead"
    assert state(replace(PLAIN, pid=2**60)) == "dead"
    assert state(replace(PLAIN, stopped=NOW, pid=dead_process()), NOW + 9999) == "stopped"
    elsewhere = replace(PLAIN, host="other", pid=dead_process())
    assert state(elsewhere, NOW + 29) == "running", "of another machine only its word is known"
    assert state(elsewhere, NOW + 31) == "dead"


def test_a_process_of_another_user_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)  # root, whom tests may run as, is never forbidden to
    assert watching.is_alive(PLAIN)


def test_status_says_nothing_of_a_watch_that_never_was(real_tmp: Path) -> None:
    site = with_snapshots(real_tmp)
    site.promote(NEW)
    assert "watch" not in site.flatdex("status").stdout
    assert site.json("status")["watch"] is None


def test_status_tells_of_a_watch(real_tmp: Path) -> None:
    site = with_snapshots(real_tmp)
    site.promote(NEW)
    store = Store(site.store)
    keeper = Keeper(store, "1.0")
    keeper.origin("amqp", "not connected: refused", False)
    keeper.end("done", site.current or "", 0.8)
    lines = [line for line in site.flatdex("status", code=DONE).stdout.splitlines() if line.startswith("watch ")]
    assert len(lines) == 2 and lines[0].startswith("watch    running since 2"), lines
    assert f"(process {os.getpid()})" in lines[0] and lines[0].endswith("waiting: nothing")
    assert lines[1].startswith("watch    amqp: not connected: refused, since 2")
    found = site.json("status")["watch"]
    assert (found["state"], found["pid"], found["stopped"], found["waiting"]) == ("running", os.getpid(), None, 0)
    assert found["last"]["result"] == "done" and found["last"]["at"].endswith("Z") and found["last"]["seconds"] == 0.8
    assert found["origins"]["amqp"]["up"] is False and found["round"] is None and found["beat"].endswith("Z")


def built_now(site: Site) -> None:
    """So that nothing but the watch can be too old."""
    Store(site.store).note_built()
    site.promote(NEW)


def test_a_dead_watch_is_too_old(real_tmp: Path) -> None:
    site = with_snapshots(real_tmp)
    built_now(site)
    store, now = Store(site.store), time.time()
    gone = replace(PLAIN, pid=dead_process(), beat=now - 300, started=now - 999)
    put(store, gone)
    site.flatdex("status", code=DONE)
    result = site.flatdex("status", "--max-age", "2m", code=FAILED)
    assert (
        result.stderr.startswith("too old: the watch was last heard of 2") and "did not stop in order" in result.stdout
    )
    assert len(site.json("status", "--max-age", "2m", code=FAILED)["too_old"]) == 1
    site.flatdex("status", "--max-age", "1h", code=DONE)
    for fine in (replace(gone, stopped=now - 299), replace(gone, pid=os.getpid(), beat=now)):
        put(store, fine)
        assert site.json("status", "--max-age", "2m", code=DONE)["too_old"] == []
    put(store, replace(gone, pid=os.getpid()))
    assert site.json("status", "--max-age", "2m", code=FAILED)["watch"]["state"] == "silent"
