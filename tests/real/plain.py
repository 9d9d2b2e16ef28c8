"""python's http.server: a host that ignores query strings and knows nothing of rules, as object storage does."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.real.process import Child, Service, free_port


class PlainHost(Service):
    """Serves `root` on loopback. Use it with `with`; `url` ends with a slash."""

    def __init__(self, state: Path, root: Path) -> None:
        self.state, self.root = state, root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        state.mkdir(parents=True, exist_ok=True)

    def _launch(self) -> Child:
        command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(self.root)]
        return Child([*command, str(self.port)], log=self.state / "http.log", cwd=self.state)

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)
