"""Requests as clients send them, and whatever comes back as a value: nobody can hold one up or fill the memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse

from builder.doctor.seen import Answer, Trouble
from builder.sources.answers import FetchError
from builder.sources.auth import Authorizer, origin_of
from builder.sources.connection import Peers
from builder.sources.tls import Tls
from builder.sources.transport import AGENT, Transport

CONNECTIONS = 8
_PATIENCE = 10.0  # seconds after which a body has to come at _SLOWEST
_SLOWEST = 1024  # bytes a second
_REDIRECTS = 5
_REDIRECTING = (301, 302, 303, 307, 308)
_CHUNK = 256 * 1024
_MOST_TROUBLES = 3  # requests of one host that came to nothing: no more are sent there
_LONGEST_WHY = 300
_DISTRUST = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "doesn't match", "CertificateError")


@dataclass(frozen=True)
class Question:
    """A request. Of the body at most `limit` bytes are read, and they are `kept` or only counted.

    `etag` and `since` are what a client remembers of the file; `scope` is what a token is for.
    """

    url: str
    limit: int
    encoding: str = "identity"
    method: str = "GET"
    etag: str = ""
    since: str = ""
    accept: str = ""
    scope: str = ""
    kept: bool = True
    seconds: float | None = None
    """How long it may take, where that is longer than usual."""

    @property
    def headers(self) -> Mapping[str, str]:
        """As they are sent."""
        remembered = {"If-None-Match": self.etag} if self.etag else {"If-Modified-Since": self.since}
        given = {"Accept-Encoding": self.encoding, "Accept": self.accept, **remembered}
        return {"User-Agent": AGENT, **{name: value for name, value in given.items() if value}}


class _Ended(Exception):
    """There will be no whole answer."""

    def __init__(self, trouble: Trouble, why: str) -> None:
        super().__init__(why)
        self.trouble = trouble
        self.why = why


@dataclass
class _Progress:
    """What is known of an answer so far."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    hops: list[str] = field(default_factory=list)
    body: bytes = b""
    size: int = 0
    sha256: str = ""


def peers_of(url: str) -> Peers:
    """Whom a remote at `url` may lead to: from a public host to no private address, else anywhere.

    A private network's remote may well lead from one of its hosts to another: operators look at their own.
    """
    return Peers(urlsplit(url).hostname or "", "remote")


