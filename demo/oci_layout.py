"""An OCI layout with one image: written, or put in the place of the one that was there."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.layer import Layer

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_REF_NAME = "org.opencontainers.image.ref.name"

_Json = dict[str, object]


@dataclass(frozen=True)
class Image:
    """An image of one layer; `name` is what the layout's index calls it, `created` is RFC 3339."""

    name: str
    architecture: str
    created: str
    labels: Mapping[str, str]
    layer: Layer


def write_layout(folder: Path, image: Image) -> None:
    """Write the layout: new blobs first, then the index that names them, then without the blobs of before."""
    config = _encode(_config(image))
    manifest = _encode(_manifest(config, image.layer.blob))
    index = _encode(_index(manifest, image.name))
    blobs = {_sha256(blob): blob for blob in (image.layer.blob, config, manifest)}
    store = folder / "blobs" / "sha256"
    store.mkdir(parents=True, exist_ok=True)
    for name, blob in blobs.items():
        _replace(store / name, blob)
    _replace(folder / "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
    _replace(folder / "index.json", index)
    _remove_others(store, keep=set(blobs))


def _config(image: Image) -> _Json:
    return {
        "created": image.created,
        "architecture": image.architecture,
        "os": "linux",
        "config": {"Labels": dict(sorted(image.labels.items()))},
        "rootfs": {"type": "layers", "diff_ids": [image.layer.diff_id]},
        "history": [{"created": image.created, "created_by": "flatdex demo"}],
    }


def _manifest(config: bytes, layer: bytes) -> _Json:
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [_descriptor(_LAYER, layer)],
    }


def _index(manifest: bytes, name: str) -> _Json:
    descriptor = {**_descriptor(_MANIFEST, manifest), "annotations": {_REF_NAME: name}}
    return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [descriptor]}


def _descriptor(media_type: str, blob: bytes) -> _Json:
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(blob)}", "size": len(blob)}


def _encode(document: _Json) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _sha256(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new; a file that is right already is left alone."""
    if path.is_file() and path.read_bytes() == content:
        return
    half_written = path.with_name(f"{path.name}.new")
    half_written.write_bytes(content)
    half_written.replace(path)


def _remove_others(store: Path, keep: set[str]) -> None:
    for path in store.iterdir():
        if path.name not in keep:
            path.unlink()
