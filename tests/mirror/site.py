"""A remote and a copy of it, each behind a real web server of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e.site import Flatdex
from tests.real.apache import Apache
from tests.real.images import APP, app_layout, runtime_layout
from tests.real.process import run

LAYOUTS = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}", homepage: "https://example.org/"}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  stable: {{tags: [latest], architectures: [amd64, arm64]}}
languages: [en, de]
theme: {{accent: "#a02060", footer: Of the north}}
"""
REGISTRY = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}"}}
sources:
  main: {{registry: "{registry}"}}
indexes:
  stable: {{tags: [latest], architectures: [amd64, arm64]}}
"""
OTHER = "org.flatdex.Other"


class Origin:
    """The remote that is copied, with everything as files, behind Apache."""

    def __init__(self, folder: Path, config: str = LAYOUTS) -> None:
        self.folder = folder
        self.apache = Apache(folder / "apache", folder / "site/store/current")
        self.flatdex = Flatdex(folder / "site", config.format(url=self.apache.url))

    @property
    def url(self) -> str:
        """Of the document root."""
        return self.apache.url

    def offer(self, layout: Path, name: str) -> None:
        """Makes the image in `layout` what the repository NAME has."""
        place = self.flatdex.folder / "images" / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(layout, place)

    def publish(self, version: str, tmp_path: Path) -> None:
        """Offers a runtime, the application in this version, and another application."""
        if not (self.flatdex.folder / "images/runtime").exists():
            self.offer(runtime_layout(tmp_path), "runtime")
            self.offer(app_layout(tmp_path, id=OTHER), "other")
        self.offer(app_layout(tmp_path / version, id=APP, version=version), "hello")
        self.flatdex.run("publish")


@contextmanager
def origin(folder: Path, config: str = LAYOUTS) -> Iterator[Origin]:
    """An origin whose server runs."""
    found = Origin(folder, config)
    found.apache.start()
    try:
        yield found
    finally:
        found.apache.stop()


class Copy:
    """A copy of a remote: a store, and Apache that may serve it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "store"
        self.root = self.store / "current"

    @cached_property
    def apache(self) -> Apache:
        """A server that shows it, once it is started; the folder has to be open to other users."""
        return Apache(self.folder / "apache", self.root)

    def mirror(self, *args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`flatdex mirror ARGS --store STORE`, without any configuration."""
        command = Path(sysconfig.get_path("scripts")) / "flatdex"
        return run([command, "mirror", *map(str, args), "--store", self.store], check=check, cwd=self.folder)

    def flatdex(self, *args: str) -> subprocess.CompletedProcess[str]:
        """`flatdex ARGS --store STORE`, in a folder without any configuration."""
        command = Path(sysconfig.get_path("scripts")) / "flatdex"
        return run([command, *args, "--store", self.store], check=False, cwd=self.folder)

    def json(self, *args: object) -> Any:
        """What `flatdex mirror ARGS --json` prints."""
        return json.loads(self.mirror(*args, "--json").stdout)

    def document(self, path: str = "snapshot.json") -> Any:
        """A JSON file of what it serves."""
        return json.loads((self.root / path).read_bytes())