class Asker:
    """Asks the servers of a remote, without a login; may be shared by threads. A request takes `seconds` at most.

    After `patience` seconds nothing more is asked at all.
    Tokens are asked for where a registry at `home` wants them. `peers` says which addresses may be talked to.
    """

    def __init__(
        self,
        seconds: float,
        tls: Tls | None = None,
        home: str = "",
        patience: float = 1800.0,
        peers: Peers | None = None,
    ) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + patience
        authorizer = Authorizer(origin_of(home), _nobody) if home else None
        self._transport = Transport(CONNECTIONS, home, authorizer, tls, peers=peers)
        self._troubles: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()
        self.certificates: dict[str, Mapping[str, Any]] = {}
        """What servers showed, by their origins."""

    def __enter__(self) -> Asker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.__exit__(kind, error, trace)

    def ask(self, question: Question) -> Answer:
        """What it came to, after redirects."""
        origin = origin_of(question.url)
        if self._troubles[origin] >= _MOST_TROUBLES:
            reason = f"not asked: too many requests came to nothing: {self._reasons.get(origin, '')}"
            return Answer(question.url, trouble=Trouble.UNREACHABLE, why=reason[:_LONGEST_WHY])
        if time.monotonic() > self._until:
            return Answer(question.url, trouble=Trouble.SLOW, why="not asked: what was asked before took too long")
        deadline = min(time.monotonic() + (question.seconds or self._seconds), self._until + self._seconds)
        found = _Progress()
        trouble, why = Trouble.NONE, ""
        try:
            self._follow(question, found, deadline)
        except _Ended as ended:
            trouble, why = ended.trouble, ended.why
        except FetchError as error:
            trouble, why = self._explained(error, deadline)
        except (ValueError, OverflowError) as error:  # others' URLs may hold anything
            trouble, why = Trouble.UNREACHABLE, f"not a URL that can be asked: {error}"
        with self._lock:
            if trouble in (Trouble.UNREACHABLE, Trouble.SLOW):
                self._reasons[origin] = why
                self._troubles[origin] += 1
            else:
                del self._troubles[origin]
        return Answer(
            question.url,
            found.status if trouble is not Trouble.UNREACHABLE else 0,
            found.headers,
            found.body,
            found.size,
            found.sha256,
            tuple(found.hops),
            trouble,
            why[:_LONGEST_WHY],
        )

    def _follow(self, question: Question, found: _Progress, deadline: float) -> None:
        place = question.url
        for _ in range(_REDIRECTS + 1):
            with self._transport.opened(question.method, place, question.headers, deadline, question.scope) as answer:
                self._note_certificate(place, answer)
                location = answer.headers.get("Location", "")
                if answer.status in _REDIRECTING and location:
                    place = _next(place, location)
                    found.hops.append(place)
                    continue
                found.status = answer.status
                found.headers = {name.lower(): answer.headers[name] for name in answer.headers}
                _read(question, answer, found, deadline)
                return
        raise _Ended(Trouble.REDIRECTS, f"more than {_REDIRECTS} redirects, one after the other")

    def _explained(self, error: FetchError, deadline: float) -> tuple[Trouble, str]:
        if time.monotonic() > deadline:
            return Trouble.SLOW, "no whole answer in time"
        causes = f"{error.__cause__!r} {error.why}"
        if any(sign in causes for sign in _DISTRUST) or "not trusted" in error.why:
            reason = causes.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
            return Trouble.TLS, reason or "the certificate is not trusted"
        return Trouble.UNREACHABLE, error.why

    def _note_certificate(self, place: str, answer: BaseHTTPResponse) -> None:
        origin = origin_of(place)
        if not origin.startswith("https:") or origin in self.certificates:
            return
        sock: Any = getattr(answer.connection, "sock", None)
        shown = sock.getpeercert() if hasattr(sock, "getpeercert") else None
        if shown:
            self.certificates[origin] = shown


def _read(question: Question, answer: BaseHTTPResponse, found: _Progress, deadline: float) -> None:
    parts: list[bytes] = []
    digest = hashlib.sha256()
    started = time.monotonic()
    # read1 returns what one read of the socket gives: a server that drips can't keep us within a single call.
    while part := answer.read1(_CHUNK, decode_content=False):
        found.size += len(part)
        if found.size > question.limit:
            raise _Ended(Trouble.LARGE, f"more than {question.limit} bytes")
        now = time.monotonic()
        if now > deadline or (now - started > _PATIENCE and found.size < _SLOWEST * (now - started)):
            raise _Ended(Trouble.SLOW, f"only {found.size} bytes came in {now - started:.0f} seconds")
        digest.update(part)
        if question.kept:
            parts.append(part)
    if time.monotonic() > deadline:  # then the end may be that of the connection, by our own watch
        raise _Ended(Trouble.SLOW, f"only {found.size} bytes came in time")
    found.body, found.sha256 = b"".join(parts), digest.hexdigest()


def _next(place: str, location: str) -> str:
    try:
        following = urljoin(place, location)
        scheme = urlsplit(following).scheme
    except ValueError:
        raise _Ended(Trouble.REDIRECTS, "a redirect to something that is no URL") from None
    if scheme not in ("http", "https"):
        raise _Ended(Trouble.REDIRECTS, f"a redirect to something that is neither http:// nor https://: {following!r}")
    if scheme == "http" and place.lower().startswith("https:"):
        raise _Ended(Trouble.REDIRECTS, f"a redirect from https:// down to {following!r}")
    return following


def _nobody(scope: str) -> None:
    return None


Ask = Callable[[Question], Answer]
"""Asks a question: what the looking-around modules need of an asker."""
