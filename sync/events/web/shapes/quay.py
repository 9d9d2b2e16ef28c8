"""Quay's notifications, which say of themselves only by their keys what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.events.model import Hint
from sync.events.web.shapes.news import News, hint, text


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in a notification of Quay; None for what is none. Builds and scans are known, and nothing new."""
    repository = text(value, "repository")
    if not repository or "docker_url" not in value:
        return None
    tags = value.get("updated_tags")
    if not isinstance(tags, list | dict):
        return hint("Quay", ())
    first = next(iter(tags), "")
    return hint("Quay", [News("push", repository, first if isinstance(first, str) else "")])
