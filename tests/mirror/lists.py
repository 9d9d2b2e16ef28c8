"""Lists as origins and mirrors would write them, small and without a site behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.description import FileEntry, parse, time_text
from builder.signing import sealed, unsealed
from sync.mirror.model import Found, Listed, Probed, Source

REMOTE = "org.example.apps"
NOW = 1_800_000_000
DAY = 86400
Files = Mapping[str, bytes]


def described(
    version: int = 1,
    remote: str | None = REMOTE,
    *,
    content: str = "",
    files: Files | None = None,
    expires: int | None = None,
    mirror: Mapping[str, Any] | None = None,
    keys: tuple[Path, ...] = (),
) -> bytes:
    """A `snapshot.json`; other `content` makes another one of the same version. Signed with `keys`."""
    created = NOW - 100 * DAY + version
    tail = hashlib.sha256(f"{version} {remote} {content} {mirror}".encode()).hexdigest()[:8]
    entries = [FileEntry(path, len(held), sha256(held), created) for path, held in sorted((files or {}).items())]
    document: dict[str, Any] = {
        "format": 1,
        "id": time_text(created).replace("-", "").replace(":", "") + f"-{tail}",
        "version": version,
        "created": time_text(created),
        "previous": None,
        "remote": {"id": remote},
        "counts": {"refs": 0, "images": 0, "repositories": 0, "files": len(entries), "bytes": 0},
        "variants": [],
        "dispatch": {"routes": [], "default_tag": "latest", "unknown_tag": None},
        "images": [],
        "skips": [],
        "files": [vars(entry) for entry in entries],
        "kept": [],
    }
    document |= {"expires": time_text(expires)} if expires is not None else {}
    document |= {"mirror": dict(mirror)} if mirror is not None else {}
    payload = json.dumps(document, indent=1).encode() + b"\n"
    return sealed(payload, keys) if keys else payload


def mirrors(origin: bytes, files: Files | None = None, **changed: Any) -> bytes:
    """The `snapshot.json` of a mirror of this list, which has it and these files."""
    snapshot = parse(unsealed(origin)[0])
    mirror = {"id": snapshot.id, "version": snapshot.version, "partial": True, **changed}
    held = {"upstream/snapshot.json": origin, **(files or {})}
    return described(snapshot.version + 40, snapshot.document["remote"]["id"], files=held, mirror=mirror)


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def listed(data: bytes, signed_by: str = "") -> Listed:
    """A list as a probe gives it."""
    return Listed(data, parse(unsealed(data)[0]), signed_by)


def probed(
    name: str,
    data: bytes,
    *,
    found: Found = Found.CONFIGURED,
    signed_by: str = "",
    own: bytes | None = None,
) -> Probed:
    """A source that said this. One whose name begins with `/` is a folder."""
    url = f"file://{name}/" if name.startswith("/") else f"https://{name}.example/"
    return Probed(Source(url, found), listed(data, signed_by), parse(own) if own else None)


def failed(name: str, code: str = "refused") -> Probed:
    """A source that gave no answer."""
    return Probed(Source(f"https://{name}.example/"), fault=code, why="nobody is there")
