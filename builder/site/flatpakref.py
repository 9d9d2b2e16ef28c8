"""The `.flatpakref` files, with which one application is installed by one click."""

from __future__ import annotations

from builder.config import Remote
from builder.content import InMemory
from builder.site import flatpakrepo, keyfile


def path(identifier: str, tag: str, branch: str, main: bool) -> str:
    """Where the file lies in the site: the short name is for the channel that an install button means."""
    return f"refs/{identifier}.flatpakref" if main else f"refs/{tag}/{branch}/{identifier}.flatpakref"


def render(
    remote: Remote, tag: str, main_tag: str, identifier: str, branch: str, title: str, runtime_in: str | None
) -> InMemory:
    """The file for an application's branch in a tag.

    `Url` is that of the `.flatpakrepo` file byte for byte, so that a client that has the remote takes it. Where its
    runtime is offered by another tag (`runtime_in`), or not here (None), `RuntimeRepo` tells where clients find it.
    """
    entries = {
        "Title": title,
        "Name": identifier,
        "Branch": branch,
        "Url": remote.address(tag, main_tag),
        "SuggestRemoteName": remote.called(tag, main_tag),
        "IsRuntime": "false",
        "RuntimeRepo": _runtime_repo(remote, tag, main_tag, runtime_in),
    }
    return keyfile.render("Flatpak Ref", entries)


def _runtime_repo(remote: Remote, tag: str, main_tag: str, runtime_in: str | None) -> str:
    if runtime_in is None:
        return remote.runtime_repo
    return "" if runtime_in == tag else f"{remote.url.rstrip('/')}/{flatpakrepo.path(remote, runtime_in, main_tag)}"
