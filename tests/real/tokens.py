"""What logins need: keys and certificates made on the spot, a server that hears all of a request, a token service."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.builder.helpers import Answer
from tests.real.process import located, run


class Authority:
    """A certificate authority of our own, in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = self._made(name)

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for this machine's loopback addresses, and its key."""
        return self._made(name, "-CA", self.certificate, "-CAkey", self.key)

    def _made(self, name: str, *signed: str | Path) -> tuple[Path, Path]:
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        run(
            [
                *(located("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *signed),
                *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
                *("-keyout", key, "-out", certificate),
            ]
        )
        return certificate, key


@dataclass(frozen=True)
class Heard:
    """A request as it came: `path` with its query, `headers` by name in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    with_certificate: bool = False

    @property
    def authorization(self) -> str:
        """The Authorization header."""
        return self.headers.get("authorization", "")

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values, or those of a form."""
        return parse_qs(self.body.decode() if self.method == "POST" else urlsplit(self.path).query)


Ear = Callable[[Heard], Answer | None]
"""From a request to an answer; None closes the connection without a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ear: Ear
    heard: list[Heard]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        shown = isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert(binary_form=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Heard(self.command, self.path, headers, body, shown)
        self.heard.append(request)
        answer = type(self).ear(request)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_POST = do_GET  # noqa: N815 - as the base class looks for them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@dataclass
class Listening:
    """A running server, and what it heard."""

    url: str
    heard: list[Heard]

    def asked(self, part: str) -> list[Heard]:
        """The requests whose path has this part."""
        return [request for request in self.heard if part in request.path]

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc


@contextmanager
def listening(
    ear: Ear, certificate: tuple[Path, Path] | None = None, clients: Path | None = None, port: int = 0
) -> Iterator[Listening]:
    """Serves `ear` on loopback; by TLS with a certificate, where `clients` signed those that clients may show."""
    heard: list[Heard] = []
    handler = type("Handler", (_Handler,), {"ear": staticmethod(ear), "heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if clients:
                context.verify_mode = ssl.CERT_OPTIONAL
                context.load_verify_locations(clients)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield Listening(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}", heard)
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Signer:
    """Makes the tokens that a docker-registry believes: RS256, with the signer's certificate in the header."""

    authority: Authority
    issuer: str = "flatdex-tests"
    service: str = "a registry"
    issued: list[str] = field(default_factory=list)

    def token(self, user: str, scope: str) -> str:
        """A token for what a scope such as `repository:NAME:pull` asks for."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": str(len(self.issued)),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}] if name else [],
        }
        der = ssl.PEM_cert_to_DER_cert(self.authority.certificate.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        with tempfile.TemporaryDirectory(prefix="flatdex-") as folder:
            said, signature = Path(folder) / "said", Path(folder) / "signature"
            said.write_text(text)
            run([located("openssl"), "dgst", "-sha256", "-sign", self.authority.key, "-out", signature, said])
            self.issued.append(f"{text}.{_encoded(signature.read_bytes())}")
        return self.issued[-1]

    def ear(self, user: str, password: str) -> Ear:
        """A token service that knows one login: 401 for any other, and for none."""
        login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

        def answer(request: Heard) -> Answer:
            if request.authorization != login:
                return Answer(b'{"details":"wrong"}', 401)
            scope = request.query.get("scope", [""])[0]
            return Answer(json.dumps({"token": self.token(user, scope), "expires_in": 300}).encode())

        return answer


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
