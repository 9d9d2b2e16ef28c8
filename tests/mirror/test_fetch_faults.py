"""Servers that cut, drip, lie and lead astray, as real ones don't when they are asked to: objects come all the same."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from builder.config import Access
from builder.sources.transport import Patience
from builder.store import Store
from sync.mirror.fetch import Fetched, fetch
from sync.mirror.model import Bearer, Found, Wanted
from sync.mirror.pool import Pool
from tests.builder.helpers import Answer
from tests.mirror.hosts import Talk, drips_headers, hangs, raw
from tests.mirror.objects import Give, Thing, bearer, cutting, giving, head, lay_out, named, partial, things
from tests.real.nginx import Nginx
from tests.real.tokens import Authority, listening

PATIENCE = Patience(connect=5, read=5, whole=0, retries=3)
HURRY = replace(PATIENCE, read=0.6)
MB = 1024 * 1024


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(Store(tmp_path / "store"))


@pytest.fixture
def serve() -> Iterator[Callable[[Talk], str]]:
    """Starts a server; gives its URL."""
    with ExitStack() as stack:
        yield lambda talk: stack.enter_context(raw(talk))


Serve = Callable[[Talk], str]


@pytest.fixture
def nginx(real_tmp: Path) -> Iterator[Nginx]:
    """A good one."""
    (real_tmp / "site").mkdir()
    with Nginx(real_tmp / "nginx", real_tmp / "site") as server:
        yield server


def fetched(some: list[Thing], bearers: list[Bearer], pool: Pool, parallel: int = 1, sized: bool = True) -> Fetched:
    """What comes of it."""
    wanted = [each.wanted if sized else each.unsized for each in some]
    return fetch(wanted, bearers, pool, parallel=parallel, patience=PATIENCE)


def all_there(pool: Pool, some: list[Thing]) -> bool:
    """Whether these, and no others, are in the pool."""
    return named(pool.folder) == {thing.sha256: thing.data for thing in some}


# Cuts


@pytest.mark.parametrize("sized", [True, False])
def test_a_download_that_is_cut_goes_on_as_often_as_it_gets_on(serve: Serve, pool: Pool, sized: bool) -> None:
    [one] = things(1, 8 * MB)
    asked: list[int] = []
    site = bearer(serve(giving(cutting(one.data, MB + 1), asked)), [one])
    found = fetched([one], [site], pool, sized=sized)
    assert (found.missing, found.dropped) == ({}, {})
    assert found.taken == {site.source: (1, len(one.data))}
    assert asked == [number * (MB + 1) for number in range(8)]
    assert all_there(pool, [one])


def test_one_that_does_not_get_on_is_dropped_and_another_goes_on(serve: Serve, nginx: Nginx, pool: Pool) -> None:
    [one] = things(1, MB)
    lay_out(nginx.root, [one])
    asked: list[int] = []
    bad, good = bearer(serve(giving(cutting(one.data, 1000), asked)), [one]), bearer(nginx.url, [one])
    found = fetched([one], [bad, good], pool)
    assert asked == [0, 1000, 2000, 3000]
    assert "only" in found.dropped[bad.source] or "was cut" in found.dropped[bad.source]
    assert found.taken == {bad.source: (0, 4000), good.source: (1, MB - 4000)}
    assert all_there(pool, [one])


def test_a_server_that_ignores_ranges_is_read_from_the_start(serve: Serve, pool: Pool) -> None:
    [one] = things(1, 2 * MB)
    pool.part(one.sha256).write_bytes(one.data[:MB])
    asked: list[int] = []

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("200 OK", len(one.data)) + one.data)

    site = bearer(serve(giving(give, asked)), [one])
    found = fetched([one], [site], pool)
    assert asked == [MB]
    assert found == Fetched({}, {}, {site.source: (1, len(one.data))})
    assert all_there(pool, [one])


def test_a_server_that_ignores_ranges_and_cuts_is_not_asked_for_ever(serve: Serve, pool: Pool) -> None:
    [one] = things(1, 4 * MB)
    asked: list[int] = []

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("200 OK", len(one.data)) + one.data[: (1 + 2 * (len(asked) % 2)) * MB])

    found = fetched([one], [bearer(serve(giving(give, asked)), [one])], pool)
    assert len(found.missing) == len(found.dropped) == 1
    assert 3 < len(asked) < 15


@pytest.mark.parametrize("answer", ["416 Range Not Satisfiable", "206 Partial Content"])
def test_a_range_that_does_not_fit_is_followed_by_a_request_for_all(serve: Serve, pool: Pool, answer: str) -> None:
    [one] = things(1, MB)
    pool.part(one.sha256).write_bytes(one.data[:1000])
    asked: list[int] = []

    def give(connection: socket.socket, offset: int) -> None:
        if offset:
            size = len(one.data)
            connection.sendall(head(answer, size - 10, Content_Range=f"bytes 10-{size - 1}/{size}") + one.data[10:])
        else:
            connection.sendall(partial(one.data, 0) + one.data)

    found = fetched([one], [bearer(serve(giving(give, asked)), [one])], pool)
    assert (found.missing, found.dropped) == ({}, {})
    assert [*found.taken.values()] == [(1, len(one.data))], "nothing of what does not fit is read"
    assert asked == [1000, 0]
    assert all_there(pool, [one])


def test_a_server_may_give_less_of_the_rest_than_was_asked_for(serve: Serve, pool: Pool) -> None:
    [one] = things(1, 4 * MB)
    pool.part(one.sha256).write_bytes(one.data[:1000])
    asked: list[int] = []

    def give(connection: socket.socket, offset: int) -> None:
        piece = one.data[offset : offset + 2 * MB]
        there = f"bytes {offset}-{offset + len(piece) - 1}/{len(one.data)}"
        connection.sendall(head("206 Partial Content", len(piece), Content_Range=there) + piece)

    found = fetched([one], [bearer(serve(giving(give, asked)), [one])], pool)
    assert (found.missing, found.dropped) == ({}, {})
    assert asked == [1000, 1000 + 2 * MB]
    assert all_there(pool, [one])


def test_a_part_that_nobody_asked_for_is_no_object(serve: Serve, pool: Pool) -> None:
    [one] = things(1)

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("206 Partial Content", 10, Content_Range="bytes 0-9/2000") + one.data[:10])

    found = fetched([one], [bearer(serve(giving(give)), [one])], pool)
    assert "answered 206, though all of it was asked for" in found.missing[one.wanted]


# Waits


def dripping(start: bytes, pause: float = 0.05) -> Talk:
    """Begins, and then gives a letter at a time."""

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(start)
        while not ended.wait(pause):
            connection.sendall(b"0")

    return talk


_CHUNKED = head("200 OK", None, Transfer_Encoding="chunked")


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        pytest.param(hangs, "no answer in time", id="hangs"),
        pytest.param(drips_headers, "no answer in 2 seconds", id="drips headers"),
        pytest.param(dripping(head("200 OK", 2000)), "bytes came in 1 seconds", id="drips a body"),
        pytest.param(dripping(head("200 OK", 2000), 5), "only 0 bytes came in", id="stops in a body"),
        pytest.param(dripping(_CHUNKED + b"1\r\nx\r\n"), "only 1 bytes came in", id="drips a chunk's size"),
    ],
)
def test_one_that_all_but_stops_is_dropped_within_seconds(
    talk: Talk, told: str, serve: Serve, nginx: Nginx, pool: Pool
) -> None:
    some = things(4, 1997)
    lay_out(nginx.root, some)
    bad, good = bearer(serve(talk), some), bearer(nginx.url, some)
    started = time.monotonic()
    found = fetch([thing.unsized for thing in some], [bad, good], pool, parallel=4, patience=HURRY)
    assert time.monotonic() - started < 6
    [why] = found.dropped.values()
    assert told in why
    assert found.taken[good.source][0] == 4
    assert all_there(pool, some)


def test_a_disk_that_is_slow_is_no_source_s_fault(nginx: Nginx, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    [one] = things(1, 3 * MB)
    lay_out(nginx.root, [one])
    real = os.write
    waits = iter([2.0])

    def slowly(descriptor: int, data: bytes) -> int:
        time.sleep(next(waits, 0))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slowly)
    found = fetch([one.wanted], [bearer(nginx.url, [one])], pool, patience=HURRY)
    assert found.dropped == {}
    assert len(nginx.access_log()) == 1, "nobody is cut off for that"
    assert all_there(pool, [one])


# Lies


def wrong(data: bytes) -> Give:
    """Gives other bytes, as many as there should be."""

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("200 OK", len(data)) + bytes(len(data)))

    return give


def endless(connection: socket.socket, offset: int) -> None:
    """A body without an end, and without a length."""
    connection.sendall(head("200 OK", None, Transfer_Encoding="chunked"))
    for _ in range(2000):
        connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


def packed(connection: socket.socket, offset: int) -> None:
    """Compressed, which nobody asked for."""
    connection.sendall(head("200 OK", None, Content_Encoding="gzip", Transfer_Encoding="chunked"))
    connection.sendall(b"a\r\n" + bytes(10) + b"\r\n0\r\n\r\n")


def a_page(connection: socket.socket, offset: int) -> None:
    """What a hotel's network says to everything."""
    connection.sendall(head("200 OK", 20) + b"<html>Welcome</html>")


