"""A configuration and a store with three snapshots, made once and copied for each test, and the real command."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.images import write_application, write_runtime
from tests.real.process import run
from tests.sync.command import flatdex

DONE, FAILED, USAGE, CONFIG, PARTLY, LOCKED, INTERRUPTED = 0, 1, 2, 3, 4, 11, 130

Result = subprocess.CompletedProcess[str]
Settings = Mapping[str, str]

# Days long past: nothing has to wait for them, and how the ids start is known.
_TIMES = (1704448800, 1704448805, 1706781600)
OLD, MIDDLE, NEW = "20240105T100000Z-", "20240105T100005Z-", "20240201T100000Z-"
AMBIGUOUS = "20240105T10000"
_CONFIG = """\
store: ./store
pages: false
remote: {name: example, title: Example Flatpaks, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"], tag: latest}
indexes:
  stable: {tags: [latest], architectures: [amd64, arm64]}
"""
_BUILD_IN_THE_PAST = """\
import sys, time
moment = int(sys.argv[1])
time.time = lambda: moment
import flatdex
sys.exit(flatdex.main(["-q", "build"]))
"""


@dataclass(frozen=True)
class Site:
    """A folder with `flatdex.yaml`, and perhaps a store, images and targets: where a test lets the command work."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def ids(self) -> list[str]:
        return sorted(path.name for path in (self.store / "snapshots").iterdir())

    def snapshot(self, start: str) -> Path:
        """The one snapshot's folder whose id starts so."""
        [found] = (self.store / "snapshots").glob(f"{start}*")
        return found

    @property
    def current(self) -> str | None:
        """What the store's `current` names."""
        return served(self.store)

    def configure(self, targets: Mapping[str, Settings] | None = None) -> None:
        """Write the configuration, with these targets."""
        text = _CONFIG + (f"targets: {json.dumps(targets)}\n" if targets else "")
        (self.folder / "flatdex.yaml").write_text(text)

    def flatdex(
        self, *args: str | Path, env: Mapping[str, str] | None = None, timeout: float = 60, code: int | None = None
    ) -> Result:
        """Run the command here, with `env` beside the environment; `code` is the exit code that it has to have."""
        result = flatdex(*args, cwd=self.folder, env=env, timeout=timeout)
        assert "Traceback" not in result.stderr, result.stderr
        if code is not None:
            assert result.returncode == code, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *args: str | Path, code: int = DONE) -> Any:
        """What the command prints as JSON."""
        return json.loads(self.flatdex(*args, "--json", code=code).stdout)

    def promote(self, start: str) -> str:
        """Flip `current` by hand, quickly, and give the id."""
        link = self.store / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(f"snapshots/{self.snapshot(start).name}")
        return self.snapshot(start).name


def served(root: Path) -> str | None:
    """What `current` in a store or on a target names; None if there is none. It has to lead to a snapshot there."""
    link = root / "current"
    if not link.is_symlink():
        return None
    assert link.readlink().parent == Path("snapshots"), f"a site that serves nothing: current -> {link.readlink()}"
    return link.readlink().name


def with_snapshots(folder: Path) -> Site:
    """A site whose store holds three snapshots, none of them promoted; without the images that they are made of."""
    site = Site(folder)
    site.configure()
    _copy(_example() / "store", site.store)
    return site


def with_images(folder: Path) -> Site:
    """A site with an application and its runtime as OCI layouts, and no store yet."""
    site = Site(folder)
    site.configure()
    _copy(_images(), folder / "images")
    return site


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, mtime in nanoseconds, size and bytes of every file below a folder; of a folder its mode alone."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        state = path.lstat()
        assert not path.is_symlink(), path
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[name] = (state.st_mode, 0, 0, b"")
        else:
            found[name] = (state.st_mode, state.st_mtime_ns, state.st_size, path.read_bytes())
    return found


def one_line(text: str) -> str:
    """The text without its end of line, after making sure that it is a single line, and plain."""
    assert text.endswith("\n") and text.count("\n") == 1, text
    assert "\x1b" not in text and "\r" not in text, text
    return text.rstrip("\n")


def new_version(site: Site, version: str) -> None:
    """Replace the application of `with_images` by another version."""
    write_application(site.folder / "images", version=version, created="2024-03-01T10:00:00Z")


def _copy(source: Path, target: Path) -> None:
    run([shutil.which("cp") or "cp", "-a", source, target])


@functools.cache
def _images() -> Path:
    folder = Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"])) / "images"
    write_runtime(folder)
    write_application(folder, version="1.0", created="2024-01-01T10:00:00Z")
    return folder


@functools.cache
def _example() -> Path:
    site = with_images(Path(tempfile.mkdtemp(dir=os.environ["TMPDIR"])))
    for number, moment in enumerate(_TIMES):
        new_version(site, f"1.{number}")
        run([sys.executable, "-c", _BUILD_IN_THE_PAST, str(moment)], cwd=site.folder)
    starts = [name[:17] for name in site.ids]
    assert starts == [OLD, MIDDLE, NEW], starts
    return site.folder
