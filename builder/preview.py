"""A preview server on loopback: answers index queries as Apache does with the generated rules. Not for production.

It shows a stick, too, whose manifests and blobs lie elsewhere: for clients that can't install from the folder itself.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from builder import files, oci, stick
from builder.description import DESCRIPTION, FileEntry, Invalid, Snapshot, read_snapshot
from builder.dispatch import Dispatch, described
from builder.errors import FlatdexError
from builder.report import Report
from builder.site.rules.common import HASHED, HASHED_TYPES, PACKED_TYPES, PAGE_TYPES, WANTED, YEAR, control
from builder.store import Store

_STATIC = "index/static"
_INDEX = "index.html"
_GZIP = re.compile(rf"(?:^|[\s,])gzip{WANTED}")
_PACKED = re.compile(r"(?:[^/]+/)?index/.+\.gz")
"""What is sent as a packed form of another file. All else that is packed is sent as it is."""
_TYPES = {**HASHED_TYPES, **PAGE_TYPES, **PACKED_TYPES}
_HEADER = re.compile(r'^Header set (\S+) "(.*)"$', re.M)
_FOREVER = ("icons", "v2", *HASHED)


def serve(folder: Path, port: int, report: Report) -> None:
    """Serves the store, snapshot or stick in `folder` on 127.0.0.1 until interrupted; `port` 0 takes a free one."""
    snapshot = published(folder)
    handler = type("Handler", (_Handler,), {"folder": folder, "report": report})
    try:
        server = _Server(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise FlatdexError(f"port {port} of 127.0.0.1: {error}", "Name another one with --port.") from error
    with server:
        url = f"http://127.0.0.1:{server.server_port}/"
        report.result(f"{url} shows {folder}; Ctrl-C ends it")
        named = snapshot.document["remote"].get("url")
        if named and named.rstrip("/") != url.rstrip("/"):
            report.line(f"its .flatpakrepo files name {named}; from here: flatpak remote-add --user NAME oci+{url}")
        server.serve_forever()


def published(folder: Path) -> Snapshot:
    """The snapshot in `folder`, or of a stick, or that which a store promoted. Raises FlatdexError if there is none."""
    try:
        if stick.is_stick(folder):
            found = (folder / DESCRIPTION).stat()
            return _of_stick(folder, found.st_ino, found.st_mtime_ns, found.st_size)
        current = Store(folder).current()
        return _snapshot(Store(folder).snapshots / current if current else folder.resolve())
    except (Invalid, FileNotFoundError, ValueError, TypeError, LookupError, AttributeError) as error:
        fix = "Name a store, a snapshot or a stick; a store needs a promoted one: `flatdex build`, `flatdex promote`."
        raise FlatdexError(f"nothing to show in {folder}: {error}", fix) from error


@lru_cache(maxsize=2)
def _snapshot(folder: Path) -> Snapshot:
    return read_snapshot(folder)


@lru_cache(maxsize=2)
def _of_stick(folder: Path, *state: int) -> Snapshot:
    """What the stick in `folder` shows; the next export changes the `state` of its description."""
    found = read_snapshot(folder, own_name=False)
    dispatch_of(found)  # what is on a stick may be anybody's: told now, not at each request
    headers(found)
    return found


def dispatch_of(snapshot: Snapshot) -> Dispatch:
    """The dispatch that a snapshot was built with."""
    return described(snapshot.document["dispatch"])


def located(snapshot: Snapshot, url: str, accept_encoding: str) -> FileEntry | None:
    """The file that answers a request for `url` (a path, perhaps with a query); None is a 404."""
    asked, _, query = re.sub(r"^https?://[^/?]*", "", url).partition("?")
    path = _path(asked)
    files = snapshot.by_path
    if posixpath.basename(path).startswith(".ht"):
        return None
    if path == _STATIC:
        file = dispatch_of(snapshot).answer(query)
        if file is None:
            return None
        path = f"index/{file}.json"
    if asked.endswith("/"):
        path = f"{path}/{_INDEX}".lstrip("/")
    packed = f"{path}.gz"
    return files.get(packed if _is_packed(packed) and packed in files and _GZIP.search(accept_encoding) else path)


def _is_packed(path: str) -> bool:
    return _PACKED.fullmatch(path) is not None


def _path(asked: str) -> str:
    return posixpath.normpath(unquote(asked)).strip("/")


def file_of(snapshot: Snapshot, entry: FileEntry) -> Path:
    """Where the file is: a stick has manifests and blobs elsewhere."""
    return snapshot.folder / (stick.placed(entry.path) if stick.is_stick(snapshot.folder) else entry.path)


def headers(snapshot: Snapshot) -> dict[str, str]:
    """The headers of every answer, as the site's own rules have them."""
    found = dict(_HEADER.findall(snapshot.document.get("rules", {}).get(".htaccess", "")))
    return {"Cache-Control": "no-cache", **found}


