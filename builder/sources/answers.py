"""What comes back: an answer read within bounds, or an error that says what happened in a few words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from urllib3 import BaseHTTPResponse

_CHUNK = 256 * 1024
_SLOWEST = 1024  # bytes a second, on an average of at least:
_PATIENCE = 10.0  # seconds
_LARGEST_ERROR = 16 * 1024
_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Request:
    """What is asked: at most `limit` bytes are wanted; `scope` is what a token is for."""

    method: str
    url: str
    headers: Mapping[str, str]
    limit: int
    scope: str


@dataclass(frozen=True)
class Response:
    """An answer, read to its end: `headers` by name in any case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class FetchError(Exception):
    """A URL could not be read; `status` is that of the answer, None if there was none."""

    def __init__(self, url: str, why: str, status: int | None = None, method: str = "GET") -> None:
        super().__init__(f"{method} {url:.300}: {why:.500}")
        self.url = url
        self.why = why
        self.status = status
        self.again = status in _AGAIN
        self.pause: float | None = None
        """How many seconds the server asked to wait, if it did."""
        self.elsewhere = False
        """Whether another server said so, to which this one had redirected: what is missing there is not gone here."""


class TooLargeError(FetchError):
    """The answer has more bytes than were asked for."""


class SlowError(FetchError):
    """The answer did not come to its end in time; it would not the next time."""


class CutError(FetchError):
    """No answer, or not all of it: another try may do better."""

    def __init__(self, url: str, why: str, method: str) -> None:
        super().__init__(url, why, None, method)
        self.again = True


def retry_after(text: str) -> float | None:
    """Seconds, from a number of them or a date."""
    text = text.strip(" \t")
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def body_of(request: Request, answer: BaseHTTPResponse, deadline: float) -> bytes:
    """All of the body. One whose end is only told by the end of the connection may be a part, and so is refused."""
    if request.method != "HEAD" and answer.status == HTTPStatus.OK and not _has_length(answer):
        raise CutError(request.url, "an answer without a length: it may have been cut", request.method)
    parts: list[bytes] = []
    size = 0
    started = time.monotonic()
    # read1 returns what one read of the socket gives: a server that drips can't keep us within a single call.
    while part := answer.read1(_CHUNK, decode_content=False):
        size += len(part)
        if size > request.limit:
            raise TooLargeError(request.url, f"the answer has more than {request.limit} bytes")
        now = time.monotonic()
        if now > deadline or (now - started > _PATIENCE and size < _SLOWEST * (now - started)):
            raise SlowError(request.url, f"only {size} bytes came in {now - started:.0f} seconds")
        parts.append(part)
    if time.monotonic() > deadline:  # then the end may be that of the connection, by our own watch
        raise SlowError(request.url, f"only {size} bytes came in {time.monotonic() - started:.0f} seconds")
    return b"".join(parts)


def _has_length(answer: BaseHTTPResponse) -> bool:
    return "Content-Length" in answer.headers or "chunked" in answer.headers.get("Transfer-Encoding", "").lower()


def drain(answer: BaseHTTPResponse) -> None:
    """Reads a short answer to its end, so that its connection can be used again; closes that of a long one."""
    left = _LARGEST_ERROR
    while left > 0 and (part := answer.read1(left, decode_content=False)):
        left -= len(part)
    if left <= 0:
        answer.close()


def status_text(status: int) -> str:
    """`answered 404 Not Found`."""
    try:
        return f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"answered {status}"


def cause_of(error: Exception) -> str:
    """What is at the bottom of nested errors, in a few words; never a query, which may be somebody's signature."""
    text = str(error)
    for sign, words in (
        ("Connection refused", "connection refused"),
        ("Name or service not known", "no such host"),
        ("No address associated", "no such host"),
        ("Temporary failure in name resolution", "the host name could not be looked up"),
        ("Failed to resolve", "the host name could not be looked up"),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS: is it http:// instead of https://?"),
        ("RECORD_LAYER_FAILURE", "it does not speak TLS: is it http:// instead of https://?"),
        ("CERTIFICATE_VERIFY_FAILED", "the TLS certificate is not trusted: `ca` of the source can name its authority"),
        ("CERTIFICATE_REQUIRED", "it wants a client certificate: `cert` of the source can name one"),
        ("ALERT_BAD_CERTIFICATE", "it wants a client certificate, or another one: `cert` of the source can name one"),
        ("ALERT_UNKNOWN_CA", "it wants another client certificate: `cert` of the source can name one"),
        ("HANDSHAKE_FAILURE", "the TLS handshake failed: perhaps it wants a client certificate (`cert`)"),
        ("timed out", "no answer in time"),
        ("Connection aborted", "the connection was cut"),
        ("Connection broken", "the connection was cut"),
        ("Connection reset", "the connection was cut"),
        ("IncompleteRead", "the connection was cut"),
        ("No route to host", "no route to the host"),
        ("Network is unreachable", "no route to the host"),
        ("No connection adapters", "neither http:// nor https://"),
    ):
        if sign in text:
            return words
    return re.sub(r"\?\S*", "?..", text)
