"""Events from a broker: a thread that reads a queue, and acknowledges what is done."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from builder.errors import FlatdexError
from sync.events.broker import frames, queue
from sync.events.broker.acks import Acks
from sync.events.broker.address import Broker, address, context, parameters
from sync.events.broker.trouble import Cancelled, short, why
from sync.events.model import Hint, Inbox

ORIGIN = "amqp"
Read = Callable[[str, Mapping[str, Any], bytes], Hint | None]
"""What a message says, by its topic, headers and body. May raise anything for what is no message of any known kind."""

_TICK = 1.0  # seconds between two looks at whether to stop; acknowledgements don't wait for them
_FIRST, _LAST = 1.0, 60.0
_HELD = 10.0  # seconds after which a connection counts as one that held
_STOP = 0.9


def delay(tries: int, chance: float) -> float:
    """Seconds until the next try, after so many in vain: twice as long each time, and by `chance` (0 to 1) half of it.

    So brokers that come back are not met by everybody at once.
    """
    longest: float = min(_LAST, 2 * _FIRST * 2 ** min(tries - 1, 10))
    return longest * (1 + chance) / 2


class Amqp:
    """The origin `amqp`. Messages are acknowledged when `done` of their hints is called, and bad ones at once."""

    def __init__(self, inbox: Inbox, broker: Broker, read: Read) -> None:
        self._inbox = inbox
        self._broker = broker
        self._read = read
        self._place = address(broker.url)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake: Callable[[], None] = _nothing
        self._chance = random.SystemRandom()
        self._said = ""

    def start(self) -> None:
        """Begins to read. Raises FlatdexError without pika, or with files for TLS that can't be used."""
        try:
            import pika  # noqa: F401
        except ImportError as error:
            fix = "`pip install 'flatdex[amqp]'` in the environment that flatdex is installed in, or leave `amqp` out."
            raise FlatdexError("messages of a broker can't be read: pika is not installed", fix) from error
        if self._place.tls:
            context(self._broker)
        _silence()
        self._thread = threading.Thread(target=self._run, name="flatdex-amqp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends, within a second: a broker that does not answer is left to find out by itself."""
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(_STOP)

    def _run(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._serve()
            except Exception as error:  # of pika, the network, or a defect: what is not acknowledged comes again
                tries = 1 if time.monotonic() - began > _HELD else tries + 1
                cause = why(error, self._place, self._broker.queue)
                self._say(f"not connected: {cause}; tried again within a minute", up=False)
                self._stopping.wait(delay(tries, self._chance.random()))

    def _serve(self) -> None:
        """Reads until the end of the connection, which is an error, or until it is to stop."""
        import pika

        connection = pika.BlockingConnection(parameters(self._broker), _impl_class=frames.connection_class())

        def wake() -> None:
            with contextlib.suppress(Exception):  # it is closed, or being closed right now
                connection.add_callback_threadsafe(_nothing)

        acks = Acks(wake)
        self._wake = wake
        try:
            channel, note = queue.opened(connection, self._broker)
            self._consume(connection, channel, acks, note)
        finally:
            self._wake = _nothing
            acks.end()
            with contextlib.suppress(Exception):
                connection.close()

    def _consume(self, connection: Any, channel: Any, acks: Acks, note: str) -> None:
        cancelled = threading.Event()
        channel.add_on_cancel_callback(lambda _: cancelled.set())

        def on_message(_: Any, method: Any, properties: Any, body: bytes) -> None:
            self._take(method.routing_key, properties, body, acks.taken(method.delivery_tag))

        channel.basic_consume(self._broker.queue, on_message)
        self._say(f"connected to {self._place}, queue {self._broker.queue}" + (f" ({note})" if note else ""))
        while not self._stopping.is_set():
            connection.process_data_events(time_limit=_TICK)
            _acknowledge(channel, acks)
            if cancelled.is_set():
                raise Cancelled
        _acknowledge(channel, acks)

    def _take(self, topic: str | bytes, properties: Any, body: bytes, done: Callable[[], None]) -> None:
        """Offers what a message says. A bad one is done: sent again, it would be as bad as before."""
        reason, detail = frames.refused(properties)
        name = topic.decode("utf-8", "replace") if isinstance(topic, bytes) else topic
        if not reason:
            try:
                hint = self._read(name, properties.headers or {}, body) or Hint()
            except Exception as error:  # whatever a sender may have made up
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                reason, detail = "malformed", f"{kind}{error}"
        if reason:
            self._inbox.refused(ORIGIN, reason, short(f"{name}: {detail}"))
            done()
        else:
            self._inbox.offer(ORIGIN, hint, done)

    def _say(self, text: str, up: bool = True) -> None:
        """Tells a state, once."""
        if text != self._said:
            self._said = text
            self._inbox.state(ORIGIN, text, up)


def _acknowledge(channel: Any, acks: Acks) -> None:
    for tag, multiple in acks.due():
        channel.basic_ack(tag, multiple)
    if channel.is_closed:  # by the broker, which pika tells nobody who does not ask
        why_closed = getattr(channel, "_closing_reason", None)
        raise why_closed if isinstance(why_closed, Exception) else Cancelled


def _silence() -> None:
    """pika tells of errors by itself, at length, on standard error."""
    logger = logging.getLogger("pika")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


def _nothing() -> None:
    pass
