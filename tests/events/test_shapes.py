"""What registries send, each in its own form, and what is taken from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.oci import DOCKER_LIST, DOCKER_MANIFEST, IMAGE_INDEX, MANIFEST, is_repository
from sync.events.model import Hint
from sync.events.web.shapes import hint_of

Json = dict[str, Any]
DIGEST = "sha256:" + "5a" * 32
BLOB = "application/octet-stream"


def read(value: object, **headers: str) -> Hint:
    """The hint in a notification; `x_github_event` stands for the header X-GitHub-Event."""
    return hint_of(json.dumps(value).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


def names(value: object, **headers: str) -> set[str]:
    """The repositories that a notification names."""
    hint = read(value, **headers)
    assert not hint.components
    assert not hint.everything
    return set(hint.repositories)


# -- docker-distribution --------------------------------------------------------------------------------------------


def event(action: str, repository: str = "apps/hello", **target: str) -> Json:
    """An event of docker-registry."""
    found = {"size": 488, "digest": DIGEST, "length": 488, "repository": repository, **target}
    return {
        "id": "0eb855c6",
        "timestamp": "2026-05-04T10:46:57.1Z",
        "action": action,
        "target": found,
        "request": {"id": "9b9280d3", "addr": "10.0.0.1:57574", "host": "registry:5000", "method": "PUT"},
        "actor": {"name": "builder"},
        "source": {"addr": "registry:5000", "instanceID": "0d741102"},
    }


@pytest.mark.parametrize("kind", [MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_LIST])
def test_a_pushed_manifest(kind: str) -> None:
    hint = read({"events": [event("push", mediaType=kind, tag="latest")]})
    assert hint == Hint(frozenset({"apps/hello"}), about="push of apps/hello:latest (docker-distribution)")
    assert names({"events": [event("push", mediaType=kind)]}) == {"apps/hello"}


def test_a_tag_counts_whatever_it_points_to() -> None:
    assert names({"events": [event("push", mediaType="application/vnd.later+json", tag="latest")]}) == {"apps/hello"}


def test_deletions_have_no_media_type() -> None:
    assert names({"events": [event("delete")]}) == {"apps/hello"}
    hint = read({"events": [event("delete", tag="old", digest="")]})
    assert hint.about == "deletion of apps/hello:old (docker-distribution)"


@pytest.mark.parametrize(
    "nothing",
    [
        event("push", mediaType=BLOB),
        event("mount", mediaType=BLOB, fromRepository="apps/other"),
        event("pull", mediaType=MANIFEST, tag="latest"),
        event("pull", mediaType=BLOB),
        event("rename", mediaType=MANIFEST, tag="latest"),
        {"action": "push"},
        {"action": "push", "target": []},
        {"action": ["push"], "target": {"repository": "apps/hello", "tag": "latest"}},
    ],
)
def test_events_that_bring_nothing_new(nothing: Json) -> None:
    hint = read({"events": [nothing]})
    assert hint.empty
    assert hint.about == "nothing new (docker-distribution)"
    both = [nothing, event("push", "apps/new", mediaType=MANIFEST, tag="1")]
    assert names({"events": both}) == {"apps/new"}, "an event among others that is nothing must not hide them"


def test_an_envelope_without_events() -> None:
    assert read({"events": []}).empty
    assert read({"events": [None, 7, "push", []]}).empty


def test_names_that_no_registry_has_are_left_out() -> None:
    bad = ["", "../etc", "/apps", "apps/", "Apps/Hello", "apps//hello", "a b", "apps/hello\n", "apps/é", "a" * 256]
    events = [event("push", name, mediaType=MANIFEST, tag="latest") for name in bad]
    assert read({"events": events}).empty
    assert names({"events": [*events, event("delete", "apps/good")]}) == {"apps/good"}


def test_at_most_a_thousand_names() -> None:
    events = [event("delete", f"apps/{number:05}") for number in range(1500)]
    hint = read({"events": events})
    assert len(hint.repositories) == 1000
    assert hint.about == "deletion of apps/00000 and 999 more (docker-distribution)"


def test_what_the_log_says_is_short_and_plain() -> None:
    name = "/".join(["a" * 40] * 6)
    hint = read({"events": [event("push", name, mediaType=MANIFEST, tag="t" * 128)]})
    assert len(hint.about) < 150
    hint = read({"events": [event("push", mediaType=MANIFEST, tag="a\x1b[31m\nb")]})
    assert hint.about == "push of apps/hello (docker-distribution)"


# -- Harbor ---------------------------------------------------------------------------------------------------------


def data(repository: str = "apps/hello", tag: str = "stable") -> Json:
    """What Harbor says of an artifact."""
    namespace, _, name = repository.partition("/")
    return {
        "resources": [{"digest": DIGEST, "tag": tag, "resource_url": f"harbor.example/{repository}:{tag}"}],
        "repository": {
            "date_created": 1760000000,
            "name": name,
            "namespace": namespace,
            "repo_full_name": repository,
            "repo_type": "public",
        },
    }


def harbor(kind: str, event_data: object) -> Json:
    """A payload of the default format."""
    return {"type": kind, "occur_at": 1760000001, "operator": "admin", "event_data": event_data}


def cloud(kind: str, event_data: object) -> Json:
    """A payload of the format CloudEvents."""
    return {
        "specversion": "1.0",
        "id": "4b2f89a6",
        "requestid": "2eedfab8",
        "source": "/projects/1/webhook/policies/3",
        "type": kind,
        "datacontenttype": "application/json",
        "time": "2026-05-04T06:08:43Z",
        "data": event_data,
        "operator": "admin",
    }


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (harbor("PUSH_ARTIFACT", data()), "push"),
        (harbor("DELETE_ARTIFACT", data()), "deletion"),
        (harbor("CREATE_TAG", data()), "tag"),
        (cloud("harbor.artifact.pushed", data()), "push"),
        (cloud("harbor.artifact.deleted", data()), "deletion"),
        (cloud("harbor.tag.created", data()), "tag"),
    ],
)
def test_harbor_says_what_changed(sent: Json, what: str) -> None:
    assert read(sent) == Hint(frozenset({"apps/hello"}), about=f"{what} of apps/hello:stable (Harbor)")


def test_a_name_in_harbor_may_be_deep() -> None:
    assert names(harbor("PUSH_ARTIFACT", data("apps/games/chess"))) == {"apps/games/chess"}


@pytest.mark.parametrize(
    "sent",
    [
        harbor("PULL_ARTIFACT", data()),
        harbor("SCANNING_COMPLETED", data()),
        harbor("QUOTA_EXCEED", data()),
        harbor("SOMETHING_NEW", data()),
        harbor("PUSH_ARTIFACT", None),
        harbor("PUSH_ARTIFACT", {"repository": "apps/hello"}),
        cloud("harbor.artifact.pulled", data()),
        cloud("harbor.scan.completed", data()),
        cloud("harbor.artifact.pushed", None),
    ],
)
def test_harbor_says_other_things_too(sent: Json) -> None:
    assert read(sent) == Hint(about="nothing new (Harbor)")


@pytest.mark.parametrize("form", [harbor, cloud])
def test_harbor_replicates(form: Any) -> None:
    kind = "REPLICATION" if form is harbor else "harbor.replication.status.changed"
    replication = {
        "harbor_hostname": "harbor.example",
        "job_status": "Success",
        "src_resource": {"registry_type": "docker-hub", "namespace": "upstream"},
        "dest_resource": {"registry_type": "harbor", "endpoint": "https://harbor.example", "namespace": "apps"},
        "successful_artifact": [
            {"type": "image", "status": "Success", "name_tag": "hello:stable [1 item(s) in total]"},
            {"type": "image", "status": "Success", "name_tag": "chess:[1,2]"},
            {"type": "image", "status": "Success", "name_tag": "solitaire"},
            {"type": "image", "status": "Success"},
        ],
    }
    assert names(form(kind, {"replication": replication})) == {"apps/hello", "apps/chess", "apps/solitaire"}
    assert read(form(kind, {"replication": {**replication, "job_status": "InProgress"}})).empty


def test_harbor_removes_what_is_old() -> None:
    retention = {"project_name": "apps", "deleted_artifact": [{"type": "image", "name_tag": "hello:old"}], "total": 9}
    assert names(harbor("TAG_RETENTION", {"retention": retention})) == {"apps/hello"}
    assert names(cloud("harbor.tag_retention.finished", {"retention": retention})) == {"apps/hello"}


# -- Zot ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["zotregistry.", "com.example.registry.", ""])
def test_zot_says_its_kind_in_a_header(prefix: str) -> None:
    image = {"name": "apps/hello", "reference": "stable", "digest": DIGEST, "mediaType": MANIFEST, "manifest": "{}"}
    headers = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "zotregistry.dev"}
    assert read(image, ce_type=f"{prefix}image.updated", **headers).about == "push of apps/hello:stable (Zot)"
    assert names(image, ce_type=f"{prefix}image.deleted", **headers) == {"apps/hello"}
    assert read(image, ce_type=f"{prefix}image.lint_failed", **headers).empty
    assert read({"name": "apps/hello"}, ce_type=f"{prefix}repository.created", **headers).empty


def test_zot_whole() -> None:
    assert names(cloud("zotregistry.image.updated", {"name": "apps/hello", "reference": DIGEST})) == {"apps/hello"}


@pytest.mark.parametrize("kind", ["", "image", "zotimage.updated", "org.example.image.updated.twice"])
def test_other_cloud_events_are_not_known(kind: str) -> None:
    with pytest.raises(ValueError, match="a CloudEvent of a type that is not known"):
        read(cloud(kind, {"name": "apps/hello"}))


# -- Quay -----------------------------------------------------------------------------------------------------------


def quay(**more: object) -> Json:
    """What all of Quay's notifications say."""
    return {
        "repository": "apps/hello",
        "namespace": "apps",
        "name": "hello",
        "docker_url": "quay.example/apps/hello",
        "homepage": "https://quay.example/repository/apps/hello",
        **more,
    }


