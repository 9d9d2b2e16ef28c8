"""A broker: where it is, what is read there, and as whom; with the files that TLS needs."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from builder.errors import FlatdexError
from builder.sources.tls import BadCertificateError, Tls
from sync.events.settings import Amqp

HEARTBEAT = 30
"""Seconds without a sign of life from the broker, after which a connection counts as lost."""

_UNUSED = 28 * 86400 * 1000  # milliseconds
_PORTS = {"amqp": 5672, "amqps": 5671}
_CONNECT = 10  # seconds for TCP and TLS each; for all of it half as much again


@dataclass(frozen=True)
class Broker:
    """What is to be read: a `queue`, which is declared and bound to `exchange` by each of `topics` if there are any.

    Without topics, or if `passive`, the queue has to be there. The rest of a queue's properties are for declaring it.
    """

    url: str = field(repr=False)
    queue: str
    exchange: str = ""
    topics: tuple[str, ...] = ()
    prefetch: int = 1000
    passive: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    client_properties: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """An AMQP URL, taken apart. Its text is for logs: it has no password."""

    host: str
    port: int
    vhost: str
    user: str
    password: str = field(repr=False)
    tls: bool
    heartbeat: int = HEARTBEAT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + ("" if self.vhost == "/" else f"/{self.vhost}")


def broker(settings: Amqp, identity: str) -> Broker:
    """What `amqp` says, with a queue of our own where none is named. Raises FlatdexError where a broker is not named.

    A queue of our own goes away if nobody reads it for four weeks, as when a machine was given up: it would otherwise
    fill the broker's disk for ever.
    """
    if not settings.url:
        raise FlatdexError("`amqp` names no broker", "Write its `url`, such as amqp://127.0.0.1:5672/.")
    return Broker(
        url=settings.url,
        queue=settings.queue or own_queue(identity),
        exchange=settings.exchange,
        topics=settings.topics,
        prefetch=settings.prefetch,
        ca=settings.ca,
        cert=settings.cert,
        key=settings.key,
        arguments={} if settings.queue else {"x-expires": _UNUSED},
    )


def own_queue(identity: str) -> str:
    """The name of a queue that is nobody else's: `flatdex.`, what can be read of `identity`, and its hash."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", identity)[:40].strip("-")
    return f"flatdex.{readable}.{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def address(url: str) -> Address:
    """The parts of an AMQP URL. Raises FlatdexError, which does not tell the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        options = parse_qs(parts.query)
        heartbeat = int(options.get("heartbeat", ["0"])[-1])
    except (ValueError, KeyError):
        parts = None
    if parts is None or not parts.hostname:
        what = "the broker's URL can't be read"
        fix = "Write amqps://USER:PASSWORD@HOST:PORT/VHOST, with %2F for a / and %40 for an @ in its parts."
        raise FlatdexError(what, fix)
    return Address(
        host=parts.hostname,
        port=port,
        vhost=unquote(parts.path[1:]) or "/",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "amqps",
        heartbeat=min(heartbeat, 600) if heartbeat > 0 else HEARTBEAT,
    )


def context(broker: Broker) -> ssl.SSLContext:
    """TLS with the broker's files, read anew: certificates are renewed. Raises FlatdexError."""
    certificates = ((broker.cert, broker.key),) if broker.cert else ()
    try:
        found = Tls((broker.ca,) if broker.ca else (), certificates).context(with_certificate=True)
    except BadCertificateError as error:
        raise FlatdexError(str(error), "Look at `ca`, `cert` and `key` of `amqp`.") from error
    return found or ssl.create_default_context()


def parameters(broker: Broker) -> Any:
    """How pika is to connect, once. Raises FlatdexError.

    A certificate says who we are, unless the URL has a password: then both are shown.
    """
    import pika

    place = address(broker.url)
    if broker.cert and not place.password:
        credentials: Any = pika.credentials.ExternalCredentials()
    elif place.user:
        credentials = pika.PlainCredentials(place.user, place.password)
    else:
        credentials = pika.PlainCredentials("guest", "guest")  # what brokers let in from their own machine
    return pika.ConnectionParameters(
        host=place.host,
        port=place.port,
        virtual_host=place.vhost,
        credentials=credentials,
        heartbeat=place.heartbeat,
        ssl_options=pika.SSLOptions(context(broker), place.host) if place.tls else None,
        connection_attempts=1,
        socket_timeout=_CONNECT,
        stack_timeout=_CONNECT * 1.5,
        client_properties={"connection_name": f"flatdex watch, {broker.queue}", **broker.client_properties},
    )
