"""From a push's end until the last of three targets serves it, through a watch; and what that takes at least."""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import fill, soaking
from bench.measure import Row
from bench.seen import Reader, all_show
from bench.vitals import processor_seconds
from bench.watched import Scene, Web, scene
from tests.real.registry import DockerRegistry

_FLATDEX = str(Path(sys.executable).with_name("flatdex"))
_MEDIAN, _WORST = 1.0, 3.0  # seconds, at most
_REQUESTS = 10  # of an event, at most: two tags, an index, two images with their configurations
_PAUSES = (0.5, 2.5)  # seconds between pushes, so that they meet a second's end or not
_SETTLE = 0.2
_LONGEST = 60.0
_IDLE = 5.0
_LIVE = re.compile(r"live: .*?([0-9.]+) s after the notice \(build ([0-9.]+) s, push ([0-9.]+) s\)")
_versions = count(1)


@dataclass(frozen=True)
class _Push:
    """A push: seconds until all saw it, and what was done beside it in as many as it takes at least."""

    seconds: float
    floor: float


def rows(folder: Path, repositories: int, pushes: int, soak: int) -> Iterator[Row]:
    """All rows about the watch; a `soak` of no seconds is left out."""
    folder.mkdir()
    images = folder / "images"
    with DockerRegistry(images) as registry:
        print(f"filling a registry with {repositories} repositories x 2 tags x 2 architectures", flush=True)
        fill.fill(registry.url, range(repositories))
    few = max(2, pushes // 5)
    with scene(folder / "webhook", images) as at:
        yield _idle(at)
        yield from _told(at, repositories, pushes)
        at.watch.stop()
        yield _by_cron(at, repositories, max(2, pushes // 10))
    with scene(folder / "ssh", images, third="ssh") as at:
        yield _row("push until served, one target by ssh", at, _pushed(at, repositories, few), None, statistics.median)
    with scene(folder / "amqp", images, "amqp") as at:
        found = _pushed(at, repositories, few)
        yield _row("push until served, told by AMQP, median", at, found, _MEDIAN, statistics.median)
        yield _row("push until served, told by AMQP, worst", at, found, _WORST, max)
    if soak:
        yield from soaking.rows(folder / "soak", soak)


def _told(at: Scene, repositories: int, pushes: int) -> Iterator[Row]:
    before = at.asked()
    found = _pushed(at, repositories, pushes)
    asked = (at.asked() - before) / pushes
    yield _row("push until three targets serve it, median", at, found, _MEDIAN, statistics.median)
    yield _row("push until three targets serve it, worst", at, found, _WORST, max)
    detail = f"of {pushes}; all {repositories} repositories have {repositories * 2} tags"
    yield Row("requests to the registry, an event", asked, "requests", _REQUESTS, detail)


def _pushed(at: Scene, repositories: int, pushes: int) -> list[_Push]:
    """Pushes to one repository after another, with the floor in turns."""
    readers = [Reader(web.url) for web in at.webs]
    found = []
    for number in random.sample(range(repositories), min(pushes, repositories)):
        digest = fill.push(at.registry.url, number, next(_versions))
        ended = time.monotonic()
        at.tell(number)
        try:
            seen = all_show(readers, digest, ended + _LONGEST)
        except SystemExit as error:
            raise SystemExit("\n".join((str(error), *at.watch.lines[-20:]))) from error
        found.append(_Push(seen - ended, _floor(at.flatdex.folder, at.webs)))
        time.sleep(random.uniform(*_PAUSES))
    return found


def _floor(folder: Path, webs: Sequence[Web]) -> float:
    """Seconds to wait for more news, to send one new file as large as an index to each target, and to read it there."""
    file = folder / "one-file"
    text = f"{random.random()}".encode()
    file.write_bytes(text + (folder / "store/current/index/latest-amd64.json").read_bytes())
    began = time.monotonic()
    time.sleep(_SETTLE)
    running = [
        subprocess.Popen(["rsync", "-t", *([f"--rsh={web.rsh}"] if web.rsh else []), file, web.floor]) for web in webs
    ]
    codes = [each.wait() for each in running]
    if any(codes):
        raise SystemExit("rsync failed")
    for web in webs:
        with urllib.request.urlopen(f"{web.url}floor/{file.name}", timeout=20) as answer:  # noqa: S310
            if not answer.read().startswith(text):
                raise SystemExit(f"{web.url} shows another file")
    return time.monotonic() - began


def _row(
    what: str, at: Scene, found: Sequence[_Push], target: float | None, chosen: Callable[[Iterable[float]], float]
) -> Row:
    """The median, or the worst, with the floor's, and where the time goes by the watch's own lines."""
    matches = [match for line in at.watch.lines if (match := _LIVE.search(line))]
    notice, build, push = (chosen([float(each[part]) for each in matches[1:]]) for part in (1, 2, 3))
    floor = chosen([each.floor for each in found])
    own = f"from the notice {notice:.2f} s, build {build:.2f} s, push {push:.2f} s"
    detail = f"of {len(found)}; {own}; settling, rsync of a file to each, HTTP: {floor:.2f} s"
    return Row(what, chosen([each.seconds for each in found]), "s", target, detail)


def _idle(at: Scene) -> Row:
    """What a watch takes of a processor while nothing happens."""
    time.sleep(1)
    before = processor_seconds(at.process.pid)
    time.sleep(_IDLE)
    used = (processor_seconds(at.process.pid) - before) / _IDLE
    return Row("a watch that waits: of a processor", 100 * used, "%", 1, f"in {_IDLE:.0f} s")


def _by_cron(at: Scene, repositories: int, runs: int) -> Row:
    """The same without a watch: a whole `publish`, begun when the push has ended."""
    readers = [Reader(web.url) for web in at.webs]
    found = []
    for number in random.sample(range(repositories), runs):
        digest = fill.push(at.registry.url, number, next(_versions))
        began = time.monotonic()
        process = subprocess.Popen([_FLATDEX, "-q", "publish", "-c", at.flatdex.config])
        found.append(all_show(readers, digest, began + _LONGEST) - began)
        if process.wait():
            raise SystemExit(f"publish ended with {process.returncode}")
    detail = f"of {runs}; worst {max(found):.2f} s; begun when the push has ended"
    return Row("the same by a whole `flatdex publish`", statistics.median(found), "s", None, detail)
