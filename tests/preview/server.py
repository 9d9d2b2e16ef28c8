"""The preview server as a process of its own, and requests that are sent just as they are written."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.sync.command import FLATDEX
from tests.sync.site import Site

_ADDRESS = re.compile(r"http://127\.0\.0\.1:[0-9]+/")


@dataclass(frozen=True)
class Answer:
    """What came back, in full."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Preview:
    """A running `flatdex serve`."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """A request on a connection of its own; `path` is sent as it is, `_` in names of headers stands for `-`."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def end(self) -> tuple[int, str]:
        """Ctrl-C; gives the exit code and what was said on standard error."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=10)[1]
        return self.process.returncode, said


@contextmanager
def preview(site: Site, *args: str | Path) -> Iterator[Preview]:
    """`flatdex serve` on a free port, ended afterwards."""
    process = subprocess.Popen(
        [FLATDEX, "serve", "--port", "0", *args],
        cwd=site.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    with process:
        try:
            assert process.stdout is not None
            found = _ADDRESS.search(process.stdout.readline())
            assert found, process.communicate(timeout=5)
            yield Preview(found[0], process)
        finally:
            process.kill()
