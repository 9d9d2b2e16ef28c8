"""As much of HTTP as notifications need: one request after the other off a connection, bounded in size and in time.

It is stricter than a web server: what two programs could read in two ways is refused, and the connection ends.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

LARGEST_HEAD = 16 * 1024
_MOST_HEADERS = 100
_CHUNK = 64 * 1024
_ANSWER_SECONDS = 5.0
_LINGER_SECONDS = 0.5
_LINGER_BYTES = 4 * 1024 * 1024
_END = b"\r\n\r\n"
_START = re.compile(rb"([A-Z]{1,20}) ([!-~]+) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_ONCE = {
    *("content-length", "transfer-encoding", "host", "authorization", "content-type", "expect"),
    *("x-gitlab-token", "x-hub-signature-256", "x-github-event", "ce-type"),
}


class Refused(Exception):
    """A request that is not taken: the answer's `status`, a `reason` to count it by, and a few words."""

    def __init__(self, status: HTTPStatus, reason: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.reason = reason
        self.words = words


class Gone(Exception):
    """The other side went away, or asked nothing in time: there is nobody to answer."""


@dataclass(frozen=True)
class Head:
    """A request without its body. Names of headers are in lower case; `keep` is whether more requests may follow."""

    method: str
    path: str
    headers: Mapping[str, str]
    keep: bool

    @property
    def length(self) -> int | None:
        """Of the body, in bytes; None if it is not told. Raises Refused for what is no length."""
        if "transfer-encoding" in self.headers:
            if "content-length" in self.headers:
                raise Refused(HTTPStatus.BAD_REQUEST, "malformed", "a length, and chunks")
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "no-length", "a body in chunks")
        told = self.headers.get("content-length")
        if told is None:
            return None
        if not _LENGTH.fullmatch(told):
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed", "a length that is no number")
        return int(told)


def parsed(data: bytes) -> Head:
    """The head of a request, without the empty line that ends it. Raises Refused."""
    start, *lines = data.split(b"\r\n")
    match = _START.fullmatch(start)
    if match is None or len(lines) > _MOST_HEADERS:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed", "no request of HTTP/1.1" if match is None else "headers")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed", "a header that is none")
        name, value = header[1].decode("ascii").lower(), header[2].decode("latin-1").strip(" \t")
        if name in headers and name in _ONCE:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed", f"two headers {name}")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    wishes = {wish.strip() for wish in headers.get("connection", "").lower().split(",")}
    keep = "close" not in wishes and (match[3] == b"1" or "keep-alive" in wishes)
    return Head(match[1].decode("ascii"), match[2].decode("ascii"), headers, keep)


class Wire:
    """A connection as requests and answers, for one thread; others may ask how it stands, and `cut` it.

    `since` is from when on it has waited for what the other side owes (as time.monotonic counts), 0.0 while it doesn't
    wait; `idle` is whether nothing of the request has come yet, `fresh` whether there was no answer yet.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.since = self._owed = time.monotonic()
        self.idle = self.fresh = True
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self, patience: float, seconds: float) -> tuple[Head, float]:
        """The next request, and when its body has to be there: `seconds` from its first byte on.

        Waits `patience` seconds for that byte. Raises Refused, or Gone.
        """
        self.idle = not self._buffer
        if self.idle and not self._more(time.monotonic() + patience):
            raise Gone
        self.idle = False
        deadline = time.monotonic() + seconds
        seen = 0
        while (end := self._buffer.find(_END, max(0, seen - len(_END)))) < 0:
            seen = len(self._buffer)
            if seen > LARGEST_HEAD:
                break
            if not self._more(deadline):
                raise Gone
        if end < 0 or end > LARGEST_HEAD:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too-large", "headers are too large")
        data = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        return parsed(data), deadline

    def body(self, head: Head, length: int, deadline: float) -> bytes:
        """The request's body. Raises Refused, or Gone."""
        if head.headers.get("expect", "").lower() == "100-continue" and len(self._buffer) < length:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            if not self._more(deadline):
                raise Gone
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._owed = 0.0
        return data

    def answer(self, status: HTTPStatus, text: str, keep: bool, headers: Mapping[str, str] | None = None) -> None:
        """Answers with a line of text. Raises Gone."""
        self.since, self._owed, self.fresh = 0.0, 0.0, False
        data = f"{text}\n".encode()
        lines = {
            "Date": formatdate(usegmt=True),
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(data)),
            "Cache-Control": "no-store",
            "Connection": "keep-alive" if keep else "close",
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._send(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("ascii") + data)

    @property
    def quiet(self) -> bool:
        """Whether nothing has come that is not read yet."""
        try:
            return not self._has_come(0.0)
        except (OSError, ValueError):  # it was closed just now
            return True

    def cut(self) -> None:
        """Ends it from another thread: whoever waits for the other side waits no longer."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self, linger: bool = False) -> None:
        """Ends it. With `linger`, a little of what still comes in is thrown away, so that the answer gets through."""
        with contextlib.suppress(OSError, Refused, Gone), self._connection:
            if linger:
                self._connection.shutdown(socket.SHUT_WR)
                self._buffer.clear()
                deadline, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
                while left > 0 and self._more(deadline):
                    left -= len(self._buffer)
                    self._buffer.clear()

    def _more(self, deadline: float) -> bool:
        """Reads what there is; False if the other side has ended. Raises Refused if it is too late, or Gone."""
        self.since = self._owed = self._owed or time.monotonic()
        left = deadline - time.monotonic()
        try:
            if left <= 0 or not self._has_come(left):
                raise TimeoutError
            self.since = 0.0  # before it is read: what has come is worked on, and not to be cut
            self._connection.settimeout(left)
            data = self._connection.recv(_CHUNK)
        except TimeoutError as error:
            if self.idle:
                raise Gone from error
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "slow", "the request took too long") from error
        except OSError as error:
            raise Gone from error
        self._buffer += data
        return bool(data)

    def _has_come(self, seconds: float) -> bool:
        """Whether there is something to read, or becomes so within this time. The end counts, too."""
        look = select.poll()
        look.register(self._connection, select.POLLIN)
        return bool(look.poll(seconds * 1000))

    def _send(self, data: bytes) -> None:
        try:
            self._connection.settimeout(_ANSWER_SECONDS)
            self._connection.sendall(data)
        except OSError as error:
            raise Gone from error
