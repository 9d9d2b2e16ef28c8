"""Harbor's notifications, in its own format; what its CloudEvents hold is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sync.events.model import Hint
from sync.events.web.shapes.news import News, hint, objects, text

_CHANGES = {
    "PUSH_ARTIFACT": "push",
    "DELETE_ARTIFACT": "deletion",
    "CREATE_TAG": "tag",
    "artifact.pushed": "push",
    "artifact.deleted": "deletion",
    "tag.created": "tag",
}
_REPLICATIONS = ("REPLICATION", "replication.status.changed")
_RETENTIONS = ("TAG_RETENTION", "tag_retention.finished")
_NAME = re.compile(r"[^:@\[\s]*")
"""The start of `name:tag`, `name:[tag,tag]` or `name:tag [2 item(s) in total]`."""


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in a payload of the default format; None for what is none."""
    if "event_data" not in value or not isinstance(value.get("type"), str):
        return None
    return told(value["type"], value["event_data"])


def told(kind: str, data: Any) -> Hint:
    """The hint in the data of an event of this kind."""
    return hint("Harbor", _news(kind, data))


def _news(kind: str, data: Any) -> Iterator[News]:
    if kind in _CHANGES:
        tag = next((text(each, "tag") for each in objects(data, "resources")), "")
        yield News(_CHANGES[kind], text(data, "repository", "repo_full_name"), tag)
    elif kind in _REPLICATIONS and text(data, "replication", "job_status") == "Success":
        namespace = text(data, "replication", "dest_resource", "namespace")
        yield from _artifacts("replication", namespace, objects(data, "replication", "successful_artifact"))
    elif kind in _RETENTIONS:
        namespace = text(data, "retention", "project_name")
        yield from _artifacts("deletion", namespace, objects(data, "retention", "deleted_artifact"))


def _artifacts(what: str, namespace: str, artifacts: Iterator[dict[str, Any]]) -> Iterator[News]:
    for artifact in artifacts:
        match = _NAME.match(text(artifact, "name_tag"))
        yield News(what, f"{namespace}/{match[0] if match else ''}".lstrip("/"))
