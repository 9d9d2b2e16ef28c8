"""Builds from a real registry, as whole processes, against curl asking for the same."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import fill, measure
from bench.fill import Wanted
from bench.measure import Pairs, Row
from bench.proxy import proxy
from builder.config import CONNECTIONS
from builder.files import files_in
from tests.real.registry import DockerRegistry

_FLATDEX = str(Path(sys.executable).with_name("flatdex"))
_CONFIG = """
store: ./store
remote: {{name: bench, url: "http://127.0.0.1/"}}
sources:
  main: {{registry: "{registry}"}}
indexes:
  defaults: {{architectures: [amd64, arm64]}}
  stable: {{tags: [latest]}}
  testing: {{tags: [testing]}}
targets:
  here: {{rsync: ./target}}
"""
_DELAY = 0.02  # seconds
_CHANGED = 10  # repositories
_MEMORY = {300: 120.0, 1000: 250.0}  # MB, at most


@dataclass(frozen=True)
class Remote:
    """A registry that is filled, a folder to build in, and the requests that a cold build needs."""

    folder: Path
    registry: str
    repositories: int
    wanted: tuple[Wanted, ...]

    @property
    def tags(self) -> tuple[Wanted, ...]:
        """The requests that tell whether anything changed."""
        return tuple(each for each in self.wanted if each.digest)

    def verb(self, verb: str) -> list[str]:
        """A command on this remote."""
        return [_FLATDEX, "-q", "-c", str(self.folder / "flatdex.yaml"), verb]

    def configure(self, registry: str) -> None:
        """Reads the registry at another URL from now on."""
        (self.folder / "flatdex.yaml").write_text(_CONFIG.format(registry=registry))
        self.forget()

    def forget(self) -> None:
        """Makes the next build a cold one."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)

    def curl(self, registry: str, wanted: Iterable[Wanted], conditional: bool = False) -> list[str]:
        """The floor: the same requests by curl, as many at once."""
        file = self.folder / ("conditional" if conditional else "urls")
        file.write_text("next\n".join(_curl_block(registry, each, conditional) for each in wanted))
        options = ["--no-progress-meter", "--fail", "--parallel", "--parallel-max", str(CONNECTIONS)]
        return ["curl", *options, "--config", str(file)]


def _curl_block(registry: str, wanted: Wanted, conditional: bool) -> str:
    condition = f'header = "If-None-Match: \\"{wanted.digest}\\""\n' if conditional else ""
    return f'url = "{registry}{wanted.path}"\nheader = "Accept: {wanted.accept}"\n{condition}output = "/dev/null"\n'


@contextmanager
def _remote(folder: Path, repositories: int) -> Iterator[Remote]:
    with DockerRegistry(folder / "registry") as registry:
        print(f"filling a registry with {repositories} repositories x 2 tags x 2 architectures", flush=True)
        fill.fill(registry.url, range(repositories))
        remote = Remote(folder, registry.url, repositories, tuple(fill.needed(registry.url, repositories)))
        remote.configure(registry.url)
        yield remote


def rows(folder: Path, sizes: Sequence[int], runs: int) -> Iterator[Row]:
    """All rows about builds from a registry of each of three sizes; the middle one is measured in full."""
    small, middle, large = sizes
    times: dict[int, tuple[Pairs, Pairs]] = {}
    for size in (small, middle, large):
        with _remote(folder / str(size), size) as remote:
            times[size] = _cold(remote, runs), _unchanged(remote, runs)
            if size == middle:
                yield from _main_rows(remote, runs, *times[size])
            if size in _MEMORY:
                most = max(each.megabytes for each in times[size])
                yield Row(f"peak memory, R={size}", most, "MB", _MEMORY[size], "the whole process, cold")
    for number, what in enumerate(("cold build", "nothing changed")):
        seconds = [times[size][number].seconds for size in sizes]
        first = (seconds[1] - seconds[0]) / (middle - small)
        second = (seconds[2] - seconds[1]) / (large - middle)
        detail = " s, ".join(f"R={size} {each:.2f}" for size, each in zip(sizes, seconds, strict=True))
        off = abs(second / first - 1) * 100
        yield Row(
            f"{what}: growth off a line by", off, "%", 20, f"{detail} s; {first * 1e3:.2f}, {second * 1e3:.2f} ms each"
        )


