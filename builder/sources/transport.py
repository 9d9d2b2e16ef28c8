"""HTTP as flatdex speaks it: kept connections, bounded bodies and waits, retries for what may be repeated."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

AGENT = "flatdex"
_CONNECT, _READ = 10.0, 60.0  # seconds
_CHUNK = 256 * 1024
_LONGEST_REQUEST = 120.0  # seconds, from its start to its last byte
_REDIRECTS = 5
_REDIRECTING = (301, 302, 303, 307, 308)
_RETRIES = 3
_LONGEST_WAIT = 30  # seconds, whatever a Retry-After says


class FetchError(Exception):
    """A URL could not be read; `status` is that of the answer, None if there was none."""

    def __init__(self, url: str, why: str, status: int | None = None) -> None:
        super().__init__(f"GET {url}: {why}")
        self.url = url
        self.why = why
        self.status = status


class TooLargeError(FetchError):
    """The answer has more bytes than were asked for."""


@dataclass(frozen=True)
class Response:
    """An answer, read to its end: `headers` by name in any case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Adds no credentials: else requests would send those that it finds in ~/.netrc."""
    return request


class Transport:
    """GETs URLs over at most `connections` kept connections a host; may be shared by threads."""

    def __init__(self, connections: int = 16) -> None:
        retry = Retry(
            total=_RETRIES,
            backoff_factor=0.2,
            backoff_jitter=0.2,
            backoff_max=_LONGEST_WAIT,
            retry_after_max=_LONGEST_WAIT,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
        )
        adapter = HTTPAdapter(pool_maxsize=connections, max_retries=retry)
        self._session = requests.Session()
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.auth = _nobody
        self._settings = cache(self._look_up_settings)
        # Digests are those of the bytes as sent: nothing may be compressed on the way.
        self._session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, url: str, limit: int, accept: tuple[str, ...] = ()) -> Response:
        """The answer to a GET, of status 200 only, after redirects. Raises FetchError.

        A body of more than `limit` bytes, and one that drips so slowly that the request takes minutes, are errors.
        """
        deadline = time.monotonic() + _LONGEST_REQUEST
        headers = {"Accept": ", ".join(accept)} if accept else {}
        place = url
        try:
            for _ in range(_REDIRECTS + 1):
                with contextlib.closing(self._send(place, headers)) as answer:
                    if answer.status_code in _REDIRECTING and "Location" in answer.headers:
                        place = urljoin(place, answer.headers["Location"])
                    elif answer.status_code != HTTPStatus.OK:
                        raise FetchError(url, _status_text(answer.status_code), answer.status_code)
                    else:
                        return Response(place, answer.status_code, answer.headers, _body(url, answer, limit, deadline))
        except (requests.RequestException, HTTPError, ValueError) as error:  # ValueError: a Location that is no URL
            raise FetchError(url, _cause(error)) from error
        raise FetchError(url, "too many redirects")

    def _send(self, url: str, headers: dict[str, str]) -> requests.Response:
        """One request. It goes past Session.send, which would read a redirect's body, however large it is."""
        request = self._session.prepare_request(requests.Request("GET", url, headers))
        settings = self._settings("/".join(url.split("/", 3)[:3]))
        adapter = self._session.get_adapter(url)
        return adapter.send(request, stream=True, timeout=(_CONNECT, _READ), **settings)

    def _look_up_settings(self, origin: str) -> dict[str, Any]:
        """Proxies and certificates as the environment has them, looked up once for each origin."""
        found = self._session.merge_environment_settings(origin, {}, None, None, None)
        return {key: found[key] for key in ("proxies", "verify", "cert")}


def _body(url: str, answer: requests.Response, limit: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    # read1 returns what one read of the socket gives: a server that drips can't keep us within a single call.
    while part := answer.raw.read1(_CHUNK, decode_content=False):
        size += len(part)
        if size > limit:
            raise TooLargeError(url, f"the answer has more than {limit} bytes")
        if time.monotonic() > deadline:
            raise FetchError(url, f"only {size} bytes came in {_LONGEST_REQUEST:.0f} seconds")
        parts.append(part)
    return b"".join(parts)


def _status_text(status: int) -> str:
    try:
        return f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"answered {status}"


def _cause(error: Exception) -> str:
    """What is at the bottom of requests' nested errors, in a few words."""
    text = str(error)
    for sign, words in (
        ("Connection refused", "connection refused"),
        ("Name or service not known", "no such host"),
        ("Temporary failure in name resolution", "the host name could not be looked up"),
        ("WRONG_VERSION_NUMBER", "it does not speak TLS: is it http:// instead of https://?"),
        ("CERTIFICATE_VERIFY_FAILED", "the TLS certificate is not trusted"),
        ("timed out", "no answer in time"),
        ("Connection aborted", "the connection was cut"),
        ("IncompleteRead", "the connection was cut"),
        ("No route to host", "no route to the host"),
        ("No connection adapters", "neither http:// nor https://"),
    ):
        if sign in text:
            return words
    return text
