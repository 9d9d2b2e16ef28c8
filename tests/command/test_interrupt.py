"""Ctrl-C ends a build at once and leaves nothing behind; progress is for terminals alone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command.registry import scripted
from tests.sync.command import FLATDEX
from tests.sync.site import DONE, INTERRUPTED, NEW, Site, one_line, served, tree


@pytest.mark.parametrize("verb", ["build", "publish"])
@pytest.mark.parametrize("hang", ["/_catalog", "/tags/list", "/manifests/latest"])
def test_ctrl_c_ends_a_build_that_hangs(site: Site, verb: str, hang: str) -> None:
    old = site.promote(NEW)
    before = site.ids
    with scripted() as registry:
        registry.configure(site)
        registry.hang = hang
        with subprocess.Popen([FLATDEX, verb], cwd=site.folder, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert registry.asked.wait(10)
                time.sleep(0.05)
                process.send_signal(signal.SIGINT)
                started = time.monotonic()
                _, said = process.communicate(timeout=8)
            finally:
                process.kill()
        assert process.returncode == INTERRUPTED
        assert time.monotonic() - started < 5
        assert one_line(said).startswith("flatdex: interrupted")
        assert served(site.store) == old and site.ids == before
        registry.hang = "no path"
        registry.over.set()
        site.flatdex("build", "--allow-shrink", code=DONE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda number: number.name)
def test_a_build_that_is_killed_leaves_the_old_site_and_no_lock(site: Site, number: signal.Signals) -> None:
    site.promote(NEW)
    before = tree(site.snapshot(NEW))
    with scripted() as registry:
        registry.configure(site)
        registry.hang = "/_catalog"
        with subprocess.Popen([FLATDEX, "build"], cwd=site.folder, stderr=subprocess.PIPE, text=True) as process:
            assert registry.asked.wait(10)
            process.send_signal(number)
            _, said = process.communicate(timeout=10)
    assert process.returncode != 0 and "Traceback" not in said
    assert served(site.store) == site.snapshot(NEW).name and tree(site.snapshot(NEW)) == before
    site.flatdex("promote", code=DONE, timeout=10)


def on_a_terminal(site: Site, *args: str) -> str:
    """What the command shows on a terminal, standard output and standard error together."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([FLATDEX, *args], cwd=site.folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 10_000):
                shown += part
        except OSError:  # how Linux tells that the other side was closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == DONE, shown
    return shown.decode()


def test_a_terminal_shows_progress_and_clears_it(real_tmp: Path) -> None:
    site = Site(real_tmp)
    with scripted() as registry:
        registry.configure(site)
        shown = on_a_terminal(site, "build")
    assert "\r\x1b[Kmain: tags: 1 of 3" in shown
    last = shown.rpartition("\x1b[K")[2]
    assert last.startswith("built ") and "main: tags" not in last


def test_a_quiet_terminal_shows_none(real_tmp: Path) -> None:
    site = Site(real_tmp)
    with scripted() as registry:
        registry.configure(site)
        assert on_a_terminal(site, "-q", "build") == ""


def test_a_file_or_pipe_gets_no_progress(real_tmp: Path) -> None:
    site = Site(real_tmp)
    with scripted() as registry:
        registry.configure(site)
        result = site.flatdex("-v", "publish", code=DONE)
    said = result.stdout + result.stderr
    assert "\x1b" not in said and "\r" not in said and " of 3" not in said
    assert result.stderr.startswith("pushing ") and "built " in result.stdout
