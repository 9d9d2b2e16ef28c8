"""Whatever is in the way: a clear line and an exit code, never a traceback, and output that may go anywhere."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.sync.command import FLATDEX
from tests.sync.site import DONE, FAILED, NEW, Result, Site

READERS = ("list", "show", "verify", "status")
WRITERS = ("build", "promote", "push", "publish")


def one_error(result: Result, *words: str) -> None:
    assert result.returncode == FAILED, result
    first, *more = result.stderr.splitlines()
    assert first.startswith("flatdex: ") and all(line.startswith("  ") for line in more), result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("verb", [*READERS, *WRITERS, "serve"])
def test_a_store_that_is_a_file(images: Site, verb: str) -> None:
    images.configure({"here": {"rsync": "./target"}})
    images.store.write_text("kept")
    one_error(images.flatdex(verb), str(images.store))
    assert images.store.read_text() == "kept"


@pytest.mark.parametrize("verb", WRITERS)
def test_a_store_where_nothing_can_be_written(images: Site, verb: str) -> None:
    images.configure({"here": {"rsync": "./target"}})
    one_error(images.flatdex(verb, "--store", "/proc/flatdex"), "/proc/flatdex")


def test_a_promotion_in_a_store_that_is_not_there_makes_none(site: Site) -> None:
    """The name was probably mistyped."""
    one_error(site.flatdex("promote", "--store", "./stroe"), "no complete snapshot")
    assert not (site.folder / "stroe").exists()


@pytest.mark.parametrize("verb", ["promote", "list", "status"])
def test_snapshots_that_is_a_file(site: Site, verb: str) -> None:
    (site.store / "snapshots").rename(site.folder / "away")
    (site.store / "snapshots").write_text("")
    one_error(site.flatdex(verb), f"{site.store}/snapshots")


@pytest.mark.parametrize("verb", ["build", "promote"])
def test_a_lock_that_is_a_folder(images: Site, verb: str) -> None:
    (images.store / "lock").mkdir(parents=True)
    one_error(images.flatdex(verb), f"{images.store}/lock")


def full_store(site: Site, size: int, script: str) -> Result:
    """Run a script while the store is a small file system of its own."""
    site.store.mkdir(exist_ok=True)
    mounted = f"mount -t tmpfs -o size={size} tmpfs store || exit 99\n{script}"
    env = {**os.environ, "PATH": f"{FLATDEX.parent}:{os.environ['PATH']}"}
    words = ["unshare", "--mount", "sh", "-c", mounted]
    result = subprocess.run(words, cwd=site.folder, env=env, capture_output=True, text=True, check=False)
    if result.returncode == 99 or "unshare" in result.stderr:
        pytest.skip("no mount namespace is allowed here")
    assert "Traceback" not in result.stderr, result.stderr
    return result


def test_a_full_disk_in_the_middle_of_a_build(images: Site) -> None:
    one_error(full_store(images, 500_000, "flatdex build; code=$?; ls -A store/snapshots; exit $code"), "No space left")


def test_a_disk_without_room_for_the_lock(images: Site) -> None:
    script = "head -c 1000000 /dev/zero > store/ballast 2>/dev/null; flatdex build"
    one_error(full_store(images, 8192, script), "No space left", str(images.store))


def test_a_full_disk_leaves_no_half_snapshot(images: Site) -> None:
    result = full_store(images, 500_000, "flatdex -q build 2>/dev/null; ls -A -I cache store store/snapshots")
    assert result.stdout.split() == ["store:", "lock", "snapshots", "store/snapshots:"]


def shell(site: Site, script: str, **env: str) -> Result:
    words = ["bash", "-c", f"set -o pipefail; {script}"]
    environment = {**os.environ, "PATH": f"{FLATDEX.parent}:{os.environ['PATH']}", **env}
    return subprocess.run(
        words,
        cwd=site.folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("words", ["list", "show", "show --json", "status", "--help", "rules apache"])
def test_a_reader_that_has_had_enough(site: Site, words: str) -> None:
    result = shell(site, f"flatdex {words} | (exec <&-; sleep 0.6)")
    assert result.stderr == ""


def test_head_gets_its_line(site: Site) -> None:
    result = shell(site, "flatdex show --json | head -c 10; flatdex list | head -n 1")
    assert result.stderr == "" and site.ids[0] in result.stdout


@pytest.mark.parametrize("words", ["list", "status --json", "promote"])
def test_a_full_device_for_the_output(site: Site, words: str) -> None:
    result = shell(site, f"flatdex {words} > /dev/full")
    assert result.returncode == FAILED
    assert "No space left on device" in result.stderr and "Exception ignored" not in result.stderr
    assert "Traceback" not in result.stderr


def test_closed_standard_error(site: Site) -> None:
    assert shell(site, "flatdex promote 2>&-").returncode == DONE
    assert site.current == site.snapshot(NEW).name


def test_closed_standard_output(site: Site) -> None:
    result = shell(site, "flatdex promote >&-")
    assert (result.returncode, result.stderr) == (DONE, "")
    assert site.current == site.snapshot(NEW).name


def test_closed_standard_input(site: Site) -> None:
    site.configure({"here": {"rsync": "./target"}})
    result = shell(site, "flatdex promote <&- && flatdex push <&-")
    assert (result.returncode, result.stderr) == (DONE, "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_that_the_output_cannot_express(site: Site, encoding: str) -> None:
    name = b"st\xc3\xb6re-\xe2\x82\xac-\xff"
    os.rename(os.fsencode(site.store), os.fsencode(site.folder) + b"/" + name)  # noqa: PTH104
    for verb in ("list", "promote", "promote", "verify", "promote nothing"):
        result = shell(site, f"flatdex --store ./st* {verb}", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert "Traceback" not in result.stderr, result.stderr
        assert result.returncode == (2 if "nothing" in verb else DONE)


def test_output_is_plain_where_nobody_looks(images: Site) -> None:
    images.configure({"here": {"rsync": "./target"}})
    result = images.flatdex("-v", "publish", code=DONE, env={"TERM": "xterm-256color", "FORCE_COLOR": "1"})
    said = result.stdout + result.stderr
    assert "\x1b" not in said and "\r" not in said and "here: has" in said


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_a_store_is_open_to_web_servers_under_any_umask(images: Site, mask: int) -> None:
    before = os.umask(mask)
    try:
        images.flatdex("publish", code=DONE)
    finally:
        os.umask(before)
    cache = {images.store / "cache", *images.store.rglob("cache/**/*")}
    served = {images.store, *images.store.rglob("*")} - cache - {images.store / "lock"}
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in served}
    assert modes == {(True, "0o755"), (False, "0o644")}
    assert len(cache) > 1 and not any(path.stat().st_mode & 0o022 for path in cache), "nobody else writes there"


def test_works_from_a_folder_that_is_gone(site: Site) -> None:
    (site.folder / "gone").mkdir()
    result = shell(site, f"cd gone && rmdir ../gone && flatdex -c {site.folder}/flatdex.yaml list")
    assert "Traceback" not in result.stderr and result.returncode in (DONE, FAILED)
