"""The labels that flatpak writes into the config of an image, and reads from there again."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from demo.layer import Layer


@dataclass(frozen=True)
class Flatpak:
    """What is known of a Flatpak before it becomes an image; icons are PNG files by their size."""

    ref: str
    metadata: str
    subject: str
    created: datetime
    appdata: str
    icons: Mapping[int, bytes]


def labels(flatpak: Flatpak, layer: Layer) -> dict[str, str]:
    """All labels of the image."""
    return {**_flatpak_labels(flatpak, layer), **_commit_metadata(flatpak, layer), **_appstream_labels(flatpak)}


def _flatpak_labels(flatpak: Flatpak, layer: Layer) -> dict[str, str]:
    values = {
        "ref": flatpak.ref,
        "metadata": flatpak.metadata,
        "commit": _commit(flatpak, layer),
        "timestamp": str(int(flatpak.created.timestamp())),
        "subject": flatpak.subject,
        "body": _body(flatpak.ref),
        "installed-size": str(layer.installed_size),
        "download-size": str(len(layer.blob)),
    }
    return {f"org.flatpak.{key}": value for key, value in values.items()}


def _commit_metadata(flatpak: Flatpak, layer: Layer) -> dict[str, str]:
    values = {
        "ostree.collection-binding": _string(""),
        "ostree.ref-binding": _short_strings(flatpak.ref),
        "xa.download-size": _number(len(layer.blob)),
        "xa.installed-size": _number(layer.installed_size),
        "xa.metadata": _string(flatpak.metadata),
        "xa.ref": _string(flatpak.ref),
    }
    return {f"org.flatpak.commit-metadata.{key}": _base64(value) for key, value in values.items()}


def _appstream_labels(flatpak: Flatpak) -> dict[str, str]:
    icons = {f"icon-{size}": f"data:image/png;base64,{_base64(png)}" for size, png in flatpak.icons.items()}
    return {f"org.freedesktop.appstream.{key}": text for key, text in {"appdata": flatpak.appdata, **icons}.items()}


def _commit(flatpak: Flatpak, layer: Layer) -> str:
    """Stands for the ostree commit, of which there is none here: any 64 hex digits that change with the content."""
    parts = (flatpak.ref, flatpak.created.isoformat(), layer.diff_id)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _body(ref: str) -> str:
    _, name, architecture, branch = ref.split("/")
    return f"Name: {name}\nArch: {architecture}\nBranch: {branch}\nBuilt with: flatdex demo\n"


def _string(text: str) -> bytes:
    """A GVariant of type `v` that holds a string."""
    return text.encode() + b"\0\0s"


def _short_strings(text: str) -> bytes:
    """A GVariant of type `v` that holds a list of one string, which must be short: its end is written as one byte."""
    element = text.encode() + b"\0"
    return element + bytes([len(element)]) + b"\0as"


def _number(value: int) -> bytes:
    """A GVariant of type `v` that holds a 64-bit number, in the byte order that flatpak keeps sizes in."""
    return value.to_bytes(8, "big") + b"\0t"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
