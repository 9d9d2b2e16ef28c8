"""docker-distribution's notifications, which GitLab's own registry sends, too: an envelope with events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from builder.oci import MANIFEST_TYPES
from sync.events.model import Hint
from sync.events.web.shapes.news import News, hint, objects, text


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in an envelope; None for what is none."""
    return hint("docker-distribution", _news(value)) if isinstance(value.get("events"), list) else None


def _news(value: Mapping[str, Any]) -> Iterator[News]:
    for event in objects(value, "events"):
        repository, tag = text(event, "target", "repository"), text(event, "target", "tag")
        action = text(event, "action")
        # A manifest without a tag counts: it may be what an image index, pushed before it, was waiting for.
        if action == "push" and (tag or text(event, "target", "mediaType") in MANIFEST_TYPES):
            yield News("push", repository, tag)
        elif action == "delete":  # it has no media type: a blob's can't be told from a manifest's
            yield News("deletion", repository, tag)
