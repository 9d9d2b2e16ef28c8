"""Objects of random bytes, the places that they are fetched from, and servers that give them as they like."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sync.mirror.model import Bearer, Found, Source, Wanted
from tests.mirror.hosts import Talk

_RANGE = re.compile(rb"\r\nRange: bytes=([0-9]+)-", re.IGNORECASE)


@dataclass(frozen=True)
class Thing:
    """An object, as a site has it."""

    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.sha256, len(self.data))

    @property
    def unsized(self) -> Wanted:
        """As one wants it whose size nobody has told."""
        return Wanted(self.sha256)


def things(number: int, size: int = 2000, seed: int = 1) -> list[Thing]:
    """So many, all different."""
    chooser = random.Random(seed)
    return [Thing(chooser.randbytes(size + each)) for each in range(number)]


def lay_out(folder: Path, some: Iterable[Thing]) -> None:
    """Puts them into a folder, each under its hash, with a description that only needs to be there."""
    folder.mkdir(exist_ok=True)
    (folder / "snapshot.json").write_text("{}")
    for thing in some:
        (folder / thing.sha256).write_bytes(thing.data)


def bearer(url: str, some: Iterable[Thing], found: Found = Found.CONFIGURED, registry: str = "") -> Bearer:
    """Who holds them there."""
    return Bearer(Source(url, found), {thing.sha256: thing.sha256 for thing in some}, registry)


def folder_bearer(folder: Path, some: Iterable[Thing], path: str = "{}") -> Bearer:
    """A folder that holds them."""
    return Bearer(
        Source(f"{folder.as_uri()}/", Found.MOUNTED), {each.sha256: path.format(each.sha256) for each in some}
    )


Give = Callable[[socket.socket, int], None]
"""Writes an answer, to a request for all from an offset on."""


def giving(give: Give, asked: list[int] | None = None) -> Talk:
    """A server that answers each request so, and closes; `asked` gets the offsets that were asked for."""

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        request = connection.recv(65536)
        match = _RANGE.search(request)
        offset = int(match[1]) if match else 0
        if asked is not None:
            asked.append(offset)
        give(connection, offset)
        connection.shutdown(socket.SHUT_WR)

    return talk


def head(status: str, length: int | None, **headers: str) -> bytes:
    """The beginning of an answer, whose connection closes."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [] if length is None else [f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def partial(data: bytes, offset: int) -> bytes:
    """The beginning of an answer with all from an offset on."""
    if not offset:
        return head("200 OK", len(data))
    size = len(data)
    return head("206 Partial Content", size - offset, Content_Range=f"bytes {offset}-{size - 1}/{size}")


def cutting(data: bytes, step: int) -> Give:
    """Closes the connection after each `step` bytes of what was asked for."""

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(partial(data, offset) + data[offset : offset + step])

    return give


def named(objects: Path) -> Mapping[str, bytes]:
    """What lies in a pool's folder, by name."""
    return {file.name: file.read_bytes() for file in objects.iterdir()} if objects.exists() else {}
