"""Index files, in the forms that clients read: minified, in a fixed order, with only what a client looks at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

from builder import flatpak
from builder.catalog import Image
from builder.config import Form, Token

Labelled = Callable[[Image], Mapping[str, str]]
"""The metadata of an image as an index is to carry it."""


def render(registry: str, images: Iterable[Image], form: Form, labelled: Labelled, up: str = "") -> bytes:
    """An index of `images`, which are in the order of their repositories; `up` is put before relative URLs.

    `registry` is an absolute URL or relative to the index. Every key that newer clients require is there, also
    where it is empty.
    """
    results = [
        {"Name": name, "Images": [_entry(image, form, labelled(image), up) for image in group], "Lists": []}
        for name, group in groupby(images, key=lambda image: image.repository)
    ]
    return _json({"Registry": _raised(registry, up), "Results": results})


def slim(metadata: Mapping[str, str]) -> dict[str, str]:
    """Only what a client reads."""
    return {key: value for key, value in metadata.items() if key in flatpak.INDEX_LABELS}


def with_token(metadata: dict[str, str], token: Token) -> dict[str, str]:
    """With the label that tells clients whether to ask for a token."""
    if token is Token.AS_IMAGE:
        return metadata
    value = flatpak.TOKEN_NONE if token is Token.NONE else flatpak.TOKEN_REQUIRED
    return {**metadata, flatpak.TOKEN_TYPE: value}


def _entry(image: Image, form: Form, metadata: Mapping[str, str], up: str) -> dict[str, Any]:
    metadata = {key: _raised(value, up) if key in flatpak.ICONS else value for key, value in metadata.items()}
    own = {key: value for key, value in metadata.items() if key in image.annotations}
    annotations: Mapping[Form, Mapping[str, str]] = {Form.LABELS: {}, Form.ANNOTATIONS: metadata, Form.BOTH: own}
    return {
        "Digest": image.digest,
        "MediaType": image.media_type,
        "OS": image.os,
        "Architecture": image.architecture,
        "Tags": sorted(image.tags),
        "Labels": {} if form is Form.ANNOTATIONS else metadata,
        "Annotations": annotations[form],
    }


def _raised(url: str, up: str) -> str:
    return up + url if url.startswith("../") else url


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")
