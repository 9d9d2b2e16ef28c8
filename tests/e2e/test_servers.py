"""The rules in real web servers: every query gets the file that was decided on, and all of it can be cached."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from builder import description
from builder.site.rules import common
from tests.builder.helpers import GOOD, loaded
from tests.e2e.served import ASSET, KINDS, MOUNT, PACKING_NGINX, PAGES, PICTURE, Served, ask, build, served
from tests.e2e.site import Flatdex, get
from tests.real.apache import Apache
from tests.real.files import readable_folder
from tests.real.nginx import Nginx

TAGS = (
    "",
    "tag=",
    "tag=latest",
    "tag=testing",
    "tag=v1.0-b_2",
    "tag=v1x0-b_2",
    "tag=nothing",
    "tag=latest2",
    "mytag=testing",
)
ARCHITECTURES = (
    "",
    "architecture=",
    "architecture=amd64",
    "architecture=arm64",
    "architecture=s390x",
    "xarchitecture=arm64",
)
FORMS = (
    "",
    "label%3Aorg.flatpak.ref%3Aexists=1",
    "label:org.flatpak.ref:exists=1",
    "annotation%3Aorg.flatpak.ref%3Aexists=1",
    "annotation%3aorg.flatpak.ref%3aexists=1&label%3aorg.flatpak.ref%3aexists=1",
    "annotation:org.flatpak.ref:exists=1",
)
PECULIAR = (
    "tag=latest&tag=testing",
    "tag=testing&tag=latest&architecture=arm64&architecture=amd64",
    "tag=nothing&tag=testing",
    "tag=&tag=testing",
    "tag&tag=testing",
    "&&tag=testing&&",
    "os=linux&tag=testing&architecture=amd64&tag=nothing",
    "x=tag=testing",
    "tag=latest%0a",
    "tag=%6catest",
    "tag=Latest",
    "Tag=testing",
    "TAG=testing&tag=latest",
    "tag=latest,",
    "tag=,&architecture=amd64",
    "tag=;&architecture==",
    "tag=%3B%20latest",
    "tag=latest+amd64",
    "tag=$1",
    "tag={flatdex_file}",
    "tag=../static",
    "tag=404",
    "tag=*",
    "tag=latest%zz",
    "tag=testing&%",
    "tag=latest%00",
    "tag=?&tag=testing",
    "x?tag=testing",
    "?tag=testing&architecture=?",
    "architecture=amd64,&tag=testing",
    "architecture=amd64;&tag=latest",
    "architecture=../amd64",
    "xannotation:a=1",
    "a=annotation:b",
    "annotations:a=1",
    "annotation%253Aa=1",
    "annotation:a=1&xlabel:b=2",
    "annotation:",
    "tag=" + "latest" * 400,
    "&" * 7000 + "tag=testing",
    "a=b&" * 1800 + "architecture=arm64",
)

SECURITY = ("content-security-policy", "cross-origin-opener-policy", "referrer-policy", "x-content-type-options")
FOREVER = "public, max-age=31536000, immutable"
INDEXES = ("index/static?tag=latest&architecture=amd64", "latest/index/static?tag=other")
ENCODINGS = ("identity", "gzip")


@pytest.fixture(scope="module")
def built() -> Iterator[Flatdex]:
    """One site, of which the tests change nothing."""
    with readable_folder() as folder:
        yield build(folder)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, built: Flatdex) -> Iterator[Served]:
    """Each web server, in different surroundings."""
    with served(built, request.param) as running:
        yield running


def queries() -> Iterator[str]:
    """Queries with their parameters in every order, repeated, and beside others."""
    for parts in itertools.product(TAGS, ARCHITECTURES, FORMS):
        given = [part for part in parts if part]
        yield "&".join(given)
        yield "&".join([*reversed(given), "os=linux"])
    yield from PECULIAR


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_query_gets_what_was_decided(server: Served, encoding: str) -> None:
    wrong = []
    place = urlsplit(server.url).path + "index/static?"
    with server.connected() as connection:
        for query in queries():
            file = server.dispatch.answer(query)
            answer = ask(connection, place + query, Accept_Encoding=encoding)
            packed = answer.headers.get("content-encoding")
            if file is None:
                good = answer.status == 404
            else:
                good = answer.status == 200 and answer.plain == (server.root / f"index/{file}.json").read_bytes()
                good = good and packed == ("gzip" if encoding == "gzip" else None)
            if not good:
                wrong.append((query, file, answer.status, packed))
    assert not wrong


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", INDEXES)
def test_an_index_is_cached_as_clients_need_it(server: Served, encoding: str, path: str) -> None:
    first = server.get(path, Accept_Encoding=encoding)
    assert first.status == 200
    assert first.headers["cache-control"] == "no-cache"
    assert "expires" not in first.headers
    assert first.headers["content-type"] == "application/json"
    assert first.headers.get("content-encoding") == (None if encoding == "identity" else "gzip")
    assert first.headers["vary"] == "Accept-Encoding"
    etag = first.headers["etag"]
    assert etag.startswith('"') and "gzip" not in etag
    again = server.get(path, Accept_Encoding=encoding, If_None_Match=etag)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == etag
    assert again.headers["cache-control"] == "no-cache"
    assert again.headers["vary"] == "Accept-Encoding"
    by_date = server.get(path, Accept_Encoding=encoding, If_Modified_Since=first.headers["last-modified"])
    assert by_date.status == 304
    assert server.get(path, Accept_Encoding=encoding, If_None_Match='"other"').status == 200


@pytest.mark.parametrize("path", INDEXES)
def test_one_encoding_s_etag_is_not_the_other_s(server: Served, path: str) -> None:
    packed, plain = (server.get(path, Accept_Encoding=encoding).headers["etag"] for encoding in ("gzip", "identity"))
    assert packed != plain
    assert server.get(path, Accept_Encoding="identity", If_None_Match=packed).status == 200
    assert server.get(path, Accept_Encoding="gzip", If_None_Match=plain).status == 200


def test_gzip_is_sent_only_to_those_who_take_it(server: Served) -> None:
    asked = ("gzip", "deflate, gzip;q=1.0", "gzip;q=0", "gzip;q=0.000, identity", "identity", "xgzip", "br,gzip")
    taken = [
        encoding
        for encoding in asked
        if "content-encoding" in server.get("index/static", Accept_Encoding=encoding).headers
    ]
    assert taken == ["gzip", "deflate, gzip;q=1.0", "br,gzip"]


def test_a_proxy_in_between_gets_gzip_too(server: Served) -> None:
    answer = server.get("index/static", Accept_Encoding="gzip", Via="1.1 cache")
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", [*INDEXES, "", "search.json", "example.flatpakrepo", "nothing", "index/static?tag=x"])
def test_head_is_get_without_the_body(server: Served, path: str) -> None:
    for encoding in ENCODINGS:
        get, head = (server.get(path, method, Accept_Encoding=encoding) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (get.status, b"")
        for name in ("etag", "content-type", "content-encoding", "cache-control", "vary"):
            assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("de/", "text/html; charset=utf-8"),
        ("apps/org.flatdex.Demo/", "text/html; charset=utf-8"),
        ("de/apps/org.flatdex.Demo/index.html", "text/html; charset=utf-8"),
        ("categories/Game/2/", "text/html; charset=utf-8"),
        ("feed.atom", "application/atom+xml"),
        ("de/feed.atom", "application/atom+xml"),
        ("search.json", "application/json"),
        ("snapshot.json", "application/json"),
        ("search.json.gz", "application/gzip"),
        ("de/search.json.gz", "application/gzip"),
        ("example.flatpakrepo", "application/vnd.flatpak.repo"),
        ("refs/org.flatdex.gz.php.html.flatpakref", "application/vnd.flatpak.ref"),
    ],
)
def test_pages_and_what_is_loaded_by_name_are_asked_for_each_time(server: Served, path: str, kind: str) -> None:
    answer = server.get(path)
    assert answer.status == 200
    file = path + "index.html" if not path or path.endswith("/") else path
    assert answer.body == (server.root / file).read_bytes()
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == "no-cache"
    assert "expires" not in answer.headers and "content-encoding" not in answer.headers
    assert server.get(path, If_None_Match=answer.headers["etag"]).status == 304


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("feed.atom", "application/atom+xml"),
        (f"assets/{ASSET}.css", "text/css; charset=utf-8"),
        (f"assets/{ASSET}.js", "text/javascript; charset=utf-8"),
        (f"assets/{ASSET}.svg", "image/svg+xml"),
    ],
)
def test_a_server_that_packs_what_it_sends_packs_pages(server: Served, path: str, kind: str) -> None:
    """An ETag that the server made weak, or changed, because it packed the file, is still known when it comes back."""
    if server.kind not in ("nginx-packing", "caddy-hostile"):
        return
    for encoding in ("gzip", "identity"):
        answer = server.get(path, Accept_Encoding=encoding)
        packed = answer.headers.get("content-encoding")
        assert packed == ("gzip" if encoding == "gzip" else None)
        assert answer.plain == (server.root / (path or "index.html")).read_bytes()
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert "Accept-Encoding" in answer.headers.get("vary", "") or (packed is None and "caddy" in server.kind)
        again = server.get(path, Accept_Encoding=encoding, If_None_Match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")


def test_a_server_that_packs_what_it_sends_leaves_the_rest_alone(server: Served) -> None:
    for file in (next(server.root.glob("v2/*/*/sha256:*")), next(server.root.glob("icons/*/*.png"))):
        answer = server.get(str(file.relative_to(server.root)), Accept_Encoding="gzip")
        assert answer.body == file.read_bytes() and "content-encoding" not in answer.headers
    packed = (server.root / "index/latest-amd64.json.gz").read_bytes()
    assert server.get(INDEXES[0], Accept_Encoding="gzip").body == packed


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"assets/{ASSET}.css", "text/css; charset=utf-8"),
        (f"assets/{ASSET}.js", "text/javascript; charset=utf-8"),
        (f"assets/{ASSET}.svg", "image/svg+xml"),
        (f"assets/{ASSET}.png", "image/png"),
        (f"screenshots/ab/{PICTURE}.webp", "image/webp"),
        (f"screenshots/ab/{PICTURE}.png", "image/png"),
        (f"screenshots/ab/{PICTURE}.jpg", "image/jpeg"),
    ],
)
def test_what_is_named_by_its_hash_is_kept_for_a_year(server: Served, path: str, kind: str) -> None:
    answer = server.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == FOREVER
    assert "expires" not in answer.headers


def test_icons_are_kept_for_a_year(server: Served) -> None:
    icon = next(server.root.glob("icons/*/*.png")).relative_to(server.root)
    answer = server.get(str(icon), Accept_Encoding="gzip")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["cache-control"] == FOREVER
    assert "content-encoding" not in answer.headers
    assert server.get(str(icon), Accept_Encoding="gzip", If_None_Match=answer.headers["etag"]).status == 304


@pytest.mark.parametrize("path", ["search.json.gz", "de/search.json.gz"])
def test_what_is_searched_is_sent_as_it_was_packed(server: Served, path: str) -> None:
    """Only a server that packs whatever it sends packs it once more, and says so."""
    answer = server.get(path, Accept_Encoding="gzip")
    assert (answer.status, answer.plain) == (200, PAGES[path])
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["cache-control"] == "no-cache"
    if server.kind not in ("apache-hostile", "nginx-hostile"):
        assert "content-encoding" not in answer.headers
    if server.kind != "apache-hostile":  # whose mod_deflate doesn't know again the ETags that it makes
        assert server.get(path, Accept_Encoding="gzip", If_None_Match=answer.headers["etag"]).status == 304


@pytest.mark.parametrize("path", ["search.json", "de/search.json"])
def test_who_can_t_unpack_it_gets_the_plain_file(server: Served, path: str) -> None:
    for encoding in ENCODINGS:
        answer = server.get(path, Accept_Encoding=encoding)
        assert (answer.status, answer.plain) == (200, str(PAGES[path]).encode())
        assert answer.headers["content-type"] == "application/json"


def test_manifests_and_blobs_are_served_as_they_are(server: Served) -> None:
    snapshot = description.read_snapshot(server.snapshot.folder)
    paths = [entry.path for entry in snapshot.files if entry.path.startswith("v2/") and "sha256:" in entry.path]
    kinds = {"manifests": "application/vnd.oci.image.manifest.v1+json", "blobs": "application/octet-stream"}
    assert len(paths) >= 6
    for path in paths:
        answer = server.get(path, Accept_Encoding="gzip")
        content = (server.root / path).read_bytes()
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["content-type"] == kinds[path.split("/")[-2]]
        assert "content-encoding" not in answer.headers
        assert answer.headers["cache-control"] == FOREVER
        part = server.get(path, Range="bytes=5-9", Accept_Encoding="gzip")
        assert (part.status, part.body) == (206, content[5:10])


def test_every_answer_says_what_pages_may_do(server: Served) -> None:
    icon = next(server.root.glob("icons/*/*.png")).relative_to(server.root)
    blob = next(server.root.glob("v2/*/blobs/*")).relative_to(server.root)
    policies = set()
    for path in ("", "apps/org.flatdex.Demo/", f"assets/{ASSET}.svg", *INDEXES, str(icon), str(blob), "feed.atom"):
        headers = server.get(path).headers
        assert [name for name in SECURITY if name not in headers] == [], path
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        policies.add(headers["content-security-policy"])
    assert len(policies) == 1
    assert policies.pop().split("; ") == [
        *("default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
    ]


def test_a_server_s_own_headers_are_kept(server: Served) -> None:
    if server.kind in ("nginx-hostile", "caddy-hostile"):
        for path in ("", INDEXES[0], "snapshot.json"):
            assert server.get(path).headers["strict-transport-security"] == "max-age=1"


def test_nginx_has_nothing_to_complain_of(built: Flatdex, real_tmp: Path) -> None:
    for mount in ("/", MOUNT):
        rules = built.run("rules", "nginx", "--root", str(built.root), "--prefix", mount).stdout
        with Nginx(real_tmp / f"nginx{mount.count('/')}", real_tmp, extra=PACKING_NGINX + rules) as nginx:
            assert get(f"{nginx.url.rstrip('/')}{mount}").status == 200
            assert get(f"{nginx.url.rstrip('/')}{mount}nothing").status == 404
        assert "[warn]" not in nginx.error_log() and "uninitialized" not in nginx.error_log()


def test_nothing_is_said_of_paths_that_are_not_ours(server: Served) -> None:
    if "mounted" in server.kind:
        with server.connected() as connection:
            answer = ask(connection, "/elsewhere")
            assert not set(SECURITY) & set(answer.headers)
            assert answer.status == (200 if server.kind.startswith("caddy") else 404)  # Caddy's answer to all


def test_a_folder_without_its_slash_leads_to_the_folder(server: Served) -> None:
    for path in ("apps/org.flatdex.Demo", "de"):
        answer = server.get(path)
        assert answer.status in (301, 308)
        assert urlsplit(answer.headers["location"]).path == urlsplit(server.url).path + f"{path}/"


def test_the_mount_without_its_slash_leads_to_the_front_page(server: Served) -> None:
    """Whatever name and port the server believes to have: a proxy in front of it has others."""
    if not server.kind.endswith("-mounted") or server.kind == "apache-mounted":
        return  # an .htaccess is not asked
    with server.connected() as connection:
        answer = ask(connection, MOUNT.rstrip("/"))
        assert (answer.status, answer.headers["location"]) == (301, MOUNT)
        assert "cache-control" not in answer.headers
        assert ask(connection, f"{MOUNT.rstrip('/')}x").headers.get("location") is None


@pytest.mark.parametrize(
    "path", ["icons", "index", "latest", "refs", "refs/", "latest/", "de/apps", "de/apps/", "assets/"]
)
def test_a_folder_without_a_page_is_not_there(server: Served, path: str) -> None:
    if not _by_files(server) or path.endswith("/"):  # without a slash, Apache looks for no rewriting there
        answer = server.get(path)
        assert (answer.status, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["nothing", "nothing/", "de/nothing/", "apps/org.flatdex.None/", "refs/", ".htaccess"])
def test_people_see_the_site_s_own_page_where_nothing_is(server: Served, path: str, method: str) -> None:
    if _by_files(server):
        return  # an .htaccess doesn't know where it is mounted
    page = (server.root / "404.html").read_bytes()
    for headers in ({}, {"If_None_Match": server.get("404.html").headers["etag"]}, {"Range": "bytes=0-4"}):
        answer = server.get(path, method, **headers)
        hidden = path == ".htaccess" and server.kind.startswith("apache")  # denied by Apache itself
        assert answer.status == (403 if hidden else 404)
        if hidden:
            continue
        assert answer.body == (page if method == "GET" else b"")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers.get("cache-control", "no-cache") == "no-cache"
        assert [name for name in SECURITY if name not in answer.headers] == []


@pytest.mark.parametrize(
    "path",
    [
        *("index/static?tag=nothing", "index/nothing.json", "latest/index/nothing", "icons/ab/x.png"),
        *("v2/x/blobs/sha256:0", "v2/x/manifests/sha256:0", "assets/x.css", f"screenshots/ab/{'c' * 62}.webp"),
    ],
)
def test_machines_get_a_short_answer_where_nothing_is(server: Served, path: str) -> None:
    answer = server.get(path, Accept="*/*")
    assert answer.status == 404 and len(answer.body) < 400
    assert answer.body != (server.root / "404.html").read_bytes()
    assert "immutable" not in answer.headers.get("cache-control", "")


def _by_files(server: Served) -> bool:
    """Whether all rules are those of `.htaccess` files."""
    return server.kind.startswith("apache") and "server" not in server.kind


@pytest.mark.parametrize(
    "path",
    [
        *("nothing", "index/nothing.json", "icons/ab/nothing.png", "v2/x/blobs/sha256:0", "assets/x.css", "nothing/"),
        *("index/static/", "index/static/x", "snapshot.json/x", "INDEX/STATIC", "Index/static", "icons/*", "v2/?x"),
        *("index/", "index/sha256/", "icons/", "v2/", "assets/", "screenshots/ab/", "de/apps/", "latest/"),
        *("index/.htaccess", ".htaccess", "%2ehtaccess", "index/%2Ehtaccess", "icons/.htaccess", ".htaccess/"),
        *("x" * 300, f"icons/{'x' * 300}", "/".join(["x" * 200] * 30), "%C3%A9", "%ff", "a%20b", "index/static%20"),
        *("index/static%00", "%00", "index/%00/x", "%0a", "index/static%0a", "index/static%3Ftag=latest"),
        *("%zz", "index/static%", "index/static%4"),
        *("../x", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "index/..%2f.htaccess"),
        *("../../../../../../../../../../etc/passwd", "icons/../../../../etc/passwd", "..\\..\\x"),
    ],
)
def test_what_is_not_there_is_a_clear_no(server: Served, path: str) -> None:
    """Each server has its own word for what is malformed; none shows a folder, a file outside, or an error of ours."""
    answer = server.get(path, Accept_Encoding="gzip")
    if server.kind == "caddy-mounted" and not _inside(path):
        return  # outside of the mount, where this Caddy has nothing to say
    assert answer.status in (400, 403, 404), answer
    assert b"root:" not in answer.body and b"RewriteEngine" not in answer.body and b"Index of" not in answer.body
    assert "immutable" not in answer.headers.get("cache-control", "")
    if path in ("%zz", "index/static%", "index/static%4"):
        assert answer.status == 400
    if path in ("nothing", "index/nothing.json", "INDEX/STATIC", "index/", "v2/", "icons/", "nothing/", "icons/*"):
        assert answer.status == 404


def _inside(path: str) -> bool:
    return ".." not in path and "%2e" not in path.lower()


@pytest.mark.parametrize("path", ["index/static", ""])
def test_nothing_is_taken(server: Served, path: str) -> None:
    before = (server.root / "index/static").read_bytes()
    for method in ("PUT", "DELETE"):
        assert server.get(path, method, Content_Length="0").status in (200, 403, 405)  # Caddy reads any as GET
    assert (server.root / "index/static").read_bytes() == before


def test_lifetimes_are_those_of_the_configuration(built: Flatdex) -> None:
    folder = built.folder / "lifetimes"
    folder.mkdir()
    for images in ("images", "images-testing", "images-odd"):
        (folder / images).symlink_to(built.folder / images)
    text = built.config.read_text().replace("{index: 0s, icons: 1y}", "{index: 30m, icons: 2d}")
    flatdex = Flatdex(folder, text)
    flatdex.run("build")
    flatdex.run("promote")
    for kind in ("apache", "apache-server", "nginx", "caddy"):
        with served(flatdex, kind, root=flatdex.root) as server:
            assert server.get("index/static").headers["cache-control"] == "public, max-age=1800"
            icon = next(flatdex.root.glob("icons/*/*.png")).relative_to(flatdex.root)
            assert server.get(str(icon)).headers["cache-control"] == "public, max-age=172800, immutable"


@pytest.mark.parametrize("kind", ["nginx-hostile", "caddy"])
def test_a_flip_shows_at_once(real_tmp: Path, built: Flatdex, kind: str) -> None:
    """No server holds on to files that it opened before."""
    for name in ("one", "three"):
        (real_tmp / name / "index").mkdir(parents=True)
        (real_tmp / name / "index/latest.json").write_text(name)
        (real_tmp / name / "index/latest.json.gz").write_bytes(gzip.compress(name.encode()))
    link = real_tmp / "current"
    link.symlink_to("one")
    with served(built, kind, root=link, state=real_tmp / "state") as server:
        for name in ("one", "three", "one"):
            (real_tmp / "new").symlink_to(name)
            (real_tmp / "new").rename(link)
            for encoding in ENCODINGS:
                assert server.get("index/static", Accept_Encoding=encoding).plain == name.encode()


def test_the_prefix_is_that_of_the_remote_s_url(built: Flatdex) -> None:
    folder = built.folder / "prefix"
    flatdex = Flatdex(folder, built.config.read_text().replace("http://127.0.0.1/", f"http://127.0.0.1{MOUNT}"))
    for name in ("apache", "nginx", "caddy"):
        by_url = flatdex.run("rules", name, "--root", "/srv/x").stdout
        assert by_url == flatdex.run("rules", name, "--root", "/srv/x", "--prefix", MOUNT.strip("/")).stdout
        assert f"{MOUNT}index/static" in by_url or f"handle_path {MOUNT}*" in by_url


@pytest.mark.parametrize("option", ["--root=/srv/x y}", '--root=/srv/"x', "--root=/srv/$x", "--prefix=/a b/"])
def test_a_path_that_servers_would_misread_is_refused(built: Flatdex, option: str) -> None:
    result = built.run("rules", "nginx", option, check=False)
    assert result.returncode == 2 and "misread" in result.stderr and not result.stdout


def test_pictures_of_other_hosts_only_where_the_configuration_links_to_them(built: Flatdex) -> None:
    folder = built.folder / "policy"
    folder.mkdir()
    policies = [
        common.policy(loaded(folder, GOOD + text)) for text in ("", "screenshots: link\n", "screenshots: hotlink\n")
    ]
    assert ["https:" in policy for policy in policies] == [False, False, True]


def test_only_the_modules_that_are_promised_are_needed(built: Flatdex) -> None:
    """Apache has no more than rewrite, headers and mime beside what every Apache has."""
    with Apache(built.folder / "apache-bare", built.root, allow_override="FileInfo") as apache:
        modules = {line.split()[1] for line in apache.config().splitlines() if line.startswith("LoadModule")}
        assert not modules & {"expires_module", "env_module", "setenvif_module", "deflate_module"}
        assert get(f"{apache.url}index/static").status == 200
        assert get(f"{apache.url}index/static?tag=nothing").status == 404
