"""Why a broker can't be read, in words for an admin; never with a password."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from builder.errors import FlatdexError
from sync.events.broker.address import Address

_LONGEST = 300


class Cancelled(Exception):
    """The broker reads to us no longer."""


def why(error: BaseException, place: Address, queue: str) -> str:
    """What went wrong with a connection, in one line without a full stop."""
    return short(_why(error, place, queue)).rstrip(".")


def _why(error: BaseException, place: Address, queue: str) -> str:
    from pika import exceptions

    user = place.user or "guest"
    match error:
        case FlatdexError():
            return error.line
        case Cancelled():
            return f"the queue {queue!r} was deleted, or has moved"
        case exceptions.AuthenticationError() | exceptions.ProbableAuthenticationError():
            return f"{place} does not let {user!r} in: is the user's name right, and the password (or certificate)?"
        case exceptions.ProbableAccessDeniedError():
            return f"{place}: {user!r} may not use the virtual host {place.vhost!r}, or there is none"
        case exceptions.AMQPHeartbeatTimeout():
            return f"{place} has not given a sign of life for {place.heartbeat} s"
        case exceptions.ConnectionClosedByBroker() | exceptions.ChannelClosedByBroker():
            return f"{place} says: {error.reply_text} ({error.reply_code})"
        case exceptions.IncompatibleProtocolError():
            return f"{place} does not speak AMQP 0-9-1: is that the port for {'amqps' if place.tls else 'amqp'}?"
        case ssl.SSLCertVerificationError():
            return f"{place} shows a certificate that can't be trusted: {error.verify_message}; is `ca` right?"
        case ssl.SSLError():
            text = (error.reason or str(error)).replace("_", " ").lower()
            return f"TLS with {place} failed ({text}): is that the port for amqps?"
        case socket.gaierror():
            return f"no address of {place.host} is known: is the name right, and the network up?"
        case TimeoutError():
            return f"{place} does not answer"
        case OSError():
            return f"{place}: {(error.strerror or type(error).__name__).lower()}"
    inner = _inner(error)
    if inner is not None:
        return _why(inner, place, queue)
    if isinstance(error, exceptions.StreamLostError | exceptions.ConnectionWrongStateError):
        return f"the connection to {place} was lost"
    return f"{place}: {type(error).__name__}: {error}"


def _inner(error: BaseException) -> BaseException | None:
    """The cause of an error of pika's, which has it among its arguments, and names it in texts only, sometimes."""
    found: list[Any] = [*error.args, getattr(error, "exception", None), error.__cause__]
    return next((each for each in found if isinstance(each, BaseException) and each is not error), None)


def short(text: str) -> str:
    """A text of whoever sends messages, or of a library, as part of a line."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
