"""nginx as a cache in front of a remote: always new, never twice, and still there when the remote is not."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder.site.rules import pull_through
from demo.images import APPLICATION, RUNTIME, write_application
from tests.builder.helpers import Answer as Sent
from tests.e2e.served import ASSET, MOUNT, PICTURE, Answer, ask, build
from tests.e2e.site import Flatdex
from tests.e2e.test_main_job import installed
from tests.real.apache import Apache
from tests.real.files import readable_folder
from tests.real.flatpak import Flatpak
from tests.real.names import NameServer
from tests.real.nginx import Nginx
from tests.real.process import free_port, is_listening, wait_for
from tests.real.tokens import Authority, listening

INDEX = "index/static?tag=latest&architecture=amd64&os=linux"
ENCODINGS = ("identity", "gzip")
SLICE = pull_through.SLICE
LARGE = hashlib.sha256(b"large").digest() * (SLICE * 5 // 2 // 32)
LARGE_DIGEST = f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
LASTS = 2.1
"""Seconds after which a list is asked for again: nginx counts whole ones."""

Upstream = Apache | Nginx


@dataclass(frozen=True)
class Cache:
    """A cache that listens on a port of its own, and what it is in front of."""

    nginx: Nginx
    port: int
    upstream: Upstream | None = None

    @property
    def url(self) -> str:
        """Where clients reach it; it ends with a slash."""
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """An answer, however long it takes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return ask(connection, f"/{path}", method, **headers)
        finally:
            connection.close()

    def state(self, path: str, **headers: str) -> str:
        """What the cache says of itself: HIT, MISS, .."""
        return self.get(path, **headers).headers["x-cache-status"]

    def asked(self, part: str) -> list[int]:
        """The status of each request that came through to upstream, of those whose path has this part."""
        if isinstance(self.upstream, Apache):
            return [line.status for line in self.upstream.access_log() if part in line.path]
        assert self.upstream is not None
        lines = (re.search(r'"(?:GET|HEAD) (\S+) [^"]*" (\d+)', line) for line in self.upstream.access_log())
        return [int(line[2]) for line in lines if line and part in line[1]]


@contextmanager
def cached(folder: Path, url: str, *options: str, upstream: Upstream | None = None) -> Iterator[Cache]:
    """A cache in front of a URL, as the command writes it, without any configuration file."""
    port = free_port()
    nginx = Nginx(folder, folder / "empty", beside=rules(folder, url, f"--listen=127.0.0.1:{port}", *options))
    with nginx:
        assert nginx.child
        nginx.child.wait_until_listening(port)
        yield Cache(nginx, port, upstream)


def rules(folder: Path, url: str, *options: str) -> str:
    """What the command prints."""
    folder.mkdir(parents=True, exist_ok=True)
    nowhere = Flatdex(folder / "flatdex")
    nowhere.config.unlink()
    return nowhere.run("rules", "nginx", "--pull-through", url, f"--cache={folder / 'cache'}", *options).stdout


@contextmanager
def shown(flatdex: Flatdex, kind: str, root: Path, state: Path) -> Iterator[tuple[Upstream, str]]:
    """The site by a server of this kind, and its URL."""
    server: Upstream
    if kind == "apache":
        server = Apache(state, root, allow_override="FileInfo")
        url = server.url
    else:
        mount = MOUNT if "mounted" in kind else "/"
        text = flatdex.run("rules", "nginx", "--root", str(root), "--prefix", mount).stdout
        server = Nginx(state, state / "empty", extra=text)
        url = server.url.rstrip("/") + mount
    with server:
        yield server, url


@pytest.fixture(scope="module")
def built() -> Iterator[Flatdex]:
    """One site, of which the tests change nothing."""
    with readable_folder() as folder:
        flatdex = build(folder)
        for repository in ("one", "two/deep"):
            for kind in ("blobs", "manifests"):
                place = folder / "site/v2" / repository / kind
                place.mkdir(parents=True)
                (place / LARGE_DIGEST).write_bytes(LARGE)
        yield flatdex


@pytest.fixture(params=["apache", "nginx", "nginx-mounted"])
def cache(request: pytest.FixtureRequest, built: Flatdex, real_tmp: Path) -> Iterator[Cache]:
    """A new cache in front of each kind of server."""
    with (
        shown(built, request.param, built.folder / "site", real_tmp / "upstream") as (upstream, url),
        cached(real_tmp / "cache", url, upstream=upstream) as running,
    ):
        yield running


