"""RabbitMQ, with all that it keeps in a folder of its own, and an epmd of its own: several can run side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.real.process import Child, Service, free_port, is_listening, located, require, run

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
"""Those on PATH are Debian's wrappers, which want to become the user rabbitmq."""
_START = 90  # seconds: it takes 6 on an idle machine
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
load_definitions = {folder}/definitions.json
log.console = true
log.console.level = warning
log.file = false
heartbeat = 60
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
"""
_TLS = """\
listeners.ssl.1 = 127.0.0.1:{tls_port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
"""
_CLIENTS = """\
ssl_options.cacertfile = {clients}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
"""


@dataclass(frozen=True)
class Depth:
    """What a queue holds: `ready` to be sent, and `unacknowledged` by those who have it."""

    ready: int
    unacknowledged: int
    consumers: int


class RabbitMQ(Service):
    """A broker on loopback that keeps everything in `folder`. Use it with `with`.

    `tls` is a certificate with its key, for a second port; `clients` has the authority of the certificates that clients
    may show there, whose common names are users. `users` are names with passwords and the names of queues that they
    may configure, write and read, as regular expressions; guest, who may do everything, is always there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: tuple[Path, Path] | None = None,
        clients: Path | None = None,
        users: Mapping[str, tuple[str, str, str, str]] | None = None,
        vhosts: Sequence[str] = (),
    ) -> None:
        require("rabbitmq-server", "epmd")
        self.folder = folder
        self.port, self.tls_port, self._epmd_port, self._peer_port = (free_port() for _ in range(4))
        self.url = f"amqp://127.0.0.1:{self.port}/"
        self.tls_url = f"amqps://127.0.0.1:{self.tls_port}/"
        self._epmd: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(port=self.port, folder=folder)
        if tls:
            config += _TLS.format(tls_port=self.tls_port, certificate=tls[0], key=tls[1])
        if clients:
            config += _CLIENTS.format(clients=clients)
        (folder / "rabbitmq.conf").write_text(config)
        (folder / "plugins").write_text("[rabbitmq_auth_mechanism_ssl]." if clients else "[].")
        (folder / "definitions.json").write_text(json.dumps(_definitions(users or {}, vhosts)))

    @property
    def environment(self) -> dict[str, str]:
        """What makes the server, and its tools, keep to the folder and to the ports."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "flatdex@localhost",
            "RABBITMQ_DIST_PORT": str(self._peer_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            # Or a shell stays in front of the server, and ends it by another program, which takes long.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _launch(self) -> Child:
        # Otherwise the server starts one, as a daemon that outlives it.
        self._epmd = Child(
            [located("epmd"), "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self.folder / "epmd.log",
            env=self.environment,
        )
        self._epmd.wait_until_listening(self._epmd_port)
        return Child(
            [_PROGRAMS / "rabbitmq-server"], log=self.folder / "rabbitmq.log", env=self.environment, cwd=self.folder
        )

    def _wait(self, child: Child) -> None:
        child.wait_until(lambda: is_listening(self.port), f"listener on port {self.port}", _START)

    def stop(self) -> None:
        """End the server and its epmd. What is durable stays."""
        super().stop()
        if self._epmd is not None:
            self._epmd.stop()
            self._epmd = None

    def start(self) -> None:
        """Start it and return when it answers."""
        try:
            super().start()
        except BaseException:
            self.stop()
            raise

    def ctl(self, *words: str) -> str:
        """What rabbitmqctl says. It takes a second or two."""
        return run([_PROGRAMS / "rabbitmqctl", "--quiet", *words], env=self.environment, cwd=self.folder).stdout

    def depth(self, queue: str) -> Depth | None:
        """What a queue holds, or None if there is none."""
        columns = ("name", "messages_ready", "messages_unacknowledged", "consumers")
        for each in json.loads(self.ctl("list_queues", "--formatter=json", *columns)):
            if each["name"] == queue:
                return Depth(each["messages_ready"], each["messages_unacknowledged"], each["consumers"])
        return None

    @contextmanager
    def channel(self, url: str = "") -> Iterator[Any]:
        """A channel of pika, whose publishing returns when the broker has the message safe."""
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(url or f"{self.url}%2F"))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def publish(self, topic: str, *bodies: bytes, exchange: str = "amq.topic", headers: Any = None) -> None:
        """Sends durable messages, one after the other."""
        import pika

        with self.channel() as channel:
            for body in bodies:
                properties = pika.BasicProperties(delivery_mode=2, headers=headers)
                channel.basic_publish(exchange, topic, body, properties)

    def flood(self, topic: str, bodies: Sequence[bytes], exchange: str = "amq.topic") -> None:
        """Sends many messages as fast as they go."""
        import pika

        with self.channel() as channel:
            # Without waiting for each; the end of the connection is an answer to all.
            fast = channel.connection.channel()
            for body in bodies:
                fast.basic_publish(exchange, topic, body, pika.BasicProperties(delivery_mode=2))


def _definitions(users: Mapping[str, tuple[str, str, str, str]], vhosts: Sequence[str]) -> dict[str, Any]:
    everybody = {"guest": ("guest", ".*", ".*", ".*"), **users}
    return {
        "vhosts": [{"name": name} for name in ("/", *vhosts)],
        "users": [{"name": name, "password": each[0], "tags": ""} for name, each in everybody.items()],
        "permissions": [
            {"user": name, "vhost": vhost, "configure": configure, "write": write, "read": read}
            for name, (_, configure, write, read) in everybody.items()
            for vhost in ("/", *(vhosts if name == "guest" else ()))
        ],
    }
