"""`flatdex watch` from outside: what is pushed to a real registry is live a moment later, whatever happens."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.fill import fill
from tests.e2e.site import Flatdex, get
from tests.e2e.watching import Watch
from tests.real.apache import Apache
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.process import children_of, free_port, wait_for
from tests.real.registry import DockerRegistry

CONFIG = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}"}}
sources:
  main: {{registry: "{registry}", repositories: ["apps/*", "org.*"], token: none}}
indexes:
  stable: {{tags: [latest], architectures: [amd64, arm64]}}
targets: {targets}
pages: false
events: {events}
"""
THREE = {name: {"rsync": f"./{name}"} for name in ("a", "b", "c")}
SPOOL = {"spool": "./spool", "every": "1h", "settle": "200ms"}


@dataclass
class Place:
    """A registry with three applications, and a site that is made of it and goes to three folders."""

    folder: Path
    registry: DockerRegistry
    flatdex: Flatdex

    def configure(
        self,
        events: Mapping[str, Any] = SPOOL,
        targets: Mapping[str, Any] = THREE,
        url: str = "http://127.0.0.1:8080/",
        more: str = "",
    ) -> None:
        text = CONFIG.format(
            url=url, registry=self.registry.url, targets=json.dumps(targets), events=json.dumps(events)
        )
        self.flatdex.config.write_text(text + more)

    def push(self, *numbers: int, version: int) -> None:
        """Makes new images of the applications with these numbers."""
        fill(self.registry.url, numbers, version)

    def drop(self, text: str, name: str = "") -> Path:
        """A file into the spool, as a script does it."""
        spool = self.flatdex.folder / "spool"
        spool.mkdir(exist_ok=True)
        made = spool / f".{secrets.token_hex(4)}"
        made.write_text(text)
        return made.rename(spool / (name or made.name[1:]))

    def versions(self, target: str = "a") -> dict[str, int]:
        """The versions of the applications that a target's index has, by their repositories."""
        file = self.flatdex.folder / target / "current" / "index" / "latest.json"
        found = json.loads(file.read_bytes())["Results"]
        size = "org.flatpak.installed-size"
        return {each["Name"][-1:]: int(each["Images"][0]["Labels"][size]) - 123456789 for each in found}

    def everywhere(self, number: int) -> list[int]:
        """The version that each target has of an application."""
        return [self.versions(target)[str(number)] for target in THREE]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with DockerRegistry(tmp_path / "registry", access_log=True) as registry:
        made = Place(tmp_path, registry, Flatdex(tmp_path / "site"))
        made.push(0, 1, 2, version=0)
        made.configure()
        yield made


def test_a_push_is_seen_by_the_client_at_once(real_tmp: Path, tmp_path: Path) -> None:
    """The whole way, nothing played: skopeo, docker-registry's own notification, Apache, flatpak."""
    port, secret = free_port(), secrets.token_hex(16)
    web = real_tmp / "site" / "web" / "current"
    web.parent.mkdir(parents=True)
    notifications = (f"http://127.0.0.1:{port}/", {"Authorization": f"Bearer {secret}"})
    with (
        Apache(real_tmp / "apache", web) as apache,
        DockerRegistry(real_tmp / "registry", notifications=notifications) as registry,
    ):
        registry.copy(runtime_layout(tmp_path), "org.flatdex.platform:latest")
        place = Place(real_tmp, registry, Flatdex(real_tmp / "site"))
        (place.flatdex.folder / "webhook.secret").write_text(secret)
        events = {"webhook": {"listen": f"127.0.0.1:{port}", "secret_file": "./webhook.secret"}}
        place.configure(events, {"web": {"rsync": "./web", "url": apache.url}}, apache.url)
        client = Flatpak(real_tmp / "client")
        with Watch(place.flatdex) as watch:
            client.remote_add("example", apache.url)
            assert APP not in client.run("remote-ls", "example").stdout
            for version in ("1.0", "1.1"):
                before = len(watch.lines)
                registry.copy(app_layout(tmp_path, version=version), "apps/hello:latest")
                watch.wait("live: ", before)
                if version == "1.0":
                    client.run("install", "--noninteractive", "example", APP)
                client.run("update", "--noninteractive")
                assert client.run("info", APP).stdout.count(f"Version: {version}") == 1
            [line] = watch.said(r"webhook: push of apps/hello:latest", before)
            event = line.split()[0]
            assert len(watch.said(f"^{event} .*live: .* on web", before)) == 1, "its id goes all the way"
            assert RUNTIME in client.run("list", "--runtime").stdout
            assert watch.stop() == 0


