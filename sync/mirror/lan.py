"""Mirrors on the LAN, as they announce themselves by mDNS. What they say is a hint: nothing of it is trusted."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builder.errors import FlatdexError
from sync.mirror.model import Found, Source

SERVICE = "_flatpak-oci._tcp.local."
_MOST = 16  # peers
_MOST_NAMES = 64  # announcements that are looked at
_PATH = re.compile(r"/?(?:{part}(?:/{part})*/?)?".format(part="[A-Za-z0-9_~-][A-Za-z0-9._~-]*"))
_HOST = re.compile(
    r"{label}(?:\.{label})*\.[a-z](?:[a-z0-9-]*[a-z0-9])?".format(label="[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
)
_LONGEST_PATH = 200
_LONGEST_HOST = 254
_PORTS = {"http": 80, "https": 443}
_RESOLVE = 1000  # milliseconds for the details of a peer


@dataclass(frozen=True)
class Announced:
    """A peer as it was announced: IP addresses, port, and the TXT record: `id`, `version`, `path`, `scheme`, `host`."""

    name: str
    addresses: tuple[str, ...]
    port: int
    text: Mapping[str, str]


def discover(
    seconds: float, remote_id: str = "", interfaces: Sequence[str] = ()
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Listens for so many seconds, on all interfaces or on those with these addresses; sources and warnings.

    Raises FlatdexError without zeroconf, or without a network.
    """
    loopback = any(_is_loopback(each) for each in interfaces)
    return sources(_announced(seconds, interfaces), remote_id, loopback)


def sources(
    announced: Sequence[Announced], remote_id: str = "", loopback: bool = False
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Peers as sources, by their URLs. Left out are those that say they have another remote than `remote_id`.

    An announcement can name any address: this machine itself, by `loopback`, only if it was listened to on purpose.
    """
    found: dict[str, str] = {}
    warnings: list[str] = []
    for each in sorted(announced, key=lambda each: each.name):
        says = each.text.get("id", "")
        if remote_id and says and says != remote_id:
            continue
        place = url(each, loopback)
        if place:
            found.setdefault(place, each.name)
        else:
            warnings.append(f"{each.name!r:.80} on the LAN is left out: it announces no address, port or path to use")
    if len(found) > _MOST:
        warnings.append(f"{len(found)} mirrors on the LAN announce themselves: only {_MOST} of them are asked")
    return tuple(Source(place, Found.LAN) for place in sorted(found)[:_MOST]), tuple(warnings)


def url(announced: Announced, loopback: bool = False) -> str:
    """Where a peer is; empty if it is nowhere to go to.

    By its address, so that no name server has a say; but a certificate is that of a name, so `https` needs the `host`.
    """
    path, scheme = announced.text.get("path", ""), announced.text.get("scheme", "http")
    if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path) or not 0 < announced.port < 65536:
        return ""
    if scheme == "https":
        name = announced.text.get("host", "").lower()
        host = name if len(name) < _LONGEST_HOST and _HOST.fullmatch(name) and not _is_this(name) else ""
    else:
        host = next(_addresses(announced.addresses, loopback), "") if scheme == "http" else ""
    port = "" if announced.port == _PORTS.get(scheme) else f":{announced.port}"
    inner = path.strip("/")
    return f"{scheme}://{host}{port}/" + (f"{inner}/" if inner else "") if host else ""


def _is_this(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _addresses(addresses: Sequence[str], loopback: bool) -> Iterator[str]:
    """Usable ones, IPv4 first. IPv6's link-local ones mean nothing without an interface, and are not among them."""
    for address in sorted(addresses, key=lambda address: ":" in address):
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            continue
        if found.is_unspecified or found.is_multicast or (found.is_loopback and not loopback):
            continue
        if isinstance(found, ipaddress.IPv4Address):
            yield str(found)
        elif not found.is_link_local and found.ipv4_mapped is None:
            yield f"[{found}]"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _announced(seconds: float, interfaces: Sequence[str]) -> list[Announced]:
    try:
        import zeroconf
    except ImportError as error:
        fix = "`pip install 'flatdex[lan]'` in the environment that flatdex is installed in, or leave `discover` out."
        raise FlatdexError("mirrors on the LAN can't be looked for: zeroconf is not installed", fix) from error
    names: queue.SimpleQueue[str] = queue.SimpleQueue()

    def heard(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        names.put(name)

    try:
        listener = zeroconf.Zeroconf(interfaces=list(interfaces) or zeroconf.InterfaceChoice.All)
    except OSError as error:
        fix = "Is there a network, and may flatdex listen on UDP port 5353?"
        raise FlatdexError(f"mirrors on the LAN can't be looked for: {error.strerror or error}", fix) from error
    until = time.monotonic() + seconds
    found: dict[str, Announced] = {}
    with contextlib.closing(listener):
        zeroconf.ServiceBrowser(listener, SERVICE, handlers=[heard])
        while (left := until - time.monotonic()) > 0 and len(found) < _MOST_NAMES:
            with contextlib.suppress(queue.Empty, zeroconf.Error):  # a name may be none
                info = zeroconf.ServiceInfo(SERVICE, names.get(timeout=left))
                if info.load_from_cache(listener) or info.request(listener, min(_RESOLVE, left * 1000)):
                    found[info.name] = _as_announced(info)
    return list(found.values())


def _as_announced(info: Any) -> Announced:
    text = {
        key.decode("utf-8", "replace"): (value or b"").decode("utf-8", "replace")
        for key, value in info.properties.items()
    }
    return Announced(info.name.removesuffix(f".{SERVICE}"), tuple(info.parsed_addresses()), info.port or 0, text)
