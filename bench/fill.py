"""Fills a real registry with many small Flatpaks whose labels and icons are as large as real ones."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests
from PIL import Image

from builder import oci

TAGS = ("latest", "testing")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
WORDS = (
    "static",
    "remote",
    "index",
    "client",
    "image",
    "layer",
    "fast",
    "school",
    "mirror",
    "ship",
    "garden",
    "river",
)


@dataclass(frozen=True)
class Wanted:
    """A request: the URL's path, the Accept header, and the digest that a conditional one names, of a tag only."""

    path: str
    accept: str
    digest: str = ""


def fill(registry: str, numbers: Iterable[int], version: int = 0, requests_at_once: int = 8) -> None:
    """Pushes repositories, each with two tags that lead to an image index of two architectures, new in each version."""
    with ThreadPoolExecutor(requests_at_once) as pool:
        list(pool.map(lambda number: _Repository(registry, number, version).push(), numbers))


def push(registry: str, number: int, version: int) -> str:
    """Pushes another version to a repository's first tag; gives the digest of its first architecture's image."""
    return _Repository(registry, number, version).push(TAGS[:1])


def needed(registry: str, repositories: int) -> list[Wanted]:
    """Every request that a cold build can't do without."""
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda number: list(_needed_of(registry, number)), range(repositories))
        return [wanted for each in found for wanted in each]


def name(number: int) -> str:
    """What a repository is called."""
    return f"apps/org.example.app{number:05}"


def _needed_of(registry: str, number: int) -> Iterator[Wanted]:
    base = f"/v2/{name(number)}"
    with requests.Session() as session:
        for tag in TAGS:
            path = f"{base}/manifests/{tag}"
            answer = session.get(registry + path, headers={"Accept": oci.IMAGE_INDEX}, timeout=20)
            yield Wanted(path, oci.IMAGE_INDEX, oci.digest_of(answer.content))
            for child in answer.json()["manifests"]:
                manifest = f"{base}/manifests/{child['digest']}"
                yield Wanted(manifest, oci.MANIFEST)
                content = session.get(registry + manifest, headers={"Accept": oci.MANIFEST}, timeout=20).json()
                yield Wanted(f"{base}/blobs/{content['config']['digest']}", "*/*")


class _Repository:
    def __init__(self, registry: str, number: int, version: int) -> None:
        self._base = f"{registry}/v2/{name(number)}"
        self._number = number
        self._version = version
        self._session = requests.Session()

    def push(self, tags: Iterable[str] = TAGS) -> str:
        with self._session:
            layer = self._blob(f"layer of {self._number}".encode())
            for tag in tags:
                children = [
                    {**self._image(tag, architecture, layer), "platform": {"os": "linux", "architecture": architecture}}
                    for architecture in ARCHITECTURES
                ]
                self._manifest(tag, oci.IMAGE_INDEX, {"manifests": children})
        return str(children[0]["digest"])

    def _image(self, tag: str, architecture: str, layer: dict[str, object]) -> dict[str, object]:
        config = {
            "os": "linux",
            "architecture": architecture,
            "created": "2026-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "config": {"Labels": _labels(self._number, tag, ARCHITECTURES[architecture], self._version)},
        }
        described = {**self._blob(json.dumps(config).encode()), "mediaType": "application/vnd.oci.image.config.v1+json"}
        layers = [{**layer, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}]
        return self._manifest(None, oci.MANIFEST, {"config": described, "layers": layers})

    def _blob(self, data: bytes) -> dict[str, object]:
        place = self._session.post(f"{self._base}/blobs/uploads/", timeout=60).headers["Location"]
        digest = oci.digest_of(data)
        joint = "&" if "?" in place else "?"
        self._session.put(f"{place}{joint}digest={digest}", data=data, timeout=60).raise_for_status()
        return {"digest": digest, "size": len(data)}

    def _manifest(self, tag: str | None, media_type: str, content: dict[str, object]) -> dict[str, object]:
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}).encode()
        digest = oci.digest_of(data)
        url = f"{self._base}/manifests/{tag or digest}"
        self._session.put(url, data=data, headers={"Content-Type": media_type}, timeout=60).raise_for_status()
        return {"digest": digest, "size": len(data), "mediaType": media_type}


def _labels(number: int, tag: str, architecture: str, version: int) -> dict[str, str]:
    identifier = f"org.example.App{number:05}"
    metadata = f"[Application]\nname={identifier}\nruntime=org.example.Platform/{architecture}/stable\n"
    return {
        "org.flatpak.ref": f"app/{identifier}/{architecture}/stable",
        "org.flatpak.metadata": metadata,
        "org.flatpak.commit-metadata.xa.metadata": base64.b64encode(metadata.encode() + b"\0\0s").decode(),
        "org.flatpak.installed-size": str(123456789 + version),
        "org.flatpak.download-size": "12345678",
        "org.flatpak.subject": tag,
        "org.flatpak.commit": hashlib.sha256(f"{identifier}{tag}{architecture}".encode()).hexdigest(),
        "org.freedesktop.appstream.appdata": _appdata(identifier, number),
        "org.freedesktop.appstream.icon-64": _icon(number, 64),
        "org.freedesktop.appstream.icon-128": _icon(number, 128),
    }


def _appdata(identifier: str, number: int) -> str:
    words = random.Random(number)
    texts = "".join(f'<p xml:lang="x-{language}">{" ".join(words.choices(WORDS, k=30))}</p>' for language in range(40))
    return (
        f'<components version="0.8"><component type="desktop"><id>{identifier}</id><name>App {number}</name>'
        f"<summary>An application</summary><description>{texts}</description></component></components>"
    )


def _icon(number: int, size: int) -> str:
    pixels = random.Random(number)
    image = Image.new("RGB", (size, size))
    image.putdata([(pixels.randrange(8) * 32, x * 255 // size % 256, number % 256) for x in range(size * size)])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
