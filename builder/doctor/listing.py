"""An index as it was sent, read entry by entry: what fits, and what is wrong in the words of its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder import flatpak
from builder.oci import Malformed, parse_object

_MOST_OBJECTS = 2_000_000
_MOST_VALUES = 5_000_000
_SHOWN = 100


@dataclass(frozen=True)
class Entry:
    """An image in an index: `labels` and `annotations` are only what are texts, `tags` and the rest likewise."""

    repository: str
    number: int
    digest: str
    media_type: str
    os: str
    architecture: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    missing: tuple[str, ...] = ()
    """Keys that newer clients insist on, and that are not there or no text."""
    odd_labels: tuple[str, ...] = ()
    """Labels and annotations whose values are no texts."""

    @property
    def ref(self) -> str:
        """As its label says; empty if there is none."""
        return self.labels.get(flatpak.REF, "")

    @property
    def where(self) -> str:
        """For a person."""
        return self.ref[:200] or f"{self.repository[:100]}, image {self.number}"


@dataclass(frozen=True)
class Listing:
    """An index: `registry` is None if it names none. `missing` are faults of its frame, `strange` of its parts."""

    registry: str | None
    entries: tuple[Entry, ...]
    missing: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def parse(data: bytes) -> Listing:
    """The index in `data`. Raises Malformed if it is none at all."""
    check_parts(data)
    value = parse_object(data)
    missing = [] if isinstance(value.get("Results"), list) else ["Results"]
    strange: list[str] = []
    entries = tuple(_entries(value.get("Results"), missing, strange))
    registry = value.get("Registry")
    return Listing(registry if _is_text(registry) else None, entries, tuple(missing), tuple(strange))


def check_parts(data: bytes) -> None:
    """Raises Malformed if JSON would take many times its size in memory."""
    if data.count(b"{") + data.count(b"[") > _MOST_OBJECTS or data.count(b",") > _MOST_VALUES:
        raise Malformed("not what it should be: it has millions of parts")


def _entries(results: object, missing: list[str], strange: list[str]) -> Iterator[Entry]:
    for place, result in enumerate(results if isinstance(results, list) else ()):
        if not isinstance(result, dict):
            strange.append(f"Results[{place}] is not an object")
            continue
        name = _text(result, "Name")
        if name is None:
            missing.append(f"Results[{place}].Name")
        images = result.get("Images")
        if not isinstance(images, list):
            missing.append(f"Results[{place}].Images")
            images = []
        for number, image in enumerate(images):
            if isinstance(image, dict):
                yield _entry(name or "", number, image)
            else:
                strange.append(f"{(name or '?')[:_SHOWN]}: image {number} is not an object")


def _entry(repository: str, number: int, image: Mapping[str, Any]) -> Entry:
    odd: list[str] = []
    tags = image.get("Tags")
    return Entry(
        repository=repository,
        number=number,
        digest=_text(image, "Digest") or "",
        media_type=_text(image, "MediaType") or "",
        os=_text(image, "OS") or "",
        architecture=_text(image, "Architecture") or "",
        tags=tuple(filter(_is_text, tags)) if isinstance(tags, list) else (),
        labels=_texts(image, "Labels", odd),
        annotations=_texts(image, "Annotations", odd),
        missing=tuple(key for key in ("Digest", "MediaType", "OS", "Architecture") if _text(image, key) is None),
        odd_labels=tuple(odd),
    )


def _text(value: Mapping[str, Any], key: str) -> str | None:
    found = value.get(key)
    return found if _is_text(found) else None


def _is_text(value: object) -> bool:
    """False, too, for NUL, at which clients end a text, and for what no UTF-8 can hold."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _texts(image: Mapping[str, Any], key: str, odd: list[str]) -> Mapping[str, str]:
    value = image.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        odd.append(key)
        return {}
    odd += [name[:_SHOWN] for name, text in value.items() if not (_is_text(name) and _is_text(text))]
    return {name: text for name, text in value.items() if _is_text(name) and _is_text(text)}