def test_quay_tells_of_pushes() -> None:
    assert read(quay(updated_tags=["stable", "1.2"])).about == "push of apps/hello:stable (Quay)"
    assert names(quay(updated_tags={"latest": "b750"}, pushed_image_count=2)) == {"apps/hello"}, "as it was long ago"
    assert names(quay(updated_tags=[])) == {"apps/hello"}
    assert names(quay(updated_tags=[7])) == {"apps/hello"}


@pytest.mark.parametrize("more", [{}, {"build_id": "296e", "trigger_kind": "github"}, {"tags": ["latest"]}])
def test_quay_tells_of_builds_and_scans(more: Json) -> None:
    assert read(quay(**more)) == Hint(about="nothing new (Quay)")


# -- GitHub, Gitea --------------------------------------------------------------------------------------------------


def package(**more: object) -> Json:
    """A container package, as GitHub tells of it."""
    return {
        "id": 1,
        "name": "Hello",
        "namespace": "Example-Org",
        "ecosystem": "CONTAINER",
        "package_type": "CONTAINER",
        "owner": {"login": "Example-Org"},
        "package_version": {
            "version": DIGEST,
            "package_url": "ghcr.io/Example-Org/Hello:stable",
            "container_metadata": {"tag": {"name": "stable", "digest": DIGEST}},
        },
        "registry": {"name": "GitHub CONTAINER registry", "type": "CONTAINER"},
        **more,
    }


