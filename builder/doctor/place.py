"""What somebody calls a remote, understood: its URL as clients have it, with or without `oci+`, or a `.flatpakrepo`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from builder import oci
from builder.errors import UsageError

INDEX = "index/static"
_PREFIX = "oci+"
_EXAMPLE = "Name one as clients have it, such as https://flatpaks.example.org/ or that of a .flatpakrepo file."


@dataclass(frozen=True)
class Place:
    """A remote's URL, byte for byte as it was given, and the tag behind its `#`; empty: none was named."""

    url: str
    tag: str = ""

    @property
    def is_repo_file(self) -> bool:
        """Whether it is that of a file which names the remote."""
        return urlsplit(self.url).path.endswith((".flatpakrepo", ".flatpakref"))

    @property
    def index(self) -> str:
        """Where clients ask for the index."""
        return below(self.url, INDEX)


def understood(text: str) -> Place:
    """The place that `text` names. Raises UsageError."""
    given = text.strip()
    url, _, tag = given.removeprefix(_PREFIX).partition("#")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not a URL: {error}", _EXAMPLE) from error
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"{text!r} is not an http:// or https:// URL", _EXAMPLE)
    if not parts.hostname or port == 0 or re.search(r"[\x00-\x20\x7f\\]", url):
        raise UsageError(f"{text!r} is not the URL of any host", _EXAMPLE)
    if parts.username is not None:
        raise UsageError("the URL holds a login, which no client would send", "Leave it out: doctor asks as anybody.")
    if tag and not oci.is_tag(tag):
        raise UsageError(f"{tag!r} is not a tag", "Behind the # stands the tag that clients ask for.")
    if parts.query:
        url = url.partition("?")[0]
    for end in (f"/{INDEX}", f"{INDEX}/"):
        url = url[: -len(end)] + "/" if url.endswith(end) else url
    return Place(url, tag)


def below(url: str, path: str) -> str:
    """Where a path below a remote's URL is, whether or not that ends with a slash."""
    return (url if url.endswith("/") else f"{url}/") + path


def query(tag: str, architecture: str, form: str = "label", turned: bool = False) -> str:
    """The query that clients send; `turned`: with its parameters in the opposite order."""
    parameters = [
        f"{form}%3Aorg.flatpak.ref%3Aexists=1",
        f"architecture={quote(architecture, safe='')}",
        "os=linux",
        f"tag={quote(tag, safe='')}",
    ]
    return "&".join(reversed(parameters) if turned else parameters)


def named_by(value: str) -> str | None:
    """The remote's URL in a `Url` entry, without its tag; None if it does not start with `oci+`."""
    return value.removeprefix(_PREFIX).partition("#")[0] if value.startswith(_PREFIX) else None


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this machine, so that nobody can listen in on the way."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, perhaps one that begins like an address
        return False
