"""Requests a second of an index and of its 304s, against the same bytes and headers as a plain file, in turns."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Row
from builder import configfile
from builder.config import Config
from builder.site.rules import apache, caddy, common, nginx
from demo.images import write_application, write_runtime
from tests.real.apache import Apache
from tests.real.caddy import Caddy
from tests.real.nginx import Nginx

_CONFIG = """
store: ./store
remote: {name: bench, title: Bench, url: "http://127.0.0.1/"}
sources:
  local: {layouts: ["./images/*"]}
  next: {layouts: ["./images-testing/*"], tag: testing}
indexes:
  defaults: {architectures: [amd64, arm64]}
  stable: {tags: [latest], sources: [local]}
  testing: {tags: [testing], sources: [next]}
"""
_QUERY = "index/static?label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest"
_FILE = "index/latest-amd64.json"
_FLATDEX = str(Path(sys.executable).with_name("flatdex"))
_SECONDS = 1
"""How long a turn takes."""
_CONNECTIONS = 8

Server = Apache | Caddy | Nginx


@dataclass(frozen=True)
class _Pair:
    """A server with rules, and one of the same kind with the index as a plain file; `target` in percent."""

    what: str
    ours: Server
    floor: Server
    target: float | None


def rows(folder: Path, pairs: int) -> Iterator[Row]:
    """A row for each kind of server, encoding and answer."""
    config, plain = _site(folder)
    for pair in _pairs(folder, config, plain):
        with ExitStack() as stack:
            stack.enter_context(pair.ours)
            stack.enter_context(pair.floor)
            for encoding in ("gzip", "identity"):
                for status in (200, 304):
                    yield _row(pair, encoding, status, pairs)


def _site(folder: Path) -> tuple[Config, Path]:
    """A promoted snapshot, and beside it a folder with nothing in it but the index."""
    folder.mkdir()
    write_runtime(folder / "images")
    for images, version in (("images", "1.0"), ("images-testing", "2.0")):
        write_application(folder / "new", version=version, created="2026-01-02T03:04:05Z")
        (folder / images).mkdir(exist_ok=True)
        (folder / "new/org.flatdex.Demo").rename(folder / images / f"demo-{version}")
    (folder / "flatdex.yaml").write_text(_CONFIG)
    subprocess.run([_FLATDEX, "-q", "publish"], cwd=folder, check=True)
    config = configfile.load(folder / "flatdex.yaml", {})
    plain = folder / "plain"
    (plain / "index").mkdir(parents=True)
    for name in (_FILE, f"{_FILE}.gz"):
        shutil.copy2(config.store / "current" / name, plain / name)
    return config, plain


def _pairs(folder: Path, config: Config, plain: Path) -> Iterator[_Pair]:
    root = config.store / "current"
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding", **common.security(config)}

    def given(render: Callable[[Config, str, str], str]) -> str:
        return render(config, str(root), "/")

    floor = Apache(folder / "apache-plain", plain, allow_override="FileInfo", extra=_plain_apache(plain, headers))
    yield _Pair("Apache, .htaccess", Apache(folder / "htaccess", root, allow_override="FileInfo"), floor, 45)
    floor = Apache(folder / "apache-plain", plain, allow_override="None", extra=_plain_apache(plain, headers))
    ours = Apache(folder / "apache", root, allow_override="None", extra=given(apache.server))
    yield _Pair("Apache, its configuration", ours, floor, 10)
    floor_nginx = Nginx(folder / "nginx-plain", plain, extra=_plain_nginx(headers))
    yield _Pair("nginx", Nginx(folder / "nginx", folder / "nowhere", extra=given(nginx.server)), floor_nginx, 10)
    floor_caddy = Caddy(folder / "caddy-plain", extra=_plain_caddy(plain, headers))
    yield _Pair("Caddy", Caddy(folder / "caddy", extra=given(caddy.server)), floor_caddy, None)


def _plain_apache(plain: Path, headers: dict[str, str]) -> str:
    lines = [f'Header set {name} "{value}"' for name, value in headers.items()]
    packed = '<FilesMatch "\\.gz$">\nHeader set Content-Encoding gzip\n</FilesMatch>\nRemoveEncoding .gz'
    own = ["FileETag MTime Size", "ForceType application/json", *lines, packed]
    return "\n".join([f'<Directory "{plain}">', *own, "</Directory>", ""])


def _plain_nginx(headers: dict[str, str]) -> str:
    lines = "\n".join(f'add_header {name} "{value}";' for name, value in headers.items())
    common_ = f"types {{ }} default_type application/json; {lines}"
    return f"location /index/ {{ {common_} }}\nlocation ~ \\.gz$ {{ {common_} add_header Content-Encoding gzip; }}"


def _plain_caddy(plain: Path, headers: dict[str, str]) -> str:
    lines = "\n".join(f'{name} "{value}"' for name, value in headers.items())
    packed = "@gz path *.gz\nheader @gz Content-Encoding gzip"
    return f'root * "{plain}"\nheader {{\n{lines}\nContent-Type application/json\n}}\n{packed}\nfile_server'


def _row(pair: _Pair, encoding: str, status: int, turns: int) -> Row:
    """The median, over turns, of how many requests of a hundred the rules cost."""
    # One request line for both, but for the path: a longer one costs a server more, whatever its rules are.
    file, query = _FILE + (".gz" if encoding == "gzip" else ""), _QUERY.partition("?")[2]
    ours, floor = pair.ours.url + _QUERY, f"{pair.floor.url}{file}?{query}"
    found = []
    for number in range(turns):
        first, second = (ours, floor) if number % 2 else (floor, ours)
        rates = {url: _rate(url, encoding, status) for url in (first, second)}
        found.append((rates[ours], rates[floor]))
    less = statistics.median(100 * (1 - mine / its) for mine, its in found)
    mine, its = (statistics.median(each) for each in zip(*found, strict=True))
    detail = f"{mine:.0f} requests/s; plain file {its:.0f}; {turns} pairs"
    return Row(f"{pair.what}: {status}, {encoding}", less, "% less", pair.target, detail)


def _rate(url: str, encoding: str, status: int) -> float:
    """Requests a second; of 304s if that is the status. Raises SystemExit if other answers come."""
    headers = {"Accept-Encoding": encoding}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:  # noqa: S310
        packed = answer.headers.get("Content-Encoding", "identity")
        if packed != encoding:
            raise SystemExit(f"{url}: {packed}, not {encoding}")
        if status == 304:
            headers["If-None-Match"] = answer.headers["ETag"]
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{_SECONDS}s", *words, url]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", told)
    if rate is None or "Non-2xx" in told or _status(url, headers) != status:
        raise SystemExit(f"{url}: other answers than {status}\n{told}")
    return float(rate[1])


def _status(url: str, headers: dict[str, str]) -> int:
    """wrk counts a 304 as it counts a 200: so one more request is looked at."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
