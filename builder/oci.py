"""The wire types of OCI and Docker's schema 2: parsed from bytes that nobody vouches for, then known to fit."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = (MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
INDEX_TYPES = (IMAGE_INDEX, DOCKER_LIST)

REF_NAME = "org.opencontainers.image.ref.name"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_LONGEST_REPOSITORY = 255
_LONGEST_TIME = 64  # characters: what is longer is no time
_MOST_ENTRIES = 50_000
_MOST_FAULTS = 5


class Malformed(ValueError):
    """Bytes or values that are not what the specification says; the message says what."""


@dataclass(frozen=True)
class Platform:
    """What an image index says of one of its images; empty where it says nothing."""

    os: str = ""
    architecture: str = ""


@dataclass(frozen=True)
class Descriptor:
    """A blob or manifest by digest (`sha256:HEX`) and size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform = Platform()
    annotations: Mapping[str, str] | None = None

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.removeprefix("sha256:")


@dataclass(frozen=True)
class Manifest:
    """An image manifest; `media_type` is empty where its JSON does not say."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class ImageIndex:
    """An image index, or Docker's manifest list."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    faults: tuple[str, ...] = ()
    """What is wrong with entries that are no descriptors; they don't spoil the others."""


@dataclass(frozen=True)
class ImageConfig:
    """What an index needs of an image config; `created` is RFC 3339 text or empty."""

    os: str
    architecture: str
    created: str
    labels: Mapping[str, str]


def digest_of(data: bytes) -> str:
    """The digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether this is a sha256 digest; clients know no other algorithm."""
    return bool(_DIGEST.fullmatch(text))


def is_tag(text: str) -> bool:
    """Whether this is a valid tag."""
    return bool(_TAG.fullmatch(text))


def is_repository(text: str) -> bool:
    """Whether this is a valid repository name."""
    return len(text) <= _LONGEST_REPOSITORY and bool(_REPOSITORY.fullmatch(text))


def parse_manifest(data: bytes, content_type: str = "") -> Manifest | ImageIndex:
    """A manifest or image index; `content_type` helps where the JSON has no `mediaType`. Raises Malformed."""
    value = parse_object(data)
    media_type = _text(value, "mediaType")
    if media_type and media_type not in MANIFEST_TYPES:
        raise Malformed(f"not an image manifest but {media_type[:80]!r}")
    kind = media_type or content_type.partition(";")[0].strip()
    if kind in INDEX_TYPES or (kind not in MANIFEST_TYPES and "manifests" in value):
        return _parse_index(media_type, _list(value, "manifests"))
    if value.get("schemaVersion") != 2 or "config" not in value:
        raise Malformed("not an image manifest")
    return Manifest(
        media_type,
        parse_descriptor(value["config"]),
        tuple(map(parse_descriptor, _list(value, "layers"))),
        _strings(value, "annotations"),
    )


def _parse_index(media_type: str, entries: list[Any]) -> ImageIndex:
    if len(entries) > _MOST_ENTRIES:
        raise Malformed(f"an image index of {len(entries)} entries; at most {_MOST_ENTRIES} are read")
    descriptors, faults = [], []
    for entry in entries:
        try:
            descriptors.append(parse_descriptor(entry))
        except Malformed as error:
            faults.append(str(error))
    return ImageIndex(media_type, tuple(descriptors), tuple(dict.fromkeys(faults))[:_MOST_FAULTS])


def parse_descriptor(value: object) -> Descriptor:
    """A descriptor. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed("a descriptor that is not an object")
    digest, size = _text(value, "digest"), value.get("size")
    if not is_digest(digest):
        raise Malformed(f"not a sha256 digest: {digest[:80]!r}")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise Malformed(f"the size of {digest} is not a number of bytes")
    platform = value.get("platform")
    if not isinstance(platform, dict):
        platform = {}
    return Descriptor(
        _text(value, "mediaType"),
        digest,
        size,
        Platform(_text(platform, "os"), _text(platform, "architecture")),
        _strings(value, "annotations"),
    )


def parse_config(data: bytes) -> ImageConfig:
    """An image config, with its labels as they are. Raises Malformed."""
    value = parse_object(data)
    inner = value.get("config")
    if inner is not None and not isinstance(inner, dict):
        raise Malformed("the image config's `config` is not an object")
    return ImageConfig(
        os=_text(value, "os"),
        architecture=_text(value, "architecture"),
        created=_time(value, "created"),
        # An application's architectures have the same icons and texts: much memory, if each had its own.
        labels={key: sys.intern(text) for key, text in _strings(inner or {}, "Labels").items()},
    )


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises Malformed."""
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    return value


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value.get(key)
    if text is None:
        return ""
    if not isinstance(text, str) or not _is_text(text):
        raise Malformed(f"`{key}` is not text")
    return text


def _time(value: Mapping[str, Any], key: str) -> str:
    text = _text(value, key)
    return text if len(text) <= _LONGEST_TIME else ""


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    items = value.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise Malformed(f"`{key}` is not a list")
    return items


def _strings(value: Mapping[str, Any], key: str) -> dict[str, str]:
    items = value.get(key)
    if items is None:
        return {}
    if not isinstance(items, dict):
        raise Malformed(f"`{key}` is not an object")
    for name, text in items.items():
        if not isinstance(text, str):
            raise Malformed(f"`{key}` has a value that is not a string: {name[:80]!r}")
        if not _is_text(text) or not _is_text(name):
            raise Malformed(f"`{key}` has a value that is not text: {name[:80]!r}")
    return items


def _is_text(text: str) -> bool:
    """False for NUL, which ends a text in C, and for the lone surrogates that JSON can carry and UTF-8 can't."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
