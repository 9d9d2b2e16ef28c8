"""What doesn't fit is refused before the first byte; what fails in the middle leaves the old whole."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from builder.description import parse
from builder.errors import FlatdexError
from sync.export import run as exporting
from sync.export.items import Item, Rank
from sync.export.place import Room
from sync.export.plan import FAT_LIMIT, plan
from tests.export import looks
from tests.real.process import located, unavailable
from tests.sync.command import FLATDEX
from tests.sync.site import DONE, FAILED, NEW, OLD, Site


def in_small(site: Site, options: str, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script where `stick` is a file system of its own, which nobody else sees; `flatdex` is the command."""
    unshare = located("unshare")
    mount = f"mount -t tmpfs -o {shlex.quote(options)} tmpfs stick"
    if subprocess.run([unshare, "-rm", "sh", "-c", mount], cwd=site.folder, capture_output=True).returncode:
        unavailable("no file system can be mounted here, not even in a namespace")
    words = f'{mount} && flatdex() {{ {shlex.quote(str(FLATDEX))} "$@"; }}; {script}'
    return subprocess.run([unshare, "-rm", "sh", "-c", words], cwd=site.folder, capture_output=True, text=True)


def test_no_byte_is_written_where_there_is_no_room(site: Site) -> None:
    site.promote(NEW)
    result = in_small(site, "size=400k", "flatdex export stick; echo $?; ls -A stick")
    assert result.stdout == f"{FAILED}\n"
    assert "MB free" in result.stderr and "are needed" in result.stderr and "--since" in result.stderr
    needed = in_small(site, "size=100m", "flatdex export stick --dry-run --json").stdout
    assert json.loads(needed)["room"] > 400_000 and json.loads(needed)["file_system"] == "tmpfs"


def test_a_stick_that_is_full_in_the_middle_still_shows_the_old(site: Site) -> None:
    """It runs out of names, which nobody can count before."""
    site.promote(OLD)
    kept = site.folder / "kept"
    flip = f"ln -sfn snapshots/{site.snapshot(NEW).name} store/current"
    first = "flatdex -q export stick && cp -a stick kept && rm -r stick/* stick/.h*"
    many = in_small(site, "size=100m", f"{first}; cp -a kept/. stick; find stick | wc -l; df -i stick | tail -1")
    used = int(many.stdout.split()[0])
    script = f"cp -a kept/. stick && {flip} && {{ flatdex export stick; echo $?; rm -r kept; cp -a stick kept; }}"
    result = in_small(site, f"size=100m,nr_inodes={used + 6}", script)
    assert result.stdout == f"{FAILED}\n", result
    assert "could not be written: No space left" in result.stderr and "still whole" in result.stderr
    known = looks.shown(kept)
    assert known and known.id == site.snapshot(OLD).name
    looks.whole(kept, known)
    looks.check_indexes(kept)
    assert looks.layout(kept)
    site.flatdex("export", "kept", code=DONE)
    looks.whole(kept, parse((site.snapshot(NEW) / "snapshot.json").read_bytes()))
    looks.check_names(kept)


def test_fat_is_told_before_the_first_byte_what_it_cannot_hold(tmp_path: Path) -> None:
    large = Item("blobs/sha256/1", FAT_LIMIT + 1, "1", 0, tmp_path / "none", Rank.OBJECT)
    planned = plan([large], (), (), (), ())
    free = 100 * FAT_LIMIT
    for kind in ("vfat", "msdos"):
        with pytest.raises(FlatdexError, match=r"more than 4 GiB: blobs/sha256/1: 4\.3 GB"):
            exporting._check_room(tmp_path, planned, Room(kind, free, 32768))
    for kind in ("exfat", "ext4", ""):
        exporting._check_room(tmp_path, planned, Room(kind, free, 32768))
    with pytest.raises(FlatdexError, match="MB free"):
        exporting._check_room(tmp_path, planned, Room("exfat", FAT_LIMIT, 32768))
