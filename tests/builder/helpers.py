"""Makers that the tests of the builder share: configurations, images, OCI layouts, and a server that can misbehave."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builder import configfile, oci
from builder.catalog import Catalog, Failure, Image, Skip, collected
from builder.config import Config, LayoutSource
from builder.errors import ConfigError, Problem
from builder.oci import Descriptor
from builder.sources.layouts import LayoutReading
from tests.real.images import png

Json = dict[str, Any]

GOOD = """\
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1:8080/"}
sources:
  main: {registry: "http://127.0.0.1:5000"}
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest], sources: [main]}
"""
METADATA = "[Application]\nname=org.flatdex.Hello\nruntime=org.flatdex.Platform/x86_64/stable\n"
OCI_INDEX = oci.IMAGE_INDEX


# Configurations


def write(folder: Path, text: str | bytes, name: str = "flatdex.yaml") -> Path:
    """A configuration file in `folder`."""
    file = folder / name
    file.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return file


def loaded(
    folder: Path, text: str | bytes, environment: Mapping[str, str] | None = None, store: str | None = None
) -> Config:
    """The configuration that `text` is."""
    return configfile.load(write(folder, text), environment or {}, store)


def problems(
    folder: Path, text: str | bytes, environment: Mapping[str, str] | None = None, store: str | None = None
) -> list[Problem]:
    """All that is told to be wrong in `text`."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environment, store)
    return caught.value.problems


# Images, as they stand in a catalog


def ref_of(name: str = "Hello", arch: str = "x86_64", branch: str = "stable", kind: str = "app") -> str:
    """A ref of ours."""
    return f"{kind}/org.flatdex.{name}/{arch}/{branch}"


def flatpak_labels(ref: str | None = None, **more: str) -> dict[str, str]:
    """What flatpak itself writes: `more` has label names whose dots and dashes are spelled out as they are."""
    variant = base64.b64encode(METADATA.encode() + b"\0\0s").decode()
    return {
        "org.flatpak.ref": ref or ref_of(),
        "org.flatpak.metadata": METADATA,
        "org.flatpak.commit-metadata.xa.metadata": variant,
        "org.flatpak.installed-size": "123456",
        "org.flatpak.download-size": "12345",
        "org.flatpak.timestamp": "1700000000",
        "org.flatpak.subject": "Export",
        **more,
    }


def icon_uri(size: int = 64, colour: tuple[int, int, int] = (1, 2, 3)) -> str:
    """A PNG as flatpak writes it into a label."""
    return "data:image/png;base64," + base64.b64encode(png(size, colour)).decode()


def digest(seed: str) -> str:
    """Some digest."""
    return oci.digest_of(seed.encode())


def image(ref: str | None = None, **values: Any) -> Image:
    """An image of a catalog: a Flatpak, unless `labels` are given."""
    ref = ref or ref_of()
    given: dict[str, Any] = {
        "source": "main",
        "repository": "hello",
        "tags": frozenset({"latest"}),
        "digest": digest(ref),
        "media_type": oci.MANIFEST,
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-01T00:00:00Z",
        "labels": flatpak_labels(ref),
        "annotations": {},
    }
    return Image(**{**given, **values})


def images_of(found: Sequence[Image | Skip | Failure]) -> list[Image]:
    """Only the images."""
    return [item for item in found if isinstance(item, Image)]


def codes_of(found: Sequence[Image | Skip | Failure]) -> list[str]:
    """The codes of what was left out."""
    return [item.code for item in found if isinstance(item, Skip)]


# Images as bytes, and OCI layouts


