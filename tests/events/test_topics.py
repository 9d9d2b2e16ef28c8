"""News of Fedora's systems, as their own libraries write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from bodhi.messages.schemas import compose, update
from fedora_messaging.message import Message
from koji_fedoramessaging_messages.build import BuildStateChangeV1
from koji_fedoramessaging_messages.tag import TagV1, UntagV1

from sync.events.broker.messages import hint_of
from sync.events.model import Hint

PREFIX = "org.fedoraproject.prod."


def read(message: Message) -> Hint:
    """What a message means to us as it comes from the broker. Its own library has to find nothing wrong with it."""
    message.validate()
    topic = PREFIX + message._encoded_routing_key
    return hint_of(topic, message._properties.headers or {}, message._encoded_body)


def completed(repo: str, kind: str | None = None, success: bool = True) -> Message:
    """The end of a compose."""
    body: dict[str, Any] = {"agent": "releng", "repo": repo, "success": success}
    message: Message = compose.ComposeCompleteV1(body=body | ({"ctype": kind} if kind else {}))
    return message


def updated(builds: Mapping[str, str], stable: bool = True, **more: str) -> Message:
    """An update that is out, with the names and versions of its builds, each with what Bodhi says that it is."""
    body = {
        "update": {
            "alias": "FEDORA-FLATPAK-2026-0123456789",
            "builds": [{"nvr": nvr} | ({"type": kind} if kind else {}) for nvr, kind in builds.items()],
            "release": {"name": "F44F", "dist_tag": "f44-flatpak"},
            "request": None,
            "status": "stable" if stable else "testing",
            "user": {"name": "somebody"},
            **more,
        }
    }
    message: Message = (update.UpdateCompleteStableV1 if stable else update.UpdateCompleteTestingV1)(body=body)
    return message


def tagged(name: str, release: str, tag: str | None, kind: type[TagV1] | type[UntagV1] = TagV1) -> Message:
    """A build that got a tag, or lost it."""
    body = {"build_id": 1, "name": name, "tag_id": 2, "instance": "primary", "tag": tag, "user": "bodhi"}
    message: Message = kind(body={**body, "version": "1.0", "owner": "somebody", "release": release})
    return message


@pytest.mark.parametrize(
    ("repo", "kind", "everything"),
    [
        ("f44-flatpak-updates", "flatpak", True),
        ("f44-container-updates-testing", "container", True),
        ("f44-flatpak-updates", None, True),
        ("f44-apps", "flatpak", True),
        ("f44-flatpak-tools", "rpm", False),
        ("f44-updates", "rpm", False),
        ("f44-updates", None, False),
        ("f44-modular-updates", "module", False),
    ],
)
def test_a_compose_of_images_means_everything(repo: str, kind: str | None, everything: bool) -> None:
    for success in (True, False):  # what was copied before a compose failed is there
        hint = read(completed(repo, kind, success))
        assert hint == Hint(everything=everything, about=f"bodhi.compose.complete {repo}")


def test_an_update_names_its_images() -> None:
    builds = {"gimp-stable-4420261126.1": "flatpak", "firefox-flatpak-145.0-2": "flatpak", "ws-1-1": "container"}
    for stable in (True, False):
        hint = read(updated(builds, stable))
        assert hint.components == {"gimp", "firefox-flatpak", "firefox", "ws"}
        assert hint.about == "bodhi.update.complete FEDORA-FLATPAK-2026-0123456789"
        assert not hint.everything
        assert not hint.repositories


def test_of_other_updates_nothing_is_taken() -> None:
    assert read(updated({"gimp-3.0-1.fc44": "rpm"})).empty
    assert read(updated({"gimp-3.0-1.fc44": ""}, content_type="rpm")).empty
    assert read(updated({"gimp-3.0-1.fc44": "rpm", "eog-1-1": "flatpak"})).components == {"eog"}
    assert read(updated({"gimp-3.0-1": ""})).components == {"gimp"}
    assert read(updated({"gimp-3.0-1": ""}, content_type="flatpak")).components == {"gimp"}


@pytest.mark.parametrize(
    ("name", "release", "tag", "components"),
    [
        ("gimp", "4420261126.1", "f44-flatpak-updates-candidate", {"gimp"}),
        ("firefox-flatpak-container", "1", None, {"firefox-flatpak-container", "firefox-flatpak", "firefox"}),
        ("flatpak-runtime-container", "1", "rhel", {"flatpak-runtime-container", "flatpak-runtime"}),
        ("cockpit", "5.fc44", "f44-container-candidate", {"cockpit"}),
        ("Gimp", "1", "apps", {"gimp"}),
        ("gimp", "1.fc44", "f44-updates-candidate", set()),
        ("gimp", "1.el9_4", None, set()),
        ("gimp", "1.eln150", "eln", set()),
        ("libsigc++", "1", "apps", set()),
        ("apps/gimp", "1", "apps", set()),
        ("-flatpak", "1", "apps", set()),
    ],
)
def test_a_build_that_got_a_tag_is_named(name: str, release: str, tag: str | None, components: set[str]) -> None:
    hint = read(tagged(name, release, tag))
    assert hint == Hint(components=frozenset(components), about=hint.about)
    if components:
        assert hint.about == f"buildsys.tag {name} {tag or ''}"


def test_what_else_is_told_is_of_no_interest() -> None:
    update_body = updated({"gimp-1-1": "flatpak"}).body
    others = [
        compose.ComposeComposingV1(body={"agent": "releng", "repo": "f44-flatpak-updates", "ctype": "flatpak"}),
        compose.RepoDoneV1(body={"agent": "releng", "path": "/mnt", "repo": "f44-flatpak-updates"}),
        update.UpdateRequestStableV1(body={"agent": "somebody", **update_body}),
        tagged("gimp", "1", "f44-flatpak-updates", UntagV1),
        BuildStateChangeV1(
            body={
                "name": "gimp",
                "version": "1",
                "release": "1",
                "epoch": None,
                "attribute": "state",
                "old": 0,
                "new": 1,
                "build_id": 1,
                "task_id": None,
                "task": None,
                "request": [],
                "owner": "somebody",
                "instance": "primary",
                "creation_time": "",
                "completion_time": None,
            }
        ),
    ]
    for message in others:
        assert read(message) == Hint(about=PREFIX + message.topic)


def test_a_plain_message_of_the_library_may_name_repositories() -> None:
    assert read(Message(topic="pushed", body={"repository": "apps/hello"})).repositories == {"apps/hello"}
    assert read(Message(topic="pushed", body={"anything": 1})).empty


@pytest.mark.parametrize("topic", ["bodhi.compose.complete", "stg.bodhi.compose.complete"])
def test_a_topic_is_known_whatever_stands_before_it(topic: str) -> None:
    body = completed("f44-flatpak-updates", "flatpak")._encoded_body
    assert hint_of(topic, {}, body).everything
    assert not hint_of(f"{topic}.later", {}, body).everything
    assert not hint_of(f"x{topic.rpartition('.bodhi')[0]}xbodhi.compose.complete", {}, body).everything


@pytest.mark.parametrize("topic", ["bodhi.compose.complete", "bodhi.update.complete.stable", "buildsys.tag"])
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"1",
        b'{"ctype": ["flatpak"], "repo": 1}',
        b'{"update": {}}',
        b'{"update": {"builds": {"nvr": "a-1-1"}}}',
        b'{"update": {"builds": [1, "a-1-1", {}, {"nvr": 1}, {"nvr": ""}, {"nvr": "--"}]}}',
        b'{"name": ["gimp"], "release": {}, "tag": []}',
    ],
)
def test_known_topics_may_have_any_body(topic: str, body: bytes) -> None:
    assert hint_of(topic, {}, body).empty


def test_a_known_topic_without_json_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^not JSON"):
        hint_of("bodhi.compose.complete", {}, b"")
