"""GitLab's webhooks of projects and groups. None tells of a push to its registry; a finished pipeline may mean one.

An instance of one's own can do better: its registry sends the notifications of docker-distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.events.model import Hint
from sync.events.web.shapes.news import News, hint, text


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in a webhook of GitLab: the project's own repository, once a pipeline or job of it succeeds."""
    if "x-gitlab-event" not in headers and not text(value, "object_kind"):
        return None
    kind = text(value, "object_kind")
    good = (kind == "pipeline" and text(value, "object_attributes", "status") == "success") or (
        kind == "build" and text(value, "build_status") == "success"
    )
    path = text(value, "project", "path_with_namespace").lower()
    return hint("GitLab", [News(kind.replace("build", "job"), path)] if good else ())
