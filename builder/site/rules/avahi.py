"""The service file by which Avahi announces a mirror on the LAN. What it says is a hint, and proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from builder import templating
from builder.config import Config
from builder.description import Snapshot
from builder.errors import FlatdexError, UsageError
from builder.site.rules import common, written

TYPE = "_flatpak-oci._tcp"
"""The service's type in DNS-SD, whose name has at most 15 characters."""

NAME_BYTES = 63
TEXT_BYTES = 255
_HTTP = 80


@dataclass(frozen=True)
class Announcement:
    """What peers are told: a name for people, the port, and the TXT record's keys with their values."""

    name: str
    port: int
    texts: Mapping[str, str]


def announcement(config: Config, served: Snapshot | None, port: int | None = None, path: str = "") -> Announcement:
    """What to announce of a site that shows the snapshot `served`; port and path, if they are not the remote URL's.

    Peers come by address, for which there are no certificates, and check what they get: by HTTP. Raises UsageError if
    nothing says where that is.
    """
    remote = config.remote
    own = config.mirror is None or "url" in config.mirror.own.get("remote", {})  # else it is another site's
    address = urlsplit(remote.url if remote and own else "")
    if port is None and address.scheme != "http":
        fix = "Peers come without TLS, and check what they get. Say it with --port, and the path with --prefix."
        raise UsageError("the configuration doesn't say at which port the site is served by HTTP", fix)
    shown: Mapping[str, Any] = served.document["remote"] if served else {}
    identity = str(shown.get("id") or (remote.id if remote else ""))
    if not identity:
        raise UsageError("there is nothing to announce yet", "`flatdex mirror` or `flatdex publish` comes first.")
    texts = {"id": identity}
    if served:
        texts["version"] = str((served.document.get("mirror") or {}).get("version", served.version))
    texts["path"] = written.mount(path or common.prefix(config))
    title = (remote.title if remote else "") or str(shown.get("title") or identity)
    return Announcement(title, port or address.port or _HTTP, texts)


def service(announced: Announcement) -> str:
    """The service file. Raises FlatdexError for what is too long to be announced."""
    texts = [f"{key}={_plain(value)}" for key, value in announced.texts.items()]
    for text in texts:
        if len(text.encode()) > TEXT_BYTES:
            why = f"`{text[:40]}..` is too long to be announced: {len(text.encode())} bytes of {TEXT_BYTES}"
            raise FlatdexError(why, "Choose a shorter `remote.id`, or a shorter path.")
    name = _name(_plain(announced.name), _plain(announced.texts["id"]))
    return templating.render("avahi.xml", name=name, type=TYPE, port=announced.port, texts=texts)


def _name(title: str, identity: str) -> str:
    """What people see, with the id: of two services that one machine has under one name Avahi leaves one out."""
    end = f" ({_cut(identity, NAME_BYTES // 2)})" if identity != title else ""
    return f"{_cut(title, NAME_BYTES - len(end.encode()))}{end}".strip()


def _cut(text: str, size: int) -> str:
    """As many whole characters as fit into `size` bytes."""
    return text.encode()[:size].decode(errors="ignore")


def _plain(text: str) -> str:
    """The text without what XML can't hold, or nobody could read."""
    return "".join(character for character in text if character.isprintable())
