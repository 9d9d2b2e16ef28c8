"""The cache with a real registry and the installed command: what a second build asks for, and what it writes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from builder import oci
from tests.builder.helpers import Blobs, flatpak_labels, icon_uri, ref_of
from tests.builder.test_reading import Fake, serving
from tests.builder.test_registry import put
from tests.e2e.site import Flatdex
from tests.real.process import wait_for
from tests.real.registry import DockerRegistry

CONFIG = """
store: ./store
remote: {{name: example, url: "http://127.0.0.1:8080/"}}
sources:
  main: {{registry: "{url}"{more}}}
indexes:
  defaults: {{architectures: [amd64]}}
  stable: {{tags: [latest]}}
  testing: {{tags: [testing]}}
"""
LINE = re.compile(r'"(GET|HEAD) /v2/(\S*) HTTP/[0-9.]+" ([0-9]+) ([0-9]+)')
FLATDEX = Path(sysconfig.get_path("scripts")) / "flatdex"
PARTLY = 4


@pytest.fixture
def registry(real_tmp: Path) -> Iterator[DockerRegistry]:
    """A docker-registry that writes a log."""
    with DockerRegistry(real_tmp / "registry", access_log=True) as server:
        yield server


class Log:
    """What was asked of a registry since the last look."""

    def __init__(self, registry: DockerRegistry) -> None:
        self._registry = registry
        self._seen = 0

    def new(self) -> list[tuple[str, int, int]]:
        """Path without its query, status and size of the answer, sorted."""
        text = self._registry.log()
        found = [(path.partition("?")[0], int(status), int(size)) for _, path, status, size in LINE.findall(text)]
        new, self._seen = found[self._seen :], len(found)
        return sorted(new)


def offer(registry: DockerRegistry, repository: str, name: str, *tags: str) -> str:
    """Pushes an image; its digest."""
    blobs = Blobs()
    labels = flatpak_labels(ref_of(name), **{"org.freedesktop.appstream.icon-64": icon_uri(64, (len(name), 1, 1))})
    entry = blobs.image(labels)
    put(registry.url, repository, blobs, entry, *(tags or ("latest",)))
    return str(entry["digest"])


def state(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """All that is below a folder: inodes, sizes, mtimes and ctimes."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        info = path.lstat()
        found[str(path.relative_to(folder))] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return found


def site(flatdex: Flatdex) -> dict[str, bytes]:
    """The files of the newest snapshot, without its description."""
    newest = max((flatdex.store / "snapshots").iterdir())
    paths = [path for path in newest.rglob("*") if path.is_file() and path.name != "snapshot.json"]
    return {str(path.relative_to(newest)): path.read_bytes() for path in paths}


def test_a_second_build_asks_one_condition_a_tag_and_writes_nothing(registry: DockerRegistry, real_tmp: Path) -> None:
    for name in "abc":
        offer(registry, f"apps/{name}", name.upper(), "latest", "testing")
    log = Log(registry)
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=registry.url, more=""))
    flatdex.run("publish")
    log.new()
    before = state(flatdex.store / "snapshots")
    current = flatdex.root.readlink()
    done = flatdex.json("build")
    assert not done["changed"]
    asked = log.new()
    assert [each[:2] for each in asked] == [
        ("_catalog", 200),
        *((f"apps/{name}/manifests/{tag}", 304) for name in "abc" for tag in ("latest", "testing")),
    ]
    assert all(size == 0 for _, status, size in asked if status == 304)
    assert state(flatdex.store / "snapshots") == before and flatdex.root.readlink() == current