def test_only_what_an_event_names_is_asked(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        place.push(1, version=1)
        place.push(2, version=1)
        asked, said = len(place.registry.log().splitlines()), len(watch.lines)
        file = place.drop("apps/org.example.app00001\n")
        watch.wait("live: .* on a, b, c", said)
        wait_for(lambda: not file.exists(), "the file to go")
        assert place.everywhere(1) == [1, 1, 1] and place.everywhere(2) == [0, 0, 0]
        requests = place.registry.log().splitlines()[asked:]
        assert 0 < len(requests) <= 6 and not any("app00002" in line for line in requests)


def test_strangers_and_repeats_cost_no_request(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        asked, said = len(place.registry.log().splitlines()), len(watch.lines)
        files = [place.drop("secret/unknown\n"), place.drop("not a name\n")]
        watch.wait("nothing of ours", said)
        wait_for(lambda: not files[0].exists(), "the first file to go")
        files = [place.drop("apps/org.example.app00001\n") for _ in range(200)]
        watch.wait("nothing new", said)
        wait_for(lambda: not any(file.exists() for file in files), "all files to go")
        assert len(place.registry.log().splitlines()) - asked <= 4
        assert len(watch.said("a round begins", said)) <= 2


def test_what_comes_in_during_a_round_is_in_the_next(place: Place) -> None:
    place.configure(more="hooks: {after_push: [sleep 2]}\n")
    with Watch(place.flatdex) as watch:
        said = len(watch.lines)
        place.push(1, version=1)
        place.drop("apps/org.example.app00001")
        watch.wait("a round begins: apps/org.example.app00001", said)
        place.push(1, 2, version=2)
        place.drop("apps/org.example.app00001\napps/org.example.app00002")
        wait_for(lambda: place.everywhere(2) == [2, 2, 2], "the second round", 20)
        assert place.everywhere(1) == [2, 2, 2]


def test_a_hold_lets_builds_go_on_and_its_end_publishes(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        place.flatdex.run("hold", "a demonstration")
        said = len(watch.lines)
        place.push(1, version=1)
        file = place.drop("apps/org.example.app00001")
        watch.wait("built .*not promoted while a hold lasts", said)
        wait_for(lambda: not file.exists(), "the file to go")
        assert place.everywhere(1) == [0, 0, 0]
        said = len(watch.lines)
        place.flatdex.run("release")
        watch.wait("live: .* on a, b, c", said)
        assert place.everywhere(1) == [1, 1, 1]


def test_another_configuration_is_taken_and_a_broken_one_is_not(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        assert watch.child
        good = place.flatdex.config.read_text()
        place.flatdex.config.write_text(good.replace("targets:", "tragets:"))
        watch.child.signal(signal.SIGHUP)
        assert "tragets" in watch.wait("refused, the old one stays")
        told = place.flatdex.run("status", "--store", str(place.flatdex.store), check=False)
        assert told.returncode == 3 and "works by its old configuration" in told.stdout and "tragets" in told.stderr
        place.flatdex.config.write_text(good)
        assert "tragets" in watch.state["reload_error"]
        said = len(watch.lines)
        place.push(1, version=1)
        place.drop("apps/org.example.app00001")
        watch.wait("live: .* on a, b, c", said)

        said = len(watch.lines)
        place.configure({**SPOOL, "spool": "./other"}, {**THREE, "d": {"rsync": "./d"}})
        watch.child.signal(signal.SIGHUP)
        watch.wait("the configuration was read again", said)
        watch.wait("live: .*d", said)
        assert not watch.state["reload_error"]
        place.push(2, version=2)
        (place.flatdex.folder / "other" / "f").write_text("apps/org.example.app00002")
        wait_for(lambda: place.versions("d")["2"] == 2, "the new target")

        said = len(watch.lines)
        place.flatdex.config.write_text(good.replace("./store", "./elsewhere"))
        watch.child.signal(signal.SIGHUP)
        watch.wait("another store", said)


def test_a_registry_that_fails_in_the_middle_loses_nothing(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        said = len(watch.lines)
        place.push(1, version=1)
        place.registry.stop()
        file = place.drop("apps/org.example.app00001")
        watch.wait("is tried again", said)
        time.sleep(2)
        assert file.exists() and place.everywhere(1) == [0, 0, 0]
        assert len(watch.said("stale main", said)) == 1, "one line, however often it is tried"
        place.registry.start()
        watch.wait("live: .* on a, b, c", said)
        wait_for(lambda: not file.exists(), "the file to go")
        assert place.everywhere(1) == [1, 1, 1]


def test_killed_it_goes_on_from_where_it_was(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        place.push(1, version=1)
        place.registry.stop()
        file = place.drop("apps/org.example.app00001")
        watch.wait("is tried again")
        assert watch.stop(signal.SIGKILL) == -signal.SIGKILL
    assert file.exists()
    assert place.flatdex.json("status")["watch"]["state"] == "dead"
    place.registry.start()
    with Watch(place.flatdex) as watch:
        assert place.everywhere(1) == [1, 1, 1]
        wait_for(lambda: not file.exists(), "the file to go")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_it_has_nothing_to_do(place: Place, number: signal.Signals) -> None:
    with Watch(place.flatdex) as watch:
        assert watch.child
        family = children_of(watch.child.pid)
        started = time.monotonic()
        assert watch.stop(number) == 0
        assert time.monotonic() - started < 5
        wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in family), "its processes to end")


def test_a_round_is_finished_or_abandoned_when_it_is_to_end(place: Place) -> None:
    place.configure(more="hooks: {after_promote: [sleep 3], after_push: [sleep 50]}\n")
    with Watch(place.flatdex, ready=False) as watch:
        watch.wait("a round begins")
        wait_for(lambda: (place.flatdex.folder / "store" / "current").is_symlink(), "the promotion", 20)
        started = time.monotonic()
        assert watch.stop(seconds=30) == 0
        assert time.monotonic() - started < 15
        assert watch.said("abandoned")
    place.configure()
    with Watch(place.flatdex):
        assert place.everywhere(1) == [0, 0, 0]


def test_one_watch_is_enough(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        refused = place.flatdex.run("watch", check=False)
        assert refused.returncode == 11 and "watched already" in refused.stderr
        assert watch.state["state"] == "running"


def test_operators_go_first_and_see_what_it_did(place: Place) -> None:
    with Watch(place.flatdex) as watch:
        first = place.flatdex.root.readlink().name
        said = len(watch.lines)
        place.push(1, version=1)
        place.drop("apps/org.example.app00001")
        watch.wait("live: ", said)
        back = place.flatdex.json("rollback", first)
        assert place.everywhere(1) == [0, 0, 0] and back["again"] == first
        said = len(watch.lines)
        place.push(1, version=2)
        place.drop("apps/org.example.app00001")
        watch.wait("not promoted while a hold lasts", said)
        published = place.flatdex.run("publish", check=False)
        assert published.returncode == 4 and "held" in published.stderr
        place.flatdex.run("release")
        wait_for(lambda: place.everywhere(1) == [2, 2, 2], "the end of the hold", 20)


def test_a_target_that_is_down_gets_it_later(place: Place) -> None:
    blocked = place.flatdex.folder / "c"
    blocked.write_text("in the way")
    with Watch(place.flatdex) as watch:
        watch.wait("^.*c: .*tried again in")
        said = len(watch.lines)
        place.push(1, version=1)
        place.drop("apps/org.example.app00001")
        watch.wait("live: .* on a, b,", said)
        assert place.versions("b")["1"] == 1
        blocked.unlink()
        watch.wait("c is up to date again", said, seconds=40)
        assert place.versions("c")["1"] == 1


def test_without_events_it_looks_now_and_then(place: Place) -> None:
    place.configure({"every": "1s"})
    with Watch(place.flatdex):
        place.push(1, version=1)
        wait_for(lambda: place.everywhere(1) == [1, 1, 1], "the sweep", 20)


def test_json_lines(place: Place) -> None:
    place.configure({"every": "1h"})
    with Watch(place.flatdex, arguments=("--json",)) as watch:
        watch.stop()
        found = [json.loads(line) for line in watch.lines]
        [live] = [each for each in found if each["text"].startswith("live: ")]
        assert live["outcome"] == "done" and len(live["ids"]) == 1
        assert live["ids"] == next(each["ids"] for each in found if "a round begins" in each["text"])


def test_what_systemd_is_told(place: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with Watch(place.flatdex, env=env) as watch:
            assert b"READY=1" in listening.recv(1000)
            heard = b"".join(listening.recv(1000) for _ in range(3))
            assert b"WATCHDOG=1" in heard
            watch.stop()
            rest = [listening.recv(1000)]
            while b"STOPPING=1" not in rest:
                rest.append(listening.recv(1000))


def test_the_page_is_asked_over_http(place: Place, real_tmp: Path) -> None:
    """A target's URL is asked, too, as after any push."""
    folder = real_tmp / "web"
    with Apache(real_tmp / "apache", folder / "current") as apache:
        place.configure(targets={"web": {"rsync": str(folder), "url": apache.url}}, url=apache.url)
        with Watch(place.flatdex) as watch:
            said = len(watch.lines)
            place.push(1, version=1)
            place.drop("apps/org.example.app00001")
            watch.wait("live: .* on web", said)
            answer = get(f"{apache.url}index/static?tag=latest&architecture=amd64")
            assert "123456790" in answer.body.decode()
