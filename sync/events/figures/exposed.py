"""What the store says, as figures for Prometheus; and all figures with the store as a label."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sync.events.figures.standing import Standing


class InStore(Collector):
    """All of a registry, with the store as a label: a node exporter shows the files of several watches together."""

    def __init__(self, registry: CollectorRegistry, store: str) -> None:
        self._registry, self._store = registry, store

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "store": self._store})
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ]
            yield metric


class OfStore(Collector):
    """What the store says, read when it is asked for."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from families(self._standing(), time.time())


def families(found: Standing, now: float) -> Iterator[Metric]:
    """The figures of what a store says."""
    current = found.current
    yield _gauge("beat_timestamp_seconds", "When these figures were made.", now)
    yield _gauge("last_build_timestamp_seconds", "When a build was last done, by whomever; 0: never.", found.built)
    yield _gauge("current_timestamp_seconds", "When what is current was made; 0: nothing is.", current.created)
    yield _gauge("hold", "Whether nothing is promoted by itself.", found.held is not None)
    yield _gauge("hold_since_timestamp_seconds", "Since when; 0: there is no hold, or one unreadable.", found.held or 0)
    if current.expires is not None:
        until, lasts = current.expires, current.expires - current.created
        yield _gauge("signature_expires_timestamp_seconds", "Until when mirrors take what is current.", until)
        yield _gauge("signature_lifetime_seconds", "For how long what is current was signed.", lasts)
    yield _gauges("refs", "Refs in what is current, by index.", "index", current.refs)
    for name, what, values in (
        ("up", "Whether the last push to a target went well.", {each.name: each.up for each in found.targets}),
        (
            "live_timestamp_seconds",
            "When what a target shows was made; 0: it is not known to show anything.",
            {each.name: each.live for each in found.targets},
        ),
        (
            "behind_since_timestamp_seconds",
            "Since when a target does not show what it should, or can't be reached; 0: all is well.",
            {each.name: each.behind_since for each in found.targets},
        ),
    ):
        yield _gauges(f"target_{name}", what, "target", values)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"flatdex_{name}", what, value)


def _gauges(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(f"flatdex_{name}", what, labels=(label,))
    for value, number in sorted(values.items()):
        found.add_metric((value,), number)
    return found