def _cold(remote: Remote, runs: int) -> Pairs:
    return measure.pairs(remote.verb("build"), remote.curl(remote.registry, remote.wanted), runs, remote.forget)


def _unchanged(remote: Remote, runs: int) -> Pairs:
    before = _state(remote.folder / "store" / "snapshots")
    floor = remote.curl(remote.registry, remote.tags, conditional=True)
    found = measure.pairs(remote.verb("build"), floor, runs)
    if _state(remote.folder / "store" / "snapshots") != before:
        raise SystemExit("a build in which nothing had changed wrote to the site")
    return found


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """All files of the site, by what changes when a byte is written."""
    found = {name: (folder / name).stat() for name in files_in(folder)}
    return {name: (stat.st_ino, stat.st_ctime_ns) for name, stat in found.items()}


def _main_rows(remote: Remote, runs: int, cold: Pairs, unchanged: Pairs) -> Iterator[Row]:
    at = f"R={remote.repositories}"
    floor = f"curl, {CONNECTIONS} at once, {len(remote.wanted)} requests:"
    conditional = f"curl, {CONNECTIONS} at once, {len(remote.tags)} conditional requests:"
    yield cold.row(f"cold build, {at}", floor, 2)
    yield unchanged.row(f"nothing changed, {at}", conditional, 4)
    yield _changed(remote, runs)
    yield from _push(remote, runs)
    yield from _distant(remote, runs, floor, conditional)


def _changed(remote: Remote, runs: int) -> Row:
    """How much longer a build takes in which some repositories have new images, one after one in which none has."""
    version = 0

    def push_new() -> None:
        nonlocal version
        version += 1
        step = remote.repositories // _CHANGED
        fill.fill(remote.registry, range(0, remote.repositories, step), version)

    found = []
    for _ in range(runs):
        same = measure.run(remote.verb("build"))
        push_new()
        found.append((measure.run(remote.verb("build")), same))
    pairs = Pairs(tuple(new for new, _ in found), tuple(same for _, same in found))
    more = pairs.seconds - pairs.floor_seconds
    detail = f"{pairs.seconds:.2f} s, {pairs.megabytes:.0f} MB; nothing changed {pairs.floor_seconds:.2f} s"
    return Row(f"{_CHANGED} of {remote.repositories} repositories changed", more, "s more", 0.5, detail)


def _push(remote: Remote, runs: int) -> Iterator[Row]:
    measure.run(remote.verb("promote"))
    measure.run(remote.verb("push"))
    bare = ["rsync", "-rlt", f"{remote.folder}/store/current/", f"{remote.folder}/target/current/"]
    yield measure.pairs(remote.verb("push"), bare, runs).row("push, nothing changed", "bare rsync -rlt:", None)


def _distant(remote: Remote, runs: int, floor: str, conditional: str) -> Iterator[Row]:
    wanted = fill.needed(remote.registry, remote.repositories)
    tags = [each for each in wanted if each.digest]
    with proxy(remote.registry, 0) as near:
        alone = measure.run(remote.curl(near, wanted))
        yield Row(
            "the proxy's own ceiling",
            len(wanted) / alone.seconds,
            "requests/s",
            None,
            f"{alone.seconds:.2f} s, no delay",
        )
    with proxy(remote.registry, _DELAY) as far:
        remote.configure(far)
        late = f"{_DELAY * 1000:.0f} ms late"
        cold = measure.pairs(remote.verb("build"), remote.curl(far, wanted), runs, remote.forget)
        yield cold.row(f"cold build, every request {late}", floor, 2)
        same = measure.pairs(remote.verb("build"), remote.curl(far, tags, conditional=True), runs)
        yield same.row(f"nothing changed, every request {late}", conditional, 4)
    remote.configure(remote.registry)
