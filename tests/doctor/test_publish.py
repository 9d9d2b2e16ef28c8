"""`publish` has doctor look at targets: what hurts clients is told, and the exit code says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.images import write_application
from tests.doctor.site import CONFIG, PUBLIC
from tests.e2e.site import Flatdex
from tests.real.apache import Apache
from tests.sync.site import DONE, PARTLY


@pytest.fixture
def target(real_tmp: Path) -> Iterator[tuple[Flatdex, Apache]]:
    """A configuration with a target, and the server that shows it."""
    apache = Apache(real_tmp / "apache", real_tmp / "flatdex" / "web" / "current")
    with apache:
        flatdex = Flatdex(real_tmp / "flatdex", f'{CONFIG}targets: {{web: {{rsync: ./web, url: "{apache.url}"}}}}\n')
        (flatdex.folder / "images").mkdir()
        yield flatdex, apache


def offer(flatdex: Flatdex, version: str) -> None:
    """An application, whose runtime is nowhere."""
    write_application(flatdex.folder / "images", version=version, created="2026-01-02T03:04:05Z")


def test_publish_tells_what_hurts_clients(target: tuple[Flatdex, Apache]) -> None:
    flatdex, _ = target
    offer(flatdex, "1.0")
    assert flatdex.run("publish").returncode == DONE
    offer(flatdex, "1.1")
    ended = flatdex.run("publish", "--doctor", check=False)
    assert ended.returncode == PARTLY
    assert "web: warning runtime-missing: tag latest, amd64: app/org.flatdex.Demo" in ended.stderr
    assert f"web: serves {flatdex.root.resolve().name}" in ended.stdout  # it was published nonetheless


def test_the_configuration_can_ask_for_it(target: tuple[Flatdex, Apache]) -> None:
    flatdex, apache = target
    flatdex.config.write_text(flatdex.config.read_text() + "doctor: true\n")
    offer(flatdex, "1.0")
    ended = flatdex.run("publish", "--json", check=False)
    said = json.loads(ended.stdout)
    assert ended.returncode == PARTLY
    assert [each["code"] for each in said["doctor"]["web"]] == ["runtime-missing"]
    pulled = [line for line in apache.access_log() if "/v2/" in line.path and line.user_agent == "flatdex"]
    assert pulled
    again = flatdex.run("publish", check=False)
    assert again.returncode == PARTLY and "runtime-missing" in again.stderr
    later = [line for line in apache.access_log() if "/v2/" in line.path and line.user_agent == "flatdex"]
    assert len(later) == len(pulled), "what is there already is not pulled each time"


def test_a_runtime_of_another_remote_is_known_each_time(target: tuple[Flatdex, Apache]) -> None:
    """Also where nothing is new, so that no image is pulled: cron would mail it again and again."""
    flatdex, apache = target
    named = 'runtime_repo: "https://dl.example.net/x.flatpakrepo", url:'
    flatdex.config.write_text(flatdex.config.read_text().replace("url:", named, 1) + "doctor: true\n")
    offer(flatdex, "1.0")
    for _ in range(3):
        ended = flatdex.run("publish", check=False)
        assert (ended.returncode, ended.stderr) == (DONE, "")
    for sample in ("0", "1", "5"):
        ended = flatdex.run("doctor", apache.url, "--public", PUBLIC, "--sample", sample)
        assert "note    runtime-elsewhere: tag latest, amd64: app/org.flatdex.Demo" in ended.stdout


def test_nothing_is_said_of_a_good_target(target: tuple[Flatdex, Apache]) -> None:
    from demo.images import write_runtime

    flatdex, _ = target
    write_runtime(flatdex.folder / "images")
    offer(flatdex, "1.0")
    assert PUBLIC in flatdex.config.read_text()  # not the URL at which the target is reached
    ended = flatdex.run("publish", "--doctor", check=False)
    assert (ended.returncode, ended.stderr) == (DONE, "")
