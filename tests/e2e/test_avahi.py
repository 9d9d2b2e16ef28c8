"""The service file in a real Avahi: what it announces is found, and leads to the site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.site.rules.avahi import TYPE
from demo.images import write_application, write_runtime
from tests.e2e.site import Flatdex
from tests.real.avahi import Avahi
from tests.real.process import wait_for

TITLE = """<Größe & "Söhne">'s %h """ + "x" * 60
ID = "an id & more"
CONFIG = """
store: ./store
remote: {{name: example, id: "{id}", title: {title}, url: "{url}"}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  stable: {{tags: [latest]}}
"""

DISCOVERY = """
import json, sys
from sync.mirror import lan
sources, warnings = lan.discover(2, sys.argv[1], ["127.0.0.1"])
print(json.dumps([sorted(source.url for source in sources), warnings]))
"""


@pytest.fixture
def avahi(real_tmp: Path) -> Iterator[Avahi]:
    """One that announces nothing yet."""
    with Avahi(real_tmp / "avahi") as daemon:
        yield daemon


def announced(avahi: Avahi) -> list[tuple[str, str, int, dict[str, str]]]:
    """Name, host, port and TXT of all that is found."""
    found = []
    for _, _, name, kind, domain, host, _, port, texts in avahi.found(TYPE):
        assert (kind, domain) == (TYPE, "local")
        pairs = dict(text.split("=", 1) for text in re.findall(r'"([^"]*)"', texts))
        spelled = re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1])]), name.encode()).decode()
        found.append((spelled, host, int(port), pairs))
    return found


def test_what_is_announced_is_found(avahi: Avahi, real_tmp: Path) -> None:
    flatdex = Flatdex(
        real_tmp / "flatdex", CONFIG.format(id=ID, title=json.dumps(TITLE), url="http://mirror.lan:8080/a/b/")
    )
    write_application(flatdex.folder / "images", version="1.0", created="2026-01-02T03:04:05Z")
    write_runtime(flatdex.folder / "images")
    file = avahi.services / "flatdex.service"
    file.write_text(flatdex.run("rules", "avahi").stdout)
    wait_for(lambda: bool(announced(avahi)), "the announcement", 20)
    ((name, host, port, texts),) = announced(avahi)
    assert name.startswith(TITLE[:30]) and name.endswith(f"xx ({ID})") and len(name.encode()) == 63
    assert (host, port) == ("mirror.local", 8080)
    assert texts == {"id": ID, "path": "/a/b/"}
    flatdex.run("publish")
    version = json.loads((flatdex.root / "snapshot.json").read_bytes())["version"]
    file.write_text(flatdex.run("rules", "avahi", "--port=80", "--prefix=/c").stdout)
    expected = {"id": ID, "path": "/c/", "version": str(version)}
    wait_for(lambda: [each[2:] for each in announced(avahi)] == [(80, expected)], "the new announcement", 20)
    file.unlink()
    wait_for(lambda: not announced(avahi), "the end of the announcement", 20)


def test_two_of_one_title_on_one_machine_are_both_found(avahi: Avahi, real_tmp: Path) -> None:
    for number in (1, 2):
        url = f"https://mirror{number}.example.org/"
        flatdex = Flatdex(real_tmp / f"flatdex-{number}", CONFIG.format(id=f"id-{number}", title="Same", url=url))
        (avahi.services / f"{number}.service").write_text(flatdex.run("rules", "avahi", f"--port=808{number}").stdout)
    wait_for(lambda: len(announced(avahi)) == 2, "both announcements", 20)
    assert {each[::2] for each in (each[:3] for each in announced(avahi))} == {
        ("Same (id-1)", 8081),
        ("Same (id-2)", 8082),
    }


def test_a_mirror_run_finds_what_avahi_announces(avahi: Avahi, real_tmp: Path) -> None:
    pytest.importorskip("zeroconf")
    for number, path in ((1, "/"), (2, "/a/b~1/")):
        url = f"http://127.0.0.1:808{number}{path}"
        flatdex = Flatdex(real_tmp / f"flatdex-{number}", CONFIG.format(id=f"id-{number}", title="Same", url=url))
        (avahi.services / f"{number}.service").write_text(flatdex.run("rules", "avahi").stdout)
    wait_for(lambda: len(announced(avahi)) == 2, "both announcements", 20)
    for wanted, urls in (
        ("", ["http://127.0.0.1:8081/", "http://127.0.0.1:8082/a/b~1/"]),
        ("id-1", ["http://127.0.0.1:8081/"]),
    ):
        sources, warnings = json.loads(avahi.python(DISCOVERY, wanted))
        assert (sources, warnings) == (urls, [])