@pytest.mark.parametrize("kind", ["package", "registry_package"])
@pytest.mark.parametrize("action", ["published", "updated"])
def test_github_tells_of_containers(kind: str, action: str) -> None:
    hint = read({"action": action, kind: package()}, x_github_event=kind)
    assert hint == Hint(frozenset({"example-org/hello"}), about="push of example-org/hello:stable (GitHub)")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"package_version": None}, "example-org/hello"),
        ({"package_version": {"package_url": "ghcr.io/Example-Org/Hello:"}}, "example-org/hello"),
        ({"package_version": {"package_url": "ghcr.io/Example-Org/Hello"}}, "example-org/hello"),
        ({"package_version": {"package_url": f"ghcr.io/Example-Org/Hello@{DIGEST}"}}, "example-org/hello"),
        ({"package_version": {"package_url": "ghcr.io/example-org/games/chess:1"}}, "example-org/games/chess"),
        ({"package_version": {"package_url": ""}, "name": "Games/Chess"}, "example-org/games/chess"),
        ({"package_version": {}, "namespace": None}, "example-org/hello"),
    ],
)
def test_where_github_says_the_name(more: Json, name: str) -> None:
    assert names({"action": "published", "package": package(**more)}, x_github_event="package") == {name}


@pytest.mark.parametrize("kind", ["npm", "docker", "", None, 7])
def test_github_has_other_packages_too(kind: object) -> None:
    found = read({"action": "published", "package": package(package_type=kind)}, x_github_event="package")
    assert found == Hint(about="nothing new (GitHub)")


@pytest.mark.parametrize("event_name", ["ping", "push", "release", "package", "registry_package"])
def test_github_says_other_things_too(event_name: str) -> None:
    assert read({"zen": "Keep it simple.", "hook_id": 1}, x_github_event=event_name).empty
    assert read({"events": [event("delete")]}, x_github_event=event_name).empty, "the header says what it is"


def test_gitea_tells_likewise() -> None:
    found = {"id": 1, "type": "container", "name": "hello", "version": "stable", "owner": {"login": "Apps"}}
    assert names({"action": "created", "package": found}, x_github_event="package") == {"apps/hello"}
    hint = read({"action": "deleted", "package": found}, x_github_event="package")
    assert hint.about == "deletion of apps/hello (GitHub)"


