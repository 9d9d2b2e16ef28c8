"""GitHub's notifications of packages, and those of Gitea and Forgejo, which take after them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync.events.model import Hint
from sync.events.web.shapes.news import News, hint, text


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in a delivery of GitHub; None for what is none. What is not about a container is nothing new."""
    event = headers.get("x-github-event")
    if event is None:
        return None
    package = value.get(event) if event in ("package", "registry_package") else None
    kind = text(package, "package_type") or text(package, "type")
    if kind.lower() != "container":
        return hint("GitHub", ())
    what = "deletion" if text(value, "action") == "deleted" else "push"
    tag = text(package, "package_version", "container_metadata", "tag", "name")
    return hint("GitHub", [News(what, _repository(package), tag)])


def _repository(package: Any) -> str:
    """As the registry has it, which knows lower case alone.

    The URL of a package's version is `ghcr.io/OWNER/NAME:TAG`, with or without a tag; a name may have slashes.
    """
    _, _, path = text(package, "package_version", "package_url").partition("/")
    if not path:
        owner = text(package, "namespace") or text(package, "owner", "login")
        path = f"{owner}/{text(package, 'name')}"
    return path.partition(":")[0].partition("@")[0].lower()
