"""HTTP as flatdex speaks it: kept connections, bounded bodies and waits, retries for what may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

AGENT = "flatdex"
_CONNECT, _READ = 10.0, 60.0  # seconds
_CHUNK = 256 * 1024
_REDIRECTS = 5
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
        self._session.max_redirects = _REDIRECTS
        self._session.auth = _nobody
        # Digests are those of the bytes as sent: nothing may be compressed on the way.
        self._session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, url: str, limit: int, accept: tuple[str, ...] = ()) -> Response:
        """The answer to a GET, of status 200 only. Raises FetchError, also for a body of more than `limit` bytes."""
        headers = {"Accept": ", ".join(accept)} if accept else {}
        try:
            with self._session.get(url, headers=headers, timeout=(_CONNECT, _READ), stream=True) as answer:
                if answer.status_code != HTTPStatus.OK:
                    raise FetchError(url, _status_text(answer.status_code), answer.status_code)
                return Response(answer.url, answer.status_code, answer.headers, _body(url, answer, limit))
        except (requests.RequestException, HTTPError, ValueError) as error:  # ValueError: a Location that is no URL
            raise FetchError(url, _cause(error)) from error


def _body(url: str, answer: requests.Response, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in answer.raw.stream(_CHUNK, decode_content=False):
        size += len(part)
        if size > limit:
            raise TooLargeError(url, f"the answer has more than {limit} bytes")
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
        ("Exceeded", "too many redirects"),
    ):
        if sign in text:
            return words
    return text
