"""What a mirror run speaks of: sources, the list that one of them gives, and the objects that all of them may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from builder.description import Snapshot


class Found(Enum):
    """How a source came to be known."""

    CONFIGURED = "configured"
    DROPPED_IN = "dropped in"
    MOUNTED = "mounted"
    LAN = "on the LAN"


@dataclass(frozen=True, order=True)
class Source:
    """A place that may hold the remote, or a part of it. `url` ends with `/`: `https:`, `http:` or `file:///`."""

    url: str
    found: Found = field(default=Found.CONFIGURED, compare=False)

    @property
    def is_file(self) -> bool:
        """Whether it is a folder of this machine, such as a mounted stick."""
        return self.url.startswith("file:")

    @property
    def folder(self) -> Path:
        """The folder that a `file:` URL names."""
        return Path(unquote(urlsplit(self.url).path, errors="surrogateescape"))


@dataclass(frozen=True)
class Listed:
    """A list: the origin's `snapshot.json`, byte for byte (`data`), and as it was understood (`snapshot`).

    `signed_by` is the trusted key that signed it, as `ssh-ed25519 AAAA..`; empty where no trusted key did.
    """

    data: bytes
    snapshot: Snapshot
    signed_by: str = ""


@dataclass(frozen=True)
class Probed:
    """What a source said when it was asked: its list, and by its own `snapshot.json` which files it has.

    `own` is None where the source is the origin itself, or an exact copy: then it has what the list names.
    `fault` is a stable code and `why` a sentence if the source can't be used; then the rest is None.
    `is_stick` is known of folders: then `v2/.../sha256:HEX` lies there as `blobs/sha256/HEX`.
    """

    source: Source
    listed: Listed | None = None
    own: Snapshot | None = None
    fault: str = ""
    why: str = ""
    is_stick: bool = False


@dataclass(frozen=True)
class Bearer:
    """A source as a bearer of objects: `holds` are its files by sha256, as paths below its URL.

    `registry` is the absolute URL of the registry that the origin's images lie in, where they are no files of its site.
    """

    source: Source
    holds: Mapping[str, str]
    registry: str = ""


@dataclass(frozen=True, order=True)
class Wanted:
    """An object by the sha256 of its bytes, in hexadecimal; `size` is in bytes, None where it is not known yet.

    `repository` is that of an image's manifest, config or layer, and empty for other files.
    """

    sha256: str
    size: int | None = None
    repository: str = ""
    is_manifest: bool = False