# -- GitLab ---------------------------------------------------------------------------------------------------------


def pipeline(status: str, path: str = "Group/Sub/Project") -> Json:
    """A pipeline's webhook."""
    return {
        "object_kind": "pipeline",
        "object_attributes": {"id": 31, "ref": "main", "tag": False, "status": status},
        "project": {"id": 1, "name": "Project", "namespace": "Sub", "path_with_namespace": path},
        "builds": [],
    }


def test_gitlab_tells_of_pipelines() -> None:
    hint = read(pipeline("success"), x_gitlab_event="Pipeline Hook")
    assert hint == Hint(frozenset({"group/sub/project"}), about="pipeline of group/sub/project (GitLab)")
    assert names(pipeline("success")) == {"group/sub/project"}
    job = {"object_kind": "build", "build_status": "success", "project": {"path_with_namespace": "group/project"}}
    assert read(job, x_gitlab_event="Job Hook").about == "job of group/project (GitLab)"


@pytest.mark.parametrize("status", ["pending", "running", "failed", "canceled", ""])
def test_gitlab_tells_of_every_step(status: str) -> None:
    assert read(pipeline(status)).empty
    assert read({"object_kind": "build", "build_status": status, "project": {}}).empty


def test_gitlab_tells_of_other_things_too() -> None:
    assert read({"object_kind": "push", "project": {"path_with_namespace": "group/project"}}).empty
    assert read({"event_name": "project_create"}, x_gitlab_event="System Hook").empty


def test_gitlabs_own_registry_speaks_as_dockers_does() -> None:
    assert names({"events": [event("push", "group/project/hello", mediaType=MANIFEST, tag="1")]}) == {
        "group/project/hello"
    }


# -- none of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"{}", "no notification of a known form"),
        (b'{"events": {}}', "no notification of a known form"),
        (b'{"repository": {"repo_name": "a/b"}}', "no notification of a known form"),
        (b'{"type": 1, "event_data": {}}', "no notification of a known form"),
        (b'{"repository": "a/b", "updated_tags": []}', "no notification of a known form"),
    ],
)
def test_what_is_no_notification(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        hint_of(body, {})
    assert len(str(caught.value)) < 200


def test_a_hook_of_github_that_sends_a_form() -> None:
    with pytest.raises(ValueError, match="application/json"):
        hint_of(b"payload=%7B%7D", {"Content-Type": "application/x-www-form-urlencoded", "X-GitHub-Event": "ping"})


def test_names_of_headers_are_taken_in_any_case() -> None:
    body = json.dumps({"action": "published", "package": package()}).encode()
    assert hint_of(body, {"X-GitHub-Event": "package"}).repositories == {"example-org/hello"}


KEYS = st.sampled_from(
    [
        *("events", "action", "target", "repository", "tag", "mediaType", "type", "event_data", "resources", "data"),
        *("specversion", "docker_url", "updated_tags", "package", "registry_package", "package_type", "name", "owner"),
        *("package_version", "package_url", "object_kind", "object_attributes", "status", "project", "replication"),
        *("path_with_namespace", "repo_full_name", "successful_artifact", "name_tag", "dest_resource", "job_status"),
        *("retention", "deleted_artifact", "project_name", "namespace", "container_metadata", "login"),
    ]
)
WORDS = st.sampled_from(
    [
        "push",
        "delete",
        "apps/hello",
        "PUSH_ARTIFACT",
        "REPLICATION",
        "Success",
        "CONTAINER",
        "pipeline",
        "success",
        "b:1",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
VALUES = st.recursive(LEAVES, lambda each: st.lists(each, max_size=4) | st.dictionaries(KEYS, each, max_size=6))
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-github-event": st.sampled_from(["package", "registry_package", "ping"]) | st.text(),
        "x-gitlab-event": st.text(),
        "ce-type": st.sampled_from(["harbor.artifact.pushed", "zotregistry.image.updated"]) | st.text(),
        "content-type": st.text(),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=8), HEADERS)
def test_whatever_comes_it_is_a_hint_or_a_value_error(value: Json, headers: dict[str, str]) -> None:
    try:
        hint = hint_of(json.dumps(value).encode(), headers)
    except ValueError as error:
        assert len(str(error)) < 200
        return
    assert all(map(is_repository, hint.repositories))
    assert len(hint.about) < 200
    assert hint.about.isascii()
    assert hint.about.isprintable()


@given(st.binary())
def test_whatever_bytes_come_likewise(body: bytes) -> None:
    with pytest.raises(ValueError):
        hint_of(body, {})
