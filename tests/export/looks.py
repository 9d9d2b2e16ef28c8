"""What anybody may see of a stick at any moment: a snapshot, whole, and an OCI layout whose every blob is there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from builder.description import Snapshot, parse, spells_hash
from builder.stick import is_stick, placed, read_export

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def shown(stick: Path) -> Snapshot | None:
    """The snapshot that a stick's own description tells of, if there is one yet."""
    file = stick / "snapshot.json"
    return parse(file.read_bytes(), stick) if file.exists() else None


def whole(stick: Path, snapshot: Snapshot, others: Iterable[Snapshot] = ()) -> None:
    """Makes sure that all of a snapshot is there; in place of its pages and pointers those of `others` may be."""
    may_be: dict[str, set[str]] = {}
    for each in (snapshot, *others):
        for entry in each.files:
            may_be.setdefault(placed(entry.path), set()).add(entry.sha256)
    for entry in snapshot.files:
        if entry.path == "v2/.htaccess":
            continue
        place = placed(entry.path)
        found = sha256(stick / place)
        fixed = spells_hash(entry) or place.startswith("blobs/")
        assert found == entry.sha256 or (not fixed and found in may_be[place]), f"{place} has other bytes"


def check_indexes(stick: Path) -> None:
    """Makes sure that whatever an index names is there: an icon, a manifest, and its blobs."""
    indexes = [*stick.glob("index/*.json"), *stick.glob("index/static"), *stick.glob("*/index/static")]
    for file in indexes:
        index = json.loads(file.read_bytes())
        assert index["Registry"].startswith("../"), f"{file} leads elsewhere: {index['Registry']}"
        for image in (image for result in index["Results"] for image in result["Images"]):
            check_image(stick, image["Digest"])
            for label, value in image["Labels"].items():
                if ".icon-" in label and not value.startswith("data:"):
                    assert (file.parent / value).is_file(), f"{file} names {value}"


def check_image(stick: Path, digest: str) -> dict[str, Any]:
    """Makes sure that a manifest and all that it names is there, byte for byte; gives the image's config."""
    manifest = json.loads(_blob(stick, digest))
    for each in (manifest["config"], *manifest["layers"]):
        assert len(_blob(stick, each["digest"])) == each["size"]
    config: dict[str, Any] = json.loads(_blob(stick, manifest["config"]["digest"]))
    return config


def _blob(stick: Path, digest: str) -> bytes:
    match = _DIGEST.fullmatch(digest)
    assert match, digest
    data = (stick / "blobs" / "sha256" / match[1]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == match[1], f"{digest} has other bytes"
    return data


def layout(stick: Path) -> dict[str, str]:
    """The digests of an OCI layout's images by ref, after holding it against all that a client asks of one."""
    assert json.loads((stick / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((stick / "index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert index.get("mediaType") in (None, "application/vnd.oci.image.index.v1+json")
    found: dict[str, str] = {}
    for entry in index["manifests"]:
        ref = entry["annotations"]["org.opencontainers.image.ref.name"]
        assert ref not in found, f"{ref} twice"
        _check_entry(stick, entry, ref)
        found[ref] = entry["digest"]
    return found


def platforms(stick: Path) -> list[tuple[dict[str, str], dict[str, str]]]:
    """What the layout's index says of each image's platform, and what its config does."""
    entries = json.loads((stick / "index.json").read_bytes())["manifests"]
    configs = [check_image(stick, entry["digest"]) for entry in entries]
    own = [{key: config[key] for key in ("architecture", "os")} for config in configs]
    return list(zip([entry["platform"] for entry in entries], own, strict=True))


def _check_entry(stick: Path, entry: dict[str, Any], ref: str) -> None:
    data = _blob(stick, entry["digest"])
    assert entry["size"] == len(data)
    assert json.loads(data)["mediaType"] == entry["mediaType"]
    config = check_image(stick, entry["digest"])
    labels = config["config"]["Labels"]
    assert labels["org.flatpak.ref"] == ref
    packed = base64.b64decode(labels["org.flatpak.commit-metadata.xa.metadata"])
    assert packed == labels["org.flatpak.metadata"].encode() + b"\0\0s"


def check_names(stick: Path) -> None:
    """Makes sure that nothing is there that FAT could not hold, and nothing that nobody knows."""
    paths = list(strangers(stick))
    assert not paths, paths
    for path in stick.rglob("*"):
        assert not path.is_symlink() and path.lstat().st_nlink >= 1
        assert not re.search(r'[\x00-\x1f"*:<>?\\|]|[. ]$', path.name), path


def strangers(stick: Path) -> Iterator[str]:
    """The files that neither the stick's snapshot nor an export is known to have put there."""
    snapshot = shown(stick)
    known = {placed(entry.path) for entry in snapshot.files} if snapshot else set()
    known |= {"README.txt", "oci-layout", "index.json", "snapshot.json", "export.json", ".export.json.new"}
    known |= {"v2/.htaccess", "blobs/.htaccess"}
    export = read_export(stick) if is_stick(stick) else None
    known |= set(export.writing or ()) if export else set()
    for path in stick.rglob("*"):
        name = str(path.relative_to(stick))
        if path.is_file() and name not in known and not name.startswith(".flatdex-export/"):
            yield name
