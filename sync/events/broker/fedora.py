"""The configuration of the library fedora-messaging, read for the broker that it names and what is read there."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from builder.errors import FlatdexError
from sync.events.broker import address as plain
from sync.events.broker.address import Broker
from sync.events.settings import Amqp

_BINDING = {"exchange": "amq.topic", "routing_keys": ["#"]}
"""What the library binds where its file has nothing of that."""
_SAMPLE_QUEUES = ("", str(uuid.UUID(int=0)))
"""What queues are called in the library's samples: to be replaced, since no two readers may use the same one."""
_NAMES = uuid.UUID("8f0b2a52-6d0c-5a0e-9a53-0f3ad2c5b7f4")

_Kind = TypeVar("_Kind", str, bool, dict[str, Any], list[Any])
_GIVEN = ("url", "exchange", "topics", "queue", "ca", "cert", "key")

_EXPECTED: dict[Any, str] = {str: "a string", bool: "true or false", dict: "a table", list: "a list"}
_LONGEST = 80  # characters of a value in an error


def broker(settings: Amqp, identity: str) -> Broker:
    """What `settings` say, and where they say nothing, their file of fedora-messaging. Raises FlatdexError."""
    if settings.fedora_messaging is None:
        return plain.broker(settings, identity)
    found = settings_of(settings.fedora_messaging, identity)
    if settings.queue not in ("", found.queue):  # what the file says of a queue is not about this one
        found = replace(found, durable=True, exclusive=False, auto_delete=False, arguments={})
    given: dict[str, Any] = {name: value for name in _GIVEN if (value := getattr(settings, name))}
    return replace(found, **given, prefetch=settings.prefetch)


def settings_of(file: Path, identity: str) -> Broker:
    """What `file` says, in TOML; its relative paths are relative to it. Raises FlatdexError.

    Where it leaves the queue's name to the broker, or to whoever copies a sample, the queue is one of our own, which
    outlives a connection. Its name is made of `identity`, and a UUID: Fedora's public broker takes no other.
    `topic_prefix` and `qos` are not looked at: one is for those who publish, the other for who reads one by one.
    """
    table = _Table(file, _read(file))
    tls, queues = table.table("tls"), table.table("queues")
    bindings = table.tables("bindings") or [_Table(file, _BINDING)]
    named = [each.get("queue", str, "") for each in bindings if "queue" in each.data] or list(queues.data)
    queue = _only(table, "queues", named)
    own = queue in _SAMPLE_QUEUES
    kept = queues.table(queue) if not own else _Table(file, {})
    return Broker(
        url=_with_host(table.get("amqp_url", str, "amqp://")),
        ca=tls.path("ca_cert"),
        cert=tls.path("certfile"),
        key=tls.path("keyfile"),
        queue=str(uuid.uuid5(_NAMES, identity)) if own else queue,
        exchange=_only(table, "bindings", [each.get("exchange", str) for each in bindings]),
        topics=tuple(dict.fromkeys(topic for each in bindings for topic in each.strings("routing_keys"))),
        passive=table.get("passive_declares", bool, False) and not own,
        client_properties=table.get("client_properties", dict, {}),
        durable=kept.get("durable", bool, True),
        exclusive=kept.get("exclusive", bool, False),
        auto_delete=kept.get("auto_delete", bool, False),
        arguments=kept.get("arguments", dict, {}),
    )


def _with_host(url: str) -> str:
    """The library, unlike others, takes a URL without a host for this machine's."""
    try:
        parts = urlsplit(url)
        if parts.hostname:
            return url
    except ValueError:
        return url  # told when it is used
    user, at, port = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}localhost{port}").geturl()


def _read(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        fix = "It is fedora-messaging's configuration, that `fedora_messaging` names; its package brings a sample."
        raise FlatdexError(f"{file}: cannot be read: {error.strerror}", fix) from error
    except UnicodeDecodeError as error:
        raise FlatdexError(f"{file}: not UTF-8", "Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise FlatdexError(f"{file}: not valid TOML: {error}") from error
    return {key.lower(): value for key, value in data.items()}  # the library takes AMQP_URL for amqp_url


@dataclass(frozen=True)
class _Table:
    """A table of the file, and what its keys are called there."""

    file: Path
    data: dict[str, Any]
    place: str = ""

    def get(self, key: str, kind: type[_Kind], default: _Kind | None = None) -> _Kind:
        """The value of `key`, which has to be there if there is no default."""
        value = self.data.get(key, default)
        if value is None:
            raise self.error(key, f"is missing: expected {_EXPECTED[kind]}")
        return self._checked(key, kind, value)

    def table(self, key: str) -> _Table:
        """The table `key`, empty if it is not there."""
        return _Table(self.file, self.get(key, dict, {}), f"{self.place}{key}.")

    def tables(self, key: str) -> list[_Table]:
        """The tables of the list `key`, which need not be there."""
        found = [self._checked(f"{key}[{number}]", dict, each) for number, each in enumerate(self.get(key, list, []))]
        return [_Table(self.file, each, f"{self.place}{key}[{number}].") for number, each in enumerate(found)]

    def strings(self, key: str) -> list[str]:
        """The strings of the list `key`."""
        return [self._checked(f"{key}[{number}]", str, each) for number, each in enumerate(self.get(key, list))]

    def path(self, key: str) -> Path | None:
        """The file that `key` names."""
        text = self.get(key, str, "")
        return (self.file.parent / text).absolute() if text else None

    def error(self, key: str, what: str, fix: str = "") -> FlatdexError:
        """What is wrong with `key`."""
        return FlatdexError(f"{self.file}: {self.place}{key}: {what}", fix)

    def _checked(self, key: str, kind: type[_Kind], value: object) -> _Kind:
        if not isinstance(value, kind):
            raise self.error(key, f"expected {_EXPECTED[kind]}, but got {_shown(value)}")
        return value


def _only(table: _Table, key: str, names: Iterable[str]) -> str:
    """The one queue, or exchange, that the file is about."""
    found = tuple(dict.fromkeys(names))
    if len(found) > 1:
        fix = "A watch reads one queue, bound to one exchange: give it a file of its own."
        raise table.error(key, f"more than one: {', '.join(map(_shown, found))}", fix)
    return found[0] if found else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + ".."
