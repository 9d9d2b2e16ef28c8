"""A watch, cron's publish and an operator at one store, all at once, under readers."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.site import Flatdex
from tests.e2e.test_watch import SPOOL, Place
from tests.e2e.watching import Watch
from tests.real.apache import Apache
from tests.real.process import wait_for
from tests.real.registry import DockerRegistry

SECONDS = 60
INDEX = "/index/static?tag=latest&architecture=amd64"
TARGETS = ("a", "b")


class Actors:
    """Threads that do something again and again; what goes wrong in one is told at the end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.errors: list[str] = []
        self.done: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, act: Callable[[], object], pause: float) -> None:
        """Does `act` until all is over, with a pause of so many seconds, more or less."""

        def run() -> None:
            try:
                while not self.over.wait(pause * random.uniform(0.5, 1.5)):
                    act()
                    self.done[name] += 1
            except Exception as error:  # told by the test's own thread
                self.errors.append(f"{name}: {error!r}")
                self.over.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Lets all of them end."""
        self.over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), thread.name


def reader(port: int, opened: ExitStack) -> Callable[[], None]:
    """Reads the index that is served, then an icon that it names: both have to be there, and whole."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    opened.callback(connection.close)

    def asked(path: str) -> bytes:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{path}: {answer.status}"
        return gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body

    def read() -> None:
        results = json.loads(asked(INDEX))["Results"]
        assert len(results) == 3, f"{len(results)} applications"
        icon = random.choice(results)["Images"][0]["Labels"]["org.freedesktop.appstream.icon-64"]
        assert asked(icon if icon.startswith("/") else f"/index/{icon}").startswith(b"\x89PNG")

    return read


class Operator:
    """Promotes, holds, releases and rolls back, as nobody should, by chance."""

    def __init__(self, flatdex: Flatdex) -> None:
        self._flatdex = flatdex
        self._chance = random.Random()
        self.codes: Counter[tuple[str, int]] = Counter()

    def act(self) -> None:
        """One command; what may be refused is `rollback` where there is nothing to go back to."""
        names = sorted(path.name for path in (self._flatdex.store / "snapshots").iterdir() if path.name[0] == "2")
        verb, *args = self._chance.choice(
            [("promote", self._chance.choice(names)), ("promote",), ("hold", "why not"), ("release",), ("rollback",)]
        )
        self.run(verb, *args)

    def run(self, verb: str, *args: str) -> None:
        """Runs it; a failure that it may not have is an error."""
        ended = self._flatdex.run(verb, *args, "--wait", "60", check=False)
        self.codes[verb, ended.returncode] += 1
        gone = "no complete snapshot" in ended.stderr or "nothing to roll back" in ended.stderr
        assert ended.returncode in (0, 4) or gone, f"{verb} {args}: {ended.returncode}: {ended.stderr}"


@pytest.fixture
def place(real_tmp: Path) -> Iterator[Place]:
    with DockerRegistry(real_tmp / "registry") as registry:
        made = Place(real_tmp, registry, Flatdex(real_tmp / "site"))
        made.push(0, 1, 2, version=0)
        yield made


def test_a_minute_of_everybody_at_once(place: Place, real_tmp: Path) -> None:
    folder = place.flatdex.folder
    with ExitStack() as opened:
        servers = [opened.enter_context(Apache(real_tmp / f"on-{name}", folder / name / "current")) for name in TARGETS]
        targets = {
            name: {"rsync": f"./{name}", "url": server.url} for name, server in zip(TARGETS, servers, strict=True)
        }
        place.configure({**SPOOL, "every": "10s"}, targets, more="keep: {snapshots: 20, days: 0}\n")
        watch = opened.enter_context(Watch(place.flatdex))
        actors, operator, pushed = Actors(), Operator(place.flatdex), Counter[int]()

        def push() -> None:
            number = random.randrange(3)
            pushed[number] += 1
            place.push(number, version=pushed[number])
            place.drop(f"apps/org.example.app0000{number}")

        for server in servers:
            for _ in range(2):
                actors.begin(f"reader of {server.port}", reader(server.port, opened), 0.01)
        actors.begin("pushes", push, 1.0)
        actors.begin("cron", lambda: operator.run("publish"), 3.0)
        actors.begin("operator", operator.act, 2.0)
        actors.over.wait(SECONDS)
        actors.end()
        assert not actors.errors, "\n".join([*actors.errors, *watch.lines[-20:]])
        print(actors.done, operator.codes, pushed)
        assert actors.done["pushes"] > SECONDS / 4 and actors.done["operator"] > SECONDS / 8

        place.flatdex.run("release", "--wait", "60")
        place.drop("*")
        expected = {str(number): pushed[number] for number in range(3)}
        wait_for(lambda: all(place.versions(name) == expected for name in TARGETS), "all changes", 30)
        assert watch.stop() == 0
    assert "flatdex: " not in "\n".join(watch.lines)
    assert not watch.said("bug in flatdex|nothing was published")
    place.flatdex.run("verify")
    assert place.flatdex.run("log").returncode == 0
    left = [path.name for path in (place.flatdex.store / "snapshots").iterdir() if path.name.startswith(".")]
    assert not left


def test_readers_of_this_test_notice_what_is_missing(place: Place, real_tmp: Path) -> None:
    """An icon that is gone, and an index that lost an application."""
    place.configure(targets={"a": {"rsync": "./a"}})
    place.flatdex.run("publish")
    root = place.flatdex.folder / "a" / "current"
    with Apache(real_tmp / "apache", root) as apache, ExitStack() as opened:
        read = reader(apache.port, opened)
        read()
        for icon in root.glob("icons/*/*.png"):
            icon.unlink()
        with pytest.raises(AssertionError, match="404"):
            read()