@pytest.fixture
def plain(built: Flatdex, real_tmp: Path) -> Iterator[Cache]:
    """A new cache in front of one of them."""
    with (
        shown(built, "nginx", built.folder / "site", real_tmp / "upstream") as (upstream, url),
        cached(real_tmp / "cache", url, upstream=upstream) as running,
    ):
        yield running


def blobs(site: Path) -> list[str]:
    """The paths of the site's images' manifests, configs and layers."""
    return sorted(str(path.relative_to(site)) for path in site.glob("v2/**/sha256:*") if "demo" in str(path))


def direct(cache: Cache, path: str, **headers: str) -> Answer:
    """The same from upstream."""
    assert cache.upstream
    mount = MOUNT if MOUNT in cache.nginx.beside else "/"
    connection = http.client.HTTPConnection("127.0.0.1", cache.upstream.port, timeout=30)
    try:
        return ask(connection, mount + path, **headers)
    finally:
        connection.close()


@pytest.mark.parametrize("path", [INDEX, "index/static?tag=testing", "testing/index/static", "search.json", "", "de/"])
def test_lists_and_pages_are_those_of_upstream_in_both_forms(cache: Cache, path: str) -> None:
    for encoding in (*ENCODINGS, *ENCODINGS):
        expected, found = direct(cache, path, Accept_Encoding=encoding), cache.get(path, Accept_Encoding=encoding)
        assert (found.status, found.body) == (200, expected.body)
        for name in ("etag", "last-modified", "vary", "cache-control", "content-type", "content-encoding"):
            assert found.headers.get(name) == expected.headers.get(name), name
        again = cache.get(path, Accept_Encoding=encoding, If_None_Match=found.headers["etag"])
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", found.headers["etag"])
        assert again.headers["cache-control"] == "no-cache"
        since = cache.get(path, Accept_Encoding=encoding, If_Modified_Since=found.headers["last-modified"])
        assert since.status == 304


def test_a_list_is_asked_for_again_with_a_condition(cache: Cache) -> None:
    for encoding in ENCODINGS:
        assert cache.state(INDEX, Accept_Encoding=encoding) == "MISS"
    assert cache.state(INDEX, Accept_Encoding="br, gzip;q=0.5, *;q=0.1") == "HIT"
    assert cache.state(INDEX, Accept_Encoding="gzip;q=0") == "HIT"
    time.sleep(LASTS)
    for encoding in ENCODINGS:
        first = cache.get(INDEX, Accept_Encoding=encoding)
        assert (first.status, first.headers["x-cache-status"]) == (200, "REVALIDATED")
    assert cache.asked("index/static") == [200, 200, 304, 304]


def test_one_query_is_not_answered_by_another_ones_answer(cache: Cache) -> None:
    queries = ("tag=latest", "tag=testing", "tag=v1.0-b_2", "tag=testing&architecture=arm64", "tag=nothing", "")
    for _ in range(2):
        for query in queries:
            expected = direct(cache, f"index/static?{query}", Accept_Encoding="gzip")
            found = cache.get(f"index/static?{query}", Accept_Encoding="gzip")
            assert (found.status, found.headers.get("etag")) == (expected.status, expected.headers.get("etag"))
    assert cache.get("search.json?x=1").headers["x-cache-status"] == "MISS"
    assert cache.get("search.json?x=2").headers["x-cache-status"] == "HIT"


def test_what_is_named_by_its_digest_is_asked_for_once(cache: Cache, built: Flatdex) -> None:
    site = built.folder / "site"
    icons = sorted(str(path.relative_to(site)) for path in site.glob("icons/??/*.png"))
    assert icons
    for path in (*blobs(site), *icons, f"screenshots/ab/{PICTURE}.webp"):
        for state in ("MISS", "HIT", "HIT"):
            found = cache.get(path, Accept_Encoding="gzip")
            assert (found.status, found.body) == (200, (site / path).read_bytes())
            assert (
                found.headers["x-cache-status"] == state
                or "runtime" in path
                or found.headers["x-cache-status"] == "HIT"
            )
            assert found.headers["cache-control"].endswith("immutable")
            assert "content-encoding" not in found.headers
            assert found.headers["content-type"] == direct(cache, path).headers["content-type"]
        assert int(cache.get(path, method="HEAD").headers["content-length"]) == (site / path).stat().st_size


