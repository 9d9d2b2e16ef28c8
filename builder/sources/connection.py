"""Connections as flatdex makes them: nobody can hold one up, and a public registry leads to no private address."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_GATEWAYS = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "fec0::/10")  # IPv4-compatible, NAT64, site-local
)
_TICK = 0.5  # seconds between two looks of the watch


class ForbiddenPeerError(Exception):
    """A public registry led to an address of a private network."""


class Peers:
    """Which addresses may be connected to: where the registry itself is public, only public ones.

    `home` is its host, or that of whatever else is looked at, which `called` says.
    """

    def __init__(self, home: str = "", called: str = "registry") -> None:
        self._home = _in_one_form(home)
        self._called = called
        self._home_is_public = False

    def check_name(self, host: str) -> None:
        """Raises ForbiddenPeerError if `host` alone says that it is none to talk to, whoever would connect to it."""

    def check(self, host: str, address: str, port: int = 0) -> None:
        """Raises ForbiddenPeerError if `address`, to which a connection to `host` was made, is none to talk to."""
        public = is_public(address)
        if _in_one_form(host) == self._home and not self._home_is_public:
            self._home_is_public = public
        elif self._home_is_public and not public:
            raise ForbiddenPeerError(
                f"the public {self._called} {self._home} leads to {host}, which is {address}: a private address"
            )


class PublicPeers(Peers):
    """Only public addresses, but for hosts that the admin has named, each as NAME or NAME:PORT."""

    def __init__(self, named: Iterable[str]) -> None:
        super().__init__()
        self._named = frozenset(each.lower() for each in named)

    def check_name(self, host: str) -> None:
        """Addresses in place of names: a proxy would go there without a look."""
        try:
            parts = urlsplit(f"//{host}")
            address, port = parts.hostname or "", parts.port or 0
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError:  # a name
            return
        self.check(address, address, port)

    def check(self, host: str, address: str, port: int = 0) -> None:
        """Whatever a name stood for a moment ago: it is the address of the connection that counts."""
        name = _in_one_form(host)
        if not is_public(address) and self._named.isdisjoint((name, f"{name}:{port}")):
            raise ForbiddenPeerError(f"{host} is a private address" + (f": {address}" if address != host else ""))


def _in_one_form(host: str) -> str:
    """A host's name as it is looked up."""
    try:
        found = parse_url(f"http://{host}/").host or host
    except LocationParseError:
        found = host
    return found.rstrip(".").lower()


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, and so is the one that it may hold for gateways."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if any(found in network for network in _GATEWAYS):
            return False
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


class Watch:
    """Cuts the connection of each request that is over its deadline.

    A socket's time-out bounds one wait; a server that drips a byte a minute never meets it.
    """

    def __init__(self) -> None:
        self._deadlines: dict[int, float] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._closed = threading.Event()
        self._cut = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def begin(self, deadline: float) -> None:
        """The calling thread starts a request that must be over at `deadline`, in seconds of the monotonic clock."""
        self._deadlines[threading.get_ident()] = deadline
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._look, daemon=True)
                    self._thread.start()

    def talks(self, sock: socket.socket) -> None:
        """The calling thread's request goes over this socket."""
        self._sockets[threading.get_ident()] = sock

    def end(self) -> None:
        """The calling thread's request is over."""
        self._sockets.pop(threading.get_ident(), None)
        self._deadlines.pop(threading.get_ident(), None)

    def cut(self) -> None:
        """Cuts all requests that are under way, within a tick, and those that are begun from here on."""
        self._cut = True

    def close(self) -> None:
        """Ends the watch."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(_TICK):
            now = time.monotonic()
            for thread, deadline in list(self._deadlines.items()):
                sock = self._sockets.get(thread)
                if (now > deadline or self._cut) and sock is not None:
                    with contextlib.suppress(OSError):  # it was closed in the meantime
                        sock.shutdown(socket.SHUT_RDWR)


class Adapter(HTTPAdapter):
    """requests' adapter, with `connections` kept to each host, TLS of our own, and an eye on each connection."""

    def __init__(self, connections: int, watch: Watch, peers: Peers, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._watch = watch
        self._peers = peers
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **settings: Any) -> None:
        """As requests calls it."""
        if self._tls is not None:
            settings["ssl_context"] = self._tls
        super().init_poolmanager(connections, maxsize, block, **settings)
        self.poolmanager.pool_classes_by_scheme = pool_classes(self._watch, self._peers)

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """As requests calls it. A proxy is the admin's choice, and where it leads can't be seen from here."""
        if self._tls is not None:
            settings["ssl_context"] = self._tls
        manager = super().proxy_manager_for(proxy, **settings)
        manager.pool_classes_by_scheme = pool_classes(self._watch, Peers())
        return manager


def pool_classes(watch: Watch, peers: Peers) -> dict[str, Any]:
    """Pools by scheme, whose connections are under watch, and go to no peer that is not allowed."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _watched(super()._new_conn(), self.host)

        def getresponse(self) -> Any:
            watch.talks(self.sock)
            return super().getresponse()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _watched(super()._new_conn(), self.host)

        def getresponse(self) -> Any:
            watch.talks(self.sock)
            return super().getresponse()

    def _watched(sock: socket.socket, host: str) -> socket.socket:
        """Before a byte is sent, so that a TLS handshake is under watch, too."""
        try:
            peers.check(host, *sock.getpeername()[:2])
        except ForbiddenPeerError:
            sock.close()
            raise
        watch.talks(sock)
        return sock

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
