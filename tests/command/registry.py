"""A registry whose repositories list a tag that is gone, so without images; it can be told to hang."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.sync.site import Site

_CONFIG = """\
store: ./store
remote: {{name: example, url: "http://127.0.0.1:8080/"}}
sources: {{main: {{registry: "{url}"}}}}
indexes: {{stable: {{tags: [latest, beta, nightly]}}}}
targets: {{here: {{rsync: ./target}}}}
"""


@dataclass
class Scripted:
    """`hang` is what a path ends with whose answer never comes; `asked` is set when such a request has come."""

    url: str = ""
    hang: str = "no path"
    asked: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def configure(self, site: Site) -> None:
        """Make this registry the one source."""
        (site.folder / "flatdex.yaml").write_text(_CONFIG.format(url=self.url))

    def answer(self, path: str) -> object:
        """The answer as JSON; None for: there is no such thing."""
        if path.endswith(self.hang):
            self.asked.set()
            self.over.wait()
        if path.endswith("/_catalog"):
            return {"repositories": ["apps/one", "apps/two", "apps/three"]}
        if path.endswith("/v2/"):
            return {}
        return {"tags": ["latest"]} if path.endswith("/tags/list") else None


@contextmanager
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = script.answer(self.path.partition("?")[0])
            body = json.dumps({"errors": []} if answer is None else answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                """The client has gone away."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
