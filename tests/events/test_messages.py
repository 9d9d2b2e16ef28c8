"""What messages mean: names in all their forms, notifications of registries, and whatever else comes along."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.events.broker import messages
from sync.events.broker.messages import hint_of, names_of
from sync.events.model import Hint

HELLO = frozenset({"apps/hello"})
DOCKER = json.dumps({"events": [{"action": "push", "target": {"repository": "apps/hello", "tag": "latest"}}]})
HARBOR = {"type": "PUSH_ARTIFACT", "event_data": {"repository": {"repo_full_name": "apps/hello"}, "resources": []}}
QUAY = {"repository": "apps/hello", "docker_url": "quay.example.org/apps/hello", "updated_tags": ["latest"]}
SCANNED = {"repository": "apps/hello", "docker_url": "quay.example.org/apps/hello", "vulnerability": {}}
GITHUB = {"action": "published", "package": {"package_type": "CONTAINER", "namespace": "apps", "name": "hello"}}


def read(body: Any, topic: str = "flatdex", **headers: Any) -> Hint:
    """The hint in a message; what is no text or bytes is sent as JSON."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return hint_of(topic, headers, text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize(
    "body",
    [
        {"repository": "apps/hello"},
        {"repository": "apps/hello", "tag": "latest"},
        {"repositories": ["apps/hello"]},
        {"repositories": ["apps/hello", "Not A Name"]},
        {"repository": "docker://registry.example.org/apps/hello:latest"},
        ["apps/hello"],
        '"apps/hello"',
        "apps/hello",
        "  apps/hello\n",
        "\ufeffapps/hello",
        "# pushed by make\n\napps/hello\n",
        "registry.example.org:5000/apps/hello:latest",
        DOCKER,
        HARBOR,
        QUAY,
    ],
    ids=str,
)
def test_a_repository_is_named_in_many_ways(body: Any) -> None:
    hint = read(body)
    assert (hint.repositories, hint.components, hint.everything) == (HELLO, frozenset(), False)


def test_several_repositories_are_named_at_once() -> None:
    both = frozenset({"apps/hello", "apps/world"})
    assert read({"repositories": ["apps/hello", "apps/world"]}).repositories == both
    assert read({"repository": "apps/hello", "repositories": ["apps/world"]}).repositories == both
    assert read("apps/hello\napps/world:stable\r\n").repositories == both


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("apps/hello", {"apps/hello"}),
        ("hello", {"hello"}),
        ("hello:latest", {"hello"}),
        ("apps/hello:1.0@sha256:" + 64 * "a", {"apps/hello"}),
        ("apps/hello@sha256:" + 64 * "a", {"apps/hello"}),
        ("127.0.0.1:5000/apps/hello", {"apps/hello"}),
        ("[::1]:5000/apps/hello:latest", {"apps/hello"}),
        ("docker://registry.example.org/apps/hello", {"apps/hello"}),
        ("https://registry.example.org/apps/hello", {"apps/hello"}),
        ("docker://localhost/hello", {"hello"}),
        ("docker://apps/hello", {"apps/hello"}),
        ("localhost/hello", {"localhost/hello", "hello"}),
        ("org.example/hello", {"org.example/hello", "hello"}),
        ("Apps/Hello", set()),
        ("../etc/passwd", set()),
        ("./apps/hello", set()),
        ("Registry.Example.Org/apps/hello", {"apps/hello"}),
        ("/apps/hello", set()),
        ("apps//hello", set()),
        ("apps/hello/", set()),
        ("", set()),
        ("x" * 256, set()),
    ],
)
def test_references_are_read_as_everywhere_with_images(reference: str, names: set[str]) -> None:
    assert names_of(reference) == names


