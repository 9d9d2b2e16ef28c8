"""Readers of a real web server, in a process of their own, while `current` is flipped, and while it is not."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from bench.large import Large
from bench.measure import Row
from sync.promote import _flip
from tests.real.nginx import Nginx

_PERIOD = 0.05
"""Seconds from one flip to the next."""
_SECONDS = 1.5
"""How long readers read in a turn."""
_TURNS = 4
"""For each pair of the other rows: short ones, since a machine is not the same for long."""
_READERS = 2
"""Threads, each with a connection."""
_AT_ONCE = 200
"""Icons that a reader asks for after an index."""
_INDEX = "index/latest.json.gz"


def rows(made: Large, pairs: int) -> Iterator[Row]:
    """How many requests are lost to flips, in turns with a time without any, and how many went wrong."""
    found: list[tuple[int, int]] = []
    wrong: list[str] = []
    _flip(made.store, made.newest.id)
    with Nginx(made.folder / "nginx", made.store.current_link) as nginx:
        for number in range(_TURNS * pairs):
            first = _read(nginx.port, wrong) if number % 2 else 0  # now the one, now the other goes first
            with _flips(made) as flips:
                busy = _read(nginx.port, wrong)
            found.append((busy, first or _read(nginx.port, wrong)))
    rates = [statistics.median(each) / _SECONDS for each in zip(*found, strict=True)]
    lost = statistics.median(100 * (1 - busy / calm) for busy, calm in found)
    each_second = (len(flips) - 1) / (flips[-1] - flips[0])
    detail = f"{rates[0]:.0f} requests/s; without flips {rates[1]:.0f}; {each_second:.0f} flips/s"
    yield Row("readers' requests lost to flips", lost, "%", 5, f"{detail}; {len(found)} pairs")
    reads = sum(map(sum, found))
    yield Row("readers' errors", len(wrong), "", 0, f"of {reads} requests{'; first: ' + wrong[0] if wrong else ''}")


@contextmanager
def _flips(made: Large) -> Iterator[list[float]]:
    """Flips all the time between two snapshots that have each other's files; gives when it did, in seconds."""
    times: list[float] = []
    stop = threading.Event()

    def work() -> None:
        for each in cycle((made.newer, made.newest)):
            if stop.wait(_PERIOD):
                break
            _flip(made.store, each.id)
            times.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


def _read(port: int, wrong: list[str]) -> int:
    """The number of requests that were answered in a turn; adds what went wrong."""
    command = [sys.executable, "-m", "bench.reading", str(port)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    wrong += told["wrong"]
    return int(told["reads"])


class _Reader:
    """Asks for an index, then for some of the icons it names, and holds each against its name."""

    def __init__(self, port: int, seed: int, until: float) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._choice = random.Random(seed)
        self._until = until
        self.reads = 0
        self.wrong: list[str] = []

    def work(self) -> None:
        while time.monotonic() < self._until:
            index = gzip.decompress(self._body(_INDEX) or gzip.compress(b""))
            icons = re.findall(rb'"\.\./icons/([0-9a-f]{2}/[0-9a-f]{62})\.png"', index)
            if not icons:
                self.wrong.append(f"{_INDEX} names no icons")
                continue
            for icon in self._choice.choices(icons, k=_AT_ONCE):
                if time.monotonic() > self._until:
                    break
                self._icon(icon.decode())

    def _icon(self, name: str) -> None:
        body = self._body(f"icons/{name}.png")
        if body is not None and hashlib.sha256(body).hexdigest() != name.replace("/", ""):
            self.wrong.append(f"{name}: other bytes")

    def _body(self, path: str) -> bytes | None:
        self.reads += 1
        try:
            self._connection.request("GET", f"/{path}")
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{path}: {error!r}")
            self._connection.close()
            return None
        if answer.status != 200:
            self.wrong.append(f"{path}: {answer.status}")
            return None
        return body


def main() -> None:
    """Reads for a turn, and prints what came of it."""
    until = time.monotonic() + _SECONDS
    readers = [_Reader(int(sys.argv[1]), seed, until) for seed in range(_READERS)]
    threads = [threading.Thread(target=each.work) for each in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [text for each in readers for text in each.wrong]
    print(json.dumps({"reads": sum(each.reads for each in readers), "wrong": wrong}))


if __name__ == "__main__":
    main()