@pytest.mark.parametrize(
    ("give", "told"),
    [
        pytest.param(wrong(bytes(2000)), "sha256:", id="wrong bytes"),
        pytest.param(endless, "more than 20", id="endless"),
        pytest.param(a_page, "20 bytes, not 20", id="a page"),
        pytest.param(packed, "Content-Encoding", id="compressed"),
    ],
)
def test_one_that_gives_other_bytes_is_dropped_at_the_third(
    give: Give, told: str, serve: Serve, nginx: Nginx, pool: Pool
) -> None:
    some = [Thing(bytes([number]) * 2000) for number in range(1, 7)]
    lay_out(nginx.root, some)
    asked: list[int] = []
    bad = bearer(serve(giving(give, asked)), some)
    found = fetched(some, [bad, bearer(nginx.url, some)], pool)
    assert found.missing == {}
    [why] = found.dropped.values()
    assert why.startswith("gave other bytes than were wanted for the third time: ")
    assert told in why
    assert asked == [0, 0, 0]
    assert all_there(pool, some)


def test_a_file_that_is_said_to_be_compressed_is_taken_as_it_is(serve: Serve, pool: Pool) -> None:
    """As servers say of a file whose name ends so."""
    [one] = things(1)

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("200 OK", len(one.data), Content_Encoding="gzip") + one.data)

    assert fetched([one], [bearer(serve(giving(give)), [one])], pool).missing == {}
    assert all_there(pool, [one])


