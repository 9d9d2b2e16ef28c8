"""A watch among things that break: the broker, a target, floods, forgeries. Nothing is lost, and each is a line."""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Flatdex
from tests.e2e.test_watch import SPOOL, THREE, Place
from tests.e2e.watching import Watch
from tests.real.files import readable_folder
from tests.real.process import children_of, free_port, wait_for
from tests.real.rabbitmq import RabbitMQ
from tests.real.registry import DockerRegistry
from tests.real.rsyncd import Rsyncd

APP = "apps/org.example.app0000{}"
FLOOD = 10_000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with DockerRegistry(tmp_path / "registry", access_log=True) as registry:
        made = Place(tmp_path, registry, Flatdex(tmp_path / "site"))
        made.push(0, 1, 2, version=0)
        yield made


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    with readable_folder() as folder, RabbitMQ(folder) as server:
        yield server


def depth(rabbitmq: RabbitMQ, queue: str) -> tuple[int, int] | None:
    """How many messages a queue holds: those that are ready, and those that are not acknowledged."""
    found = rabbitmq.depth(queue)
    return (found.ready, found.unacknowledged) if found else None


def named(number: int) -> bytes:
    """A message about an application."""
    return json.dumps({"repository": APP.format(number)}).encode()


def test_a_broker_that_is_stopped_and_started_and_a_watch_that_is_killed(place: Place, rabbitmq: RabbitMQ) -> None:
    queue = f"flatdex-{secrets.token_hex(4)}"
    amqp = {"url": rabbitmq.url, "exchange": "amq.topic", "topics": [f"{queue}.#"], "queue": queue}
    place.configure({"amqp": amqp, "every": "1h"})
    with Watch(place.flatdex) as watch:
        watch.wait("amqp: .*connected")
        place.push(1, version=1)
        rabbitmq.publish(f"{queue}.push", named(1), b"{no json", named(7), b"[" * 100_000)
        watch.wait("live: .* on a, b, c, .* after the notice", len(watch.lines) - 1)
        wait_for(lambda: place.everywhere(1) == [1, 1, 1], "the first one")
        wait_for(lambda: depth(rabbitmq, queue) == (0, 0), "all to be acknowledged")

        said = len(watch.lines)
        place.registry.stop()
        rabbitmq.publish(f"{queue}.push", named(2))
        watch.wait("is tried again", said)
        assert depth(rabbitmq, queue) == (0, 1), "it is not live yet"
        assert watch.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: depth(rabbitmq, queue) == (1, 0), "the broker to notice", 30)
    rabbitmq.stop()
    place.registry.start()
    place.push(2, version=2)
    with Watch(place.flatdex) as watch:
        watch.wait("amqp: not connected")
        assert place.everywhere(2) == [2, 2, 2], "it looks at everything when it begins"
        rabbitmq.start()
        watch.wait("amqp: .*connected to", seconds=60)
        wait_for(lambda: depth(rabbitmq, queue) == (0, 0), "what was kept by the broker", 30)
        said = len(watch.lines)
        place.push(1, version=3)
        rabbitmq.publish(f"{queue}.push", named(1))
        watch.wait("live: .* on a, b, c", said)
        assert len(watch.said("amqp: not connected")) == 1, "one line, however often it is tried"
        assert watch.stop() == 0


def test_ten_thousand_messages_are_a_few_rounds(place: Place, rabbitmq: RabbitMQ) -> None:
    queue = f"flatdex-{secrets.token_hex(4)}"
    amqp = {"url": rabbitmq.url, "exchange": "amq.topic", "topics": [f"{queue}.#"], "queue": queue}
    place.configure({"amqp": amqp, "every": "1h"})
    with Watch(place.flatdex) as watch:
        watch.wait("amqp: .*connected")
        said, asked = len(watch.lines), len(place.registry.log().splitlines())
        place.push(0, 1, 2, version=1)
        asked = len(place.registry.log().splitlines())
        rabbitmq.flood(f"{queue}.push", [named(number % 5) for number in range(FLOOD)])
        wait_for(lambda: depth(rabbitmq, queue) == (0, 0), "all to be acknowledged", 120)
        wait_for(lambda: all(place.everywhere(number) == [1, 1, 1] for number in range(3)), "all changes")
        rounds = len(watch.said("a round begins", said))
        assert 1 <= rounds <= 40, rounds
        assert len(place.registry.log().splitlines()) - asked <= 20 + 5 * rounds
        assert len(watch.lines) - said < 200


def test_forged_and_replayed_notifications(place: Place) -> None:
    port, secret = free_port(), secrets.token_hex(16)
    (place.flatdex.folder / "webhook.secret").write_text(secret)
    webhook = {"listen": f"127.0.0.1:{port}", "secret_file": "./webhook.secret"}
    place.configure({"webhook": webhook, "every": "1h"})
    body = json.dumps(
        {
            "events": [
                {
                    "action": "push",
                    "target": {
                        "mediaType": "application/vnd.oci.image.index.v1+json",
                        "repository": APP.format(1),
                        "tag": "latest",
                        "digest": "sha256:" + "0" * 64,
                    },
                }
            ]
        }
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def post(authorization: str) -> int:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    with Watch(place.flatdex) as watch:
        asked, said = len(place.registry.log().splitlines()), len(watch.lines)
        assert {post(f"Bearer {secrets.token_hex(16)}") for _ in range(300)} == {401}
        time.sleep(1)
        assert len(place.registry.log().splitlines()) == asked, "nobody was asked"
        assert len(watch.said("a round begins", said)) == 0 and len(watch.lines) - said < 30
        place.push(1, version=1)
        asked = len(place.registry.log().splitlines())
        assert {post(f"Bearer {secret}") for _ in range(300)} == {202}
        watch.wait("live: .* on a, b, c", said)
        wait_for(lambda: not list((place.flatdex.store / "events").iterdir()), "the journal to be empty")
        rounds = len(watch.said("a round begins", said))
        assert len(place.registry.log().splitlines()) - asked <= 6 + 2 * rounds
        assert place.everywhere(1) == [1, 1, 1]
        assert secret not in watch.log.read_text()
    connection.close()


def test_a_target_that_hangs_holds_nobody_up_for_ever(place: Place, real_tmp: Path) -> None:
    with Rsyncd(real_tmp / "rsyncd", real_tmp / "far", munge=False) as daemon:
        targets = {**THREE, "far": {"rsync": daemon.url()}}
        place.configure(SPOOL, targets)
        with Watch(place.flatdex) as watch:
            watch.wait("live: .*far")
            assert daemon.child
            for pid in (daemon.child.pid, *children_of(daemon.child.pid)):
                os.kill(pid, signal.SIGSTOP)
            try:
                said = len(watch.lines)
                place.push(1, version=1)
                place.drop(APP.format(1))
                wait_for(lambda: place.everywhere(1) == [1, 1, 1], "the others", 15)
                line = watch.wait("far: .*tried again in", said, 40)
                assert re.search(r"not done|does not answer|timeout", line), line
                said = len(watch.lines)
                place.push(1, version=2)
                started = time.monotonic()
                place.drop(APP.format(1))
                watch.wait("live: .* on a, b, c", said, 60)
                print(f"{time.monotonic() - started:.1f} s beside a target that hangs")
            finally:
                for pid in (daemon.child.pid, *children_of(daemon.child.pid)):
                    os.kill(pid, signal.SIGCONT)
            watch.wait("far is up to date again", said, 90)
