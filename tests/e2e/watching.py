"""`flatdex watch` as systemd runs it: in the foreground, with a log."""

from __future__ import annotations

import json
import os
import re
import signal
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.site import Flatdex
from tests.real.process import Child, wait_for


class Watch:
    """A watch by a site's configuration. Use it with `with`: it begins, has looked at everything once, and ends."""

    def __init__(
        self,
        flatdex: Flatdex,
        *,
        ready: bool = True,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        options: Sequence[str] = ("-v",),
        before: Sequence[str | Path] = (),
    ) -> None:
        self.flatdex = flatdex
        self.log = flatdex.folder / "watch.log"
        self._env = {**os.environ, **(env or {})}
        self._ready = ready
        self._arguments = arguments
        self._before = before
        self._options = options
        self.child: Child | None = None

    def start(self) -> None:
        """Begins."""
        before = len(self.lines)
        command = Path(sysconfig.get_path("scripts")) / "flatdex"
        args: list[str | Path] = [
            *self._before,
            command,
            *self._options,
            "watch",
            "-c",
            self.flatdex.config,
            *self._arguments,
        ]
        self.child = Child(args, log=self.log, cwd=self.flatdex.folder, env=self._env)
        if self._ready:
            self.wait(r"live: |nothing new: |built ", after=before, seconds=30)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
        """Ends by a signal; gives the exit code."""
        child, self.child = self.child, None
        assert child
        child.signal(number)
        try:
            wait_for(lambda: not child.alive, "the watch to end", seconds)
            return child.code
        finally:
            child.stop()

    @property
    def lines(self) -> list[str]:
        """What it said so far."""
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def said(self, pattern: str, after: int = 0) -> list[str]:
        """The lines that a pattern is found in."""
        return [line for line in self.lines[after:] if re.search(pattern, line)]

    def wait(self, pattern: str, after: int = 0, seconds: float = 20) -> str:
        """The first line, of those after so many, that a pattern is found in, once it is there."""

        def check() -> bool:
            assert self.child is None or self.child.alive, f"the watch has ended:\n{self.log.read_text()}"
            return bool(self.said(pattern, after))

        try:
            wait_for(check, f"{pattern!r}", seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the watch said:\n" + "\n".join(self.lines)) from error
        return self.said(pattern, after)[0]

    @property
    def state(self) -> Any:
        """What `status --json` says of it."""
        return json.loads(self.flatdex.run("status", "--json", check=False).stdout)["watch"]

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.child:
            self.child.stop()
            self.child = None
