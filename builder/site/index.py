"""Index files, in the forms that clients read: minified, in a fixed order, with only what a client looks at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from builder import flatpak
from builder.catalog import Image
from builder.config import Form, Token
from builder.content import Joined

Entry = Callable[[Image], bytes]
"""The entry of an image in an index, as JSON."""


def render(registry: str, images: Iterable[Image], entry_of: Entry, up: str = "") -> Joined:
    """An index of `images`, which are in the order of their repositories; `up` is put before relative URLs.

    `registry` is an absolute URL or relative to the index. Every key that newer clients require is there, also
    where it is empty.
    """
    return Joined(tuple(_parts(_raised(registry, up), images, entry_of)))


def _parts(registry: str, images: Iterable[Image], entry_of: Entry) -> Iterator[bytes]:
    """As json.dumps would write it, but for what is shared between indexes."""
    yield b'{"Registry":' + _json(registry) + b',"Results":['
    between = b""
    for name, group in groupby(images, key=lambda image: image.repository):
        start = between + b'{"Images":['
        for image in group:
            yield start
            yield entry_of(image)
            start = b","
        yield b'],"Lists":[],"Name":' + _json(name) + b"}"
        between = b","
    yield b"]}"


def slim(metadata: Mapping[str, str]) -> dict[str, str]:
    """Only what a client reads."""
    return {key: value for key, value in metadata.items() if key in flatpak.INDEX_LABELS}


def with_token(metadata: dict[str, str], token: Token) -> dict[str, str]:
    """With the label that tells clients whether to ask for a token."""
    if token is Token.AS_IMAGE:
        return metadata
    value = flatpak.TOKEN_NONE if token is Token.NONE else flatpak.TOKEN_REQUIRED
    return {**metadata, flatpak.TOKEN_TYPE: value}


def entry(image: Image, form: Form, metadata: Mapping[str, str]) -> bytes:
    """An image as it stands in an index; `metadata` is what the index is to carry of it."""
    own = {key: value for key, value in metadata.items() if key in image.annotations}
    annotations: Mapping[Form, Mapping[str, str]] = {Form.LABELS: {}, Form.ANNOTATIONS: metadata, Form.BOTH: own}
    value = {
        "Digest": image.digest,
        "MediaType": image.media_type,
        "OS": image.os,
        "Architecture": image.architecture,
        "Tags": sorted(image.tags),
        "Labels": {} if form is Form.ANNOTATIONS else metadata,
        "Annotations": annotations[form],
    }
    return _json(value)


def raised(entry: bytes, up: str) -> bytes:
    """The entry for an index that lies deeper: `up` is put before the relative URLs of its icons.

    Within a text all quotes are escaped, so what looks like a key and the start of its value is nothing else.
    """
    for label in flatpak.ICONS:
        start = f'"{label}":"'
        entry = entry.replace(f"{start}../".encode(), f"{start}{up}../".encode())
    return entry


def _raised(url: str, up: str) -> str:
    return up + url if url.startswith("../") else url


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
