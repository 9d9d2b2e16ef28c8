"""What distant targets show is asked while the next snapshot is still made, and is minded as if it were asked later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder import configfile
from builder.build import build
from builder.description import Snapshot
from builder.outcome import Built
from builder.store import Store
from front import watching
from sync import notes
from sync.ahead import Ahead
from sync.events.model import Order
from sync.outcome import Outcome
from sync.publication import publish
from sync.settings import Settings
from sync.targets import target
from tests.real.process import wait_for
from tests.real.rsyncd import Rsyncd
from tests.sync import test_quick_rounds
from tests.sync.site import DONE, Site, new_version
from tests.sync.test_quick_rounds import QUICK, Rounds

rounds = test_quick_rounds.rounds


def nothing(*_: object) -> None:
    """Says nothing, and does nothing."""


class Said:
    """What a publication is told goes on."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def detail(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, what: str) -> Callable[[int, int], None]:
        return nothing


@pytest.fixture
def daemon(rounds: Rounds) -> Iterator[Rsyncd]:
    """The one target, which shows a first snapshot."""
    with Rsyncd(rounds.folder / "rsyncd", rounds.folder / "daemon", munge=False) as daemon:
        rounds.targets = (target("there", {"rsync": daemon.url("site"), "timeout": "2s"}, rounds.folder),)
        assert rounds.publish(rounds.build(page="one")).whole
        yield daemon


def connections(daemon: Rsyncd) -> int:
    """How often anybody asked the daemon for anything."""
    return daemon.log().count("connect from")


def shown(rounds: Rounds) -> str:
    """The page that the target shows."""
    return (rounds.folder / "daemon" / "site" / "current" / "page").read_text()


def ahead_of(rounds: Rounds, said: Said) -> Ahead:
    """For all targets. The caller holds the lock."""
    return Ahead(rounds.store, Settings(rounds.folder, targets=rounds.targets), rounds.targets, QUICK, said.detail)


def published(
    rounds: Rounds,
    one: Snapshot,
    meanwhile: Callable[[], None] = nothing,
    before: Callable[[], None] = nothing,
    said: Said | None = None,
) -> Outcome:
    """A round to the one target, where something happens `before` and after it is looked at."""
    settings, said = Settings(rounds.folder, targets=rounds.targets), said or Said()
    before()
    with rounds.store.locked("watch"), ahead_of(rounds, said) as ahead:
        ahead.begin()
        meanwhile()
        done = publish(rounds.store, settings, "watch", one, rounds.targets, said, QUICK, begun=ahead.taken)
    (outcome,) = done.outcomes
    return outcome


def test_it_is_asked_once_and_before_there_is_anything_to_send(rounds: Rounds, daemon: Rsyncd) -> None:
    two, three = rounds.build(page="two"), rounds.build(page="three")
    start = connections(daemon)
    assert rounds.publish(two).whole
    usual = connections(daemon) - start
    start = connections(daemon)
    outcome = published(rounds, three, lambda: wait_for(lambda: connections(daemon) > start, "a look"))
    assert not outcome.error and outcome.before == two.id and outcome.sent > 0
    assert shown(rounds) == "three"
    assert connections(daemon) - start == usual


def test_what_is_current_already_is_sent_to_nobody(rounds: Rounds, daemon: Rsyncd) -> None:
    one = rounds.store.snapshot(str(rounds.store.current()))
    assert published(rounds, one) == Outcome("there", one.id, one.id)


def test_what_a_target_lost_meanwhile_is_made_anew(rounds: Rounds, daemon: Rsyncd) -> None:
    link = rounds.folder / "daemon" / "site" / "current"
    assert not published(rounds, rounds.build(page="two"), before=link.unlink).error
    assert shown(rounds) == "two"


def test_another_remotes_site_is_not_overwritten(rounds: Rounds, daemon: Rsyncd) -> None:
    """Though the note says that the target shows what it should."""
    two = rounds.build(page="two")
    description = rounds.folder / "daemon" / "site" / "current" / "snapshot.json"

    def other() -> None:
        text = description.read_text()
        mine = json.loads(text)["remote"]["id"]
        description.write_text(text.replace(mine, "another"))

    outcome = published(rounds, two, before=other)
    assert "another remote" in outcome.error, outcome
    assert shown(rounds) == "one"


