"""The `.flatpakref` files, with which one application is installed by one click."""

from __future__ import annotations

from builder.config import Remote
from builder.site import keyfile
from builder.site.content import InMemory


def path(identifier: str, tag: str, branch: str, main: bool) -> str:
    """Where the file lies in the site: the short name is for the channel that an install button means."""
    return f"refs/{identifier}.flatpakref" if main else f"refs/{tag}/{branch}/{identifier}.flatpakref"


def render(
    remote: Remote, tag: str, main_tag: str, identifier: str, branch: str, title: str, runtime_here: bool
) -> InMemory:
    """The file for an application's branch in a tag.

    `Url` is that of the `.flatpakrepo` file byte for byte, so that a client that has the remote takes it; where the
    runtime is not `runtime_here`, `RuntimeRepo` tells where clients find one.
    """
    entries = {
        "Title": title,
        "Name": identifier,
        "Branch": branch,
        "Url": remote.address(tag, main_tag),
        "SuggestRemoteName": remote.called(tag, main_tag),
        "IsRuntime": "false",
        "RuntimeRepo": "" if runtime_here else remote.runtime_repo,
    }
    return keyfile.render("Flatpak Ref", entries)