def test_a_blob_is_kept_once_however_many_repositories_have_it(plain: Cache) -> None:
    first = plain.get(f"v2/one/blobs/{LARGE_DIGEST}")
    assert first.status == 200 and first.body == LARGE
    second = plain.get(f"v2/two/deep/blobs/{LARGE_DIGEST}")
    assert second.status == 200 and second.body == LARGE
    assert plain.asked("/blobs/") == [206, 206, 206]
    assert plain.get(f"v2/one/manifests/{LARGE_DIGEST}").headers["content-type"].endswith("manifest.v1+json")
    assert plain.get(f"v2/one/blobs/{LARGE_DIGEST}").headers["content-type"] == "application/octet-stream"
    kept = sum(path.stat().st_size for path in (plain.nginx.state / "cache").rglob("*") if path.is_file())
    assert kept < 2.1 * len(LARGE)  # as a blob, and as a manifest


def test_parts_of_a_blob_can_be_asked_for(cache: Cache) -> None:
    path = f"v2/one/blobs/{LARGE_DIGEST}"
    for _ in range(2):
        for start, end in ((0, 0), (SLICE - 5, SLICE + 5), (len(LARGE) - 10, len(LARGE) - 1)):
            found = cache.get(path, Range=f"bytes={start}-{end}")
            assert (found.status, found.body) == (206, LARGE[start : end + 1])
            assert found.headers["content-range"] == f"bytes {start}-{end}/{len(LARGE)}"
        rest = cache.get(path, Range=f"bytes={SLICE * 2}-")
        assert (rest.status, rest.body) == (206, LARGE[SLICE * 2 :])
    assert cache.asked("/blobs/") == [206, 206, 206]


@pytest.mark.parametrize("path", [f"v2/one/blobs/{LARGE_DIGEST}", f"v2/one/manifests/{LARGE_DIGEST}", INDEX])
def test_a_herd_makes_one_request(cache: Cache, path: str) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: cache.get(path, Accept_Encoding="gzip"), range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    asked = cache.asked(path.partition("?")[0])
    assert asked == ([206, 206, 206] if "blobs" in path else [200])


def test_clients_install_when_upstream_is_gone(built: Flatdex, cache: Cache, real_tmp: Path) -> None:
    for number in (1, 2):
        client = Flatpak(real_tmp / f"client-{number}")
        client.remote_add("cached", cache.url)
        client.run("update", "--appstream", "cached")
        assert APPLICATION in client.run("search", "demo", "--columns=application").stdout
        client.run("install", "--noninteractive", "cached", APPLICATION)
        assert {name for name, _ in installed(client)} == {APPLICATION, RUNTIME}
        assert cache.upstream
        cache.upstream.stop()
        time.sleep(LASTS)  # what is a second old is not asked for again
    assert cache.upstream and not is_listening(cache.upstream.port)


def test_what_was_not_kept_is_told_to_be_missing(plain: Cache) -> None:
    missing = f"v2/one/blobs/sha256:{'0' * 64}"
    assert plain.get(missing).status == 404
    assert plain.get(missing).status == 404
    assert plain.asked("/blobs/") == [404, 404]  # another repository may have it
    assert plain.upstream
    plain.upstream.stop()
    assert plain.get(missing).status == 502
    assert plain.get(INDEX).status == 502
    plain.upstream.start()
    assert plain.get(INDEX).status == 200


def test_a_new_list_is_seen_at_once(real_tmp: Path) -> None:
    flatdex = build(real_tmp / "flatdex")
    with (
        shown(flatdex, "nginx", flatdex.root, real_tmp / "upstream") as (upstream, url),
        cached(real_tmp / "cache", url, upstream=upstream) as cache,
    ):
        client = Flatpak(real_tmp / "client")
        client.remote_add("cached", cache.url)
        client.run("install", "--noninteractive", "cached", APPLICATION)
        assert (APPLICATION, "1.0") in installed(client)
        shutil.rmtree(real_tmp / "flatdex/images/demo-1.0")
        place = write_application(real_tmp / "new", version="1.1", created="2026-02-03T04:05:06Z")
        place.rename(real_tmp / "flatdex/images/demo-1.1")
        flatdex.run("publish")
        time.sleep(LASTS)
        for encoding in ENCODINGS:
            found = cache.get(INDEX, Accept_Encoding=encoding)
            assert found.headers["x-cache-status"] in ("EXPIRED", "MISS")
            assert found.body == direct(cache, INDEX, Accept_Encoding=encoding).body
        client.run("update", "--noninteractive")
        assert (APPLICATION, "1.1") in installed(client)


