"""nginx as a cache in front of a remote: for who wants what its clients ask for, not a copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from builder import oci, templating
from builder.errors import UsageError
from builder.site.rules import common

CACHE = "/var/cache/flatdex-"
"""What the name of the folder begins with, unless one is named: the host and the path come behind it."""

SIZE = "20g"
LISTEN = ("8080", "[::]:8080")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian keeps the certificates that are trusted."""

RESOLVERS = Path("/etc/resolv.conf")

SLICE = 4 << 20
"""How much of a blob is asked for at once, and waited for by who wants the same."""

KEYS = 8000
"""How many files nginx can know of in a megabyte of memory."""

_UNITS = {"m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_URL = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?((?:/[A-Za-z0-9._~+@,=-]+)*)/?")
_ADDRESS = re.compile(r"([0-9.]*|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?")
_PICTURES = ("png", "webp", "jpg", "gif")


@dataclass(frozen=True)
class Wish:
    """What the cache is to be: in front of `url`, in the folder `cache` ("": the usual one), of `size` such as `20g`.

    `seed` is a folder with objects of the same remote, "" for none; `listen` are addresses as nginx writes them;
    `resolvers` are the name servers to ask for the URL's host, `authorities` a file of the certificates to trust.
    """

    url: str
    cache: str = ""
    size: str = SIZE
    seed: str = ""
    listen: Sequence[str] = LISTEN
    resolvers: Sequence[str] = ()
    authorities: str = AUTHORITIES


def server(wish: Wish) -> str:
    """A file for nginx's `http` block: the cache, and a server block of its own. Raises UsageError."""
    address = urlsplit(_checked(wish))
    label = re.sub("[^a-z0-9]+", "_", f"{address.netloc}{address.path}".lower()).strip("_")
    return templating.render(
        "pull-through.conf",
        wish=wish,
        zone=f"flatdex_{label}",
        cache=wish.cache or f"{CACHE}{label}",
        port=wish.listen[0].rpartition(":")[2],
        upstream=f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}",
        path=f"{address.path.rstrip('/')}/",
        host=address.hostname,
        secure=address.scheme == "https",
        resolvers=wish.resolvers if needs_resolver(wish.url) else (),
        memory=16 + _bytes(wish.size) // (SLICE * KEYS),
        slice=f"{SLICE >> 20}m",
        manifest=oci.MANIFEST,
        wanted=common.WANTED,
        picture_types={ending: common.HASHED_TYPES[ending] for ending in _PICTURES},
        forever=common.control(common.YEAR, immutable=True),
    )


def _checked(wish: Wish) -> str:
    """The URL, if all that is wished for can be written into nginx's configuration."""
    name = needs_resolver(wish.url)
    if wish.url.startswith("https:") and not name:
        raise UsageError(f"nginx checks certificates by name alone, not for {wish.url}", "Name the host.")
    if not re.fullmatch(r"[1-9][0-9]{0,5}[mgt]", wish.size):
        raise UsageError(f"{wish.size!r} is not a size", "Write it as 500m, 20g or 1t.")
    for each in wish.listen:
        if not _is_address(each if ":" in each else f":{each}", port=True):
            raise UsageError(f"nginx can't listen on {each!r}", "Write it as 8080, 192.0.2.1:80 or [::]:80.")
    for each in wish.resolvers:
        if each.startswith(":") or not _is_address(each):
            fix = "Write it as 192.0.2.53 or [2001:db8::53]:53."
            raise UsageError(f"{each!r} is not the address of a name server", fix)
    if name and not wish.resolvers:
        raise UsageError(
            f"nothing says which name server knows {urlsplit(wish.url).hostname}", "Name one with --resolver."
        )
    return wish.url


def needs_resolver(url: str) -> bool:
    """Whether the URL's host is a name. nginx looks it up again and again, and starts where nobody knows it.

    Raises UsageError for a URL that no cache can be put in front of.
    """
    found = _URL.fullmatch(url)
    if (
        found is None
        or not _is_port(found[2])
        or (found[1].startswith("[") and not _is_address(found[1]))
        or {".", ".."} & {*found[3].split("/")}
    ):
        fix = "Name the remote's URL, as in https://flatpaks.example.org/, without a query and without %."
        raise UsageError(f"no cache can be put in front of {url!r}", fix)
    return not _is_address(found[1])


def _is_address(text: str, port: bool = False) -> bool:
    """Whether this is an IP address, in brackets if it has colons, which may have a port behind it.

    Where there has to be a port, an address is not needed.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not _is_port(found[2]) or (port and found[2] is None):
        return False
    try:
        return (port and not found[1]) or ip_address(found[1].strip("[]")).version == (6 if "[" in found[1] else 4)
    except ValueError:
        return False


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65536


def name_servers(text: str) -> list[str]:
    """Those that an /etc/resolv.conf names, as nginx writes them; without those that only one interface reaches."""
    found = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
    return [f"[{each}]" if ":" in each else each for each in found if "%" not in each]


def _bytes(size: str) -> int:
    return int(size[:-1]) * _UNITS[size[-1]]
