"""Mirrors on the LAN: real announcements are found, and no announcement leads anywhere that it should not."""

from __future__ import annotations

import gc
import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import zeroconf
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import FlatdexError
from builder.site.rules.avahi import TYPE, Announcement
from builder.site.rules.avahi import service as service_file
from sync.mirror import gather
from sync.mirror.lan import SERVICE, Announced, discover, sources, url
from sync.mirror.model import Found, Source
from tests.mirror.lists import REMOTE
from tests.real.avahi import Avahi
from tests.real.process import wait_for

LOOPBACK = ("127.0.0.1",)


def announced(name: str = "school", *addresses: str, port: int = 8080, **text: str) -> Announced:
    return Announced(name, addresses or ("192.168.1.7",), port, text)


@pytest.mark.parametrize(
    ("peer", "place"),
    [
        (announced(), "http://192.168.1.7:8080/"),
        (announced(port=80, path="/"), "http://192.168.1.7/"),
        (announced(path=""), "http://192.168.1.7:8080/"),
        (announced(path="/flatpaks/v1.2/"), "http://192.168.1.7:8080/flatpaks/v1.2/"),
        (announced(path="flatpaks"), "http://192.168.1.7:8080/flatpaks/"),
        (announced("a", "2001:db8::7"), "http://[2001:db8::7]:8080/"),
        (announced("a", "2001:db8::7", "30.0.0.7"), "http://30.0.0.7:8080/"),
        (announced("a", "169.254.3.4"), "http://169.254.3.4:8080/"),
        (announced("a", "0.0.0.0", "127.0.0.1", "10.0.0.7"), "http://10.0.0.7:8080/"),  # noqa: S104
        (announced(scheme="http", host="ignored.example"), "http://192.168.1.7:8080/"),
        (announced(scheme="https", host="Mirror.example.ORG", port=443, path="/a"), "https://mirror.example.org/a/"),
        (announced(scheme="https", host="mirror.local", port=8443), "https://mirror.local:8443/"),
    ],
)
def test_where_a_peer_is(peer: Announced, place: str) -> None:
    assert url(peer) == place


@pytest.mark.parametrize(
    "peer",
    [
        announced(port=0),
        announced(port=65536),
        announced(port=-1),
        announced(path="/../"),
        announced(path="/a/../../b"),
        announced(path="/.hidden"),
        announced(path="//evil.example/"),
        announced(path="/a//b"),
        announced(path="/a%2e%2e/"),
        announced(path="/a?b=c"),
        announced(path="/a#b"),
        announced(path="@evil.example/"),
        announced(path=":80@evil.example/"),
        announced(path="http://evil.example/"),
        announced(path="/a\\b"),
        announced(path="/a b"),
        announced(path="/a\r\nX: y"),
        announced(path="/ü"),
        announced(path="/" + "a" * 300),
        announced("a", "127.0.0.1"),
        announced("a", "127.9.9.9"),
        announced("a", "::1"),
        announced("a", "::ffff:127.0.0.1"),
        announced("a", "0.0.0.0"),  # noqa: S104 - an address that is none
        announced("a", "224.0.0.251"),
        announced("a", "fe80::1"),
        announced("a", "fe80::1%eth0"),
        announced("a", "ff02::fb"),
        announced("a", "evil.example"),
        announced("a", "10.0.0.7/x"),
        Announced("a", (), 8080, {}),
        announced(scheme="https"),
        announced(scheme="https", host="localhost"),
        announced(scheme="https", host="a.localhost"),
        announced(scheme="https", host="127.0.0.1"),
        announced(scheme="https", host="[::1]"),
        announced(scheme="https", host="intranet"),
        announced(scheme="https", host="a@evil.example"),
        announced(scheme="https", host="evil.example/x"),
        announced(scheme="https", host="evil.example:22"),
        announced(scheme="https", host="a..example"),
        announced(scheme="https", host="-a.example"),
        announced(scheme="https", host="a" * 150 + "!"),
        announced(scheme="https", host="a." * 200 + "example"),
        announced(scheme="file", host="etc"),
        announced(scheme="ftp"),
    ],
    ids=str,
)
def test_nowhere_to_go_to(peer: Announced) -> None:
    found, [warning] = sources([peer])
    assert found == () and "is left out" in warning


def test_a_path_takes_no_time_to_refuse() -> None:
    assert url(announced(path="/" + "a" * 150 + "!")) == ""


@given(
    st.text() | st.text("/a.-"),
    st.lists(st.text() | st.ip_addresses().map(str)),
    st.integers(),
    st.sampled_from(["http", "https"]),
    st.text() | st.text("a.-1"),
)
def test_any_announcement(path: str, addresses: list[str], port: int, scheme: str, host: str) -> None:
    place = url(Announced("a", tuple(addresses), port, {"path": path, "scheme": scheme, "host": host}))
    if place:
        assert place.startswith(f"{scheme}://") and place.endswith("/") and place.isascii()
        assert gather.url(place) == place, "it is a source's URL as any other"


