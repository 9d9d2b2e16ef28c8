"""Whether all servers of a name give one file one ETag: Apache and nginx form them differently."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import urlsplit

import urllib3

from builder.sources.transport import AGENT
from sync.carrier import described
from sync.served import LARGEST, place
from sync.targets import Target

_AT_ONCE = 16  # targets
_TIMEOUT = urllib3.Timeout(connect=5, read=10)


@dataclass(frozen=True)
class Answered:
    """What one address of a target's URL said of its `snapshot.json`: which snapshot it is, its ETag, the server."""

    target: str
    host: str
    address: str
    server: str = ""
    snapshot: str | None = None
    etag: str = ""
    error: str = ""


@dataclass(frozen=True)
class Told:
    """A line of `check --online` about targets; it is not `good` if clients suffer."""

    text: str
    good: bool

    @property
    def as_json(self) -> dict[str, object]:
        """For a script."""
        return {"what": self.text, "good": self.good}


def told(targets: Iterable[Target]) -> list[Told]:
    """Asks every address of every target that has a URL, and tells what it comes to."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [answer for answers in pool.map(_asked, [each for each in targets if each.url]) for answer in answers]
    return list(findings(asked))


def findings(asked: Sequence[Answered]) -> Iterator[Told]:
    """A line for each target that answers or doesn't, then one for each two that form ETags differently.

    Where they have one host name, a client meets now one, now the other, and loads everything again each time.
    """
    for answer in asked:
        where = f"target {answer.target}, {answer.address}"
        yield Told(f"{where}: {answer.error or f'shows {answer.snapshot}'}", not answer.error)
    seen = set()
    for one, other in combinations([each for each in asked if each.snapshot], 2):
        pair = (one.target, one.server, other.target, other.server)
        if one.snapshot != other.snapshot or one.etag == other.etag or pair in seen:
            continue
        seen.add(pair)
        both = f"{one.target} ({one.server or '?'}) and {other.target} ({other.server or '?'}) give one file two ETags"
        if one.host == other.host:
            yield Told(
                f"{both}, under one name: let one kind of server serve {one.host}, or clients load all anew", False
            )
        else:
            yield Told(f"{both}: don't let them share a name", True)


def _asked(target: Target) -> list[Answered]:
    parts = urlsplit(target.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return [Answered(target.name, host, host, error=f"{host} can't be resolved: {error}")]
    addresses = dict.fromkeys(str(each[4][0]) for each in found)
    answers = [_answered(target, host, port, address) for address in addresses]
    good = [answer for answer in answers if not answer.error]
    return good or answers  # an address family that this machine can't reach is not the target's fault


def _pool(scheme: str, address: str, port: int, host: str) -> urllib3.HTTPConnectionPool:
    """Connections to one address of a host, whose certificate is the host's."""
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port, timeout=_TIMEOUT, retries=False)
    return urllib3.HTTPSConnectionPool(
        address, port, timeout=_TIMEOUT, retries=False, server_hostname=host, assert_hostname=host
    )


def _answered(target: Target, host: str, port: int, address: str) -> Answered:
    url = urlsplit(place(target.url))
    headers = {"Host": url.netloc.rpartition("@")[2], "User-Agent": AGENT, "Accept-Encoding": "identity"}
    try:
        with _pool(url.scheme, address, port, host) as pool:
            answer = pool.request("GET", url.path, headers=headers, preload_content=False)
            data = answer.read(LARGEST)
            answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Answered(target.name, host, address, error=f"no answer: {error}")
    shown = described(data)
    server = answer.headers.get("Server", "").partition("/")[0].partition(" ")[0]
    if answer.status != 200 or shown is None:
        return Answered(target.name, host, address, server, error=f"shows no snapshot (status {answer.status})")
    return Answered(target.name, host, address, server, shown.id, answer.headers.get("ETag", ""))