def test_only_what_is_new_is_fetched(registry: DockerRegistry, real_tmp: Path) -> None:
    more = ', repositories: ["apps/a", "apps/b", "other/c"]'
    for name in "ab":
        offer(registry, f"apps/{name}", name.upper(), "latest", "testing")
    offer(registry, "other/c", "C", "latest")
    log = Log(registry)
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=registry.url, more=more))
    flatdex.run("build")
    log.new()
    offer(registry, "apps/a", "Anew", "latest")
    log.new()
    assert ref_of("Anew") in flatdex.json("build", "--allow-shrink")["refs"]
    asked = [each[:2] for each in log.new()]
    assert ("apps/a/manifests/latest", 200) in asked
    assert len([path for path, _ in asked if "/blobs/" in path]) == 1
    assert len([status for _, status in asked if status == 304]) == 4
    assert not [path for path, _ in asked if "/manifests/sha256:" in path or path == "_catalog"]


def test_a_known_image_elsewhere_costs_one_manifest(registry: DockerRegistry, real_tmp: Path) -> None:
    blobs = Blobs()
    entry = blobs.image(flatpak_labels(ref_of("A")))
    put(registry.url, "apps/a", blobs, entry, "latest")
    log = Log(registry)
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=registry.url, more=""))
    flatdex.run("build")
    put(registry.url, "copy", blobs, entry, "testing")
    log.new()
    flatdex.run("build")
    asked = [each[:2] for each in log.new()]
    assert sorted(asked) == sorted(
        [
            ("_catalog", 200),
            ("apps/a/manifests/latest", 304),
            ("apps/a/manifests/testing", 404),
            ("copy/manifests/latest", 404),
            ("copy/manifests/testing", 200),
        ]
    )


def test_a_deleted_tag_is_gone_within_max_shrink(registry: DockerRegistry, real_tmp: Path) -> None:
    digests = [offer(registry, f"apps/{letter}", letter.upper()) for letter in "abcdefg"]
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=registry.url, more=""))
    flatdex.run("build")
    url = f"{registry.url}/v2/apps/{{}}/manifests/{{}}"
    assert requests.delete(url.format("a", digests[0]), timeout=10).status_code == 202
    assert ref_of("A") not in flatdex.json("build")["refs"]
    for letter, digest in zip("bc", digests[1:3], strict=True):
        assert requests.delete(url.format(letter, digest), timeout=10).status_code == 202
    refused = flatdex.run("build", check=False)
    assert refused.returncode == 1
    assert "the index stable would lose 2 of 6 refs (`max_shrink` is 20%):" in refused.stderr
    assert ref_of("B") in refused.stderr and ref_of("C") in refused.stderr
    assert len(flatdex.json("build", "--allow-shrink")["refs"]) == 4


def test_offline_and_full(registry: DockerRegistry, real_tmp: Path) -> None:
    for name in "ab":
        offer(registry, f"apps/{name}", name.upper())
    log = Log(registry)
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=registry.url, more=""))
    flatdex.run("build")
    before = site(flatdex)
    log.new()
    flatdex.run("build", "--full")
    asked = log.new()
    assert not [path for path, status, _ in asked if status == 304]
    assert len([path for path, _, _ in asked if "/blobs/" in path]) == 2
    registry.stop()
    shutil.rmtree(flatdex.store / "snapshots")
    flatdex.run("build", "--offline")
    assert site(flatdex) == before
    wrong = flatdex.run("build", "--full", "--offline", check=False)
    assert wrong.returncode == 2 and "--full and --offline contradict each other" in wrong.stderr
    shutil.rmtree(flatdex.store / "cache")
    kept = flatdex.run("build", "--offline", check=False)
    assert kept.returncode == PARTLY and "not-cached" in kept.stderr
    assert site(flatdex) == before
    shutil.rmtree(flatdex.store)
    none = flatdex.run("build", "--offline", check=False)
    assert none.returncode == 1 and "nobody was asked (--offline)" in none.stderr


