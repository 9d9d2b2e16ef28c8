"""A watch under a steady stream of events of all kinds, and whether anything about it grows meanwhile."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import fill
from bench.measure import Row
from bench.stream import Stream
from bench.vitals import Growth, Vitals, command, growth, processor_seconds, vitals
from bench.watched import configure
from tests.e2e.site import Flatdex
from tests.e2e.watching import Watch
from tests.real.process import children_of, free_port
from tests.real.registry import DockerRegistry

REPOSITORIES = 20
KEPT = 5
_MB = "MB"
_FEWEST = 80
"""Samples that are taken at least; in a long soak there is one a second."""
_MORE = """
grace: 1s
keep: {{snapshots: {kept}, days: 0}}
metrics: {{textfile: ./flatdex.prom, listen: "127.0.0.1:{port}"}}
"""
# What each figure may be more at the end, in its unit. Memory that is freed does not always go back to the kernel.
BOUNDS = {
    "watch, resident": (_MB, 2.0),
    "watch, anonymous": (_MB, 2.0),
    "watch, descriptors": ("files", 4.0),  # a round that runs takes three
    "watch, threads": ("threads", 0.0),
    "watch, children": ("processes", 0.0),
    "watch, dead children": ("processes", 0.0),
    "fork server, anonymous": (_MB, 2.0),
    "fork server, descriptors": ("files", 2.0),
    "fork server, threads": ("threads", 0.0),
    "fork server, dead children": ("processes", 0.0),
    "snapshots in the store": ("snapshots", 3.0),
    "snapshots on a target": ("snapshots", 3.0),
    "files of a snapshot": ("files", 20.0),
    "events that are kept": ("files", 5.0),
    "files in the spool": ("files", 5.0),
    "other names in the store": ("names", 1.0),
}


@dataclass(frozen=True)
class Soaked:
    """What it came to: each figure's growth, how many events of each kind there were, and what is told of all."""

    growths: Mapping[str, Growth]
    events: Mapping[str, int]
    wrong: Mapping[str, int]
    """Answers to events that should have been others."""
    rounds: int
    log_lines: int
    log_bytes: int
    processor: float
    """Seconds that the watch itself kept a processor busy, of each second."""
    code: int

    @property
    def grown(self) -> dict[str, Growth]:
        """What has grown more than it may."""
        return {name: each for name, each in self.growths.items() if name in BOUNDS and each.more > BOUNDS[name][1]}


def rows(folder: Path, seconds: int) -> Iterator[Row]:
    """A row for each figure."""
    print(f"watching a steady stream of events for {seconds} s", flush=True)
    found = soak(folder, seconds)
    for name, each in found.growths.items():
        bound = BOUNDS[name][1] if name in BOUNDS else None
        detail = f"{each.early:.1f}, then {each.late:.1f}; {each.an_hour:+.1f} an hour"
        yield Row(f"soak: {name}", each.more, f"{_unit(name)} more", bound, detail)
    events = ", ".join(f"{number} {kind}" for kind, number in found.events.items())
    wrong = ", ".join(f"{number} x {what}" for what, number in found.wrong.items())
    yield Row("soak: wrong answers", sum(found.wrong.values()), "answers", 0, wrong)
    yield Row("soak: rounds", found.rounds, "rounds", None, f"{events}; the watch ended with {found.code}")
    yield Row("soak: of a processor, beside rounds", 100 * found.processor, "%", None, "the watch's own process")
    each_minute = found.log_lines / seconds * 60
    yield Row("soak: lines of the log", each_minute, "a minute", None, f"{found.log_bytes} bytes in all")


