"""Answers that are read bit by bit, however large they are, as long as they come at all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from builder.sources.answers import CutError, FetchError, Request, SlowError, drain
from builder.sources.auth import origin_of
from builder.sources.transport import AGENT, HOPELESS, REDIRECTING, REDIRECTS, Transport, next_place

_CHUNK = 256 * 1024
SLOWEST = 100
"""Bytes a second that have to come: several requests share what may be a ship's line."""
_NOBODY = (*HOPELESS, NewConnectionError, ConnectTimeoutError, ReadTimeoutError)
"""Errors after which the same host isn't worth another try now."""
_GOOD = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)


class Stream:
    """An answer, of status 200, 206 or 416, whose body is still to be read: `headers` by name in any case."""

    def __init__(
        self, transport: Transport, request: Request, answer: BaseHTTPResponse, patience: float, slowest: int = SLOWEST
    ) -> None:
        self._transport, self._request, self._answer, self._patience = transport, request, answer, patience
        self._slowest = slowest
        self._waited, self._came = 0.0, 0
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    def read(self) -> bytes:
        """The next bytes; none at the end. Raises SlowError if they all but stop to come.

        Only the time that is waited for them counts: whoever takes them may do so as slowly as a disk is.
        """
        started = time.monotonic()
        self._transport.extend(started + 2 * self._patience)
        try:
            data = self._answer.read1(_CHUNK, decode_content=False)
        except (HTTPError, OSError) as error:
            self._note(time.monotonic() - started, 0, error)  # it may have been our own watch that cut it
            raise
        self._transport.extend(math.inf)
        self._note(time.monotonic() - started, len(data))
        return data

    def _note(self, waited: float, came: int, error: Exception | None = None) -> None:
        self._waited += waited
        self._came += came
        if self._waited > self._patience:
            if self._came < self._slowest * self._waited:
                why = f"only {self._came} bytes came in {self._waited:.0f} seconds"
                raise SlowError(self._request.url, why) from error
            self._waited, self._came = 0.0, 0


@contextmanager
def streamed(
    transport: Transport,
    url: str,
    headers: Mapping[str, str],
    *,
    scope: str = "",
    patience: float,
    stays: bool = False,
    slowest: int = SLOWEST,
) -> Iterator[Stream]:
    """The answer after redirects; with `stays` none of them may lead to another origin.

    `patience` is for how many seconds less than the `slowest` bytes a second may come. Raises FetchError, also while
    it is read: a CutError if another try may do better. Bytes are given as they are sent; no packed ones are asked for.
    """
    request = Request("GET", url, {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}, 0, scope)
    place = url
    for _ in range(REDIRECTS + 1):
        with _answered(transport, request, place, patience) as answer:
            if answer.status not in REDIRECTING or "Location" not in answer.headers:
                if answer.status not in _GOOD:
                    raise transport.failure(request, place, answer)
                yield Stream(transport, request, answer, patience, slowest)
                return
            place = next_place(request, place, answer.headers["Location"])
            if stays and origin_of(place) != origin_of(url):
                raise FetchError(url, f"a redirect to another place, {origin_of(place):.200}, which is not followed")
            drain(answer)
    raise FetchError(url, "too many redirects")


@contextmanager
def _answered(transport: Transport, request: Request, place: str, patience: float) -> Iterator[BaseHTTPResponse]:
    """The answer to one request. Errors that no other try would mend are no CutErrors."""
    answered = False
    deadline = time.monotonic() + 3 * patience
    try:
        with transport.opened("GET", place, request.headers, deadline, request.scope) as answer:
            if time.monotonic() > deadline:  # our own watch may have cut its head off
                raise SlowError(request.url, f"no answer in {3 * patience:.0f} seconds")
            answered = True
            yield answer
    except CutError as error:
        cause = error.__cause__
        refused = isinstance(cause, SSLError) and not answered and "EOF" not in str(cause)
        if isinstance(cause, _NOBODY) or refused or (not answered and time.monotonic() > deadline):
            raise FetchError(request.url, error.why) from cause
        raise
