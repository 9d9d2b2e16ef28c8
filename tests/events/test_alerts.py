"""Each alert fires when it has to, and not before; all that they ask for is measured, and written down."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.catalog import Skip
from builder.store import Store
from sync.events.figures import metrics
from sync.events.figures.counting import Watched
from sync.events.figures.metrics import Measured
from sync.events.model import OUTCOMES, Result
from tests.real.prometheus import promtool
from tests.sync.site import NEW, with_snapshots

DOCS = Path(__file__).parents[2] / "docs"
RULES = DOCS / "alerts.yaml"
STORE = '{store="/srv/store"}'


@dataclass(frozen=True)
class Case:
    """Figures by name and labels, each as promtool writes a series of one value a minute, and whether an alert fires
    after so many minutes."""

    alert: str
    minutes: int
    fires: bool
    series: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.alert}-{self.minutes}-{self.fires}"


def always(value: float) -> str:
    """One value for as long as anybody asks."""
    return f"{value:.0f}+0x3000"


def case(alert: str, minutes: int, fires: bool, **figures: str) -> Case:
    """With the figures of one store, unless they have labels of their own."""
    return Case(alert, minutes, fires, {f"flatdex_{name}{STORE}": values for name, values in figures.items()})


def skips(minutes: int, fires: bool, reason: str, number: int = 1) -> Case:
    return Case("FlatdexSkips", minutes, fires, {f'flatdex_skips{{reason="{reason}",store="/s"}}': always(number)})


def up(minutes: int, fires: bool, values: str) -> Case:
    return Case("FlatdexOriginDown", minutes, fires, {'flatdex_origin_up{origin="amqp",store="/s"}': values})


def behind(minutes: int, fires: bool, since: str) -> Case:
    name = 'flatdex_target_behind_since_timestamp_seconds{target="one",store="/s"}'
    return Case("FlatdexTargetBehind", minutes, fires, {name: since})


# promtool's clock begins at 0, so 60 is a time that began a minute later.
BEATS = "0+60x9"  # the last one is that of the 9th minute
CASES = [
    # A file that stays behind shows the same beat for ever; where nobody answers there is none any more.
    case("FlatdexWatchAbsent", 30, False, beat_timestamp_seconds="0+60x3000"),
    case("FlatdexWatchAbsent", 16, False, beat_timestamp_seconds=f"{BEATS} 540+0x3000"),
    case("FlatdexWatchAbsent", 18, True, beat_timestamp_seconds=f"{BEATS} 540+0x3000"),
    case("FlatdexWatchAbsent", 18, True, beat_timestamp_seconds=BEATS),
    case("FlatdexWatchAbsent", 1400, True, beat_timestamp_seconds=BEATS),
    case("FlatdexWatchAbsent", 20, False, beat_timestamp_seconds=f"{BEATS} _x3 780+60x3000"),
    case("FlatdexRoundsFailing", 13, True, rounds_failing_since_timestamp_seconds=always(60)),
    case("FlatdexRoundsFailing", 11, False, rounds_failing_since_timestamp_seconds=always(60)),
    case("FlatdexRoundsFailing", 60, False, rounds_failing_since_timestamp_seconds=always(0)),
    behind(20, True, always(60)),
    behind(15, False, always(60)),
    behind(60, False, always(0)),
    behind(60, False, "60+60x3000"),  # always a minute behind, since there is always something new
    case(
        *("FlatdexNoSuccess", 132, True),
        last_success_timestamp_seconds=always(60),
        sweep_interval_seconds=always(3600),
        rounds_failing_since_timestamp_seconds=always(0),
    ),
    case(
        *("FlatdexNoSuccess", 129, False),
        last_success_timestamp_seconds=always(60),
        sweep_interval_seconds=always(3600),
        rounds_failing_since_timestamp_seconds=always(0),
    ),
    case(
        *("FlatdexNoSuccess", 150, False),
        last_success_timestamp_seconds=always(60),
        sweep_interval_seconds=always(3600),
        rounds_failing_since_timestamp_seconds=always(60),
    ),
    case(
        *("FlatdexEventsWaiting", 8, True),
        queue_oldest_timestamp_seconds=always(60),
        rounds_failing_since_timestamp_seconds=always(0),
    ),
    case(
        *("FlatdexEventsWaiting", 6, False),
        queue_oldest_timestamp_seconds=always(60),
        rounds_failing_since_timestamp_seconds=always(0),
    ),
    case(
        *("FlatdexEventsWaiting", 60, False),
        queue_oldest_timestamp_seconds=always(0),
        rounds_failing_since_timestamp_seconds=always(0),
    ),
    case(
        *("FlatdexEventsWaiting", 60, False),
        queue_oldest_timestamp_seconds=always(60),
        rounds_failing_since_timestamp_seconds=always(60),
    ),
    up(11, True, always(0)),
    up(9, False, always(0)),
    up(60, False, always(1)),
    up(30, False, "0+0x5 1+0x5 0+0x5 1+0x3000"),
    case("FlatdexConfigRefused", 11, True, config_last_reload_successful=always(0)),
    case("FlatdexConfigRefused", 9, False, config_last_reload_successful=always(0)),
    case("FlatdexConfigRefused", 60, False, config_last_reload_successful=always(1)),
    skips(61, True, "bad-ref"),
    skips(59, False, "bad-ref"),
    skips(90, False, "bad-ref", 0),
    skips(90, False, "not-a-flatpak"),
    case("FlatdexSourcesStale", 61, True, stale_sources=always(2)),
    case("FlatdexSourcesStale", 59, False, stale_sources=always(2)),
    case("FlatdexSourcesStale", 90, False, stale_sources=always(0)),
    case(
        *("FlatdexSignatureEndsSoon", 1086, True),
        signature_expires_timestamp_seconds=always(86400),
        signature_lifetime_seconds=always(86400),
    ),
    case(
        *("FlatdexSignatureEndsSoon", 1079, False),
        signature_expires_timestamp_seconds=always(86400),
        signature_lifetime_seconds=always(86400),
    ),
    case("FlatdexHeldLong", 1443, True, hold=always(1), hold_since_timestamp_seconds=always(60)),
    case("FlatdexHeldLong", 1440, False, hold=always(1), hold_since_timestamp_seconds=always(60)),
    case("FlatdexHeldLong", 1443, False, hold=always(0), hold_since_timestamp_seconds=always(0)),
]


def rules() -> list[dict[str, Any]]:
    """As they stand in the file."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize("each", CASES, ids=str)
