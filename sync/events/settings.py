"""What the configuration says of events and metrics, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.spans import fraction

EVERY = 3600.0
SETTLE = 0.2
MOST_SETTLE = 5.0
"""For how long events are gathered at most, in seconds, however many come in."""


@dataclass(frozen=True)
class Amqp:
    """A broker. `queue` is empty for one of our own, which is bound to `exchange` by `topics` where these are given.

    `fedora_messaging` is a configuration file of that library, whose settings count where this has none. Files are
    absolute paths.
    """

    url: str = ""
    exchange: str = ""
    topics: tuple[str, ...] = ()
    queue: str = ""
    prefetch: int = 1000
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    fedora_messaging: Path | None = None


@dataclass(frozen=True)
class Listen:
    """A place to listen at: a Unix socket, or else a host (`127.0.0.1`, `::1`) and a port."""

    host: str = ""
    port: int = 0
    socket: Path | None = None

    @property
    def text(self) -> str:
        """As the configuration has it."""
        if self.socket:
            return f"unix:{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Webhook:
    """Where notifications of registries come in, and the file with the secrets, a line each, that prove them."""

    listen: Listen
    secret_file: Path


@dataclass(frozen=True)
class Settings:
    """All of it. `every` and `settle` are in seconds."""

    amqp: Amqp | None = None
    webhook: Webhook | None = None
    spool: Path | None = None
    every: float = EVERY
    settle: float = SETTLE


@dataclass(frozen=True)
class Metrics:
    """Where figures for Prometheus go: a file for its node exporter, and a place to ask."""

    textfile: Path | None = None
    listen: Listen | None = None


def events(publishing: Mapping[str, Any], folder: Path) -> Settings:
    """The settings of `events`; `publishing` was validated, relative paths are relative to `folder`."""
    data = publishing.get("events", {})
    given = data.get("amqp")
    webhook = data.get("webhook")
    return Settings(
        amqp=_amqp(given, folder) if given is not None else None,
        webhook=Webhook(_listen(webhook["listen"], folder), _path(folder, webhook["secret_file"])) if webhook else None,
        spool=_path(folder, data["spool"]) if "spool" in data else None,
        every=fraction(data["every"]) if "every" in data else EVERY,
        settle=fraction(data["settle"]) if "settle" in data else SETTLE,
    )


def metrics(publishing: Mapping[str, Any], folder: Path) -> Metrics:
    """The settings of `metrics`, likewise."""
    data = publishing.get("metrics", {})
    return Metrics(
        textfile=_path(folder, data["textfile"]) if "textfile" in data else None,
        listen=_listen(data["listen"], folder) if "listen" in data else None,
    )


def _amqp(data: Mapping[str, Any], folder: Path) -> Amqp:
    files: dict[str, Any] = {
        key: _path(folder, data[key]) for key in ("ca", "cert", "key", "fedora_messaging") if key in data
    }
    plain = {key: data[key] for key in ("url", "exchange", "queue", "prefetch") if key in data}
    return Amqp(**plain, **files, topics=tuple(data.get("topics", ())))


def _listen(text: str, folder: Path) -> Listen:
    if text.startswith("unix:"):
        return Listen(socket=_path(folder, text.removeprefix("unix:")))
    host, _, port = text.rpartition(":")
    return Listen(host.strip("[]"), int(port))


def _path(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).absolute()
