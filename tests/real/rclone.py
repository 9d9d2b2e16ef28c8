"""A WebDAV server over a folder, by rclone: a place to push to where there are no links and no hashes."""

from __future__ import annotations

import re
from pathlib import Path

from tests.real.process import Child, Service, free_port, located, settled

_LOGGED = re.compile(r"INFO *: /(?P<path>.*): (?P<method>[A-Z]+) from 127\.0\.0\.1")


class Webdav(Service):
    """`rclone serve webdav` of the folder `root`, on loopback. Use it with `with`.

    `remote` names it as a remote made on the fly, `config` is a file in which it is called "web". It looks at the
    folder anew for each request, so that a test may change files behind its back. It knows no configuration of the
    user's.
    """

    def __init__(self, state: Path, root: Path) -> None:
        self._program = located("rclone")
        self.state, self.root = state, root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.remote = f":webdav,url='{self.url}':"
        self.config = state / "client.conf"
        state.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        self.config.write_text(f"[web]\ntype = webdav\nurl = {self.url}\nvendor = other\n")
        (state / "empty.conf").write_text("")

    def _launch(self) -> Child:
        return Child(
            [
                *(self._program, "serve", "webdav", f"--config={self.state}/empty.conf"),
                *(f"--addr=127.0.0.1:{self.port}", f"--cache-dir={self.state}/cache", "--dir-cache-time=0s"),
                *("--poll-interval=0", "-vv", str(self.root)),
            ],
            log=self.state / "webdav.log",
            cwd=self.state,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def log(self) -> str:
        """All that the server has said."""
        return settled(self.state / "webdav.log")

    def requests(self, *methods: str) -> list[str]:
        """The paths, without a slash at their start, that these methods were used on, in the order of the answers."""
        found = _LOGGED.finditer(self.log())
        return [each["path"] for each in found if each["method"] in methods]