def test_an_alert_fires_when_it_has_to(tmp_path: Path, each: Case) -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == each.alert]
    # promtool compares all labels and the text; here only whether it fires is of interest, so it becomes a number.
    counted = {"record": "fires", "expr": f'count(ALERTS{{alertname="{each.alert}",alertstate="firing"}}) or vector(0)'}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "it", "rules": [rule, counted]}]}))
    series = [{"series": name, "values": values} for name, values in each.series.items()]
    asked = {"expr": "fires", "eval_time": f"{each.minutes}m"}
    asked["exp_samples"] = [{"labels": "fires", "value": int(each.fires)}]  # type: ignore[assignment]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    settings = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(settings))
    promtool("test", "rules", tmp_path / "test.yaml")


def test_each_alert_is_tried_both_ways() -> None:
    tried = {(each.alert, each.fires) for each in CASES}
    assert tried == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_the_rules_are_right() -> None:
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", RULES)


def test_what_nobody_has_to_act_on_makes_no_alert() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "FlatdexSkips"]
    [codes] = re.findall(r'reason!~"(.*?)"', rule["expr"])
    guide = (DOCS / "guide.md").read_text()
    table = guide[guide.index("## What is left out") :].split("\n\n")[2]
    for line in table.splitlines()[2:]:
        named, _, act = (cell.strip() for cell in line.strip("|").split("|"))
        for code in re.findall("`([a-z-]+)`", named):
            assert (code in codes.split("|")) == (not act) == (not Skip("", "", "", code, "").act), code


@pytest.fixture
def text(real_tmp: Path) -> str:
    """All figures, after all that can be measured was."""
    site = with_snapshots(real_tmp)
    site.promote(NEW)
    file = site.store / "current" / "snapshot.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires": "2030-01-01T00:00:00Z"}))
    figures = Measured(Watched(Store(site.store), ("one",), 3600.0, "1.0"), print)
    figures.event("amqp", "taken")
    figures.origin("amqp", True)
    figures.round(Result(skips={"bad-ref": 1}))
    return figures.text().decode()


def types(text: str) -> dict[str, str]:
    """What is measured, by name, and how."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def test_all_that_rules_ask_for_is_measured(text: str) -> None:
    asked = {name for rule in rules() for name in re.findall(r"flatdex_[a-z_]+", rule["expr"])}
    assert len(asked) > 10
    assert asked <= types(text).keys()
    labels = {name for rule in rules() for name in re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"]))}
    assert all(f'{label}="' in text for label in labels), labels


def test_all_that_is_measured_is_written_down(text: str) -> None:
    written = (DOCS / "metrics.md").read_text()
    table = written[written.index("## What is measured") : written.index("## Alerts")]
    told = dict(re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \|", table, re.MULTILINE))
    measured = {name: kind for name, kind in types(text).items() if not name.startswith("flatdex_process_")}
    assert told == measured
    for name, labels in re.findall(r"^\| `([a-z_]+)` \| [a-z]+ \| (`.*?`) \|", table, re.MULTILINE):
        [sample] = re.findall(rf"^{name}\{{(.*?)\}}", text, re.MULTILINE)[:1]
        assert set(re.findall(r"([a-z]+)=", sample)) == {"store", *re.findall(r"[a-z]+", labels)}, name
    for word in (*metrics.EVENTS, *metrics.ORIGINS, *OUTCOMES, "other"):
        assert f"`{word}`" in table, word


def test_all_alerts_are_written_down() -> None:
    written = (DOCS / "metrics.md").read_text()
    told = re.findall(r"^\| `(Flatdex[A-Za-z]+)` \| .+ \| .+ \|$", written, re.MULTILINE)
    assert told == [rule["alert"] for rule in rules()]
    [quiet] = re.findall(r"Flatdex\(([A-Za-z|]+)\)", written)
    assert {f"Flatdex{name}" for name in quiet.split("|")} < set(told)