def test_an_endless_body_of_no_known_size_ends_at_the_most_that_is_read(serve: Serve, pool: Pool) -> None:
    [one] = things(1)
    found = fetched([one], [bearer(serve(giving(endless)), [one])], pool, sized=False)
    assert "more than 67108864 bytes" in found.missing[one.unsized]
    assert named(pool.folder) == {}


def test_a_liar_s_refusal_does_not_cost_what_others_gave(serve: Serve, nginx: Nginx, pool: Pool) -> None:
    """It is caught before a byte of it came."""
    [one] = things(1, MB)
    lay_out(nginx.root, [one])
    pool.part(one.sha256).write_bytes(one.data[: MB // 2])
    good = bearer(nginx.url, [one])
    found = fetched([one], [bearer(serve(giving(a_page)), [one]), good], pool)
    assert found.taken == {good.source: (1, MB - MB // 2)}
    assert all_there(pool, [one])


def test_servers_with_trouble_are_tried_again_and_dropped_at_the_third_object(
    serve: Serve, nginx: Nginx, pool: Pool
) -> None:
    some = things(5)
    lay_out(nginx.root, some)
    asked: list[int] = []

    def give(connection: socket.socket, offset: int) -> None:
        connection.sendall(head("503 Service Unavailable", 0, Retry_After="0"))

    found = fetched(some, [bearer(serve(giving(give, asked)), some), bearer(nginx.url, some)], pool)
    assert found.missing == {}
    [why] = found.dropped.values()
    assert why.startswith("failed for the third time: GET ")
    assert "answered 503" in why
    assert len(asked) == 3 * (1 + PATIENCE.retries)


# Redirects


def test_a_redirect_loop_ends_and_drops_the_source(nginx: Nginx, pool: Pool) -> None:
    some = things(3)
    lay_out(nginx.root, some)
    with listening(lambda heard: Answer(status=302, headers={"Location": heard.path + "x"})) as server:
        found = fetched(some, [bearer(f"{server.url}/", some), bearer(nginx.url, some)], pool)
        assert len(server.heard) == 6
    [why] = found.dropped.values()
    assert "too many redirects" in why
    assert all_there(pool, some)


def test_https_does_not_lead_down_to_http(real_tmp: Path, nginx: Nginx, pool: Pool) -> None:
    [one] = things(1)
    lay_out(nginx.root, [one])
    authority = Authority(real_tmp / "ca")
    moved = Answer(status=302, headers={"Location": f"{nginx.url}{one.sha256}"})
    with listening(lambda heard: moved, authority.issue("server")) as server:
        site = bearer(f"{server.url}/", [one])
        access = Access(ca=authority.certificate)
        found = fetch([one.wanted], [site], pool, access=access, patience=PATIENCE)
        assert len(server.heard) == 1
    assert "a redirect from https:// down to http://" in found.dropped[site.source]
    assert nginx.access_log() == []


@pytest.mark.parametrize("found", list(Found))
def test_only_peers_of_the_lan_may_not_lead_elsewhere(found: Found, nginx: Nginx, pool: Pool) -> None:
    [one] = things(1)
    lay_out(nginx.root, [one])
    with listening(lambda heard: Answer(status=302, headers={"Location": f"{nginx.url}{one.sha256}"})) as server:
        site = bearer(f"{server.url}/", [one], found)
        result = fetched([one], [site], pool)
    if found is Found.LAN:
        assert "a redirect to another place" in result.dropped[site.source]
        assert nginx.access_log() == []
    else:
        assert all_there(pool, [one])


def test_a_peer_of_the_lan_gets_no_login_and_sends_to_no_registry(real_tmp: Path, pool: Pool) -> None:
    [one] = things(1)
    asking = Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="yours"'})
    with listening(lambda heard: asking) as server, listening(lambda heard: Answer(one.data)) as registry:
        file = real_tmp / "logins.json"
        file.write_text(json.dumps({"auths": {server.host: {"auth": "cm9ib3Q6c2VjcmV0"}}}))
        site = bearer(f"{server.url}/", [one], Found.LAN, registry.url)
        wanted = [one.wanted, Wanted("0" * 64, 1, "team/app")]
        environment = {"HOME": "/nonexistent", "REGISTRY_AUTH_FILE": str(file)}
        found = fetch(wanted, [site], pool, environment=environment, patience=PATIENCE)
        assert [heard.authorization for heard in server.heard] == [""]
        assert registry.heard == []
    assert set(found.missing) == set(wanted)


# Several at once


def test_no_object_is_fetched_twice_at_once(nginx: Nginx, pool: Pool) -> None:
    some = things(5, 100_000)
    lay_out(nginx.root, some)
    wanted = [each for thing in some for each in (thing.wanted, thing.unsized, thing.wanted)]
    found = fetch(wanted, [bearer(nginx.url, some)], pool, parallel=16, patience=PATIENCE)
    assert found.missing == {}
    assert len(nginx.access_log()) == 5


def test_so_many_are_under_way_at_once_and_not_more(serve: Serve, pool: Pool) -> None:
    some = things(12)
    lock, now, most = threading.Lock(), [0], [0]
    by_hash = {thing.sha256.encode(): thing.data for thing in some}

    def talk(connection: socket.socket, ended: threading.Event) -> None:
        request = connection.recv(65536)
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        ended.wait(0.1)
        data = by_hash[request.split()[1].lstrip(b"/")]
        with lock:
            now[0] -= 1
        connection.sendall(partial(data, 0) + data)

    found = fetched(some, [bearer(serve(talk), some)], pool, parallel=3)
    assert found.missing == {}
    assert most == [3]
