"""The queue that is read: found, or declared and bound, as far as the broker lets us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builder.errors import FlatdexError
from sync.events.broker.address import Broker

_REFUSED, _MISSING, _LOCKED, _OTHERWISE = 403, 404, 405, 406


def opened(connection: Any, broker: Broker) -> tuple[Any, str]:
    """A channel, ready to read `broker.queue`, and what an admin should know of the queue. Raises FlatdexError."""
    notes = []
    if broker.topics:
        _find_exchange(connection, broker)
    if broker.topics and not broker.passive:
        notes.append(_declare(connection, broker))
    else:
        _find_queue(connection, broker)
    if broker.topics:
        notes.append(_bind(connection, broker))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=broker.prefetch)
    return channel, "; ".join(filter(None, notes))


def _find_exchange(connection: Any, broker: Broker) -> None:
    code, text = _tried(connection, lambda channel: channel.exchange_declare(broker.exchange, passive=True))
    if code == _MISSING:
        what = f"there is no exchange {broker.exchange!r}"
        raise FlatdexError(what, "Is its name right, and the virtual host in `url`?")
    _raise_for(code, text, f"the exchange {broker.exchange!r} can't be used")


def _find_queue(connection: Any, broker: Broker) -> None:
    code, text = _tried(connection, lambda channel: channel.queue_declare(broker.queue, passive=True))
    if code == _MISSING:
        what = f"there is no queue {broker.queue!r}"
        fix = "Declare it at the broker, or give `exchange` and `topics`, so that it is declared and bound by flatdex."
        raise FlatdexError(what, fix)
    _raise_for(code, text, f"the queue {broker.queue!r} can't be used")


def _declare(connection: Any, broker: Broker) -> str:
    """Declares the queue. One that is there already stays as it is, whoever declared it; what is then to be known."""
    code, text = _tried(
        connection,
        lambda channel: channel.queue_declare(
            broker.queue,
            durable=broker.durable,
            exclusive=broker.exclusive,
            auto_delete=broker.auto_delete,
            arguments=dict(broker.arguments),
        ),
    )
    if code not in (_REFUSED, _OTHERWISE):
        _raise_for(code, text, f"the queue {broker.queue!r} can't be declared")
        return ""
    there, _ = _tried(connection, lambda channel: channel.queue_declare(broker.queue, passive=True))
    if there:
        fix = "Allow it to this user (rabbitmqctl set_permissions), or declare the queue there and name it as `queue`."
        raise FlatdexError(f"the queue {broker.queue!r} is not there, and can't be declared: {text}", fix)
    return "declared by somebody else" if code == _REFUSED else "declared otherwise than flatdex would"


def _bind(connection: Any, broker: Broker) -> str:
    """Binds the queue. Where that is not allowed somebody else may have done it."""

    def bind(channel: Any) -> None:
        for topic in broker.topics:
            channel.queue_bind(broker.queue, broker.exchange, routing_key=topic)

    code, text = _tried(connection, bind)
    if code == _REFUSED:
        return f"bound by somebody else, if at all, since this user may not bind it: {text}"
    _raise_for(code, text, f"the queue {broker.queue!r} can't be bound to {broker.exchange!r}")
    return ""


def _tried(connection: Any, action: Callable[[Any], object]) -> tuple[int, str]:
    """Does something on a channel of its own, since a refusal closes it: the broker's code and text, or 0."""
    from pika.exceptions import ChannelClosedByBroker

    channel = connection.channel()
    try:
        action(channel)
    except ChannelClosedByBroker as error:
        return error.reply_code, error.reply_text
    channel.close()
    return 0, ""


def _raise_for(code: int, text: str, what: str) -> None:
    if code:
        fix = "Somebody else reads it, and wants to be the only one." if code == _LOCKED else ""
        raise FlatdexError(f"{what}: {text}", fix)
