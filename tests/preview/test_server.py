"""The preview answers as a web server with the generated rules does, and shows nothing but the snapshot."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.preview import overview, published
from tests.preview.server import Preview, preview
from tests.real.files import readable_folder
from tests.sync.site import FAILED, INTERRUPTED, MIDDLE, NEW, OLD, Site, with_snapshots

INDEX = "/index/static"


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Site, Preview]]:
    """One server for all that only asks."""
    with readable_folder() as folder:
        site = with_snapshots(folder)
        site.promote(NEW)
        (folder / "secret").write_text("not for the web")
        (site.store / "secret").write_text("not for the web")
        with preview(site) as server:
            yield site, server


def file(site: Site, path: str) -> bytes:
    return (site.snapshot(NEW) / path).read_bytes()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "latest"),
        ("?", "latest"),
        ("?tag=latest", "latest"),
        ("?tag=", "latest"),
        ("?architecture=amd64&tag=latest", "latest-amd64"),
        ("?tag=latest&architecture=amd64&os=linux&label%3Aorg.flatpak.ref%3Aexists=1", "latest-amd64"),
        ("?label:org.flatpak.ref:exists=1&architecture=arm64", "latest-arm64"),
        ("?architecture=s390x", "latest"),
        ("?architecture=arm64&architecture=amd64", "latest-arm64"),
    ],
)
def test_answers_a_query(shared: tuple[Site, Preview], query: str, index: str) -> None:
    site, server = shared
    answer = server.get(INDEX + query)
    assert (answer.status, answer.body) == (200, file(site, f"index/{index}.json"))
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("query", ["?tag=nightly", "?tag=latest2", "?tag=nightly&architecture=amd64", "?tag=Latest"])
def test_an_unknown_tag_is_not_found(shared: tuple[Site, Preview], query: str) -> None:
    assert shared[1].get(INDEX + query).status == 404


def test_a_tag_has_an_index_without_queries(shared: tuple[Site, Preview]) -> None:
    site, server = shared
    answer = server.get("/latest/index/static")
    assert (answer.status, answer.body) == (200, file(site, "latest/index/static"))
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", [INDEX, f"{INDEX}?tag=latest&architecture=amd64", "/latest/index/static"])
def test_gzip_for_those_who_take_it(shared: tuple[Site, Preview], path: str) -> None:
    plain = shared[1].get(path)
    packed = shared[1].get(path, Accept_Encoding="gzip, deflate")
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", "gzip;q=0.0, identity", "xgzip"])
def test_no_gzip_for_others(shared: tuple[Site, Preview], accepted: str) -> None:
    assert shared[1].get(INDEX, Accept_Encoding=accepted).headers["Content-Encoding"] is None


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_revalidates_by_etag_and_by_date(shared: tuple[Site, Preview], encoding: str) -> None:
    site, server = shared
    first = server.get(INDEX, Accept_Encoding=encoding)
    etag, date = first.headers["ETag"], first.headers["Last-Modified"]
    mtime = (site.snapshot(NEW) / "index/latest.json").stat().st_mtime
    assert date == formatdate(mtime, usegmt=True)
    conditions = [
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": f'"other", W/{etag}'}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_None_Match": '"other"', "If_Modified_Since": date}, 200),
        ({"If_Modified_Since": date}, 304),
        ({"If_Modified_Since": formatdate(mtime + 1, usegmt=True)}, 304),
        ({"If_Modified_Since": formatdate(mtime - 1, usegmt=True)}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
    ]
    for headers, status in conditions:
        answer = server.get(INDEX, Accept_Encoding=encoding, **headers)
        assert (answer.status, answer.body) == (status, first.body if status == 200 else b""), headers
        assert answer.headers["ETag"] == etag


def test_any_etag_will_do_for_a_star(shared: tuple[Site, Preview]) -> None:
    assert shared[1].get(INDEX, If_None_Match="*").status == 304


@pytest.mark.parametrize("path", ["/", INDEX, "/snapshot.json", "/example.flatpakrepo", "/nothing"])
def test_head_is_get_without_the_body(shared: tuple[Site, Preview], path: str) -> None:
    get, head = shared[1].get(path), shared[1].get(path, "HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert int(head.headers["Content-Length"]) == len(get.body) > 0
    assert head.headers["ETag"] == get.headers["ETag"]


def test_every_file_of_the_snapshot_is_there(shared: tuple[Site, Preview]) -> None:
    site, server = shared
    for entry in site.json("show", NEW)["files"]:
        if not entry["path"].endswith((".htaccess", ".gz")):
            answer = server.get("/" + entry["path"])
            assert (answer.status, answer.body) == (200, file(site, entry["path"])), entry["path"]


def test_types_that_clients_look_at(shared: tuple[Site, Preview]) -> None:
    site, server = shared
    icon = next(site.snapshot(NEW).glob("icons/*/*.png")).relative_to(site.snapshot(NEW))
    assert server.get(f"/{icon}").headers["Content-Type"] == "image/png"
    assert server.get("/example.flatpakrepo").headers["Content-Type"] == "application/vnd.flatpak.repo"
    assert server.get("/snapshot.json").headers["Content-Type"] == "application/json"


def test_the_top_of_a_site_without_pages_tells_what_is_here(shared: tuple[Site, Preview]) -> None:
    snapshot = published(shared[0].store)
    text = overview(snapshot)
    assert snapshot.id in text and "/index/latest-amd64.json: 2 refs" in text
    assert "/example.flatpakrepo" in text


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/.htaccess",
            "/index/.htaccess",
            "/index/%2ehtaccess",
            "/index/.htaccess/",
            "/v2/../.htaccess",
            "//.htaccess",
        ),
        *("/../secret", "/../../secret", "/%2e%2e/secret", "/%2e%2e%2f%2e%2e%2fsecret", "/index/../../secret"),
        *("/..%2fsecret", "/index/%2e%2e/%2e%2e/%2e%2e/secret", "/../../../../../../etc/passwd", "//etc/passwd"),
        *(
            "/%2fetc%2fpasswd",
            "/index/static%00",
            "/index",
            "/index/",
            "/v2/",
            "/snapshot.json/x",
            "/%ff%fe",
            "/\\..\\x",
        ),
    ],
)
def test_nothing_else_is_shown(shared: tuple[Site, Preview], path: str) -> None:
    answer = shared[1].get(path)
    assert answer.status == 404 and answer.body == b"not found\n"


def test_an_absolute_path_is_none_of_the_file_system(shared: tuple[Site, Preview]) -> None:
    site, server = shared
    assert server.get(str(site.folder / "secret")).status == 404
    assert server.get(f"{server.url}index/static").status == 200
    assert server.get(f"http://127.0.0.1/{site.folder}/secret").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_takes_nothing(shared: tuple[Site, Preview], method: str) -> None:
    assert shared[1].get(INDEX, method).status in (405, 501)


def test_a_newly_promoted_snapshot_shows_without_a_restart(site: Site) -> None:
    site.promote(OLD)
    with preview(site) as server:
        for start in (OLD, NEW, MIDDLE):
            name = site.promote(start)
            assert json.loads(server.get("/snapshot.json").body)["id"] == name
            assert server.get(INDEX).body == (site.snapshot(start) / "index/latest.json").read_bytes()
        (site.store / "current").unlink()
        assert server.get(INDEX).status == 503
        site.promote(NEW)
        assert server.get(INDEX).status == 200


@pytest.mark.parametrize("given", ["store", "store/current", "store/snapshots/{}"])
def test_shows_a_store_or_a_snapshot(site: Site, given: str) -> None:
    name = site.promote(OLD)
    with preview(site, given.format(name)) as server:
        assert json.loads(server.get("/snapshot.json").body)["id"] == name


def test_listens_on_loopback_alone(shared: tuple[Site, Preview]) -> None:
    assert urlsplit(shared[1].url).hostname == "127.0.0.1"
    port = urlsplit(shared[1].url).port
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = [line.split()[1] for line in table if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")]
    assert local == [f"0100007F:{port:04X}"]


def test_a_port_in_use_is_a_clear_error(shared: tuple[Site, Preview]) -> None:
    site, server = shared
    port = str(urlsplit(server.url).port)
    result = site.flatdex("serve", "--port", port, code=FAILED, timeout=10)
    assert f"port {port} of 127.0.0.1" in result.stderr and "in use" in result.stderr and "--port" in result.stderr


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_port_that_cannot_be_is_a_clear_error(shared: tuple[Site, Preview], port: str) -> None:
    result = shared[0].flatdex("serve", f"--port={port}", timeout=10)
    assert result.returncode in (1, 2) and "port" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("given", [[], ["."], ["store"], ["nowhere"], ["flatdex.yaml"]], ids=str)
def test_nothing_promoted_is_a_clear_error(site: Site, given: list[str]) -> None:
    result = site.flatdex("serve", "--port", "0", *given, code=FAILED, timeout=10)
    assert result.stdout == "" and result.stderr.startswith("flatdex: ")


def test_a_store_without_current_says_what_to_do(site: Site) -> None:
    result = site.flatdex("serve", "--port", "0", code=FAILED, timeout=10)
    assert f"nothing to show in {site.store}" in result.stderr and "flatdex promote" in result.stderr


def test_ctrl_c_ends_it_quietly(site: Site) -> None:
    site.promote(NEW)
    with preview(site) as server:
        assert server.get(INDEX).status == 200
        code, said = server.end()
    assert code == INTERRUPTED and len(said.splitlines()) <= 1


def send(server: Preview, request: bytes, read: bool = True) -> bytes:
    """Send bytes as they are; then read an answer's beginning, or go away at once."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        if not read:
            # A reset, not an orderly end, while the server still sends.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(request)
        return connection.recv(1000) if read else connection.recv(10)