def soak(folder: Path, seconds: float) -> Soaked:
    """Soaks for so long. Raises SystemExit if the watch ends by itself or does nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    port, metrics, secret = free_port(), free_port(), secrets.token_hex(20)
    url, headers = f"http://127.0.0.1:{port}/", {"Authorization": f"Bearer {secret}"}
    (folder / "secret").write_text(secret)
    (folder / "secret").chmod(0o600)
    flatdex = Flatdex(folder)
    with DockerRegistry(folder / "registry", notifications=(url, headers)) as registry:
        fill.fill(registry.url, range(REPOSITORIES))
        targets = {name: {"rsync": f"./{name}"} for name in ("a", "b")}
        events = {
            "webhook": {"listen": f"127.0.0.1:{port}", "secret_file": "./secret"},
            "spool": "./spool",
            "every": "5s",
            "settle": "200ms",
        }
        configure(flatdex, registry.url, targets, events, _MORE.format(kept=KEPT, port=metrics))
        with Watch(flatdex, ready=False, options=()) as watch:
            watch.wait("live: ", seconds=60)
            stream = Stream(registry.url, url, headers, f"http://127.0.0.1:{metrics}/metrics", folder / "spool")
            return _soaked(watch, stream, seconds)


def _soaked(watch: Watch, stream: Stream, seconds: float) -> Soaked:
    folder = watch.flatdex.folder
    child = watch.child
    if child is None:
        raise SystemExit("no watch is running")
    samples: list[Mapping[str, float]] = []
    used, began, every = processor_seconds(child.pid), time.monotonic(), min(1.0, seconds / _FEWEST)
    with stream.running(REPOSITORIES):
        while time.monotonic() < began + seconds:
            time.sleep(max(0.0, began + len(samples) * every - time.monotonic()))
            if not child.alive:
                raise SystemExit(f"the watch has ended:\n{watch.log.read_text()[-4000:]}")
            samples.append(_sample(child.pid, folder))
    used = processor_seconds(child.pid) - used
    return Soaked(
        {name: _growth(name, [each[name] for each in samples], seconds) for name in samples[0]},
        dict(stream.sent),
        dict(stream.wrong),
        len(watch.said("live: ")),
        len(watch.lines),
        watch.log.stat().st_size,
        used / seconds,
        watch.stop(),
    )


def _growth(name: str, figures: Sequence[float], seconds: float) -> Growth:
    return growth(figures, seconds, coming_and_going=_unit(name) != _MB)


def _unit(name: str) -> str:
    return BOUNDS[name][0] if name in BOUNDS else _MB


def _sample(pid: int, folder: Path) -> Mapping[str, float]:
    """All figures, now."""
    servers = [child for child in children_of(pid) if "forkserver" in command(child)]
    if len(servers) != 1:
        raise SystemExit(f"the watch has {len(servers)} fork servers")
    own, server, store = vitals(pid), vitals(servers[0]), folder / "store"
    return {
        **_named("watch", own),
        "watch, children": own.children,
        **{key: each for key, each in _named("fork server", server).items() if key in BOUNDS},
        "snapshots in the store": _number(store / "snapshots"),
        "snapshots on a target": _number(folder / "a/snapshots"),
        "files of a snapshot": sum(1 for _ in _files((store / "current").resolve())),
        "events that are kept": _number(store / "events"),
        "files in the spool": _number(folder / "spool"),
        "other names in the store": _number(store) + _number(store / "targets") + _number(store / "wanted"),
        "the store's cache": _bytes(store / "cache") / 1e6,
        "the release log": (store / "log.jsonl").stat().st_size / 1e6,
    }


def _named(who: str, found: Vitals) -> dict[str, float]:
    return {
        f"{who}, resident": found.resident,
        f"{who}, proportional": found.proportional,
        f"{who}, anonymous": found.anonymous,
        f"{who}, descriptors": found.descriptors,
        f"{who}, threads": found.threads,
        f"{who}, dead children": found.dead,
    }


def _number(folder: Path) -> int:
    """How many names a folder has; one that is not there has none."""
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def _files(folder: Path) -> Iterator[Path]:
    """All files; what goes meanwhile may be missing."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _bytes(folder: Path) -> int:
    """The size of all files; what goes meanwhile has none."""
    total = 0
    for path in _files(folder):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
