"""Flatpak's own names: refs, the labels that carry a ref's metadata, and the few that a client reads from an index."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache

from builder.oci import Malformed

REF = "org.flatpak.ref"
METADATA = "org.flatpak.metadata"
COMMIT_METADATA = "org.flatpak.commit-metadata.xa.metadata"
TOKEN_TYPE = "org.flatpak.commit-metadata.xa.token-type"
APPDATA = "org.freedesktop.appstream.appdata"
ICONS = {"org.freedesktop.appstream.icon-64": 64, "org.freedesktop.appstream.icon-128": 128}

INDEX_LABELS = frozenset(
    {
        REF,
        METADATA,
        "org.flatpak.installed-size",
        "org.flatpak.download-size",
        TOKEN_TYPE,
        "org.flatpak.commit-metadata.ostree.endoflife",
        "org.flatpak.commit-metadata.ostree.endoflife-rebase",
        "io.github.containers.DeltaUrl",
        APPDATA,
        *ICONS,
    }
)
"""All that a client reads from an index: the rest of an image's labels would only make the index larger."""

OCI_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "arm": "arm"}
"""What OCI calls Flatpak's architectures, where the names differ, or could."""

TOKEN_NONE = "AAAAAABp"  # int32 0 as a GVariant in base64
TOKEN_REQUIRED = "AQAAAABp"  # int32 1

_MOST_KEPT = 4096  # answers: each image is asked for the same several times
_LONGEST_ID = 255
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+\.[A-Za-z_-][A-Za-z0-9_-]*")
_ARCH = re.compile(r"[A-Za-z0-9_]+")
_BRANCH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True, order=True)
class Ref:
    """`app/ID/ARCH/BRANCH` or `runtime/ID/ARCH/BRANCH`."""

    kind: str
    id: str
    arch: str
    branch: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}/{self.arch}/{self.branch}"


@lru_cache(_MOST_KEPT)
def parse_ref(text: str) -> Ref:
    """A ref whose every part is well formed. Raises Malformed."""
    parts = text.split("/")
    if len(parts) != 4 or parts[0] not in ("app", "runtime"):
        raise Malformed(f"not a Flatpak ref: {text[:120]!r}")
    kind, identifier, arch, branch = parts
    if not _ID.fullmatch(identifier) or len(identifier) > _LONGEST_ID:
        raise Malformed(f"not an application or runtime id: {identifier[:120]!r}")
    if max(map(len, parts)) > _LONGEST_ID:
        raise Malformed(f"a part of the ref has more than {_LONGEST_ID} characters: {text[:120]!r}")
    if not _ARCH.fullmatch(arch):
        raise Malformed(f"not an architecture: {arch[:120]!r}")
    if not _BRANCH.fullmatch(branch):
        raise Malformed(f"not a branch: {branch[:120]!r}")
    return Ref(kind, identifier, arch, branch)


def commit_metadata_text(label: str) -> str | None:
    """The text in a commit-metadata label, a GVariant of type `s` in base64; None if it is something else."""
    try:
        data = base64.b64decode(label, validate=True)
    except (binascii.Error, ValueError):
        return None
    # A variant is the value (the text and a NUL), a NUL, and the type's letter.
    if not data.endswith(b"\0\0s"):
        return None
    try:
        return data[: -len(b"\0\0s")].decode("utf-8")
    except UnicodeDecodeError:
        return None


@lru_cache(_MOST_KEPT)
def metadata_value(metadata: str, group: str, key: str) -> str:
    """A value of an image's metadata, which is a key file; empty if it isn't there."""
    return key_file(metadata).get(group, {}).get(key, "")


def key_file(text: str) -> dict[str, dict[str, str]]:
    """The groups of a key file, each with its values by their keys; of values with one key the first counts."""
    found: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("["):
            group = found.setdefault(line.strip()[1:].removesuffix("]"), {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            group.setdefault(key.strip(), value.strip())
    return found


def is_part(ref: Ref) -> bool:
    """Whether this is what flatpak splits off by itself (translations, debug symbols, sources): nobody looks for it."""
    return ref.kind == "runtime" and ref.id.endswith((".Locale", ".Debug", ".Sources"))
