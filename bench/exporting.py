"""An export of many large blobs to a folder, against `cp` of the same bytes, both until all is on the medium."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import measure
from bench.measure import Row
from builder import oci
from builder.store import Store

_FLATDEX = str(Path(sys.executable).with_name("flatdex"))
_CONFIG = """\
store: ./store
pages: false
remote: {name: bench, title: Bench, url: "http://127.0.0.1/"}
sources: {local: {layouts: ["./images/*"]}}
indexes: {stable: {tags: [latest]}}
"""


def rows(folder: Path, megabytes: int, pairs: int) -> Iterator[Row]:
    """All rows about sticks: one that is empty, and one that is up to date."""
    folder.mkdir()
    print(f"making a snapshot of {megabytes} MB", flush=True)
    store = store_of(folder, megabytes)
    current = store.snapshots / (store.current() or "")
    stick, copy = folder / "stick", folder / "copy"

    def empty() -> None:
        for each in (stick, copy):
            shutil.rmtree(each, ignore_errors=True)
        stick.mkdir()
        os.sync()

    ours = [_FLATDEX, "--store", str(store.root), "-q", "export", str(stick)]
    cp = ["sh", "-c", 'cp -r "$1" "$2" && sync -f "$2"', "sh", str(current), str(copy)]
    found = measure.pairs(ours, cp, pairs, empty)
    yield found.row(f"export of {megabytes} MB to a folder", "cp -r, sync -f:", 1.25)
    yield Row("  the most memory", found.megabytes, "MB", 150, "")
    start = measure.pairs(ours, [_FLATDEX, "--version"], pairs)
    yield start.row("export, nothing changed", "flatdex --version:", None)
    shutil.rmtree(folder)


def store_of(folder: Path, megabytes: int, of: int = 5) -> Store:
    """With one snapshot, promoted, of applications whose layers have so many megabytes."""
    (folder / "flatdex.yaml").write_text(_CONFIG)
    for number in range(megabytes // of):
        _layout(folder / "images" / f"app{number}", number, of * 1_000_000)
    for verb in ("build", "promote"):
        subprocess.run([_FLATDEX, "-q", verb], cwd=folder, check=True)
    return Store(folder / "store")


def _layout(folder: Path, number: int, size: int) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    identifier = f"org.example.App{number}"
    labels = {
        "org.flatpak.ref": f"app/{identifier}/x86_64/stable",
        "org.flatpak.metadata": f"[Application]\nname={identifier}\nruntime=org.example.Platform/x86_64/stable\n",
    }

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = oci.digest_of(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(data)}

    def text(value: object) -> bytes:
        return json.dumps(value).encode()

    layer = blob(random.Random(number).randbytes(size), "layer.v1.tar")
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = {"os": "linux", "architecture": "amd64", "rootfs": rootfs, "config": {"Labels": labels}}
    described = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "layers": [layer]}
    manifest = blob(text({**described, "config": blob(text(config), "config.v1+json")}), "manifest.v1+json")
    (folder / "index.json").write_bytes(text({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
