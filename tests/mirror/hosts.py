"""Servers as sources meet them: a good one, and those that refuse, hang, drip, lie or lead astray."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.builder.helpers import Answer
from tests.mirror.lists import sha256
from tests.real.tokens import Ear, Heard, Listening, listening

Talk = Callable[[socket.socket, threading.Event], None]


def files(held: Mapping[str, bytes]) -> Ear:
    """A server of these files by path, with ETags, which it is asked for again by."""

    def ear(request: Heard) -> Answer:
        data = held.get(request.path)
        if data is None:
            return Answer(status=404)
        etag = f'"{sha256(data)[:12]}"'
        if request.headers.get("if-none-match") == etag:
            return Answer(status=304, headers={"ETag": etag})
        return Answer(data, headers={"ETag": etag})

    return ear


@contextmanager
def serving(held: Mapping[str, bytes]) -> Iterator[Listening]:
    """Such a server, running; what is in `held` may change meanwhile."""
    with listening(files(held)) as running:
        yield running


@contextmanager
def raw(talk: Talk) -> Iterator[str]:
    """The URL of a server that talks as it likes, to each who comes, until the event is set."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            with contextlib.ExitStack() as stack:
                while not ended.is_set():
                    try:
                        connection, _ = server.accept()
                    except TimeoutError:
                        continue
                    stack.enter_context(connection)
                    thread = threading.Thread(target=_talked, args=(talk, connection, ended), daemon=True)
                    thread.start()
                    stack.callback(thread.join)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join()


def _talked(talk: Talk, connection: socket.socket, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(1)
        talk(connection, ended)


def hangs(connection: socket.socket, ended: threading.Event) -> None:
    """Accepts, and never says a word."""
    ended.wait()


def drips_headers(connection: socket.socket, ended: threading.Event) -> None:
    """A header's letter at a time: no single wait is ever long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not ended.wait(0.1):
        connection.sendall(b"x")


def drips(size: int, pause: float) -> Talk:
    """A body of which so many bytes come after each pause, and of which there is no end."""

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while not ended.wait(pause):
            connection.sendall(b" " * size)

    return talk


def stalls(size: int) -> Talk:
    """So many bytes at once, and then not one more."""

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * size)
        ended.wait()

    return talk


def slowly(body: bytes, pieces: int, pause: float) -> Talk:
    """All of a body, in so many pieces."""

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        step = -(-len(body) // pieces)
        for start in range(0, len(body), step):
            connection.sendall(body[start : start + step])
            ended.wait(pause)
        ended.wait()

    return talk
