"""A picture from its URL, within bounds of time and size, and from public addresses alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from urllib.parse import urlsplit

from builder.screenshots.webp import LARGEST
from builder.sources.answers import CutError, FetchError, SlowError, TooLargeError
from builder.sources.connection import PublicPeers
from builder.sources.transport import Patience, Transport

_PATIENCE = Patience(connect=5, read=10, whole=30, retries=0)  # whoever asks has something else to do meanwhile
_ACCEPT = ("image/webp", "image/png", "image/jpeg", "image/gif", "image/*;q=0.5")
_LONGEST_URL = 2000
_OUR_ADVICE = re.compile(r"[:, (]*`.*")  # on the keys of a source, which this isn't


class Failed(Exception):
    """There is no picture to be had. It `answered`: somebody is there. `lasting`: it will say so tomorrow, too."""

    def __init__(self, why: str, *, answered: bool, lasting: bool, busy: bool = False, pause: float = 0) -> None:
        super().__init__(why)
        self.why = why
        self.answered = answered
        self.lasting = lasting
        self.busy = busy
        """Whether it wants no more requests now; `pause` is for how long, in seconds, if it said so."""
        self.pause = pause


@dataclass(frozen=True)
class Fetched:
    """An answer: its bytes, None if nothing has changed, and its headers."""

    data: bytes | None
    headers: Mapping[str, str]


def unfit(url: str) -> str:
    """Why a URL is none to ask for; empty if it is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https"):
        return "neither http:// nor https://"
    if not host or not url.isprintable() or " " in url:
        return "not a URL"
    if parts.username is not None or parts.password is not None:
        return "a URL with a login, which would be everybody's"
    return f"a URL of {len(url)} characters" if len(url) > _LONGEST_URL else ""


class Web:
    """Asks for pictures; may be shared by threads. `hosts` may be in private networks, each as NAME or NAME:PORT."""

    def __init__(self, hosts: Iterable[str], at_once: int) -> None:
        self._transport = Transport(at_once, peers=PublicPeers(hosts), patience=_PATIENCE)

    def __enter__(self) -> Web:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.__exit__(kind, error, trace)

    def picture(self, url: str, conditions: Mapping[str, str]) -> Fetched:
        """The bytes, whatever they are; with `conditions` only if they are others than before. Raises Failed."""
        try:
            answer = self._transport.get(url, LARGEST, _ACCEPT, conditions=conditions)
        except FetchError as error:
            raise _failed(error) from error
        return Fetched(None if answer.status == HTTPStatus.NOT_MODIFIED else answer.body, answer.headers)


def _failed(error: FetchError) -> Failed:
    if isinstance(error, TooLargeError):
        return Failed(f"more than {LARGEST // 1024**2} MiB", answered=True, lasting=True)
    why = _OUR_ADVICE.sub("", error.why)
    if error.status == HTTPStatus.TOO_MANY_REQUESTS or error.pause is not None:
        return Failed(why, answered=True, lasting=False, busy=True, pause=error.pause or 0)
    silent = isinstance(error, CutError | SlowError)
    return Failed(why, answered=not silent, lasting=not silent and not error.again)