def test_what_was_kept_is_given_for_errors_and_nothing_of_them_is_kept(real_tmp: Path) -> None:
    answers = [Sent(b"{}", headers={"ETag": '"1"', "Cache-Control": "no-cache"})]
    with (
        listening(lambda _: answers[-1]) as upstream,
        cached(real_tmp / "cache", upstream.url) as cache,
    ):
        assert cache.get("index/static").body == b"{}"
        for status in (500, 502, 503, 504, 429):
            time.sleep(LASTS)
            answers.append(Sent(b"oops", status))
            found = cache.get("index/static")
            assert (found.status, found.body, found.headers["x-cache-status"]) == (200, b"{}", "STALE")
        answers.append(Sent(b"gone", 404))
        assert cache.get("index/static").status == 404
        answers.append(Sent(b"{1}"))
        assert cache.get("index/static").body == b"{1}"


def test_nobodys_login_goes_upstream_and_no_cookie_comes_back(real_tmp: Path) -> None:
    wicked = {"Set-Cookie": "a=b", "X-Accel-Redirect": "/index/other", "X-Accel-Expires": "9999", "Vary": "*"}
    digest = f"v2/one/blobs/sha256:{hashlib.sha256(b'{}').hexdigest()}"
    with (
        listening(lambda _: Sent(b"{}", headers=wicked)) as upstream,
        cached(real_tmp / "cache", upstream.url) as cache,
    ):
        for path in ("index/static?tag=latest", "index.html", digest, digest.replace("blobs", "manifests")):
            sent = {"Authorization": "Basic eDp5", "Cookie": "secret=1", "X_Forwarded_For": "192.0.2.1", "TE": "x"}
            found = cache.get(path, **sent, User_Agent="flatpak/1.14")
            assert (found.status, found.body) == (200, b"{}")
            assert not {"set-cookie", "x-accel-redirect", "x-accel-expires"} & found.headers.keys()
        assert not [each.path for each in upstream.heard if each.path == "/index/other"]
        assert len(upstream.heard) == 4
        for each in upstream.heard:
            assert each.headers.keys() <= {"host", "user-agent", "accept-encoding", "range"}
            assert each.headers["host"] == upstream.host
            assert each.headers["user-agent"] == "flatpak/1.14"
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert cache.get("index/static", method=method).status == 405
        for path in ("%0d%0aX:%20y", "a%20b", "%2e%2e/secret", "v2/one/blobs/sha256:abc", "index/static%3ftag=x"):
            assert cache.get(path).status in (400, 404)
        assert len(upstream.heard) == 4


def test_redirects_lead_to_the_cache(cache: Cache) -> None:
    found = cache.get(f"apps/{APPLICATION}")
    assert found.status == 301
    assert urlsplit(found.headers["location"])._replace(scheme="", netloc="").geturl() == f"/apps/{APPLICATION}/"
    assert str(getattr(cache.upstream, "port", "")) not in found.headers["location"]


def test_tls_is_checked(real_tmp: Path) -> None:
    ours, others = Authority(real_tmp / "ours"), Authority(real_tmp / "others", "others")
    certificate = ours.issue("server")
    with NameServer() as names, listening(lambda _: Sent(b"{}"), certificate) as upstream:
        port = urlsplit(upstream.url).port
        for host, trusted, status in (
            ("localhost", ours, 200),
            ("localhost", others, 502),
            ("other.example", ours, 502),
        ):
            options = (f"--resolver=127.0.0.1:{names.port}", f"--ca={trusted.certificate}")
            folder = real_tmp / f"cache-{host}-{trusted.certificate.stem}"
            with cached(folder, f"https://{host}:{port}/", *options) as cache:
                assert cache.get("index/static").status == status
                if status == 502:
                    assert "certificate" in cache.nginx.error_log()
        assert len(upstream.heard) == 1


