"""What was seen of a remote, as frozen values: all that the checks look at, and they look at nothing else."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from builder.description import Snapshot
from builder.doctor.listing import Listing

LARGEST_INDEX = 128 * 1024 * 1024
"""Bytes of an index, before and after it was unpacked: far more than any client would like."""


class Trouble(Enum):
    """Why there was no whole answer."""

    NONE = ""
    UNREACHABLE = "no answer"
    SLOW = "too slow"
    LARGE = "too large"
    TLS = "not trusted"
    REDIRECTS = "redirects"


@dataclass(frozen=True)
class Answer:
    """What a request came to. `status` is 0 if nothing did; `headers` are by name in lower case.

    `size` and `sha256` are those of the bytes as they were sent, `body` is empty where nobody wanted to keep it.
    `hops` are the places that it was redirected to, `why` says of what kind a `trouble` was.
    """

    url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    size: int = 0
    sha256: str = ""
    hops: tuple[str, ...] = ()
    trouble: Trouble = Trouble.NONE
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it came, and whole."""
        return self.status == 200 and self.trouble is Trouble.NONE

    @property
    def told(self) -> str:
        """Status or trouble in a few words."""
        return self.why or f"status {self.status}"

    def header(self, name: str) -> str:
        """A header's value; empty if there is none."""
        return self.headers.get(name, "")

    @cached_property
    def plain(self) -> bytes | None:
        """The body without its Content-Encoding; None if that is not gzip, is broken, or hides too much."""
        encoding = self.header("content-encoding").strip().lower()
        if encoding in ("", "identity"):
            return self.body
        return unpacked(self.body)[0] if encoding == "gzip" else None


def unpacked(data: bytes) -> tuple[bytes | None, str]:
    """What is in gzip's bytes; else None, and what is wrong with them: they are broken, or hold too much."""
    parts, left = [], LARGEST_INDEX
    while data:  # gzip's files may be several, one after the other
        reader = zlib.decompressobj(31)
        try:
            parts.append(reader.decompress(data, left + 1))
        except zlib.error:
            return None, "broken gzip"
        left -= len(parts[-1])
        if left < 0:
            return None, f"more than {LARGEST_INDEX} bytes are packed into it"
        if not reader.eof:
            return None, "gzip that was cut"
        data = reader.unused_data
    return (b"".join(parts), "") if parts else (None, "nothing, where gzip was promised")


@dataclass(frozen=True)
class Visit:
    """The index of one tag for one architecture, asked in all the ways that clients ask.

    `again` are the same answers a moment later, as `gzip`; `kept_gzip` and `kept_plain` those to a client that has
    the file already. An answer is None where there was nothing to ask for.
    """

    tag: str
    architecture: str
    gzip: Answer
    plain: Answer
    listing: Listing | None = None
    fault: str = ""
    """Why there is no listing, though there is an answer."""
    again: tuple[Answer, ...] = ()
    kept_gzip: Answer | None = None
    kept_plain: Answer | None = None
    turned: Answer | None = None
    """To the parameters in another order."""
    turned_same: bool = True
    plain_same: bool = True
    """Whether those hold what `gzip` does."""
    annotations: Listing | None = None
    content: str = ""
    """The sha256 of the unpacked index."""
    ignored: bool = False
    """Whether the remote's own URL gives another tag's index; then this may be that of a URL of the tag's own."""

    @property
    def where(self) -> str:
        """For a person."""
        return f"tag {self.tag}, {self.architecture}"


@dataclass(frozen=True)
class Icon:
    """An icon that an index names; `fault` is what is wrong with its bytes."""

    where: str
    url: str
    answer: Answer | None
    fault: str = ""


@dataclass(frozen=True)
class Blob:
    """A blob that was pulled: what its manifest says of it, and the answer. `packed` is to a client that takes gzip."""

    digest: str
    size: int
    answer: Answer
    packed: Answer | None = None
    skipped: bool = False
    """Whether it was only asked for, since it is large."""


@dataclass(frozen=True)
class Pull:
    """An image that was pulled as clients do: `labels` are those of its config."""

    where: str
    digest: str
    labels: Mapping[str, str]
    tokenless: bool
    head: Answer
    manifest: Answer
    manifest_fault: str = ""
    media_type: str = ""
    """What the manifest's JSON says of itself."""
    config: Blob | None = None
    config_labels: Mapping[str, str] | None = None
    layers: tuple[Blob, ...] = ()


@dataclass(frozen=True)
class KeyFile:
    """A `.flatpakrepo` or `.flatpakref`; `values` are those of its group, None if it has no such group."""

    url: str
    answer: Answer
    values: Mapping[str, str] | None


@dataclass(frozen=True)
class Address:
    """What one address of the host said of one question."""

    address: str
    question: str
    status: int = 0
    etag: str = ""
    sha256: str = ""
    why: str = ""
    no_way: bool = False
    """Whether this machine has no way to addresses of that kind."""


@dataclass(frozen=True)
class Site:
    """All that was seen of a remote, whose index is below `url`; files that name it should name `public`."""

    url: str
    public: str
    tags: tuple[str, ...] = ()
    visits: tuple[Visit, ...] = ()
    icons: tuple[Icon, ...] = ()
    pulls: tuple[Pull, ...] = ()
    registries: tuple[str, ...] = ()
    repo_files: tuple[KeyFile, ...] = ()
    ref_files: tuple[KeyFile, ...] = ()
    snapshot: Snapshot | None = None
    snapshot_fault: str = ""
    flipped: bool = False
    """Whether another snapshot was published in the meantime: then what it says can't be held against the rest."""
    named: str = ""
    """The tag behind the URL's `#`, as it was given."""
    narrowed: bool = False
    """Whether only some architectures were to be looked at."""
    meant: str = ""
    """The URL of the remote that may have been meant, where there is none at `url`."""
    front: Answer | None = None
    registry: Answer | None = None
    """What is at `/v2/`, asked where there is no index."""
    certificate: Mapping[str, Any] | None = None
    addresses: tuple[Address, ...] = ()
    now: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether any index could be read."""
        return any(visit.listing for visit in self.visits)
