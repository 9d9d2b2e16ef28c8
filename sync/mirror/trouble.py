"""Why a source can't be used: a stable name, and words for whoever runs a mirror."""

from __future__ import annotations

from http import HTTPStatus

from urllib3 import exceptions

from builder.sources.answers import FetchError, SlowError
from builder.sources.connection import ForbiddenPeerError

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class Trouble(Exception):
    """A source that can't be used: `code` is a stable name, the message a sentence with the likely fix."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def trouble(error: FetchError) -> Trouble:
    """The same in words for somebody who mirrors, with a stable name."""
    cause = error.__cause__
    why, _, _ = error.why.partition(": `ca` of ")  # a registry's key, which sources don't have
    if error.status in _GONE:
        return Trouble(
            "missing",
            f"{error.url} {why}: is that the URL of the remote, up to its last slash, and was it made by flatdex?",
        )
    if error.status is not None:
        return Trouble("http", f"{error.url} {why}")
    if isinstance(cause, exceptions.NameResolutionError):
        return Trouble("dns", f"{why}: is the name right, and the network up?")
    if isinstance(cause, exceptions.SSLError):
        guess = "is its certificate out of date, this machine's clock wrong, or its CA unknown here?"
        return Trouble("tls", why if "?" in why else f"{why}: {guess}")
    if why == "connection refused":
        return Trouble("refused", f"{why}: no server is running there")
    # To urllib3, a connection that can't be made is one that takes too long, too.
    is_new = isinstance(cause, exceptions.NewConnectionError)
    if isinstance(error, SlowError) or (isinstance(cause, exceptions.TimeoutError) and not is_new):
        return Trouble("timeout", f"{why}: it is down, or far too slow")
    if isinstance(cause, ForbiddenPeerError):
        return Trouble("forbidden", why)
    return Trouble("redirect" if cause is None and "redirect" in why else "unreachable", why)