@pytest.mark.parametrize("body", ["", " \n", {"everything": True}, "*", '"*"', {"repository": "*"}], ids=repr)
def test_everything_has_to_be_meant(body: Any) -> None:
    hint = read(body)
    assert hint.everything
    assert not hint.repositories


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        '""',
        {"everything": "yes"},
        {"everything": 1},
        {"everything": False},
        {"repository": None},
        {"repository": {"name": "apps/hello"}},
        {"repositories": "apps/hello"},
        {"repositories": []},
        {"repositories": ["apps/hello", 1]},
        [["apps/hello"]],
        {"name": "apps/hello"},
        SCANNED,
        {"specversion": "1.0", "type": "org.example.other", "data": {}},
    ],
    ids=str,
)
def test_json_of_another_shape_says_nothing(body: Any) -> None:
    assert read(body).empty


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "not JSON: Expecting property name"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "not JSON: Exceeds the limit"),
        (b"No Such Name", "no repository is called No Such Name"),
        (b"apps/\x00\x1b[31m", r"no repository is called apps/\?\?\[31m"),
        (b'{"repository": "Hello"}', "no repository is called Hello"),
        (b'{"repositories": ["A", "B"]}', "no repository is called A"),
        (b'"%s"' % (b"A" * 1000), f"no repository is called {'A' * 140}$"),
        (b"a" * (messages.LARGEST + 1), "has more than 4 MiB"),
    ],
)
def test_what_nobody_can_read_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        hint_of("flatdex", {}, body)


def test_a_message_names_a_bounded_number_of_repositories() -> None:
    names = [f"apps/a{number}" for number in range(messages.MOST + 1)]
    assert len(read({"repositories": names[:-1]}).repositories) == messages.MOST
    for body in ({"repositories": names}, "\n".join(names), names):
        with pytest.raises(ValueError, match=r"^names more than 1000 repositories$"):
            read(body)
    assert read({"repositories": ["apps/hello"] * 5000}).repositories == HELLO


def test_a_build_message_names_a_bounded_number_of_components() -> None:
    builds = [{"nvr": f"a{number}-1-1", "type": "flatpak"} for number in range(messages.MOST + 1)]
    with pytest.raises(ValueError, match=r"^names more than 1000 repositories$"):
        read({"update": {"builds": builds}}, "org.example.bodhi.update.complete.stable")


def test_headers_tell_what_a_registry_s_notification_is() -> None:
    body = json.dumps(GITHUB).encode()
    assert hint_of("flatdex", {"X-GitHub-Event": "package"}, body).repositories == HELLO
    assert hint_of("flatdex", {"X-GitHub-Event": b"package"}, body).empty
    assert hint_of("flatdex", {}, body).empty


def test_a_type_of_somebody_else_s_is_not_even_read() -> None:
    assert read(b"\xff", "org.example.other", fedora_messaging_schema="other.v1") == Hint(about="org.example.other")
    assert read({"repository": "apps/hello"}, fedora_messaging_schema="base.message").repositories == HELLO


def test_about_says_where_it_came_from_in_a_few_harmless_characters() -> None:
    assert read("apps/hello", "pushes").about == "pushes"
    assert read(HARBOR).about == "push of apps/hello (Harbor)"
    assert read("apps/hello", "a\nb\x1b[31mä\ud800").about == "a?b?[31m??"
    assert len(read("apps/hello", "a" * 255).about) == 140


KEYS = (
    *("repository", "repositories", "everything", "events", "update", "builds", "nvr", "type", "name", "tag", "ctype"),
    *("repo", "release", "event_data", "docker_url", "updated_tags", "specversion", "target"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(),
            inner,
        )
    ),
)
TOPICS = st.sampled_from(("bodhi.compose.complete", "x.bodhi.update.complete.testing", "y.buildsys.tag")) | st.text()
HEADERS = st.dictionaries(
    st.sampled_from(("fedora_messaging_schema", "x-github-event", "ce-type", "content-type")) | st.text(),
    st.text() | st.integers() | st.none() | st.binary(),
)


@given(TOPICS, HEADERS, st.binary())
def test_no_bytes_do_any_harm(topic: str, headers: dict[str, Any], body: bytes) -> None:
    try:
        hint = hint_of(topic, headers, body)
    except ValueError as error:
        assert len(str(error)) <= 200
        assert str(error).isprintable()
    else:
        assert hint.about.isprintable()


@given(TOPICS, HEADERS, JSON)
def test_no_json_does_any_harm_or_means_everything_by_accident(
    topic: str, headers: dict[str, Any], value: object
) -> None:
    body = json.dumps(value)
    try:
        hint = hint_of(topic, headers, body.encode())
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert hint.about.isprintable()
    assert not hint.everything or "true" in body or "*" in body or topic.endswith("compose.complete")
