"""The `.flatpakrepo` files, with which a remote is added by one click or one line."""

from __future__ import annotations

from builder.config import Remote
from builder.content import Files, InMemory
from builder.site import keyfile


def files(remote: Remote, tags: tuple[str, ...], main_tag: str) -> Files:
    """`NAME.flatpakrepo` for the main tag, `NAME-TAG.flatpakrepo` for each other."""
    return {path(remote, tag, main_tag): render(remote, tag, main_tag) for tag in tags}


def path(remote: Remote, tag: str, main_tag: str) -> str:
    """Where the file for a tag lies in the site."""
    return f"{remote.called(tag, main_tag)}.flatpakrepo"


def render(remote: Remote, tag: str = "latest", main_tag: str = "latest") -> InMemory:
    """The file for a tag: it says where clients ask, and what the remote says of itself."""
    entries = {
        "Title": remote.title if tag == main_tag == "latest" else f"{remote.title} ({tag})",
        "Url": remote.address(tag, main_tag),
        "Comment": remote.comment,
        "Description": remote.description,
        "Homepage": remote.homepage,
        "Icon": remote.icon,
    }
    return keyfile.render("Flatpak Repo", entries)
