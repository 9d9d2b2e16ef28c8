"""Figures: what is counted and what the store says, in a file and by HTTP, as promtool and Prometheus take them."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.description import time_text
from builder.errors import FlatdexError
from builder.store import Store
from sync import log, notes
from sync.events.figures.counting import Figures, Watched
from sync.events.figures.figures import Unasked, figures
from sync.events.figures.metrics import Measured
from sync.events.figures.standing import Reader
from sync.events.model import Result, TargetResult
from sync.events.settings import Listen, Metrics
from tests.builder.helpers import GOOD, loaded, problems
from tests.events.test_alerts import RULES
from tests.real.process import children_of, free_port, wait_for
from tests.real.prometheus import Prometheus, promtool
from tests.sync.site import MIDDLE, NEW, OLD, Site, with_snapshots

DONE = Result("20240201T100000Z-00000000", True, build_seconds=0.3, push_seconds=0.2, lock_seconds=0.01)


@pytest.fixture
def site(real_tmp: Path) -> Site:
    """A store with three snapshots."""
    return with_snapshots(real_tmp)


def nothing_said(text: str) -> None:
    raise AssertionError(text)


def watched(root: Path, *targets: str, every: float = 3600.0) -> Watched:
    return Watched(Store(root), targets, every, "1.2.3")


def measured(root: Path, *targets: str) -> Measured:
    return Measured(watched(root, *targets), nothing_said)


def values(text: bytes | str, store: Path) -> dict[str, float]:
    """All figures by name and labels, as they stand in the text, but for the store, which has to be there."""
    found = {}
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            label = re.search(r'store="(.*?)"', name)
            assert label and label[1] == str(store), line
            plain = re.sub(r',?store="[^"]*"', "", name).replace("{}", "").replace("{,", "{")
            found[plain.removeprefix("flatdex_")] = float(value)
    return found


def about(seconds: float, value: float) -> bool:
    return abs(seconds - value) < 10


# What is counted.


def test_events_are_counted_by_origin_and_outcome(tmp_path: Path) -> None:
    made = measured(tmp_path)
    for _ in range(3):
        made.event("amqp", "taken")
    made.event("webhook", "unauthorized")
    for number in range(500):
        made.event("webhook", f"word {number}")
        made.event(f"somebody {number}", "taken")
    found = values(made.text(), tmp_path)
    events = {name: value for name, value in found.items() if name.startswith("events")}
    assert events == {
        'events_total{origin="amqp",outcome="taken"}': 3,
        'events_total{origin="webhook",outcome="unauthorized"}': 1,
        'events_total{origin="webhook",outcome="other"}': 500,
        'events_total{origin="other",outcome="taken"}': 500,
    }


def test_threads_count_everything(tmp_path: Path) -> None:
    made = measured(tmp_path)

    def count() -> None:
        for _ in range(2000):
            made.event("webhook", "taken")
            made.live(0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        made.text()
    for thread in threads:
        thread.join()
    found = values(made.text(), tmp_path)
    assert found['events_total{origin="webhook",outcome="taken"}'] == 8000
    assert found["notice_to_live_seconds_count"] == 8000 and found["notice_to_live_seconds_sum"] == 4000


def test_the_queue_tells_since_when(tmp_path: Path) -> None:
    made = measured(tmp_path)
    made.waiting(3, 2, 100.0)
    found = values(made.text(), tmp_path)
    assert (found["queue_events"], found["queue_repositories"]) == (3, 2)
    assert about(found["queue_oldest_timestamp_seconds"], time.time() - 100)
    made.waiting(0, 0, 0.0)
    assert values(made.text(), tmp_path)["queue_oldest_timestamp_seconds"] == 0


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (DONE, "done"),
        (replace(DONE, changed=False), "unchanged"),
        (replace(DONE, held=True), "held"),
        (replace(DONE, again=frozenset(["a"])), "partly"),
        (replace(DONE, targets=(TargetResult("one", True), TargetResult("two", False, "x"))), "partly"),
        (Result(error="it is broken"), "failed"),
        (Result(error="locked", locked=True), "locked"),
        (Result(interrupted=True), "interrupted"),
    ],
)
def test_rounds_are_counted_by_what_they_came_to(tmp_path: Path, result: Result, word: str) -> None:
    made = measured(tmp_path)
    before = values(made.text(), tmp_path)
    made.round(result)
    after = values(made.text(), tmp_path)
    rounds = {name for name in after if name.startswith("rounds_total") and after[name] != before[name]}
    assert rounds == {f'rounds_total{{result="{word}"}}'} and result.outcome == word
    assert (after["build_seconds_count"], after["push_seconds_count"]) == ((1, 1) if result.build_seconds else (0, 0))
    assert after["lock_wait_seconds_count"] == 1


def test_success_and_failure_have_their_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    made = measured(tmp_path)

    def told(result: Result | None = None) -> tuple[float, float]:
        clock[0] += 100
        if result:
            made.round(result)
        found = values(made.text(), tmp_path)
        success, failing = found["last_success_timestamp_seconds"], found["rounds_failing_since_timestamp_seconds"]
        return success - 1_800_000_000, failing and failing - 1_800_000_000

    assert told() == (0, 0), "until then, since the start"
    assert told(DONE) == (200, 0)
    assert told(Result(error="no")) == (200, 300)
    assert told(Result(error="no")) == (200, 300), "since the first of them"
    assert told(Result(error="in use", locked=True)) == (200, 300)
    assert told(Result(interrupted=True)) == (200, 300)
    assert told(replace(DONE, changed=False)) == (700, 0)
    assert told(Result(error="in use", locked=True)) == (700, 0), "waiting for others is no failure"


def test_after_a_start_success_is_the_last_build(site: Site) -> None:
    os.utime(site.store / "built", (1_700_000_000, 1_700_000_000))
    found = values(measured(site.store).text(), site.store)
    assert found["last_success_timestamp_seconds"] == found["last_build_timestamp_seconds"] == 1_700_000_000


def test_skips_go_by_reason_and_back_to_nought(tmp_path: Path) -> None:
    made = measured(tmp_path)

    def skips() -> dict[str, float]:
        found = values(made.text(), tmp_path)
        return {name[14:-2]: value for name, value in found.items() if name.startswith("skips")}

    made.round(replace(DONE, skips={"bad-ref": 2, "not-a-flatpak": 7}, stale=3))
    assert skips() == {"bad-ref": 2, "not-a-flatpak": 7}
    made.round(Result(error="no"))
    assert skips() == {"bad-ref": 2, "not-a-flatpak": 7} and values(made.text(), tmp_path)["stale_sources"] == 3
    made.round(replace(DONE, skips={"not-a-flatpak": 8}))
    assert skips() == {"bad-ref": 0, "not-a-flatpak": 8} and values(made.text(), tmp_path)["stale_sources"] == 0
    many = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(1000)]
    made.round(replace(DONE, skips={f"code-{code}": 1 for code in many} | {"Some Words": 1}))
    assert len(skips()) <= 51 and sum(skips().values()) == 1001


def test_origins_come_and_go(tmp_path: Path) -> None:
    made = measured(tmp_path)
    made.origin("amqp", False)
    made.origin("webhook", True)
    found = values(made.text(), tmp_path)
    assert (found['origin_up{origin="amqp"}'], found['origin_up{origin="webhook"}']) == (0, 1)
    assert found['events_total{origin="amqp",outcome="taken"}'] == 0, "so that the first event is a rise"
    made.only_origins(["webhook", "spool"])
    found = values(made.text(), tmp_path)
    assert 'origin_up{origin="amqp"}' not in found and found['origin_up{origin="webhook"}'] == 1


def test_a_refused_configuration_shows(tmp_path: Path) -> None:
    made = measured(tmp_path)
    for ok in (True, False, True):
        assert values(made.text(), tmp_path)["config_last_reload_successful"] == 1
        made.config_reload(ok)
        assert values(made.text(), tmp_path)["config_last_reload_successful"] == ok
        made.config_reload(True)


# What the store says.


def seconds_of(start: str) -> int:
    """When a snapshot of the site was made."""
    return {OLD: 1704448800, MIDDLE: 1704448805, NEW: 1706781600}[start]


def test_an_empty_store_has_figures_too(tmp_path: Path) -> None:
    found = values(measured(tmp_path, "one").text(), tmp_path)
    assert (found["current_timestamp_seconds"], found["last_build_timestamp_seconds"], found["hold"]) == (0, 0, 0)
    one = 'target_{}{{target="one"}}'
    assert (found[one.format("up")], found[one.format("live_timestamp_seconds")]) == (1, 0)
    assert found[one.format("behind_since_timestamp_seconds")] == 0
    assert about(found["beat_timestamp_seconds"], time.time()) and found['info{version="1.2.3"}'] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_what_others_change_is_seen(site: Site) -> None:
    store, made = Store(site.store), measured(site.store)
    site.promote(OLD)
    found = values(made.text(), site.store)
    assert found["current_timestamp_seconds"] == seconds_of(OLD) and found["hold"] == 0
    assert found['refs{index="stable"}'] == 2
    notes.set_hold(store, "a test")
    site.promote(NEW)
    found = values(made.text(), site.store)
    assert found["current_timestamp_seconds"] == seconds_of(NEW)
    assert found["hold"] == 1 and about(found["hold_since_timestamp_seconds"], time.time())
    notes.release(store)
    assert values(made.text(), site.store)["hold"] == 0
    (site.store / "hold").write_text("?")
    found = values(made.text(), site.store)
    assert (found["hold"], found["hold_since_timestamp_seconds"]) == (1, 0), "one that can't be read holds, too"


def test_what_a_round_tells_is_not_read_again(site: Site) -> None:
    made = measured(site.store)
    site.promote(OLD)
    made.text()
    new = site.promote(NEW)
    made.round(replace(DONE, snapshot=new, expires=seconds_of(NEW) + 60, refs={"other": 7}))
    found = values(made.text(), site.store)
    assert (found['refs{index="other"}'], found['refs{index="stable"}']) == (7, 0)
    assert (found["signature_lifetime_seconds"], found["current_timestamp_seconds"]) == (60, seconds_of(NEW))
    site.promote(MIDDLE)
    made.round(replace(DONE, snapshot=new, held=True, refs={"other": 8}))
    found = values(made.text(), site.store)
    assert found['refs{index="stable"}'] == 2 and 'refs{index="other"}' not in found
    made.round(replace(DONE, snapshot=new, refs={"other": 9}))
    found = values(made.text(), site.store)
    assert found['refs{index="stable"}'] == 2 and 'refs{index="other"}' not in found, "another one is current"


def test_a_signature_has_an_end(site: Site) -> None:
    site.promote(NEW)
    assert not any(name.startswith("signature") for name in values(measured(site.store).text(), site.store))
    file = site.snapshot(NEW) / "snapshot.json"
    until = time_text(seconds_of(NEW) + 86400)
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires": until}))
    found = values(measured(site.store).text(), site.store)
    assert found["signature_expires_timestamp_seconds"] == seconds_of(NEW) + 86400
    assert found["signature_lifetime_seconds"] == 86400


def test_damage_in_the_store_ends_nothing(site: Site) -> None:
    made = measured(site.store, "one")
    (site.snapshot(NEW) / "snapshot.json").write_text("{")
    site.promote(NEW)
    (site.store / "targets").mkdir()
    (site.store / "targets" / "one.json").write_text("[]")
    found = values(made.text(), site.store)
    assert found["current_timestamp_seconds"] == seconds_of(NEW) and 'refs{index="stable"}' not in found
    (site.store / "current").unlink()
    (site.store / "current").mkdir()
    assert values(made.text(), site.store)["current_timestamp_seconds"] == 0


class Standings:
    """What is found of one target, after each of the things that may happen to it; the log's lines are a day apart."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site, self.store, self.now = site, Store(site.store), 1_750_000_000
        monkeypatch.setattr(time, "time", lambda: float(self.now))
        self.reader = Reader(self.store)
        self.promoted: str | None = None

    def promote(self, start: str) -> int:
        """Gives when that was."""
        self.now += 86400
        identifier = self.site.promote(start)
        log.append(self.store, "promote", **{"from": self.promoted}, to=identifier)
        self.promoted = identifier
        return self.now

    def push(self) -> None:
        self.now += 60
        notes.note_live(self.store, "one", str(self.promoted), checked=True)

    def fail(self) -> int:
        self.now += 60
        notes.note_failure(self.store, "one", None, "no route")
        return self.now

    @property
    def found(self) -> tuple[bool, int, int]:
        """Whether it is up, what it shows, since when it is behind."""
        [one] = self.reader.read(["one"]).targets
        return one.up, one.live, one.behind_since


