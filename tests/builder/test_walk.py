"""From a manifest to images: what is wrong with one of them is a skip, and the others are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder import oci
from builder.catalog import Image, Skip
from builder.oci import Descriptor, Manifest
from builder.sources import walk
from builder.sources.walk import Missing, Place
from tests.builder.helpers import Blobs, Json, codes_of, described, flatpak_labels, images_of

PLACE = Place("main", "hello", "latest", 3)
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


class InBlobs:
    """The contents of a repository, straight from blobs."""

    def __init__(self, blobs: Blobs) -> None:
        self._data = blobs.data

    def manifest(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest not in self._data:
            raise Missing(f"{descriptor.digest} is not there")
        return self._data[descriptor.digest]

    config = manifest

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        return ()


def found(blobs: Blobs, descriptor: Json) -> list[Image | Skip]:
    """All that a descriptor leads to."""
    return list(walk.images(InBlobs(blobs), PLACE, described(descriptor)))


def test_an_image_is_found_with_all_that_an_index_needs() -> None:
    blobs = Blobs()
    descriptor = blobs.image(flatpak_labels(), annotations={"a": "b"})
    (one,) = images_of(found(blobs, descriptor))
    assert (one.source, one.repository, one.tags, one.rank) == ("main", "hello", frozenset({"latest"}), 3)
    assert (one.digest, one.media_type) == (descriptor["digest"], oci.MANIFEST)
    assert (one.os, one.architecture, one.created) == ("linux", "amd64", "2026-01-01T00:00:00Z")
    assert (one.labels, one.annotations) == (flatpak_labels(), {"a": "b"})


@pytest.mark.parametrize("media_type", oci.INDEX_TYPES)
def test_all_images_of_an_index_are_found_but_attestations(media_type: str) -> None:
    blobs = Blobs()
    one = {**blobs.image(architecture="amd64"), "platform": {"os": "linux", "architecture": "amd64"}}
    two = blobs.image(architecture="arm64")
    attestation = {**blobs.image(config={}), "platform": UNKNOWN}
    listed = found(blobs, blobs.index(one, attestation, two, media_type=media_type))
    assert [each.architecture for each in images_of(listed)] == ["amd64", "arm64"]
    assert codes_of(listed) == ["attestation"]


def test_an_index_within_an_index_is_followed() -> None:
    blobs = Blobs()
    inner = blobs.index(blobs.image(architecture="arm64"))
    assert [each.architecture for each in images_of(found(blobs, blobs.index(inner)))] == ["arm64"]


def test_indexes_are_followed_only_so_deep() -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    for _ in range(5):
        descriptor = blobs.index(descriptor)
    assert codes_of(found(blobs, descriptor)) == ["malformed"]


def broken(kind: str, blobs: Blobs) -> Json:
    """A descriptor with something wrong."""
    good = blobs.image(flatpak_labels("app/org.flatdex.Broken/x86_64/stable"), layers=(b"other",))
    manifest = json.loads(blobs.data[good["digest"]])
    config = manifest["config"]["digest"]
    if kind == "missing manifest":
        del blobs.data[good["digest"]]
    elif kind == "missing config":
        del blobs.data[config]
    elif kind == "other bytes":
        blobs.data[good["digest"]] = blobs.data[good["digest"]].replace(b"2", b"3")
    elif kind == "other bytes in the config":
        blobs.data[config] = blobs.data[config].replace(b"linux", b"linuz")
    elif kind == "wrong size":
        return {**good, "size": good["size"] + 1}
    elif kind == "not JSON":
        return {"mediaType": oci.MANIFEST, **blobs.add(b"<html>")}
    elif kind == "config is not JSON":
        return {"mediaType": oci.MANIFEST, **blobs.json({**manifest, "config": {**blobs.add(b"<html>")}})}
    elif kind == "label is no string":
        return blobs.image({**flatpak_labels(), "number": 5})
    elif kind == "huge manifest":
        return {**good, "size": walk.LARGEST_MANIFEST + 1}
    elif kind == "huge config":
        size = walk.LARGEST_CONFIG + 1
        return {"mediaType": oci.MANIFEST, **blobs.json({**manifest, "config": {**manifest["config"], "size": size}})}
    elif kind == "schema 1":
        return {"mediaType": "application/vnd.docker.distribution.manifest.v1+json", **blobs.json({"schemaVersion": 1})}
    elif kind == "surrogate":
        value: Any = {"os": "linux", "architecture": "\ud800", "config": {"Labels": flatpak_labels()}}
        return blobs.image(config=value)
    return good


KINDS = {
    "missing manifest": "missing-blob",
    "missing config": "missing-blob",
    "other bytes": "digest-mismatch",
    "other bytes in the config": "digest-mismatch",
    "wrong size": "size-mismatch",
    "not JSON": "malformed",
    "config is not JSON": "malformed",
    "label is no string": "malformed",
    "huge manifest": "too-large",
    "huge config": "too-large",
    "schema 1": "malformed",
    "surrogate": "malformed",
}


@pytest.mark.parametrize(("kind", "code"), KINDS.items())
def test_one_broken_image_leaves_the_others(kind: str, code: str) -> None:
    blobs = Blobs()
    bad = broken(kind, blobs)
    listed = found(blobs, blobs.index(bad, blobs.image(architecture="arm64")))
    assert [each.architecture for each in images_of(listed)] == ["arm64"]
    assert codes_of(listed) == [code]
    (skip,) = [item for item in listed if isinstance(item, Skip)]
    assert skip.reference == bad["digest"]


@pytest.mark.parametrize(
    "entry",
    [
        {"mediaType": oci.MANIFEST, "digest": "sha512:" + "a" * 128, "size": 100},
        {"mediaType": oci.MANIFEST, "digest": "sha256:1", "size": 100},
        {"mediaType": oci.MANIFEST, "digest": "sha256:" + "a" * 64, "size": -1},
        {"mediaType": 5, "digest": "sha256:" + "a" * 64, "size": 1},
        {"mediaType": oci.MANIFEST, "digest": "sha256:" + "a" * 64, "size": 1, "annotations": {"a": 1}},
        "an entry that is no object",
        None,
    ],
)
def test_one_broken_entry_of_an_index_leaves_the_others(entry: Any) -> None:
    blobs = Blobs()
    listed = found(blobs, blobs.index(entry, blobs.image(architecture="arm64")))
    assert [each.architecture for each in images_of(listed)] == ["arm64"]
    assert codes_of(listed) == ["malformed"]


@pytest.mark.parametrize("config", [{}, {"name": "a-chart", "version": "1.0"}])
def test_an_artifact_that_is_no_image_is_nothing_to_act_on(config: Json) -> None:
    """Charts, signatures and the like lie in registries beside images."""
    blobs = Blobs()
    (skip,) = found(blobs, blobs.image(config=config))
    assert isinstance(skip, Skip)
    assert (skip.code, skip.act) == ("not-a-flatpak", False)


def test_a_flatpak_without_architecture_is_malformed() -> None:
    blobs = Blobs()
    assert codes_of(found(blobs, blobs.image(config={"os": "linux", "config": {"Labels": flatpak_labels()}}))) == [
        "malformed"
    ]


@pytest.mark.parametrize("said", ["", oci.MANIFEST, f"{oci.MANIFEST}; charset=utf-8", "text/plain", "application/json"])
def test_a_manifest_that_does_not_tell_its_type_is_an_oci_one(said: str) -> None:
    blobs = Blobs()
    descriptor = {**blobs.image(media_type=None), "mediaType": said}
    (one,) = images_of(found(blobs, descriptor))
    assert one.media_type == oci.MANIFEST


def test_a_docker_manifest_keeps_its_type() -> None:
    blobs = Blobs()
    (one,) = images_of(found(blobs, blobs.image(media_type=oci.DOCKER_MANIFEST)))
    assert one.media_type == oci.DOCKER_MANIFEST
