"""What was built is shown at once, and no server says of it that it is what was there before."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import snapshot
from builder.content import InMemory
from builder.description import Snapshot
from builder.site.tree import Site
from builder.store import Store
from sync import promote
from sync.verify import Sound
from tests.builder.helpers import GOOD, loaded
from tests.real.apache import Apache
from tests.real.nginx import Nginx

PATHS = ("page.html", "feed.txt")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long promotions waited, in seconds."""
    waited: list[float] = []
    real = time.sleep

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        real(seconds)

    monkeypatch.setattr("sync.promote.time.sleep", sleep)
    return waited


class Shop:
    """A store whose site is made anew, and served by real servers."""

    def __init__(self, folder: Path) -> None:
        self.config = loaded(folder, GOOD)
        self.store = Store(self.config.store)
        self.store.root.mkdir()

    def publish(self, number: int) -> Snapshot:
        """Builds and promotes the site in its `number`th form: all are of one size."""
        files = {path: InMemory(f"{path} {number:04}".encode()) for path in PATHS}
        with self.store.locked("publish", create=True):
            written = snapshot.write(self.store, Site(dict(files), {"stable": ()}, ()), self.config, int(time.time()))
            one = self.store.find(written.id)
            promote.promote(self.store, Sound(one))
        return one


def answers(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request("GET", f"/{path}", headers=named)
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def next_second() -> None:
    """Waits until another second begins."""
    time.sleep(1.02 - time.time() % 1)


@pytest.fixture(params=[Apache, Nginx])
def shown(real_tmp: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Shop, int]]:
    """A shop, and the port of a server that shows its `current`."""
    shop = Shop(real_tmp)
    shop.publish(0)
    with request.param(real_tmp / "server", shop.store.root / "current") as server:
        yield shop, server.port


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in seconds of their own"])
def test_what_was_just_promoted_has_strong_etags_and_is_never_what_was_before(
    shown: tuple[Shop, int], waits: list[float], at_once: bool
) -> None:
    shop, port = shown
    before = {path: answers(port, path) for path in PATHS}
    dates: dict[str, int] = {}
    for number in range(1, 5):
        if not at_once:
            next_second()
            waits.clear()
        one = shop.publish(number)
        if not at_once:
            assert sum(waits) < 0.02, "dated a second ago"
        for path in PATHS:
            old, (status, now, body) = before[path][1], answers(port, path)
            assert (status, body) == (200, f"{path} {number:04}".encode())
            assert now["etag"].startswith('"') and now["etag"] != old["etag"], "strong, and another"
            assert one.by_path[path].mtime < time.time() - 1
            assert one.by_path[path].mtime > dates.get(path, 0), "in one second no two contents are promoted"
            dates[path] = one.by_path[path].mtime
            for headers in ({"If_None_Match": old["etag"]}, {"If_Modified_Since": old["last-modified"]}):
                assert answers(port, path, **headers)[::2] == (200, body), headers
            for headers in ({"If_None_Match": now["etag"]}, {"If_Modified_Since": now["last-modified"]}):
                assert answers(port, path, **headers)[::2] == (304, b""), headers
            before[path] = (status, now, body)


def test_without_a_known_past_what_was_made_in_this_second_may_have_been_seen(real_tmp: Path) -> None:
    """A store that was lost and made anew at once."""
    dates = []
    for name in ("one", "two"):
        (real_tmp / name).mkdir()
        next_second()
        shop = Shop(real_tmp / name)
        start = int(time.time())
        one = shop.publish(1)
        dates.append([one.by_path[path].mtime - start for path in PATHS])
        assert time.time() >= start + 1
    assert dates == [[0, 0], [0, 0]]
