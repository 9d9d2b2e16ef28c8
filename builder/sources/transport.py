"""HTTP as flatdex speaks it: kept connections, bounded bodies and waits, retries for what may be repeated."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import HTTPError, LocationValueError

from builder.config import CONNECTIONS
from builder.sources.answers import (
    CutError,
    FetchError,
    Request,
    Response,
    SlowError,
    TooLargeError,
    body_of,
    cause_of,
    drain,
    retry_after,
    status_text,
)
from builder.sources.auth import Authorizer, RefusedError, origin_of
from builder.sources.connection import Adapter, ForbiddenPeerError, Peers, Watch
from builder.sources.credentials import BadAuthFileError
from builder.sources.limits import Gate
from builder.sources.tls import Tls

AGENT = "flatdex"
_CONNECT, _READ = 10.0, 30.0  # seconds
_LONGEST_REQUEST = 120.0  # seconds, from its start to its last byte, all tries and pauses included
REDIRECTS = 5
REDIRECTING = (301, 302, 303, 307, 308)
_RETRIES = 3
_BACKOFF = 0.3  # seconds before the second try, doubled for each further one
_LONGEST_WAIT = 30.0  # seconds that a Retry-After may ask for; who wants more is left alone
_MOST_WAYS = 8
_LARGEST_TOKEN = 256 * 1024
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9/._~:@%+,;=&?-]*")
HOPELESS = (ForbiddenPeerError, LocationValueError, requests.RequestException)
"""Errors of which no other try would make answers."""


@dataclass(frozen=True)
class Patience:
    """In seconds: for a connection, for each wait, for a whole request with all its tries; and how many more tries."""

    connect: float
    read: float
    whole: float
    retries: int


@dataclass(frozen=True)
class _Way:
    """How requests reach an origin: through which pool, and whether with whole URLs, as proxies want them."""

    pool: Any
    whole_urls: bool


class Transport:
    """GETs URLs over at most `connections` kept connections a host; may be shared by threads.

    `home` is the origin that `authorizer` and a client certificate are for; nothing of either goes elsewhere.
    `peers` says which addresses may be talked to, if it is not `home` that decides.
    """

    def __init__(
        self,
        connections: int = CONNECTIONS,
        home: str = "",
        authorizer: Authorizer | None = None,
        tls: Tls | None = None,
        *,
        peers: Peers | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._patience = patience or Patience(_CONNECT, _READ, _LONGEST_REQUEST, _RETRIES)
        self._home = origin_of(home)
        self._authorizer = authorizer
        self._connections = connections
        self._watch = Watch()
        self._session = requests.Session()
        self._gates: dict[str, Gate] = {}
        self._ways: dict[str, _Way] = {}
        tls = tls or Tls()
        peers = self._peers = peers or Peers(urlsplit(home).hostname or "")
        self._session.mount("http://", Adapter(connections, self._watch, peers))
        self._session.mount("https://", Adapter(connections, self._watch, peers, tls.context(False)))
        if tls.certificates and self._home:
            self._session.mount(f"{self._home}/", Adapter(connections, self._watch, peers, tls.context(True)))

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.close()
        self._session.close()

    def get(
        self,
        url: str,
        limit: int,
        accept: tuple[str, ...] = (),
        *,
        scope: str = "",
        etag: str = "",
        conditions: Mapping[str, str] | None = None,
        head: bool = False,
    ) -> Response:
        """The answer, of status 200 after redirects, or 304 if `etag` still holds. Raises FetchError.

        `conditions` are headers, for where an ETag as registries write it isn't enough.

        A body of more than `limit` bytes, and one that drips so slowly that the request takes minutes, are errors.
        `scope` is what a token is asked for, such as `repository:NAME:pull`.
        """
        # Digests are those of the bytes as sent: nothing may be compressed on the way.
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        if accept:
            headers["Accept"] = ", ".join(accept)
        if etag:
            headers["If-None-Match"] = f'"{etag}"'
        headers.update(conditions or {})
        request = Request("HEAD" if head else "GET", url, headers, limit, scope)
        gate = self._gate(origin_of(url))
        deadline = time.monotonic() + self._patience.whole
        for tried in range(self._patience.retries + 1):
            try:
                return self._try(request, gate, deadline)
            except FetchError as error:
                pause = _pause(error, self._patience.retries - tried, tried, deadline - time.monotonic())
                if pause is None:
                    _note_end(error, gate)
                    raise
                if error.status == HTTPStatus.TOO_MANY_REQUESTS or error.pause is not None:
                    gate.slow_down(pause)
                else:
                    time.sleep(pause)
        raise AssertionError("the last try either returns or raises")

    def extend(self, deadline: float) -> None:
        """Until when, in seconds of the monotonic clock, the request that the calling thread has `opened` may last."""
        self._watch.begin(deadline)

    def cut(self) -> None:
        """Cuts all that is under way, whoever waits for it, and whatever is begun from here on."""
        self._watch.cut()

    def relent(self) -> None:
        """Asks hosts again that gave no answer so far: what is asked from here on may be what they have answers to."""
        for gate in self._gates.values():
            gate.relent()

    def _gate(self, origin: str) -> Gate:
        return self._gates.get(origin) or self._gates.setdefault(origin, Gate(self._connections))

    def _try(self, request: Request, gate: Gate, deadline: float) -> Response:
        if gate.deserted:
            raise FetchError(request.url, "not asked: nobody answers there", None, request.method)
        if gate.exhausted:
            why = "not asked: it wants no more requests now"
            raise FetchError(request.url, why, HTTPStatus.TOO_MANY_REQUESTS, request.method)
        with gate:
            self._watch.begin(deadline)
            try:
                response = self._followed(request, deadline)
            except (requests.RequestException, HTTPError, HTTPException, OSError, ForbiddenPeerError) as error:
                self._explain(request, error, deadline)
            except FetchError as error:
                if error.status is not None:
                    gate.answered(well=not error.again)
                raise
            finally:
                self._watch.end()
        gate.answered()
        return response

    def _explain(self, request: Request, error: Exception, deadline: float) -> NoReturn:
        if time.monotonic() > deadline:
            why = f"no whole answer in {self._patience.whole:.0f} seconds"
            raise SlowError(request.url, why, None, request.method) from error
        if isinstance(error, HOPELESS):
            raise FetchError(request.url, cause_of(error), None, request.method) from error
        raise CutError(request.url, cause_of(error), request.method) from error

    def _followed(self, request: Request, deadline: float) -> Response:
        """The answer after redirects, each to a place where it may lead."""
        place = request.url
        for _ in range(REDIRECTS + 1):
            with contextlib.closing(self._authorized(request, place)) as answer:
                if answer.status in REDIRECTING and "Location" in answer.headers:
                    place = next_place(request, place, answer.headers["Location"])
                elif answer.status == HTTPStatus.OK or (answer.status == 304 and _is_conditional(request)):
                    return Response(place, answer.status, answer.headers, body_of(request, answer, deadline))
                else:
                    raise self.failure(request, place, answer)
        raise FetchError(request.url, "too many redirects", None, request.method)

    @contextlib.contextmanager
    def opened(
        self, method: str, url: str, headers: Mapping[str, str], deadline: float, scope: str = ""
    ) -> Iterator[BaseHTTPResponse]:
        """The answer to one request, whatever its status, with its body still to be read: no redirect is followed.

        `deadline`, in seconds of the monotonic clock, cuts the connection. Raises FetchError, also while it is read.
        """
        request = Request(method, url, headers, 0, scope)
        self._watch.begin(deadline)
        try:
            with contextlib.closing(self._authorized(request, url)) as answer:
                yield answer
        except (requests.RequestException, HTTPError, HTTPException, OSError, ForbiddenPeerError) as error:
            raise CutError(url, cause_of(error), method) from error
        finally:
            self._watch.end()

    def _authorized(self, request: Request, place: str) -> BaseHTTPResponse:
        """One request, and another one if the registry asks for a login that there is."""
        authorizer = self._authorizer
        if authorizer is None or origin_of(place) != self._home:
            return self._send(request.method, place, request.headers)
        try:
            sent = authorizer.header(request.scope, self._ask)
            answer = self._send(request.method, place, _with(request.headers, sent))
            if answer.status == HTTPStatus.UNAUTHORIZED:
                wanted = answer.headers.get("WWW-Authenticate", "")
                if authorizer.challenged(request.scope, wanted, sent):
                    drain(answer)
                    sent = authorizer.header(request.scope, self._ask)
                    answer = self._send(request.method, place, _with(request.headers, sent))
            return answer
        except RefusedError as error:
            if error.again:
                raise CutError(request.url, str(error), request.method) from error
            raise FetchError(request.url, str(error), error.status, request.method) from error
        except BadAuthFileError as error:
            raise FetchError(request.url, str(error), HTTPStatus.UNAUTHORIZED, request.method) from error

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Asks a token service; its redirects are not followed, since the login would have to go along."""
        if self._home.startswith("https:") and not url.startswith("https:"):
            why = f"the token service {url.partition('?')[0]:.200} is not reached by https"
            raise RefusedError(why, HTTPStatus.UNAUTHORIZED)
        request = Request(method, url, {"User-Agent": AGENT, **headers}, _LARGEST_TOKEN, "")
        place = f"the token service {url.partition('?')[0]:.200}"
        try:
            with contextlib.closing(self._send(method, url, request.headers, body)) as answer:
                deadline = time.monotonic() + self._patience.read
                if answer.status != HTTPStatus.OK:
                    drain(answer)
                    return answer.status, b""
                return answer.status, body_of(request, answer, deadline)
        except TooLargeError as error:
            raise RefusedError(f"{place} answered more than {request.limit} bytes", HTTPStatus.OK) from error
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            again = not isinstance(error, HOPELESS)
            raise RefusedError(f"{place}: {cause_of(error)}", again=again) from error

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> BaseHTTPResponse:
        """One request as it is. It goes past Session.send, which would read a redirect's body, however large it is,

        and take logins from ~/.netrc; and past PreparedRequest, which costs as much as the request itself.
        """
        if not _PLAIN_URL.fullmatch(url):
            url = str(requests.Request("GET", url).prepare().url)
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        way = self._ways.get(f"{scheme}://{host}") or self._way(f"{scheme}://{host}")
        answer: BaseHTTPResponse = way.pool.urlopen(
            method,
            url if way.whole_urls else slash + path.partition("#")[0],
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=self._patience.connect, read=self._patience.read),
        )
        return answer

    def _way(self, origin: str) -> _Way:
        """The pool that requests would use, with proxies and authorities as the environment has them."""
        self._peers.check_name(origin.partition("://")[2])
        request = requests.Request("GET", f"{origin}/").prepare()
        settings = self._session.merge_environment_settings(origin, {}, None, None, None)
        adapter = self._session.get_adapter(f"{origin_of(origin) or origin}/")
        if not isinstance(adapter, Adapter):
            raise requests.exceptions.InvalidSchema(f"No connection adapters were found for {origin}")
        pool = adapter.get_connection_with_tls_context(
            request, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
        )
        whole = adapter.request_url(request, settings["proxies"]).startswith(("http:", "https:"))
        if len(self._ways) >= _MOST_WAYS:  # redirects may lead to ever other hosts
            self._ways.clear()
        return self._ways.setdefault(origin, _Way(pool, whole))

    def failure(self, request: Request, place: str, answer: BaseHTTPResponse) -> FetchError:
        """What an answer that is of no use means, which is read or closed for that."""
        elsewhere = origin_of(place) != origin_of(request.url)
        why = f"redirected to {origin_of(place):.200}, which " if elsewhere else ""
        why += status_text(answer.status)
        if not elsewhere and self._authorizer and answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            why += self._authorizer.asker(request.scope)
        error = FetchError(request.url, why, answer.status, request.method)
        error.elsewhere = elsewhere
        error.pause = retry_after(answer.headers.get("Retry-After", ""))
        if answer.status < HTTPStatus.OK:  # another answer will follow, which must be nobody else's
            answer.close()
        else:
            drain(answer)
        return error