def test_a_look_that_failed_is_no_harm(rounds: Rounds, daemon: Rsyncd) -> None:
    said = Said()

    def restarted() -> None:
        time.sleep(1)
        daemon.start()

    outcome = published(rounds, rounds.build(page="two"), restarted, daemon.stop, said)
    assert not outcome.error and shown(rounds) == "two"
    assert any("trying again" in line for line in said.lines)


def test_a_look_that_hangs_and_that_nobody_wants_ends_with_the_round(rounds: Rounds, daemon: Rsyncd) -> None:
    assert daemon.child
    rounds.targets = tuple(target("there", {"rsync": daemon.url("site")}, rounds.folder) for _ in "1")
    os.kill(daemon.child.pid, signal.SIGSTOP)
    try:
        with rounds.store.locked("watch"), ahead_of(rounds, Said()) as ahead:
            ahead.begin()
            wait_for(lambda: bool(asking(daemon)), "a look")
        wait_for(lambda: not asking(daemon), "its end", 1)
        with Store(rounds.store.root).locked("push"):
            pass
    finally:
        os.kill(daemon.child.pid, signal.SIGCONT)


def asking(daemon: Rsyncd) -> list[str]:
    """The processes that ask the daemon."""
    return subprocess.run(["pgrep", "-f", daemon.url()], check=False, capture_output=True, text=True).stdout.split()


def failing(rounds: Rounds) -> None:
    notes.note_failure(rounds.store, "there", rounds.store.current(), "it is down")


def lagging(rounds: Rounds) -> None:
    notes.note_live(rounds.store, "there", "20200101T000000Z-00000000", checked=True)


def never_seen(rounds: Rounds) -> None:
    (rounds.store.targets / "there.json").unlink()


def unpromoted(rounds: Rounds) -> None:
    rounds.store.current_link.unlink()


def test_a_folder_of_this_machine_is_looked_at_in_no_time(rounds: Rounds) -> None:
    rounds.targets = (target("there", {"rsync": "./there"}, rounds.folder),)
    assert rounds.publish(rounds.build(page="one")).whole
    with rounds.store.locked("watch"), ahead_of(rounds, Said()) as ahead:
        ahead.begin()
        assert ahead.taken(rounds.targets[0]) is None


@pytest.mark.parametrize("how", [failing, lagging, never_seen, unpromoted])
def test_nobody_else_is_asked(rounds: Rounds, daemon: Rsyncd, how: Callable[[Rounds], object]) -> None:
    start = connections(daemon)
    with rounds.store.locked("watch"):
        how(rounds)
        with ahead_of(rounds, Said()) as ahead:
            ahead.begin()
            assert ahead.taken(rounds.targets[0]) is None
    time.sleep(0.2)
    assert connections(daemon) == start


def test_rounds_look_while_they_build_if_there_is_any_news(
    images: Site, monkeypatch: pytest.MonkeyPatch, real_tmp: Path
) -> None:
    with Rsyncd(real_tmp / "rsyncd", real_tmp / "daemon", munge=False) as daemon:
        images.configure({"there": {"rsync": daemon.url("site")}})
        images.flatdex("publish", code=DONE)
        config = configfile.load(images.folder / "flatdex.yaml", {})
        asked: list[int] = []

        def building(*args: Any, **named: Any) -> Built:
            start = connections(daemon)
            built = build(*args, **named)
            if built.changed:
                wait_for(lambda: connections(daemon) > start, "a look")
            asked.append(connections(daemon) - start)
            return built

        monkeypatch.setattr("front.publishing.build", building)
        order = Order(("1",), frozenset({"x"}), None)
        assert not watching.round_(config, order, None).changed
        new_version(images, "2.0")
        start = connections(daemon)
        found = watching.round_(config, order, None)
        assert found.changed and all(each.live for each in found.targets)
        assert asked == [0, 1]
        assert connections(daemon) - start == 4, "a look, what is sent, the flip, and a look whether it is there"