def _plain(folder: Path, file: Path) -> BinaryIO:
    """A plain file in the folder, reached through no link: what is on a stick may be anybody's. Raises OSError."""
    if file.resolve() != folder.resolve() / file.relative_to(folder):
        raise FileNotFoundError(file)
    return files.opened(file)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is nobody's mistake."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    report: Report
    protocol_version = "HTTP/1.1"
    server_version = "flatdex-preview"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        self.report.detail(format % args)

    def _answer(self, body: bool) -> None:
        try:
            snapshot = published(self.folder)
        except FlatdexError as error:
            self._text(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n", body)
            return
        path = self.path.partition("?")[0]
        if path == "/" and _INDEX not in snapshot.by_path:
            self._text(HTTPStatus.OK, overview(snapshot), body)
        elif path == f"/{DESCRIPTION}":
            file = snapshot.folder / DESCRIPTION
            self._file(FileEntry(DESCRIPTION, file.stat().st_size, "", int(file.stat().st_mtime)), snapshot, body)
        elif entry := located(snapshot, self.path, self.headers.get("Accept-Encoding", "")):
            self._file(entry, snapshot, body)
        elif f"{_path(path)}/{_INDEX}" in snapshot.by_path:
            self._to_folder(_path(path))
        else:
            self._text(HTTPStatus.NOT_FOUND, "not found\n", body)

    def _to_folder(self, path: str) -> None:
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", f"/{quote(path)}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, entry: FileEntry, snapshot: Snapshot, body: bool) -> None:
        try:
            opened = _plain(snapshot.folder, file_of(snapshot, entry))
        except OSError:  # a stick may hold a difference alone, or things that are no files
            self._text(HTTPStatus.NOT_FOUND, "not found\n", body)
            return
        with opened:
            self._opened(opened, entry, snapshot, body)

    def _opened(self, opened: BinaryIO, entry: FileEntry, snapshot: Snapshot, body: bool) -> None:
        size = os.fstat(opened.fileno()).st_size  # a stick may be written to right now
        etag = f'"{size:x}-{entry.mtime:x}"'
        fresh = self._is_fresh(etag, entry.mtime)
        self.send_response(HTTPStatus.NOT_MODIFIED if fresh else HTTPStatus.OK)
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", formatdate(entry.mtime, usegmt=True))
        for name, value in {**headers(snapshot), **_lifetime(entry.path)}.items():
            self.send_header(name, value)
        self.send_header("Vary", "Accept-Encoding")
        if not fresh:
            self.send_header("Content-Type", _type(entry.path, opened))
            self.send_header("Content-Length", str(size))
            if _is_packed(entry.path):
                self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if body and not fresh:
            shutil.copyfileobj(opened, self.wfile)

    def _is_fresh(self, etag: str, mtime: int) -> bool:
        asked = self.headers.get("If-None-Match")
        if asked is not None:
            return asked.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in asked.split(","))
        try:
            return mtime <= parsedate_to_datetime(self.headers.get("If-Modified-Since", "")).timestamp()
        except (ValueError, OverflowError):
            return False

    def _text(self, status: HTTPStatus, text: str, body: bool) -> None:
        data = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def overview(snapshot: Snapshot) -> str:
    """What the site offers, as text."""
    indexes = [f"  /{variant['path']}: {variant['refs']} refs" for variant in snapshot.document["variants"]]
    files = [f"  /{entry.path}" for entry in snapshot.files if entry.path.endswith(".flatpakrepo")]
    return "\n".join([f"snapshot {snapshot.id}", "", "indexes:", *indexes, "", "to add the remote:", *files, ""])


def _lifetime(path: str) -> dict[str, str]:
    """What differs for files that are named by their hash."""
    forever = path.partition("/")[0] in _FOREVER
    return {"Cache-Control": control(YEAR, immutable=True)} if forever else {}


def _type(path: str, opened: BinaryIO) -> str:
    if posixpath.basename(path) == "static" or _is_packed(path):
        return "application/json"
    if re.search(r"^v2/.+/manifests/sha256:[0-9a-f]+$", path):
        try:
            return oci.parse_manifest(opened.read()).media_type or oci.MANIFEST
        except oci.Malformed:
            return oci.MANIFEST
        finally:
            opened.seek(0)
    return _TYPES.get(posixpath.splitext(path)[1].lstrip("."), "application/octet-stream")
