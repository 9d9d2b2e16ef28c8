"""Prints a table, and writes it to build/bench.json: what was measured, the floor beside it, and their ratio."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import fill
from builder.sources.registry import CONNECTIONS
from tests.real.registry import DockerRegistry

_FLATDEX = Path(sys.executable).with_name("flatdex")
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


@dataclass(frozen=True)
class Run:
    """A process that ended: wall-clock seconds, and the most memory it held, in MB."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Row:
    """A line of the table; `ratio` is the median of the runs' own ratios."""

    what: str
    floor: str
    seconds: float
    floor_seconds: float
    ratio: float
    megabytes: float


def main() -> int:
    """Measures all rows."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures builds and pushes against their floors.")
    parser.add_argument("--repositories", type=int, default=300, help="each with 2 tags x 2 architectures")
    parser.add_argument("--runs", type=int, default=3, help="of each pair; medians are shown")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flatdex-bench-") as name:
        rows = list(_rows(Path(name), args.repositories, args.runs))
    for row in rows:
        print(
            f"{row.what:<34} {row.seconds:7.2f} s  {row.megabytes:5.0f} MB   "
            f"{row.floor:<44} {row.floor_seconds:7.2f} s   ratio {row.ratio:5.2f}"
        )
    place = Path("build/bench.json")
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def _rows(folder: Path, repositories: int, runs: int) -> Iterator[Row]:
    with DockerRegistry(folder / "registry") as registry:
        print(f"filling a registry with {repositories} repositories x 2 tags x 2 architectures", flush=True)
        fill.fill(registry.url, repositories)
        (folder / "flatdex.yaml").write_text(_CONFIG.format(registry=registry.url))
        urls = _curl_file(folder, registry.url, repositories)
        curl = f"curl --parallel, {CONNECTIONS} at once, same URLs"
        build = [str(_FLATDEX), "-c", str(folder / "flatdex.yaml"), "build"]
        yield _compared("cold build", build, curl, urls, runs, before=lambda: _remove(folder / "store"))
        yield _compared("build, nothing changed", build, curl, urls, runs)
    flatdex = [str(_FLATDEX), "-c", str(folder / "flatdex.yaml")]
    _run([*flatdex, "promote"])
    _run([*flatdex, "push"])
    bare = ["rsync", "-rlt", f"{folder}/store/current/", f"{folder}/target/current/"]
    yield _compared("push, nothing changed", [*flatdex, "push"], "bare rsync -rlt, nothing changed", bare, runs)


def _compared(
    what: str, command: list[str], floor: str, bare: list[str], runs: int, before: Callable[[], None] | None = None
) -> Row:
    pairs = []
    for _ in range(runs):
        if before:
            before()
        pairs.append((_run(command), _run(bare)))
    return Row(
        what,
        floor,
        statistics.median(ours.seconds for ours, _ in pairs),
        statistics.median(theirs.seconds for _, theirs in pairs),
        statistics.median(ours.seconds / theirs.seconds for ours, theirs in pairs),
        max(ours.megabytes for ours, _ in pairs),
    )


def _run(command: list[str]) -> Run:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(seconds, usage.ru_maxrss / 1024)


def _curl_file(folder: Path, registry: str, repositories: int) -> list[str]:
    file = folder / "urls"
    blocks = [
        f'url = "{url}"\nheader = "Accept: {accept}"\noutput = "/dev/null"\n'
        for url, accept in fill.needed_urls(registry, repositories)
    ]
    file.write_text("next\n".join(blocks))
    return [
        "curl",
        "--no-progress-meter",
        "--fail",
        "--parallel",
        "--parallel-max",
        str(CONNECTIONS),
        "--config",
        str(file),
    ]


def _remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
