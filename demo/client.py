"""Asks a remote as the flatpak client does: the index, each icon, and all that an installation pulls, by digest."""

import hashlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from demo.host import DemoError, architecture

_QUERY = "label%3Aorg.flatpak.ref%3Aexists=1&architecture={architecture}&os=linux&tag=latest"
_SECONDS = 20


def ask(flatdex: Path, config: Path) -> str:
    """Starts a preview on a free port, asks it for everything, and says what came. Raises DemoError."""
    with serving(flatdex, config) as url:
        return _summary(url)


@contextmanager
def serving(flatdex: Path, config: Path) -> Iterator[str]:
    """A preview on a free port, by its URL. Raises DemoError."""
    command = [str(flatdex), "-c", str(config), "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield _address(server.stdout.readline() if server.stdout else "")
        finally:
            server.terminate()


def _address(line: str) -> str:
    match = re.match(r"http://127\.0\.0\.1:\d+/", line)
    if match is None:
        raise DemoError(f"The preview server did not start: it said {line!r}.")
    return match[0]


def _summary(url: str) -> str:
    base = f"{url}index/static"
    index = json.loads(_get(f"{base}?{_QUERY.format(architecture=architecture().oci)}"))
    refs, pulled, icons = [], 0, 0
    for result in index["Results"]:
        repository = f"{urljoin(base, index['Registry'])}v2/{result['Name']}"
        for image in result["Images"]:
            refs.append(image["Labels"]["org.flatpak.ref"])
            pulled += sum(1 for _ in _pull(repository, image))
            for key in ("icon-64", "icon-128"):
                _get(urljoin(base, image["Labels"][f"org.freedesktop.appstream.{key}"]))
                icons += 1
    if len(refs) != 2:
        raise DemoError(f"The index should name two refs, and names {refs}.")
    return f"{len(refs)} refs ({', '.join(refs)}), {icons} icons, {pulled} manifests and blobs: all digests are right"


def _pull(repository: str, image: dict[str, Any]) -> Iterator[str]:
    manifest = json.loads(_checked(f"{repository}/manifests/{image['Digest']}", image["Digest"]))
    yield image["Digest"]
    for descriptor in (manifest["config"], *manifest["layers"]):
        _checked(f"{repository}/blobs/{descriptor['digest']}", descriptor["digest"])
        yield descriptor["digest"]


def _checked(url: str, digest: str) -> bytes:
    data = _get(url)
    if digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise DemoError(f"{url} has another digest.")
    return data


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
        data: bytes = answer.read()
        return data
