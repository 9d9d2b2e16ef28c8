"""One site with several tags and pages, behind any web server, in different surroundings."""

from __future__ import annotations

import gzip
import http.client
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builder import preview
from builder.config import Cache
from builder.description import Snapshot
from builder.dispatch import Dispatch
from builder.site.rules import apache
from demo.images import write_application, write_runtime
from tests.e2e.site import Flatdex
from tests.real.apache import Apache
from tests.real.caddy import Caddy
from tests.real.nginx import Nginx

CONFIG = """
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1/"}
sources:
  stable: {layouts: ["./images/*"]}
  testing: {layouts: ["./images-testing/*"], tag: testing}
  odd: {layouts: ["./images-odd/*"], tag: v1.0-b_2}
indexes:
  defaults: {architectures: [amd64, arm64], annotations: true}
  stable: {tags: [latest], sources: [stable]}
  testing: {tags: [testing], sources: [testing], annotations: false}
  odd: {tags: [v1.0-b_2], sources: [odd], architectures: []}
cache: {index: 0s, icons: 1y}
"""

PAGE = f"<!doctype html><title>Größe</title>{'<p>page</p>' * 100}"
ASSET = "a" * 64
PICTURE = "b" * 62
PAGES: dict[str, str | bytes] = {
    "index.html": PAGE,
    "de/index.html": PAGE,
    "apps/org.flatdex.Demo/index.html": PAGE,
    "de/apps/org.flatdex.Demo/index.html": PAGE,
    "categories/Game/2/index.html": PAGE,
    "search.json": "[1]",
    "search.json.gz": gzip.compress(b"[1]", mtime=0),
    "de/search.json": "[2]",
    "de/search.json.gz": gzip.compress(b"[2]", mtime=0),
    "feed.atom": f"<feed>{' ' * 900}</feed>",
    "de/feed.atom": "<feed/>",
    f"assets/{ASSET}.css": "a{}" * 300,
    f"assets/{ASSET}.js": "0;" * 500,
    f"assets/{ASSET}.svg": f"<svg>{' ' * 900}</svg>",
    f"assets/{ASSET}.png": b"\x89PNG",
    f"screenshots/ab/{PICTURE}.webp": b"RIFF",
    f"screenshots/ab/{PICTURE}.png": b"\x89PNG",
    f"screenshots/ab/{PICTURE}.jpg": b"\xff\xd8",
    "refs/org.flatdex.gz.php.html.flatpakref": "[Flatpak Ref]\n",
}
"""Files as pages have them, by path; the last one's name is full of endings that mean something to servers."""

# What a server has switched on for its other sites must not break this one.
HOSTILE_APACHE = """
SetOutputFilter DEFLATE
ExpiresActive On
ExpiresDefault "access plus 3 hours"
AddEncoding x-gzip .gz
AddDefaultCharset iso-8859-1
AddHandler application/x-httpd-php .php
DirectoryIndex disabled
"""
HOSTILE_MODULES = ("filter", "deflate", "expires", "env", "setenvif", "negotiation", "autoindex")
HOSTILE_NGINX = """
gzip on;
gzip_types *;
gzip_min_length 1;
expires 3h;
etag off;
charset iso-8859-1;
autoindex on;
open_file_cache max=100;
add_header Strict-Transport-Security "max-age=1";
location ~* \\.(png|html|json)$ { return 418; }
"""
PACKING_NGINX = """
gzip on;
gzip_min_length 1;
gzip_types text/css text/javascript application/atom+xml image/svg+xml;
"""
"""As the guide has it, for small files, too."""
HOSTILE_CADDY = """
	encode zstd gzip
	header Strict-Transport-Security "max-age=1"
"""

MOUNT = "/a/b/"
KINDS = (
    *("apache", "apache-mounted", "apache-hostile", "apache-server", "apache-server-mounted"),
    *("nginx", "nginx-mounted", "nginx-hostile", "nginx-packing"),
    *("caddy", "caddy-mounted", "caddy-hostile"),
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `headers` by name in lower case, a header that was sent twice has both values."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def plain(self) -> bytes:
        """The body, unpacked where it says that it is packed."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


@dataclass(frozen=True)
class Served:
    """A running web server that shows the site below `url`."""

    kind: str
    url: str
    root: Path
    snapshot: Snapshot

    @property
    def dispatch(self) -> Dispatch:
        """What decides on queries."""
        return preview.dispatch_of(self.snapshot)

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """A request just as it is written, without anything made normal; `_` in a header's name stands for `-`."""
        with self.connected() as connection:
            return ask(connection, urlsplit(self.url).path + path, method, **headers)

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection that stays open."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            yield connection
        finally:
            connection.close()


def ask(connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str) -> Answer:
    """A request on an open connection."""
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    return Answer(response.status, found, response.read())


def build(folder: Path) -> Flatdex:
    """A store with one promoted snapshot, and beside it in `site/` the same with pages."""
    for images, version in (("images", "1.0"), ("images-testing", "2.0"), ("images-odd", "3.0")):
        place = folder / images / version
        write_application(place, version=version, created="2026-01-02T03:04:05Z")
        (place / "org.flatdex.Demo").rename(folder / images / f"demo-{version}")
        place.rmdir()
    write_runtime(folder / "images")
    flatdex = Flatdex(folder, CONFIG)
    flatdex.run("build")
    flatdex.run("promote")
    site = folder / "site"
    shutil.copytree(flatdex.root, site)
    for path, content in PAGES.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content.encode() if isinstance(content, str) else content)
    for name in ("assets", "screenshots"):
        (site / name / ".htaccess").write_text(apache.hashed_folder(Cache()))
    return flatdex


@contextmanager
def served(flatdex: Flatdex, kind: str, root: Path | None = None, state: Path | None = None) -> Iterator[Served]:
    """The site, or `root`, behind a web server of this kind; `hostile`: one that has other things in mind."""
    name, *how = kind.split("-")
    root = root or flatdex.folder / "site"
    state = state or flatdex.folder / f"state-{kind}"
    mount = MOUNT if "mounted" in how else "/"
    rules = flatdex.run("rules", name, "--root", str(root), "--prefix", mount).stdout
    server = _server(name, state, root, mount, how, rules)
    with server:
        url = server.url.replace(" ", "%20") if name == "apache" else server.url.rstrip("/") + mount
        yield Served(kind, url, root, preview.published(flatdex.store))


def _server(name: str, state: Path, root: Path, mount: str, how: list[str], rules: str) -> Apache | Nginx | Caddy:
    hostile = "hostile" in how
    if name == "nginx":
        own = HOSTILE_NGINX if hostile else PACKING_NGINX if "packing" in how else ""
        return Nginx(state, state / "empty", extra=own + rules)
    if name == "caddy":
        return Caddy(state, extra=(HOSTILE_CADDY if hostile else "") + rules)
    if "server" in how:
        return Apache(state, root, allow_override="None", extra=rules, mount=mount)
    if hostile:
        options = "FollowSymLinks Indexes"
        return Apache(
            state, root, modules=HOSTILE_MODULES, extra=HOSTILE_APACHE, allow_override="FileInfo", options=options
        )
    return Apache(state, root, mount=mount.replace("b", "b c"), allow_override="FileInfo")
