"""The configuration of fedora-messaging is read as that library reads it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pytest
from fedora_messaging import config as library

from builder.errors import FlatdexError
from sync.events.broker import fedora
from sync.events.broker.address import Broker, address
from sync.events.settings import Amqp

IDENTITY = "example /var/lib/flatdex 0123456789abcdef"
SAMPLE = """\
amqp_url = "amqps://fedora:@rabbitmq.example.org/%2Fpublic_pubsub"
callback = "module:function"
[tls]
ca_cert = "/etc/fedora-messaging/cacert.pem"
keyfile = "/etc/fedora-messaging/fedora-key.pem"
certfile = "/etc/fedora-messaging/fedora-cert.pem"
[client_properties]
app = "Example"
app_contacts_email = ["admin@example.org"]
[exchanges."amq.topic"]
type = "topic"
durable = true
auto_delete = false
arguments = {}
[[bindings]]
exchange = "amq.topic"
routing_keys = ["#"]
[consumer_config]
key = "value"
[qos]
prefetch_size = 0
prefetch_count = 25
[log_config]
version = 1
"""
OWN = """\
amqp_url = "amqps://regindexer@rabbitmq.example.org/%2Fpubsub"
passive_declares = true
[queues.regindexer]
durable = true
auto_delete = true
exclusive = true
arguments = {x-max-length = 10}
[[bindings]]
queue = "regindexer"
exchange = "amq.topic"
routing_keys = ["org.fedoraproject.prod.bodhi.compose.complete"]
[[bindings]]
queue = "regindexer"
exchange = "amq.topic"
routing_keys = ["org.fedoraproject.prod.buildsys.tag", "org.fedoraproject.prod.bodhi.compose.complete"]
"""
ZEROS = "00000000-0000-0000-0000-000000000000"


def written(folder: Path, text: str) -> Path:
    """A configuration file in `folder`."""
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, text: str) -> Broker:
    """What is read of it; the library has to take it, too."""
    file = written(folder, text)
    library.LazyConfig().load_config(str(file))
    return fedora.settings_of(file, IDENTITY)


def theirs(folder: Path, text: str) -> dict[str, Any]:
    """What the library itself reads."""
    return dict(library.LazyConfig().load_config(str(written(folder, text))))


def test_a_sample_with_what_fedora_s_public_broker_wants(tmp_path: Path) -> None:
    found = read(tmp_path, SAMPLE)
    assert found == Broker(
        url="amqps://fedora:@rabbitmq.example.org/%2Fpublic_pubsub",
        queue=found.queue,
        exchange="amq.topic",
        topics=("#",),
        ca=Path("/etc/fedora-messaging/cacert.pem"),
        cert=Path("/etc/fedora-messaging/fedora-cert.pem"),
        key=Path("/etc/fedora-messaging/fedora-key.pem"),
        client_properties={"app": "Example", "app_contacts_email": ["admin@example.org"]},
    )
    assert str(uuid.UUID(found.queue)) == found.queue
    place = address(found.url)
    assert (place.host, place.vhost, place.user) == ("rabbitmq.example.org", "/public_pubsub", "fedora")


def test_a_queue_of_our_own_is_always_the_same_and_nobody_else_s(tmp_path: Path) -> None:
    file = written(tmp_path, SAMPLE)
    names = [fedora.settings_of(file, identity).queue for identity in (IDENTITY, IDENTITY, "another")]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("name", ["", ZEROS])
def test_a_sample_s_queue_is_replaced_by_one_that_outlives_a_connection(tmp_path: Path, name: str) -> None:
    text = SAMPLE.replace("[[bindings]]", f'[[bindings]]\nqueue = "{name}"')
    text += f'[queues."{name}"]\ndurable = false\nauto_delete = true\nexclusive = true\narguments = {{a = 1}}\n'
    assert read(tmp_path, text) == read(tmp_path, SAMPLE)
    assert read(tmp_path, "passive_declares = true\n" + text) == read(tmp_path, SAMPLE)


def test_keys_may_be_in_capitals(tmp_path: Path) -> None:
    assert read(tmp_path, SAMPLE.replace("amqp_url", "AMQP_URL")) == read(tmp_path, SAMPLE)


def test_a_queue_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, OWN) == Broker(
        url="amqps://regindexer@rabbitmq.example.org/%2Fpubsub",
        queue="regindexer",
        exchange="amq.topic",
        topics=("org.fedoraproject.prod.bodhi.compose.complete", "org.fedoraproject.prod.buildsys.tag"),
        passive=True,
        durable=True,
        exclusive=True,
        auto_delete=True,
        arguments={"x-max-length": 10},
    )


def test_the_only_queue_is_meant_by_a_binding_that_names_none(tmp_path: Path) -> None:
    assert read(tmp_path, OWN.replace('queue = "regindexer"\n', "")).queue == "regindexer"


def test_what_a_file_leaves_out_is_as_with_the_library(tmp_path: Path) -> None:
    found, defaults = read(tmp_path, ""), theirs(tmp_path, "")
    (binding,) = defaults["bindings"]
    assert (found.exchange, list(found.topics)) == (binding["exchange"], binding["routing_keys"])
    assert found.passive is defaults["passive_declares"]
    assert (found.ca, found.cert, found.key) == (None, None, None)
    assert [defaults["tls"][key] for key in ("ca_cert", "certfile", "keyfile")] == [None, None, None]
    assert defaults["amqp_url"].startswith("amqp://?")
    place = address(found.url)
    assert (place.host, place.port, place.vhost) == ("localhost", 5672, "/")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("amqp://", ("localhost", 5672, "/", "")),
        ("amqp://?connection_attempts=3&retry_delay=5", ("localhost", 5672, "/", "")),
        ("amqp://me@/%2Fpubsub", ("localhost", 5672, "/pubsub", "me")),
        ("amqps://:5673", ("localhost", 5673, "/", "")),
        ("amqp://me:secret@[::1]:5673/a", ("::1", 5673, "a", "me")),
    ],
)
def test_a_url_without_a_host_is_this_machine_s(tmp_path: Path, url: str, place: tuple[str, int, str, str]) -> None:
    found = address(read(tmp_path, f'amqp_url = "{url}"').url)
    assert (found.host, found.port, found.vhost, found.user) == place
    theirs = pika.URLParameters(url.replace("me@", "me:@"))  # which stumbles over a user without a password
    assert (theirs.host.strip("[]"), theirs.port, theirs.virtual_host) == place[:3]


def test_a_url_that_is_none_is_told_when_it_is_used(tmp_path: Path) -> None:
    found = read(tmp_path, 'amqp_url = "amqp://[/"')
    with pytest.raises(FlatdexError, match="URL can't be read"):
        address(found.url)


def test_files_are_relative_to_the_file(tmp_path: Path) -> None:
    text = '[tls]\nca_cert = "ca.pem"\ncertfile = "../cert.pem"\nkeyfile = ""\n'
    found = read(tmp_path, text)
    assert (found.ca, found.cert, found.key) == (tmp_path / "ca.pem", tmp_path / "../cert.pem", None)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("amqp_url = 5", "amqp_url: expected a string, but got 5"),
        ("passive_declares = 'no'", "passive_declares: expected true or false, but got 'no'"),
        ("tls = true", "tls: expected a table, but got True"),
        ("[tls]\nkeyfile = []", "tls.keyfile: expected a string, but got []"),
        ("client_properties = 'me'", "client_properties: expected a table, but got 'me'"),
        ("bindings = 'all'", "bindings: expected a list, but got 'all'"),
        ("bindings = ['all']", "bindings[0]: expected a table, but got 'all'"),
        ("[[bindings]]\nrouting_keys = ['#']", "bindings[0].exchange: is missing: expected a string"),
        ("[[bindings]]\nexchange = 'a'", "bindings[0].routing_keys: is missing: expected a list"),
        (
            "[[bindings]]\nexchange = 'a'\nrouting_keys = '#'",
            "bindings[0].routing_keys: expected a list, but got '#'",
        ),
        (
            "[[bindings]]\nexchange = 'a'\nrouting_keys = ['#', 1]",
            "bindings[0].routing_keys[1]: expected a string, but got 1",
        ),
        ("[queues.a]\n[queues.b]\n", "queues: more than one: 'a', 'b'"),
        (
            "[[bindings]]\nexchange = 'a'\nrouting_keys = []\n[[bindings]]\nexchange = 'b'\nrouting_keys = []\n",
            "bindings: more than one: 'a', 'b'",
        ),
        ("[queues.a]\ndurable = 1", "queues.a.durable: expected true or false, but got 1"),
        ("[queues]\na = 1", "queues.a: expected a table, but got 1"),
        (f"amqp_url = ['{'a' * 100}']", f"amqp_url: expected a string, but got ['{'a' * 76}.."),
        ("amqp_url", "not valid TOML: Expected '=' after a key in a key/value pair (at end of document)"),
    ],
)
def test_mistakes_are_told_with_file_and_key(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(FlatdexError) as raised:
        fedora.settings_of(written(tmp_path, text), IDENTITY)
    assert raised.value.what == f"{tmp_path / 'config.toml'}: {what}"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FlatdexError, match=r"config\.toml: cannot be read: No such file or directory") as raised:
        fedora.settings_of(tmp_path / "config.toml", IDENTITY)
    assert "`fedora_messaging`" in raised.value.fix
    (tmp_path / "config.toml").write_bytes(b"\xff")
    with pytest.raises(FlatdexError, match=r"config\.toml: not UTF-8"):
        fedora.settings_of(tmp_path / "config.toml", IDENTITY)


def test_our_own_settings_come_first(tmp_path: Path) -> None:
    file = written(tmp_path, OWN)
    theirs = fedora.settings_of(file, IDENTITY)
    assert fedora.broker(Amqp(fedora_messaging=file), IDENTITY) == theirs
    ours = Amqp(
        url="amqp://127.0.0.1:5672/",
        exchange="other",
        topics=("pushed.#",),
        prefetch=7,
        ca=Path("/ca"),
        cert=Path("/cert"),
        key=Path("/key"),
        fedora_messaging=file,
    )
    assert fedora.broker(ours, IDENTITY) == replace(
        theirs,
        url="amqp://127.0.0.1:5672/",
        exchange="other",
        topics=("pushed.#",),
        prefetch=7,
        ca=Path("/ca"),
        cert=Path("/cert"),
        key=Path("/key"),
    )


def test_what_a_file_says_of_its_queue_is_not_about_another(tmp_path: Path) -> None:
    file = written(tmp_path, OWN)
    found = fedora.broker(Amqp(queue="another", fedora_messaging=file), IDENTITY)
    assert (found.queue, found.durable, found.exclusive, found.auto_delete) == ("another", True, False, False)
    assert not found.arguments
    assert fedora.broker(Amqp(queue="regindexer", fedora_messaging=file), IDENTITY).exclusive


def test_without_a_file_our_settings_are_all_there_is() -> None:
    found = fedora.broker(Amqp(url="amqp://127.0.0.1:5672/", queue="pushes"), IDENTITY)
    assert (found.url, found.queue, found.topics) == ("amqp://127.0.0.1:5672/", "pushes", ())
