"""From regindexer's configuration to hints: fedora-messaging itself sends through a real broker."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder import configfile
from sync.events import settings
from sync.events.broker import fedora, messages
from sync.events.broker.amqp import Amqp
from sync.events.model import Hint
from tests.real.files import readable_folder
from tests.real.process import run, wait_for
from tests.real.rabbitmq import RabbitMQ

PATIENCE = 60.0  # seconds
SEND = """\
import json, sys
from fedora_messaging import api, message
for name, body in json.loads(sys.argv[1]):
    api.publish(message.get_class(name)(body=body), timeout=30)
"""
CONFIG = """\
icons_dir: /var/lib/regindexer/icons/
icons_uri: /app-icons/
indexes:
  flatpak:
    output: /var/lib/regindexer/index/flatpak.json
    registry: http://127.0.0.1:5000
    tags: [latest]
daemon: {topic_prefix: org.example, environment: prod}
"""
BUILDS = [{"nvr": "gimp-stable-4420261126.1", "type": "flatpak"}]
UPDATE = {
    "alias": "FEDORA-FLATPAK-2026-0123456789",
    "builds": BUILDS,
    "release": {"name": "F44F"},
    "request": None,
    "status": "stable",
    "user": {"name": "somebody"},
}


class Box:
    """An inbox that keeps what is of interest, and does not wait."""

    def __init__(self) -> None:
        self.hints: list[Hint] = []
        self.bad: list[str] = []
        self.connected = threading.Event()

    def offer(self, origin: str, hint: Hint, done: Callable[[], None] = lambda: None) -> str:
        """As `Inbox` says."""
        if not hint.empty:
            self.hints.append(hint)
        done()
        return "id"

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        """As `Inbox` says."""
        self.bad.append(f"{reason}: {detail}")

    def state(self, origin: str, state: str, up: bool = False) -> None:
        """As `Inbox` says."""
        if state.startswith("connected"):
            self.connected.set()


@pytest.fixture
def server() -> Iterator[RabbitMQ]:
    """A broker."""
    with readable_folder() as folder, RabbitMQ(folder / "rabbitmq") as running:
        yield running


def send(server: RabbitMQ, folder: Path, *bodies: tuple[str, dict[str, object]]) -> None:
    """Sends messages as Fedora's systems do, with `topic_prefix`."""
    file = folder / "sender.toml"
    file.write_text(f'amqp_url = "{server.url}%2F"\ntopic_prefix = "org.example.prod"\n')
    run([sys.executable, "-c", SEND, json.dumps(bodies)], env={"FEDORA_MESSAGING_CONF": str(file)})


def test_what_regindexer_listened_to_reaches_a_watch(server: RabbitMQ, tmp_path: Path) -> None:
    reader = tmp_path / "config.toml"
    reader.write_text(f'amqp_url = "{server.url}%2F"\n[client_properties]\napp = "flatdex"\n')
    (tmp_path / "regindexer.yaml").write_text(CONFIG)
    environment = {"FEDORA_MESSAGING_CONF": str(reader)}
    config = configfile.load(tmp_path / "regindexer.yaml", environment, str(tmp_path / "store"))
    amqp = settings.events(config.publishing, tmp_path).amqp
    assert amqp
    box = Box()
    origin = Amqp(box, fedora.broker(amqp, str(tmp_path)), messages.hint_of)
    origin.start()
    try:
        assert box.connected.wait(PATIENCE)
        send(
            server,
            tmp_path,
            ("bodhi.compose.complete.v1", {"agent": "a", "repo": "f44-updates", "success": True, "ctype": "rpm"}),
            ("bodhi.update.complete.stable.v1", {"update": UPDATE}),
            ("koji_fedoramessaging.tag.TagV1", {"name": "eog", "tag": "f44-flatpak-updates", "release": "1"}),
            ("bodhi.compose.complete.v1", {"agent": "a", "repo": "f44-flatpak", "success": True, "ctype": "flatpak"}),
        )
        wait_for(lambda: len(box.hints) == 2, "two hints", PATIENCE)
    finally:
        origin.stop()
    assert box.hints == [
        Hint(components=frozenset({"gimp"}), about="bodhi.update.complete FEDORA-FLATPAK-2026-0123456789"),
        Hint(everything=True, about="bodhi.compose.complete f44-flatpak"),
    ]
    assert not box.bad
