"""Notifications of registries by HTTP, at a loopback port or a socket: kept safe first, then answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from sync.events.model import Hint, Inbox
from sync.events.settings import Webhook as Settings
from sync.events.web import proof
from sync.events.web.crowd import Crowd
from sync.events.web.door import Door
from sync.events.web.shapes import hint_of
from sync.events.web.wire import Gone, Head, Refused, Wire

ORIGIN = "webhook"
MOST_AT_ONCE = 16
LARGEST_BODY = 1024 * 1024
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 5.0
_STOP_SECONDS = 0.8
_AGAIN_SECONDS = "10"


class Journal(Protocol):
    """Where hints are kept until all that they cause is live."""

    def keep(self, hint: Hint) -> Path:
        """Keeps it durably. Raises OSError."""

    def drop(self, path: Path) -> None:
        """Forgets what was kept there."""


class Webhook:
    """The origin. `wanted` tells whether the configuration takes anything that a hint names; `waiting` whether an
    equal one is kept already, and no round has begun with it.

    What has to be kept and can't is answered 503, so that the sender tries again.
    """

    def __init__(
        self,
        inbox: Inbox,
        settings: Settings,
        journal: Journal,
        wanted: Callable[[Hint], bool],
        waiting: Callable[[Hint], bool],
    ) -> None:
        self._inbox, self._settings, self._journal = inbox, settings, journal
        self._wanted, self._waiting = wanted, waiting
        self._secrets: tuple[bytes, ...] = ()
        self._door: Door | None = None
        self._crowd: Crowd | None = None
        self._ending = threading.Event()

    def start(self) -> None:
        """Begins to listen. Raises FlatdexError."""
        self.reload()
        self._ending.clear()
        self._door = Door(self._settings.listen)
        troubled = partial(self._inbox.refused, ORIGIN, "no-room")
        self._crowd = Crowd(self._door.listener, self._serve, MOST_AT_ONCE, ORIGIN, troubled)
        self._crowd.start()
        self._inbox.state(ORIGIN, self._state())

    def stop(self) -> None:
        """Ends within a second. What is not answered by then is the sender's to send again."""
        self._ending.set()
        if self._crowd:
            self._crowd.stop(_STOP_SECONDS)
        if self._door:
            self._door.close()
        self._door = self._crowd = None

    def reload(self) -> None:
        """Reads the secrets again. Raises FlatdexError; then those from before still hold."""
        self._secrets = proof.read_secrets(self._settings.secret_file)
        if self._crowd:
            self._inbox.state(ORIGIN, self._state())

    def _state(self) -> str:
        file = self._settings.secret_file
        warning = f", but all users can read the secrets: chmod o= {file}" if proof.exposed(file) else ""
        return f"listening on {self._settings.listen.text}{warning}"

    def _serve(self, wire: Wire) -> None:
        """Answers a connection's requests until it ends."""
        patience = REQUEST_SECONDS
        try:
            while not self._ending.is_set() and self._one(wire, patience):
                patience = IDLE_SECONDS
        except Gone:
            return
        except Refused as refused:
            # Where the next request begins is not certain after one of these, so the connection ends.
            self._refuse(wire, refused, keep=False)
            wire.close(linger=True)
        except Exception as error:  # a mistake of ours must not end the thread without a word
            self._inbox.refused(ORIGIN, "failed", type(error).__name__)

    def _one(self, wire: Wire, patience: float) -> bool:
        """Takes and answers one request; whether another may follow."""
        head, deadline = wire.head(patience, REQUEST_SECONDS)
        if head.method == "GET" and not head.length:
            keep = self._keeps(head)
            found = head.path == "/"
            wire.answer(*((HTTPStatus.OK, "flatdex") if found else (HTTPStatus.NOT_FOUND, "not found")), keep)
            return keep
        body = wire.body(head, _allowed(head), deadline)
        try:
            status = self._take(head, body)
        except Refused as refused:
            return self._refuse(wire, refused, self._keeps(head))
        keep = self._keeps(head)
        wire.answer(status, status.phrase.lower(), keep)
        return keep

    def _take(self, head: Head, body: bytes) -> HTTPStatus:
        """Takes a notification; what is answered then. Raises Refused."""
        if not proof.proven(head.headers, body, self._secrets):
            raise Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", proof.attempt(head.headers))
        try:
            hint = hint_of(body, head.headers)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed", str(error)) from error
        if hint.empty or not self._wanted(hint) or self._waiting(hint):
            # It is only counted. If a round begins right now with the equal one, that is in time for this one, too.
            self._inbox.offer(ORIGIN, hint)
        else:
            try:
                kept = self._journal.keep(hint)
            except OSError as error:
                words = f"can't keep it: {error.strerror or type(error).__name__}"
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "not-kept", words) from error
            self._inbox.offer(ORIGIN, hint, partial(self._journal.drop, kept))
        return HTTPStatus.ACCEPTED

    def _refuse(self, wire: Wire, refused: Refused, keep: bool) -> bool:
        self._inbox.refused(ORIGIN, refused.reason, refused.words)
        headers = {}
        words = refused.words
        if refused.status is HTTPStatus.UNAUTHORIZED:
            words = "unauthorized"  # why is nobody's business but the log's
            headers["WWW-Authenticate"] = 'Bearer realm="flatdex"'
        elif refused.status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, POST"
        elif refused.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = _AGAIN_SECONDS
        try:
            wire.answer(refused.status, words, keep, headers)
        except Gone:
            return False
        return keep

    def _keeps(self, head: Head) -> bool:
        crowd = self._crowd
        return head.keep and not self._ending.is_set() and not (crowd and crowd.dense)


def _allowed(head: Head) -> int:
    """The length of a body that may be read. Raises Refused."""
    if head.method != "POST":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "malformed", "notifications are POSTed")
    length = head.length
    if length is None:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "no-length", "no length is told")
    if length > LARGEST_BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"more than {LARGEST_BODY} bytes")
    return length