def test_another_remote_is_left_out_early() -> None:
    peers = [
        announced("other", "10.0.0.1", id="org.example.other"),
        announced("same", "10.0.0.2", id=REMOTE),
        announced("silent", "10.0.0.3"),
    ]
    found, warnings = sources(peers, REMOTE)
    assert [each.url for each in found] == ["http://10.0.0.2:8080/", "http://10.0.0.3:8080/"]
    assert {each.found for each in found} == {Found.LAN} and warnings == ()
    assert len(sources(peers)[0]) == 3, "nobody knows yet which one is meant"


def test_so_many_and_no_more() -> None:
    peers = [announced(f"p{number:02}", f"10.0.0.{number}") for number in range(1, 40)]
    found, [warning] = sources(peers)
    assert len(found) == 16 and "39 mirrors on the LAN" in warning
    again, warnings = sources([announced(f"p{number}", "10.0.0.1") for number in range(40)])
    assert len(again) == 1 and warnings == ()


def test_a_name_can_not_write_on_the_screen() -> None:
    _, [warning] = sources([announced("\x1b[2J" + "x" * 500, port=0)])
    assert warning.isprintable() and len(warning) < 200


@contextmanager
def announcing(*peers: zeroconf.ServiceInfo) -> Iterator[None]:
    """As mirrors on a LAN that is this machine alone."""
    speaker = zeroconf.Zeroconf(interfaces=list(LOOPBACK))
    try:
        for each in peers:
            speaker.register_service(each, cooperating_responders=True)
        yield
    finally:
        speaker.unregister_all_services()
        speaker.close()


def service(name: str, port: int = 8080, **text: str | bytes | None) -> zeroconf.ServiceInfo:
    return zeroconf.ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=port,
        properties=text,
        server=f"{name}.local.",
    )


def test_announced_and_found() -> None:
    """Others may announce theirs at the same time: what is ours is told by its names."""
    mark = uuid4().hex[:8]
    peers = (
        service(f"school-{mark}", 8081, id=mark, version="7", path=f"/{mark}/"),
        service(f"foreign-{mark}", 8082, id="another", path=f"/{mark}/"),
        service(f"hostile-{mark}", 8083, id=mark, path="/../etc/"),
        service(f"odd-{mark}", 8084, path=b"\xff\xfe", id=None),
    )

    def look() -> tuple[tuple[Source, ...], tuple[str, ...]]:
        with announcing(*peers):
            return discover(3, mark, LOOPBACK)

    # zeroconf takes a thread's running event loop for its own, and a browser's driver leaves one in the main thread.
    with ThreadPoolExecutor(1) as thread:
        found, warnings = thread.submit(look).result(timeout=60)
    assert [each.url for each in found if mark in each.url] == [f"http://127.0.0.1:8081/{mark}/"]
    named = [each for each in warnings if mark in each]
    assert sorted(each.partition(" ")[0] for each in named) == [f"'hostile-{mark}'", f"'odd-{mark}'"]


_FIND = """
import json, sys
from sync.mirror.lan import discover
found, warnings = discover(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
print(json.dumps([[each.url for each in found], warnings]))
"""


def test_avahi_is_found(real_tmp: Path) -> None:
    """By the service file that is rendered for it, in a network where nobody else is."""
    with Avahi(real_tmp / "avahi") as daemon:
        assert json.loads(daemon.python(_FIND, "0.5", REMOTE, *LOOPBACK)) == [[], []]
        for name, port, texts in (
            ("School", 8081, {"id": REMOTE, "version": "7", "path": "/flatpaks/"}),
            ("Other", 8082, {"id": "another"}),
            ("Safe", 8443, {"id": REMOTE, "path": "/", "scheme": "https", "host": "mirror.example.org"}),
        ):
            (daemon.services / f"{name}.service").write_text(service_file(Announcement(name, port, texts)))
        expected = ["http://127.0.0.1:8081/flatpaks/", "https://mirror.example.org:8443/"]
        wait_for(lambda: len(daemon.found(TYPE)) == 3, "the announcements", 20)
        assert json.loads(daemon.python(_FIND, "3", REMOTE, *LOOPBACK)) == [expected, []]
        urls, warnings = json.loads(daemon.python(_FIND, "3", REMOTE))
        assert urls == expected[1:] and warnings[0].startswith("'School "), "this machine is no peer"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # zeroconf leaves a socket open
def test_no_such_network() -> None:
    with pytest.raises(FlatdexError, match="can't be looked for") as raised:
        discover(0.1, interfaces=("192.0.2.77",))
    assert "5353" in raised.value.fix
    del raised
    gc.collect()


def test_without_zeroconf_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(FlatdexError, match="zeroconf is not installed") as raised:
        gather.sources([], discover=1)
    assert "flatdex[lan]" in raised.value.fix
    assert gather.sources(["/srv"])[0], "who doesn't ask for it needs none"


def test_one_name_is_announced_and_looked_for() -> None:
    assert f"{TYPE}.local." == SERVICE and len(TYPE.partition(".")[0].lstrip("_")) <= 15