@dataclass
class Blobs:
    """Blobs by digest, to be put into a layout or a registry."""

    data: dict[str, bytes] = field(default_factory=dict)

    def add(self, data: bytes) -> Json:
        """A descriptor of `data` without a media type."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.data[digest] = data
        return {"digest": digest, "size": len(data)}

    def json(self, value: object) -> Json:
        """The same for a JSON value."""
        return self.add(json.dumps(value).encode())

    def image(
        self,
        labels: Mapping[str, Any] | None = None,
        *,
        config: Any = None,
        architecture: str = "amd64",
        layers: tuple[bytes, ...] = (b"a layer",),
        media_type: str | None = oci.MANIFEST,
        **manifest: Any,
    ) -> Json:
        """An image; the descriptor of its manifest. `config` replaces the image config, `manifest` adds keys."""
        if config is None:
            inner = {"Labels": flatpak_labels() if labels is None else labels}
            created = "2026-01-01T00:00:00Z"
            config = {"architecture": architecture, "os": "linux", "created": created, "config": inner}
        value = {
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **self.json(config)},
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **self.add(gzip.compress(layer, mtime=0))}
                for layer in layers
            ],
            **manifest,
        }
        if media_type:
            value["mediaType"] = media_type
        return {"mediaType": media_type or oci.MANIFEST, **self.json(value)}

    def index(self, *entries: Json, media_type: str = oci.IMAGE_INDEX) -> Json:
        """An image index of `entries`."""
        value = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
        return {"mediaType": media_type, **self.json(value)}

    def layout(self, folder: Path, *entries: Json) -> Path:
        """Writes them all as an OCI layout whose index.json lists `entries`."""
        places = folder / "blobs" / "sha256"
        places.mkdir(parents=True, exist_ok=True)
        for digest, data in self.data.items():
            (places / digest.removeprefix("sha256:")).write_bytes(data)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        value = {"schemaVersion": 2, "mediaType": oci.IMAGE_INDEX, "manifests": list(entries)}
        (folder / "index.json").write_text(json.dumps(value))
        return folder


def tagged(descriptor: Json, name: str) -> Json:
    """A descriptor as it stands in a layout's index.json under a name."""
    return {**descriptor, "annotations": {oci.REF_NAME: name}}


def hello_layout(folder: Path, name: str | None = None, **labels: str) -> Path:
    """A layout with one Flatpak."""
    blobs = Blobs()
    descriptor = blobs.image(flatpak_labels(**labels))
    return blobs.layout(folder, tagged(descriptor, name) if name else descriptor)


def blob_file(layout: Path, descriptor: Json) -> Path:
    """Where a layout keeps a blob."""
    return layout / "blobs" / "sha256" / str(descriptor["digest"]).removeprefix("sha256:")


def described(descriptor: Json) -> Descriptor:
    """A descriptor as the product knows it."""
    return oci.parse_descriptor(descriptor)


def catalog_of(config: Config) -> Catalog:
    """What the layouts of a configuration hold."""
    sources = [source for source in config.sources if isinstance(source, LayoutSource)]
    readings = [LayoutReading(source, config.tags_of(source), lambda repository, blob: False) for source in sources]
    for reading in readings:
        reading.look()
    return collected(item for reading in readings for item in reading.items())


# A server that does what a real one won't


@dataclass
class Answer:
    """What the scripted server sends. `cut` closes the connection after that many bytes of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Script = Callable[[str], Answer | None]
"""From a path with its query to an answer; None closes the connection without a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = type(self).script(self.path)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
        if answer.cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@dataclass
class Scripted:
    """A running scripted server, and what it was asked."""

    url: str
    asked: list[str]


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """Serves `script` on a free port of loopback."""
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"script": staticmethod(script), "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield Scripted(f"http://127.0.0.1:{server.server_port}", asked)
        finally:
            server.shutdown()
            thread.join()


def as_registry(
    blobs: Blobs, tags: Mapping[str, Mapping[str, Json]], replaced: Mapping[str, Answer | None] | None = None
) -> Script:
    """A registry of `blobs`, where `tags` says what each tag of each repository points to.

    `replaced` has other answers, by a part of the path.
    """

    def script(path: str) -> Answer | None:
        place = path.partition("?")[0]
        for part, answer in (replaced or {}).items():
            if part in place:
                return answer
        if place == "/v2/_catalog":
            return Answer(json.dumps({"repositories": list(tags)}).encode())
        repository, _, rest = place.removeprefix("/v2/").rpartition("/tags/list")
        if not rest and repository in tags:
            return Answer(json.dumps({"name": repository, "tags": list(tags[repository])}).encode())
        head, kind, reference = place.removeprefix("/v2/").rsplit("/", 2) if place.count("/") >= 4 else ("", "", "")
        pointed = tags.get(head, {}).get(reference)
        found = str(pointed["digest"]) if pointed else reference
        if kind in ("manifests", "blobs") and found in blobs.data:
            media_type = str(pointed["mediaType"]) if pointed else "application/octet-stream"
            return Answer(blobs.data[found], headers={"Content-Type": media_type, "Docker-Content-Digest": found})
        return Answer(b'{"errors":[]}', 404)

    return script
