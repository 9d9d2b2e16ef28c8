"""Key files, the form of `.flatpakrepo` and `.flatpakref` files."""

from __future__ import annotations

from collections.abc import Mapping

from builder.content import InMemory


def render(group: str, entries: Mapping[str, str]) -> InMemory:
    """A key file of one group; what is empty is left out."""
    lines = [f"{key}={_escaped(value)}" for key, value in entries.items() if value]
    return InMemory("\n".join([f"[{group}]", *lines, ""]).encode("utf-8"))


def _escaped(value: str) -> str:
    """A value as a key file holds it: one line; a leading space would be lost, a backslash starts an escape."""
    value = " ".join(value.splitlines()).replace("\\", "\\\\")
    return "\\s" + value[1:] if value.startswith(" ") else value
