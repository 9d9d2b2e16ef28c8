"""Readers that look at an index every few milliseconds, until it has what was pushed."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

EVERY = 0.01  # seconds
QUERY = "index/static?label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest"


class Reader:
    """One that reads an index as clients do: the same connection, and conditional requests."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url + QUERY)
        self._etag = ""

    def wait(self, digest: str, until: float) -> float:
        """When, of the monotonic clock, an answer with this digest was there. Raises SystemExit if there is none."""
        parts = self._parts
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            while (now := time.monotonic()) < until:
                if digest.encode() in self._read(connection):
                    return time.monotonic()
                time.sleep(max(0.0, now + EVERY - time.monotonic()))
        finally:
            connection.close()
        raise SystemExit(f"http://{parts.netloc}/ does not show {digest}")

    def _read(self, connection: http.client.HTTPConnection) -> bytes:
        """The index, or nothing if it is the one that was read last. Servers end a connection now and then."""
        path = f"{self._parts.path}?{self._parts.query}"
        connection.request("GET", path, headers={"If-None-Match": self._etag} if self._etag else {})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == http.client.OK:
            self._etag = answer.headers.get("ETag", "")
            return body
        if answer.status == http.client.NOT_MODIFIED:
            return b""
        raise SystemExit(f"http://{self._parts.netloc}{path}: {answer.status}")


def all_show(readers: Sequence[Reader], digest: str, until: float) -> float:
    """When the last of them sees this digest."""
    with ThreadPoolExecutor(len(readers)) as pool:
        waits = [pool.submit(reader.wait, digest, until) for reader in readers]
        return max(wait.result() for wait in waits)
