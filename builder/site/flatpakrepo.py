"""The `.flatpakrepo` files, with which a remote is added by one click or one line."""

from __future__ import annotations

from builder.config import Remote
from builder.site.content import Files, InMemory


def files(remote: Remote, tags: tuple[str, ...], main_tag: str) -> Files:
    """`NAME.flatpakrepo` for the main tag, `NAME-TAG.flatpakrepo` for each other."""
    return {
        _name(remote, tag, main_tag): InMemory(render(remote, "" if tag == main_tag == "latest" else tag))
        for tag in tags
    }


def _name(remote: Remote, tag: str, main_tag: str) -> str:
    return f"{remote.name}.flatpakrepo" if tag == main_tag else f"{remote.name}-{tag}.flatpakrepo"


def render(remote: Remote, tag: str = "") -> bytes:
    """A key file; a client asks for `tag` where one is named, else for `latest`."""
    entries = {
        "Title": remote.title if not tag else f"{remote.title} ({tag})",
        "Url": f"oci+{remote.url}" + (f"#{tag}" if tag else ""),
        "Comment": remote.comment,
        "Description": remote.description,
        "Homepage": remote.homepage,
        "Icon": remote.icon,
    }
    lines = [f"{key}={_escaped(value)}" for key, value in entries.items() if value]
    return "\n".join(["[Flatpak Repo]", *lines, ""]).encode("utf-8")


def _escaped(value: str) -> str:
    """A value as a key file holds it: a leading space would be lost, a backslash starts an escape."""
    value = value.replace("\\", "\\\\")
    return "\\s" + value[1:] if value.startswith(" ") else value
