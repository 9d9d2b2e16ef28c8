"""Reads OCI layouts in the plainest way, so that tests need not trust the code that wrote them."""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layout:
    """A layout on disk; every blob is looked up by its digest."""

    folder: Path

    @cached_property
    def descriptor(self) -> dict[str, Any]:
        (descriptor,) = json.loads((self.folder / "index.json").read_bytes())["manifests"]
        assert isinstance(descriptor, dict)
        return descriptor

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.document(self.descriptor)

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.document(self.manifest["config"])

    @cached_property
    def labels(self) -> dict[str, str]:
        labels = self.config["config"]["Labels"]
        assert isinstance(labels, dict)
        return labels

    @property
    def descriptors(self) -> list[dict[str, Any]]:
        return [self.descriptor, self.manifest["config"], *self.manifest["layers"]]

    def path(self, descriptor: dict[str, Any]) -> Path:
        algorithm, name = str(descriptor["digest"]).split(":")
        return self.folder / "blobs" / algorithm / name

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        return self.path(descriptor).read_bytes()

    def document(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        document = json.loads(self.blob(descriptor))
        assert isinstance(document, dict)
        return document

    def layer(self) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(self.blob(self.manifest["layers"][0])), mode="r:gz")

    def check_blobs(self) -> None:
        """Every blob is there, is what its descriptor says, and is named by something."""
        for descriptor in self.descriptors:
            blob = self.blob(descriptor)
            assert len(blob) == descriptor["size"]
            assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == descriptor["digest"]
        named = {descriptor["digest"].removeprefix("sha256:") for descriptor in self.descriptors}
        assert {path.name for path in (self.folder / "blobs" / "sha256").iterdir()} == named


def files_below(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content(archive: tarfile.TarFile, path: str) -> bytes:
    """One file of an archive."""
    stream = archive.extractfile(path)
    assert stream is not None
    return stream.read()