def test_since_when_a_target_is_behind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Standings(site, monkeypatch)
    it.promote(OLD)
    it.push()
    assert it.found == (True, seconds_of(OLD), 0)
    next_one = it.promote(MIDDLE)
    assert it.found == (True, seconds_of(OLD), next_one)
    it.promote(NEW)
    assert it.found == (True, seconds_of(OLD), next_one), "since what came after it, not since the latest"
    failed = it.fail()
    it.fail()
    assert it.found == (False, seconds_of(OLD), next_one)
    it.push()
    assert it.found == (True, seconds_of(NEW), 0)
    failed = it.fail()
    assert it.found == (False, seconds_of(NEW), failed), "it may show what it should, but nobody gets through"
    it.promote(MIDDLE)
    assert it.found == (False, seconds_of(NEW), failed)


def test_a_target_is_behind_since_the_last_time_it_was_left_behind(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Standings(site, monkeypatch)
    it.promote(OLD)
    it.push()
    first = it.promote(NEW)
    assert it.found == (True, seconds_of(OLD), first)
    it.promote(OLD)
    assert it.found == (True, seconds_of(OLD), 0)
    second = it.promote(NEW)
    assert it.found == (True, seconds_of(OLD), second) and second > first


def test_a_new_target_is_behind_since_what_is_current(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Standings(site, monkeypatch)
    it.promote(OLD)
    it.promote(NEW)
    up, live, since = it.found
    assert (up, live, since) == (True, 0, it.store.current_since())


# In a file.


def test_a_file_for_the_node_exporter(site: Site) -> None:
    site.promote(NEW)
    folder = site.folder / "exported"
    folder.mkdir()
    old = os.umask(0o077)
    try:
        made = figures(watched(site.store, "one"), Metrics(folder / "flatdex.prom"), nothing_said)
        made.origin("amqp", True)
        made.event("amqp", "taken")
        made.live(0.4)
        made.round(replace(DONE, skips={"bad-ref": 1}))
        made.tick()
    finally:
        os.umask(old)
    assert [file.name for file in folder.iterdir()] == ["flatdex.prom"]
    file = folder / "flatdex.prom"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    text = file.read_text()
    assert promtool("check", "metrics", given=text) == "", "no name breaks a custom"
    found = values(text, site.store)
    assert found["sweep_interval_seconds"] == 3600 and found['refs{index="stable"}'] == 2
    assert found['notice_to_live_seconds_bucket{le="0.5"}'] == 1
    # A node exporter has figures of this name of its own, and shows none at all if there are two.
    assert not re.search(r"^(process|python)_", text, re.MULTILINE)
    assert "_created" not in text


def test_two_watches_of_a_machine_do_not_meet(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    texts = [measured(tmp_path / name, "one").text().decode() for name in ("a", "b")]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    names = [line.rpartition(" ")[0] for line in lines]
    assert len(set(names)) == len(names)


def test_a_store_with_an_odd_name(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b'a "b" \\ \xff')
    root.mkdir()
    text = measured(root).text().decode()
    assert promtool("check", "metrics", given=text) == "" and "\ufffd" in text


def test_the_file_is_written_after_rounds_and_every_15_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    file = tmp_path / "x.prom"
    made = figures(watched(tmp_path), Metrics(file), nothing_said)

    def is_written() -> bool:
        file.unlink(missing_ok=True)
        made.tick()
        return file.exists()

    assert is_written()
    assert not is_written()
    clock[0] += 14
    assert not is_written()
    clock[0] += 1.5
    assert is_written()
    made.round(DONE)
    assert is_written() and not is_written()
    made.close()
    assert file.exists()


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.prom"
    made = figures(watched(tmp_path), Metrics(file), nothing_said)
    made.tick()
    ends = threading.Event()
    seen: list[bool] = []

    def read() -> None:
        while not ends.is_set():
            text = file.read_text()
            seen.append(text.startswith("# HELP") and "flatdex_beat_timestamp_seconds" in text and text.endswith("\n"))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(100):
        made.round(DONE)
        made.tick()
    ends.set()
    thread.join()
    assert len(seen) > 10 and all(seen)


def test_a_folder_that_can_not_be_written_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "not-there" / "x.prom"
    made = figures(watched(tmp_path), Metrics(file), said.append)
    for _ in range(3):
        made.round(DONE)
        made.tick()
    assert said == [f"the figures can't be written to {file}: No such file or directory"]
    file.parent.mkdir()
    made.round(DONE)
    made.tick()
    assert file.exists()
    file.unlink()
    file.parent.rmdir()
    made.round(DONE)
    made.tick()
    assert len(said) == 2, "it is news again"


# By HTTP.


@contextmanager
def answering(root: Path, listen: Listen, *targets: str) -> Iterator[Figures]:
    made = figures(watched(root, *targets), Metrics(listen=listen), nothing_said)
    try:
        yield made
    finally:
        made.close()


def asked(port: int, method: str = "GET", path: str = "/metrics", body: str | None = None) -> tuple[int, str, str]:
    """The status, the content type and the text."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_a_port_answers(tmp_path: Path) -> None:
    port = free_port()
    with answering(tmp_path, Listen("127.0.0.1", port), "one") as made:
        made.event("spool", "taken")
        status, kind, text = asked(port)
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert promtool("check", "metrics", given=text) == ""
        assert values(text, tmp_path)['events_total{origin="spool",outcome="taken"}'] == 1
        assert asked(port, path="/metrics?x=1")[0] == 200
        assert asked(port, path="/")[0] == asked(port, path="/metrics/../x")[0] == 404
        assert asked(port, "POST", body="x")[0] == asked(port, "DELETE")[0] == 405
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            for _ in range(3):  # over one connection, as Prometheus does
                connection.request("GET", "/metrics")
                assert connection.getresponse().read().decode().endswith("\n")
    with pytest.raises(OSError, match="refused"):
        asked(port)


def test_the_figures_are_those_of_now(site: Site) -> None:
    port = free_port()
    with answering(site.store, Listen("127.0.0.1", port)):
        site.promote(OLD)
        assert values(asked(port)[2], site.store)["current_timestamp_seconds"] == seconds_of(OLD)
        site.promote(NEW)
        assert values(asked(port)[2], site.store)["current_timestamp_seconds"] == seconds_of(NEW)


def test_a_socket_answers(tmp_path: Path) -> None:
    file = tmp_path / "metrics.sock"
    with answering(tmp_path, Listen(socket=file)), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(file))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: client.recv(65536), b""))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n") and b"flatdex_info" in data
    assert not file.exists()


def test_slow_clients_keep_nobody_out(tmp_path: Path) -> None:
    port = free_port()
    threads = threading.active_count()
    with answering(tmp_path, Listen("127.0.0.1", port)):
        clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(8)]
        try:
            for client in clients:
                client.sendall(b"GET /metr")
            assert asked(port)[0] == 200
            assert threading.active_count() - threads <= 5, "a few at once, and the one who lets them in"
        finally:
            for client in clients:
                client.close()
    wait_for(lambda: threading.active_count() <= threads, "all threads to end")


@pytest.mark.parametrize("said", [b"\x00\xff\r\n\r\n", b"GET /metrics\r\n\r\n", b"GET " + b"x" * 100_000 + b"\r\n\r\n"])
def test_what_is_no_request_is_refused(tmp_path: Path, said: bytes) -> None:
    port = free_port()
    with answering(tmp_path, Listen("127.0.0.1", port)):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(said)
            assert client.recv(12).startswith(b"HTTP/1.1 4")
        assert asked(port)[0] == 200


def test_a_mistake_of_ours_is_told_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with answering(tmp_path, Listen("127.0.0.1", port)), monkeypatch.context() as patch:
        patch.setattr(Reader, "read", lambda *_: 1 / 0)
        assert asked(port)[::2] == (500, "no figures: ZeroDivisionError\n")
        patch.undo()
        assert asked(port)[0] == 200


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    port = free_port()
    with answering(tmp_path, Listen("127.0.0.1", port)) as made:
        with pytest.raises(FlatdexError, match="can't listen at"):
            figures(watched(tmp_path), Metrics(listen=Listen("127.0.0.1", port)), nothing_said)
        other = free_port()
        with socket.create_server(("127.0.0.1", other)), pytest.raises(FlatdexError, match="can't listen at"):
            made.configure(watched(tmp_path, every=60.0), Metrics(listen=Listen("127.0.0.1", other)))
        found = values(asked(port)[2], tmp_path)
        assert found["sweep_interval_seconds"] == 3600, "a configuration that can't be used changes nothing"


# With and without a configuration, and with another one.


def test_nobody_asked(tmp_path: Path) -> None:
    made = figures(watched(tmp_path), Metrics(), nothing_said)
    assert isinstance(made, Unasked)
    made.event("amqp", "taken")
    made.waiting(1, 1, 1.0)
    made.round(DONE)
    made.live(1.0)
    made.origin("amqp", True)
    made.only_origins([])
    made.config_reload(True)
    made.tick()
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_another_configuration_goes_on_with_the_figures(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    none = figures(watched(tmp_path), Metrics(), nothing_said)
    made = none.configure(watched(tmp_path), Metrics(listen=Listen("127.0.0.1", first)))
    assert made is not none
    made.event("amqp", "taken")
    metrics = Metrics(tmp_path / "x.prom", Listen("127.0.0.1", second))
    made = made.configure(watched(tmp_path, "two", every=60.0), metrics)
    try:
        found = values(asked(second)[2], tmp_path)
        assert found['events_total{origin="amqp",outcome="taken"}'] == 1 and found["sweep_interval_seconds"] == 60
        assert 'target_up{target="two"}' in found
        with pytest.raises(OSError, match="refused"):
            asked(first)
        made.tick()
        assert (tmp_path / "x.prom").exists()
        again = made.configure(watched(tmp_path, "three"), metrics)
        assert again is made and 'target_up{target="three"}' in values(asked(second)[2], tmp_path)
        made.configure(watched(tmp_path), Metrics())
        with pytest.raises(OSError, match="refused"):
            asked(second)
    finally:
        made.close()


_WITHOUT = """\
import sys
sys.modules["prometheus_client"] = None
from pathlib import Path
from builder.errors import FlatdexError
from builder.store import Store
from sync.events.figures.counting import Watched
from sync.events.figures.figures import figures
from sync.events.settings import Metrics
watched = Watched(Store(Path(".")), (), 1.0, "1")
figures(watched, Metrics(), print).tick()
try:
    figures(watched, Metrics(textfile=Path("x.prom")), print)
except FlatdexError as error:
    print(error.line)
"""


def test_the_package_is_needed_by_those_who_ask_only(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "figures need the Python package prometheus_client, which is not installed."
        " `pip install 'flatdex[metrics]'` in the environment that flatdex is installed in, or drop `metrics`.\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        ('metrics: {listen: "127.0.0.1:65536"}', 8, "metrics.listen", "there is no port 65536"),
        (
            'events: {webhook: {listen: "localhost:99999", secret_file: x}}',
            *(8, "events.webhook.listen", "there is no port 99999"),
        ),
        (
            'events: {webhook: {listen: "unix:./a.sock", secret_file: x}}\nmetrics:\n  listen: "unix:./a.sock"',
            *(10, "metrics.listen", "this is where events.webhook listens, too"),
        ),
    ],
)
def test_places_to_listen_at_that_can_not_be(tmp_path: Path, text: str, line: int, key: str, what: str) -> None:
    [problem] = problems(tmp_path, GOOD + text + "\n")
    assert (problem.line, problem.key, problem.what) == (line, key, what) and problem.fix


def test_two_places_are_fine(tmp_path: Path) -> None:
    text = 'events: {webhook: {listen: "127.0.0.1:8090", secret_file: x}}\nmetrics: {listen: "127.0.0.1:65535"}\n'
    assert loaded(tmp_path, GOOD + text).publishing["metrics"]


# Prometheus itself.


def test_prometheus_takes_it_and_warns(site: Site) -> None:
    site.promote(NEW)
    store, port = Store(site.store), free_port()
    hold = notes.set_hold(store, "a test")
    (site.store / "hold").write_text(
        json.dumps({"reason": "a test", "who": hold.who, "since": time_text(hold.since - 90_000)})
    )
    with (
        answering(site.store, Listen("127.0.0.1", port), "one") as made,
        Prometheus(site.folder / "prometheus", {"flatdex": port}, RULES) as prometheus,
    ):
        made.round(DONE)
        wait_for(lambda: prometheus.query("up") != [], "the first scrape", 20)
        wait_for(lambda: [value for _, value in prometheus.query("up")] == [1.0], "a scrape that is taken", 20)
        [(labels, value)] = prometheus.query('flatdex_rounds_total{result="done"}')
        assert value == 1 and labels["store"] == str(site.store)
        [(_, age)] = prometheus.query("time() - flatdex_current_timestamp_seconds")
        assert about(age, time.time() - seconds_of(NEW))
        wait_for(lambda: prometheus.alerts() != [], "the alert", 20)
        [alert] = prometheus.alerts()
        assert alert["labels"]["alertname"] == "FlatdexHeldLong"
        assert alert["annotations"]["summary"] == f"{site.store} has been held for more than a day"
        assert children_of(os.getpid())
