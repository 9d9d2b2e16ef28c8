"""Answers Prometheus, at a loopback port or a socket: `GET /metrics`, from a few at once, and in bounded time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from http import HTTPStatus

from sync.events.settings import Listen
from sync.events.web.crowd import Crowd
from sync.events.web.door import Door
from sync.events.web.wire import Gone, Refused, Wire

_MOST_AT_ONCE = 4
_REQUEST_SECONDS = 5.0
_IDLE_SECONDS = 90.0  # Prometheus keeps its connection from one scrape to the next
_STOP_SECONDS = 0.5
_TEXT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class Scrapes:
    """Answers with what `text` gives from now on, until `stop`. Raises FlatdexError if the place can't be used."""

    def __init__(self, listen: Listen, text: Callable[[], bytes]) -> None:
        self._text = text
        self._door = Door(listen)
        self._crowd = Crowd(self._door.listener, self._serve, _MOST_AT_ONCE, "metrics")
        self._crowd.start()

    def stop(self) -> None:
        """Answers nobody any more."""
        self._crowd.stop(_STOP_SECONDS)
        self._door.close()

    def _serve(self, wire: Wire) -> None:
        try:
            while not self._crowd.ending and self._one(wire):
                pass
        except Gone:
            pass
        except Refused as refused:
            with contextlib.suppress(Gone):
                wire.answer(refused.status, refused.words, keep=False)
            wire.close(linger=True)

    def _one(self, wire: Wire) -> bool:
        """Answers one request; whether another may follow."""
        head, _ = wire.head(_IDLE_SECONDS, _REQUEST_SECONDS)
        wire.since = 0.0
        if head.method != "GET" or head.length:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "malformed", "figures are for GET")
        keep = head.keep and not self._crowd.dense and not self._crowd.ending
        if head.path.partition("?")[0] != "/metrics":
            wire.answer(HTTPStatus.NOT_FOUND, "not found: the figures are at /metrics", keep)
            return keep
        try:
            text = self._text().decode()
        except Exception as error:  # a mistake of ours must not end the thread without a word
            wire.answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"no figures: {type(error).__name__}", False)
            return False
        wire.answer(HTTPStatus.OK, text.removesuffix("\n"), keep, _TEXT)
        return keep
