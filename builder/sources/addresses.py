"""Asks one address of a host: behind a name there may be several servers, and a client meets any of them."""

from __future__ import annotations

import errno
import hashlib
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import urllib3

from builder.sources.answers import cause_of
from builder.sources.connection import Peers, Watch, pool_classes
from builder.sources.tls import Tls
from builder.sources.transport import AGENT

_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_CHUNK = 256 * 1024


_NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class NoAnswer(Exception):
    """A name that leads nowhere, or an address that gave no whole answer; the message says why.

    `no_way`: this machine has none to addresses of that kind, which is not the server's fault.
    """

    def __init__(self, why: str, *, no_way: bool = False) -> None:
        super().__init__(why)
        self.no_way = no_way


@dataclass(frozen=True)
class Said:
    """What an address answered: `headers` are by name in lower case, `sha256` is that of the bytes as sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sha256: str


def of(url: str) -> tuple[str, ...]:
    """The addresses behind a URL's host, in the order in which they would be tried. Raises NoAnswer."""
    host, port = _host_of(url), _port_of(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"{host} can't be resolved: {error}") from error
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


def ask(
    url: str,
    address: str,
    limit: int,
    *,
    encoding: str = "identity",
    seconds: float = 60.0,
    tls: Tls | None = None,
    kept: bool = True,
) -> Said:
    """What `address` answers where a client asks the host for `url`, whose certificate is that of the host.

    Of the body come `limit` bytes at most, in `seconds` at most. Raises NoAnswer.
    """
    parts = urlsplit(url)
    headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": AGENT, "Accept-Encoding": encoding}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    deadline = time.monotonic() + seconds
    digest, body, size = hashlib.sha256(), [], 0
    watch = Watch()
    watch.begin(deadline)
    try:
        with _pool(url, address, tls, watch) as pool:
            answer = pool.request("GET", path, headers=headers, preload_content=False, decode_content=False)
            while size < limit and (part := answer.read1(min(_CHUNK, limit - size), decode_content=False)):
                size += len(part)
                digest.update(part)
                if kept:
                    body.append(part)
            found = {name.lower(): answer.headers[name] for name in answer.headers}
            answer.close()
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        why = f"not all came in {seconds:.0f} seconds" if time.monotonic() > deadline else cause_of(error)
        raise NoAnswer(f"no answer: {why}", no_way=_has_no_way(address, error)) from error
    finally:
        watch.end()
        watch.close()
    if time.monotonic() > deadline:  # then the end may be that of the connection, by the watch
        raise NoAnswer(f"only {size} bytes came in {seconds:.0f} seconds")
    return Said(answer.status, found, b"".join(body), digest.hexdigest())


def _has_no_way(address: str, error: Exception) -> bool:
    """Whether it is this machine that lacks a route; within a network of its own a host that is down looks alike."""
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return number in _NO_WAY or (number == errno.EHOSTUNREACH and ":" in address)


def _pool(url: str, address: str, tls: Tls | None, watch: Watch) -> urllib3.HTTPConnectionPool:
    """Connections to one address of a host, whose certificate is the host's."""
    host, port, scheme = _host_of(url), _port_of(url), urlsplit(url).scheme
    secure: dict[str, Any] = {}
    if scheme == "https":
        context = tls.context(False) if tls else None
        secure = {"server_hostname": host, "assert_hostname": host, "ssl_context": context}
    made: urllib3.HTTPConnectionPool = pool_classes(watch, Peers())[scheme](
        address, port, timeout=_TIMEOUT, retries=False, **secure
    )
    return made


def _host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