@pytest.mark.parametrize("connections", [1, 16])
def test_the_hash_seed_changes_no_byte(registry: DockerRegistry, real_tmp: Path, connections: int) -> None:
    for name in "abcd":
        offer(registry, f"apps/{name}", name.upper(), "latest", "testing")
    sites = []
    for seed in ("0", "1", "random"):
        more = f", connections: {connections}"
        flatdex = Flatdex(real_tmp / f"flatdex-{seed}", CONFIG.format(url=registry.url, more=more))
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        for _ in range(2):
            subprocess.run([FLATDEX, "-q", "build", "-c", flatdex.config], check=True, env=environment, timeout=60)
            sites.append(site(flatdex))
        notes = (flatdex.store / "cache" / "built.json").read_bytes()
        assert len(notes) > 200
    assert all(each == sites[0] for each in sites)


# Ctrl-C and kill


@pytest.fixture
def slow() -> Iterator[Fake]:
    """A registry whose repository `z` hangs when a config is wanted from it."""
    fake = Fake()
    for name in "ABCDEFGH":
        fake.offer(f"apps/{name.lower()}", name, "latest")
    fake.offer("z", "Z", "latest")
    with serving(fake):
        yield fake


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_what_was_fetched_before_the_end_is_not_fetched_again(
    slow: Fake, real_tmp: Path, number: signal.Signals
) -> None:
    last = slow.blobs.data[slow.tags["z"]["latest"]["digest"]]
    config = str(oci.parse_manifest(last).config.digest)  # type: ignore[union-attr]
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=slow.url, more=', repositories: ["apps/*"]'))
    flatdex.run("publish")
    before, current = state(flatdex.store / "snapshots"), flatdex.root.readlink()
    for name in "abcdefgh":
        slow.offer(f"apps/{name}", f"{name.upper()}new", "latest")
    flatdex.config.write_text(CONFIG.format(url=slow.url, more=""))
    hang = {"now": True}

    def hanging(path: str) -> None:
        while hang["now"] and config in path:
            time.sleep(0.02)

    slow.change = hanging
    slow.asked()
    try:
        with subprocess.Popen([FLATDEX, "build", "-c", flatdex.config], stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: len([each for each in slow.log if "/blobs/" in each[0]]) == 8, "all other configs", 30)
            time.sleep(0.2)
            process.send_signal(number)
            started = time.monotonic()
            _, said = process.communicate(timeout=20)
            assert time.monotonic() - started < 5
    finally:
        hang["now"] = False
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert "Traceback" not in said
    assert state(flatdex.store / "snapshots") == before and flatdex.root.readlink() == current
    time.sleep(0.1)
    slow.asked()
    done = flatdex.json("build", "--allow-shrink")
    assert len(done["refs"]) == 9
    asked = slow.asked()
    assert len([path for path, _, _ in asked if "/blobs/" in path]) == 1, "the one that hung"
    assert not [path for path, _, _ in asked if "/manifests/sha256:" in path]
    assert len([status for _, status, _ in asked if status == 304]) == 9


def test_ctrl_c_while_tags_are_asked_keeps_those_that_were_answered(slow: Fake, real_tmp: Path) -> None:
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=slow.url, more=", connections: 2"))
    hang = {"now": True}

    def hanging(path: str) -> None:
        while hang["now"] and path.startswith("/v2/z/manifests/"):
            time.sleep(0.02)

    slow.change = hanging
    try:
        with subprocess.Popen([FLATDEX, "build", "-c", flatdex.config], stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: len([each for each in slow.log if "/manifests/latest" in each[0]]) == 8, "tags", 30)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
    finally:
        hang["now"] = False
    assert process.returncode == 130
    time.sleep(0.1)
    slow.asked()
    flatdex.run("build")
    assert len([status for _, status, _ in slow.asked() if status == 304]) == 8


def test_a_read_only_cache_makes_the_same_site(slow: Fake, real_tmp: Path) -> None:
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=slow.url, more=""))
    flatdex.run("build")
    before = site(flatdex)
    cache = flatdex.store / "cache"
    other: Any = cache.with_name(secrets.token_hex(4))
    cache.rename(other)
    cache.symlink_to("/proc/self/fdinfo")  # where not even root can write
    shutil.rmtree(flatdex.store / "snapshots")
    for _ in range(2):
        flatdex.run("build")
        assert site(flatdex) == before