def test_it_starts_and_answers_without_any_name_server(real_tmp: Path, plain: Cache) -> None:
    assert plain.upstream
    with NameServer() as names:
        options = (f"--resolver=127.0.0.1:{names.port}",)
        url = f"http://flatpaks.example:{plain.upstream.port}/"
        with cached(real_tmp / "other", url, *options) as cache:
            for encoding in ENCODINGS:
                assert cache.get(INDEX, Accept_Encoding=encoding).status == 200
            assert cache.get("index.html").status == 200
            names.stop()
            time.sleep(LASTS)
            cache.nginx.stop()
            cache.nginx.start()
            wait_for(lambda: cache.get(INDEX, Accept_Encoding="gzip").status == 200, "what was kept", 20)
            for encoding in ENCODINGS:
                found = cache.get(INDEX, Accept_Encoding=encoding)
                assert (found.status, found.body) == (200, direct(plain, INDEX, Accept_Encoding=encoding).body)
                assert found.headers["x-cache-status"] == "STALE"
            assert cache.get("index.html").status == 200
            assert cache.get("index/static?tag=testing").status == 502


def filled(built: Flatdex, kind: str, seed: Path, url: str) -> list[str]:
    """A seed of this kind; the paths of the site's files that are in it, by their hashes."""
    site = built.folder / "site"
    if kind == "folder":
        shutil.copytree(site, seed)
    elif kind == "stick":
        built.run("export", str(seed))
    else:
        config = f'store: {seed}\nmirror: {{from: ["{url}"], only: ["runtime/*"]}}\n'
        Flatdex(seed.parent / "mirror", config).run("mirror")
    mine = [str(path.relative_to(site)) for path in (*site.glob("v2/**/sha256:*"), *site.glob("icons/??/*.png"))]
    if kind == "mirror":
        return [path for path in mine if RUNTIME.lower() in path]
    return [path for path in mine if LARGE_DIGEST not in path or kind == "folder"]


@pytest.mark.parametrize("kind", ["mirror", "folder", "stick"])
def test_what_a_seed_has_is_not_asked_for(built: Flatdex, real_tmp: Path, kind: str) -> None:
    site, seed = built.folder / "site", real_tmp / "seed"
    with shown(built, "apache", site, real_tmp / "upstream") as (upstream, url):
        mine = filled(built, kind, seed, url)
        assert len(mine) > 2
        before = len(upstream.access_log())
        with cached(real_tmp / "cache", url, f"--seed={seed}", upstream=upstream) as cache:
            for path in mine:
                found = cache.get(path, Accept_Encoding="gzip")
                assert (found.status, found.body) == (200, (site / path).read_bytes())
                assert found.headers["x-cache-status"] == "SEED"
                assert found.headers["cache-control"].endswith("immutable")
                if "manifests" in path:
                    assert found.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
                part = cache.get(path, Range="bytes=1-3")
                assert (part.status, part.body) == (206, (site / path).read_bytes()[1:4])
            client = Flatpak(real_tmp / "client")
            client.remote_add("cached", cache.url)
            client.run("install", "--noninteractive", "cached", APPLICATION)
            assert {name for name, _ in installed(client)} == {APPLICATION, RUNTIME}
            assert cache.get(f"v2/one/blobs/{LARGE_DIGEST}").body == LARGE
            through = [line.path for line in upstream.access_log()[before:]]  # type: ignore[union-attr]
            assert through and not [path for path in through if path.lstrip("/") in mine]
            assert len([path for path in through if LARGE_DIGEST in path]) == (0 if kind == "folder" else 3)
            shutil.rmtree(seed)
            assert cache.get(mine[0]).body == (site / mine[0]).read_bytes()  # no harm in that


def test_two_remotes_have_a_cache_each(real_tmp: Path) -> None:
    with (
        listening(lambda _: Sent(b"[1]")) as one,
        listening(lambda _: Sent(b"[2]")) as two,
    ):
        ports = (free_port(), free_port())
        text = "".join(
            rules(real_tmp / f"cache-{port}", url, f"--listen=127.0.0.1:{port}")
            for url, port in zip((one.url, two.url), ports, strict=True)
        )
        with Nginx(real_tmp / "nginx", real_tmp / "nginx/empty", beside=text) as nginx:
            for port, body in zip(ports, (b"[1]", b"[2]"), strict=True):
                assert Cache(nginx, port).get("index/static").body == body


def test_assets_come_in_the_form_that_is_taken(plain: Cache) -> None:
    for path in (f"assets/{ASSET}.css", f"assets/{ASSET}.js"):
        for encoding in ENCODINGS:
            found = plain.get(path, Accept_Encoding=encoding)
            assert found.plain == direct(plain, path).body
    packed = plain.get("search.json.gz", Accept_Encoding="gzip")
    assert packed.body[:2] == b"\x1f\x8b" and "content-encoding" not in packed.headers
    assert gzip.decompress(packed.body)
