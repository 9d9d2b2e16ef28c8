"""What an attacker, or bad luck, found: each of these was seen to go wrong with a watch at work."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.report import Report
from sync.events.gather import Item, batch
from sync.events.inbox import Events
from sync.events.lines import Lines
from sync.events.model import Hint, Order, Result
from sync.events.rounds import Rounds
from tests.e2e.site import Flatdex
from tests.e2e.test_watch import SPOOL, THREE, Place
from tests.e2e.watching import Watch
from tests.real.process import children_of, free_port, wait_for
from tests.real.registry import DockerRegistry

APPS = [f"apps/org.example.app0000{number}" for number in range(3)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with DockerRegistry(tmp_path / "registry", access_log=True) as registry:
        made = Place(tmp_path, registry, Flatdex(tmp_path / "site"))
        made.push(0, 1, 2, version=0)
        made.configure()
        yield made


def test_an_event_without_news_does_not_wait_for_a_target_that_is_down(place: Place) -> None:
    """All other targets show what is current: nothing is left to be done for it."""
    place.configure(SPOOL, {**THREE, "far": {"rsync": f"rsync://127.0.0.1:{free_port()}/x/"}})
    with Watch(place.flatdex) as watch:
        watch.wait("far: .*tried again")
        file = place.drop(f"{APPS[1]}\n")
        wait_for(lambda: not file.exists(), "the file to go", 10)


def test_what_failed_for_a_repository_is_tried_again_together() -> None:
    """Else each event for one that stays broken has retries of its own, and they are rounds without a pause."""
    repositories = frozenset(APPS[:1])
    due, later = (Item(name, "spool", repositories, 0, 0, 9, at) for name, at in (("a", 5.0), ("b", 200.0)))
    assert set(batch([due, later], {}, 5.0, 0.2, 5.0).items) == {due, later}


@pytest.mark.parametrize("name", ["x\n85710b live: forged on a, b, c", "y\u2028forged"])
def test_a_file_name_can_not_forge_a_line_of_the_log(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w+") as opened:
        lines = Lines(Report(out=opened, err=opened))
        inbox = Events(
            lambda hint: hint.repositories, lambda: None, lambda origin, what, line, key: lines.often("x", line), print
        )
        inbox.offer("spool", Hint(frozenset(APPS[:1]), about=name))
        inbox.refused("spool", "malformed", f"/spool/{name}: no line of it names a repository")
    assert len(log.read_text().splitlines()) == 2


def test_json_lines_tell_the_id_of_an_event_that_comes_in(place: Place) -> None:
    """By `ids` a script follows it from its notice to live."""
    with Watch(place.flatdex, arguments=["--json"]) as watch:
        place.push(1, version=1)
        place.drop(f"{APPS[1]}\n", "hello")
        line = json.loads(watch.wait("spool: hello"))
        assert line["ids"], line


def _nothing(*_: object) -> Result:
    return Result()


def test_a_process_that_can_not_be_forked_is_an_error_that_a_watch_survives() -> None:
    """The server of forks ends when it can't fork, and the watch meets the end of its pipe: an EOFError, no OSError."""
    rounds = Rounds(_nothing, None, ())
    first = rounds.begin(None, Order(()))
    wait_for(lambda: first.result() is not None, "the first round")
    [server] = [
        each for each in children_of(os.getpid()) if b"forkserver" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]
    os.kill(server, signal.SIGSTOP)

    def end() -> None:
        time.sleep(0.5)
        os.kill(server, signal.SIGKILL)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        with pytest.raises(OSError):  # what a watch takes for "no process could be started"
            rounds.begin(None, Order(()))
    finally:
        ending.join()
