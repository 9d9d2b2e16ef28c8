"""A watch in its surroundings: a registry that tells of pushes, or a broker, and three targets that are served."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pika

from bench import fill
from builder import configfile
from builder.site.rules import nginx
from builder.sources.transport import AGENT
from tests.e2e.site import Flatdex
from tests.e2e.watching import Watch
from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.process import Child, free_port
from tests.real.rabbitmq import RabbitMQ
from tests.real.registry import DockerRegistry
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd

WAYS = ("webhook", "amqp")
THIRD = ("rsyncd", "ssh")
_TOPIC = "org.example.image.pushed"
_CONFIG = """
store: ./store
remote: {{name: bench, url: "http://127.0.0.1/"}}
sources:
  main: {{registry: "{registry}", repositories: ["apps/*"]}}
indexes:
  defaults: {{architectures: [amd64, arm64]}}
  stable: {{tags: [latest]}}
  testing: {{tags: [testing]}}
targets: {targets}
events: {events}
{more}
"""


@dataclass(frozen=True)
class Web:
    """A target's web server: its URL, and where rsync puts a file so that it is served at `URL/floor/`."""

    url: str
    floor: str
    rsh: str = ""


@dataclass(frozen=True)
class Scene:
    """All of it, at work. `tell` says that a repository has news, where the registry does not do that itself."""

    watch: Watch
    registry: DockerRegistry
    webs: tuple[Web, ...]
    tell: Callable[[int], None]

    @property
    def flatdex(self) -> Flatdex:
        """The command, with the configuration of the watch."""
        return self.watch.flatdex

    @property
    def process(self) -> Child:
        """The watch's own process."""
        child = self.watch.child
        if child is None:
            raise SystemExit("no watch is running")
        return child

    def asked(self) -> int:
        """How many requests flatdex has sent to the registry so far."""
        return sum(f'"{AGENT}' in line for line in self.registry.log().splitlines())


@contextmanager
def scene(folder: Path, images: Path, way: str = "webhook", third: str = "rsyncd") -> Iterator[Scene]:
    """A watch that hears of pushes by `way`, over a registry whose files are in `images`.

    Two targets are folders of this machine, the third one is pushed to by the rsync daemon or by ssh.
    """
    secret, port = secrets.token_hex(20), free_port()
    url, headers = f"http://127.0.0.1:{port}/", {"Authorization": f"Bearer {secret}"}
    flatdex = Flatdex(folder)
    (folder / "secret").write_text(f"{secret}\n")
    (folder / "secret").chmod(0o600)
    with ExitStack() as stack:
        told = (url, headers) if way == "webhook" else None
        registry = stack.enter_context(DockerRegistry(images, access_log=True, notifications=told))
        events: dict[str, Any] = {"settle": "200ms", "every": "1h"}
        tell: Callable[[int], None] = _nothing
        if way == "amqp":
            broker = stack.enter_context(RabbitMQ(folder / "broker"))
            events["amqp"] = {"url": broker.url, "exchange": "amq.topic", "topics": [_TOPIC]}
            tell = partial(_publish, stack.enter_context(broker.channel()))
        else:
            events["webhook"] = {"listen": f"127.0.0.1:{port}", "secret_file": "./secret"}
        places = [*(_folder(folder / name) for name in ("first", "second")), _third(stack, folder / "third", third)]
        servers, webs = _served(folder, places)
        targets = {place.name: {**place.target, "url": web.url} for place, web in zip(places, webs, strict=True)}
        configure(flatdex, registry.url, targets, events)
        for server in servers(flatdex.config):
            stack.enter_context(server)
        watch = stack.enter_context(Watch(flatdex, ready=False))
        watch.wait("live: ", seconds=120)
        yield Scene(watch, registry, webs, tell)


def configure(
    flatdex: Flatdex, registry: str, targets: Mapping[str, Any], events: Mapping[str, Any], more: str = ""
) -> None:
    """Writes the configuration."""
    text = _CONFIG.format(registry=registry, targets=json.dumps(targets), events=json.dumps(events), more=more)
    flatdex.config.write_text(text)


def _nothing(_number: int) -> None:
    pass


def _publish(channel: Any, number: int) -> None:
    body = json.dumps({"repository": fill.name(number)}).encode()
    channel.basic_publish("amq.topic", _TOPIC, body, pika.BasicProperties(delivery_mode=2))


@dataclass(frozen=True)
class _Place:
    """A target: its folder, how the configuration names it, and where rsync puts the floor's file."""

    folder: Path
    target: Mapping[str, str]
    floor: str
    rsh: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


def _folder(folder: Path) -> _Place:
    return _Place(folder, {"rsync": f"{folder}/site"}, f"{folder}/floor/")


def _third(stack: ExitStack, folder: Path, third: str) -> _Place:
    if third == "ssh":
        sshd = stack.enter_context(Sshd(folder.with_name("sshd")))
        target = {"rsync": f"{sshd.host}:{folder}/site", "ssh": sshd.command}
        return _Place(folder, target, f"{sshd.host}:{folder}/floor/", sshd.command)
    daemon = stack.enter_context(Rsyncd(folder.with_name("rsyncd"), folder, munge=False))
    return _Place(folder, {"rsync": daemon.url("site")}, daemon.url("floor/"))


def _served(folder: Path, places: list[_Place]) -> tuple[Callable[[Path], Iterator[Apache | Nginx]], tuple[Web, ...]]:
    """Three web servers, to be started when there is a configuration whose rules they may need; and where they are."""
    made: list[Apache | Nginx] = []
    for number, place in enumerate(places):
        (place.folder / "site").mkdir(parents=True)
        (place.folder / "floor").mkdir()
        state, root = folder / f"web-{place.name}", place.folder / "site" / "current"
        made.append(Nginx(state, root) if number == 1 else Apache(state, root, extra=_apache_floor(place)))

    def servers(config: Path) -> Iterator[Apache | Nginx]:
        for server, place in zip(made, places, strict=True):
            if isinstance(server, Nginx):
                rules = nginx.server(configfile.load(config, {}), str(server.root), "/")
                server.extra = f"location ^~ /floor/ {{ root {place.folder}; }}\n{rules}"
            yield server

    return servers, tuple(Web(server.url, place.floor, place.rsh) for server, place in zip(made, places, strict=True))


def _apache_floor(place: _Place) -> str:
    floor = place.folder / "floor"
    return f'Alias "/floor/" "{floor}/"\n<Directory "{floor}">\nRequire all granted\n</Directory>\n'