def test_clients_that_go_away_are_no_bugs(site: Site) -> None:
    site.promote(NEW)
    blob = max(site.snapshot(NEW).glob("v2/*/blobs/*"), key=lambda path: path.stat().st_size)
    os.truncate(blob, 50_000_000)  # more than fits in the kernel's buffers
    with preview(site) as server:
        for _ in range(3):
            send(server, f"GET /{blob.relative_to(site.snapshot(NEW))} HTTP/1.1\r\n\r\n".encode(), read=False)
        assert server.get(INDEX).status == 200
        _, said = server.end()
    assert "Traceback" not in said, said


@pytest.mark.parametrize(
    "request_line",
    [b"GET http://[ HTTP/1.1", b"\x00\xff", b"GET / HTTP/9.9", b"GET", b"GET /\xff\xfe HTTP/1.0", b"GET ? HTTP/1.1"],
)
def test_strange_requests_are_no_bugs(site: Site, request_line: bytes) -> None:
    site.promote(NEW)
    with preview(site) as server:
        send(server, request_line + b"\r\n\r\n")
        assert server.get(INDEX).status == 200
        _, said = server.end()
    assert "Traceback" not in said, said


def test_a_host_header_of_another_name_gets_the_same_answer(shared: tuple[Site, Preview]) -> None:
    server = shared[1]
    assert send(server, b"GET /snapshot.json HTTP/1.1\r\nHost: example.org\r\n\r\n").startswith(b"HTTP/1.1 200 ")
