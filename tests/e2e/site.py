"""What the end-to-end tests share: the command as a user runs it, and plain HTTP."""

from __future__ import annotations

import gzip
import json
import subprocess
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.process import run


class Flatdex:
    """The installed command, run in a folder of its own with the configuration that is written there."""

    def __init__(self, folder: Path, config: str = "", name: str = "flatdex.yaml") -> None:
        self.folder = folder
        self.config = folder / name
        self.store = folder / "store"
        self.root = self.store / "current"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config)

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`flatdex ARGS -c CONFIG`."""
        command = Path(sysconfig.get_path("scripts")) / "flatdex"
        return run([command, *args, "-c", self.config], check=check, cwd=self.folder)

    def json(self, *args: str) -> Any:
        """What `flatdex ARGS --json` prints."""
        return json.loads(self.run(*args, "--json").stdout)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `headers` by name in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, unpacked where it says that it is packed."""
        return json.loads(gzip.decompress(self.body) if "content-encoding" in self.headers else self.body)


def get(url: str, **headers: str) -> Answer:
    """GET; a header's name is given with `_` for `-`."""
    request = urllib.request.Request(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return _answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error.read())


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status, {key.lower(): value for key, value in headers.items()}, body)