def _with(headers: Mapping[str, str], authorization: str) -> Mapping[str, str]:
    return {**headers, "Authorization": authorization} if authorization else headers


def _is_conditional(request: Request) -> bool:
    return "If-None-Match" in request.headers or "If-Modified-Since" in request.headers


def next_place(request: Request, place: str, location: str) -> str:
    """Where a redirect from `place` leads. Raises FetchError if it may not lead there."""
    try:
        following = urljoin(place, location)
    except ValueError as error:
        raise FetchError(request.url, f"a redirect to something that is no URL: {error}", None) from error
    scheme = following.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        raise FetchError(request.url, "a redirect to something that is neither http:// nor https://", None)
    if scheme == "http" and place.lower().startswith("https:"):
        raise FetchError(request.url, "a redirect from https:// down to http://", None)
    return following


def _pause(error: FetchError, more: int, tried: int, left: float) -> float | None:
    """How many seconds to wait before another try, of which `more` are allowed; None if none makes sense."""
    if not error.again or not more:
        return None
    pause = error.pause if error.pause is not None else _BACKOFF * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311
    return pause if pause <= min(_LONGEST_WAIT, left) else None


def _note_end(error: FetchError, gate: Gate) -> None:
    """Tells the gate of a request that failed for good."""
    if isinstance(error, CutError | SlowError):
        gate.unanswered()
    elif error.status == HTTPStatus.TOO_MANY_REQUESTS or error.pause is not None:
        gate.refused()
