"""OCI layouts on disk: every one that is good is read, whatever lies beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder import oci
from builder.catalog import Failure, Image, Skip
from builder.config import LayoutSource
from builder.errors import FlatdexError, SourceError
from builder.oci import Descriptor
from builder.sources import layouts
from builder.sources.layouts import LayoutReading
from tests.builder.helpers import (
    GOOD,
    Blobs,
    blob_file,
    codes_of,
    flatpak_labels,
    hello_layout,
    images_of,
    loaded,
    tagged,
)

LATEST = frozenset({"latest"})


def never(repository: str, blob: Descriptor) -> bool:
    """Nothing was checked before."""
    return False


def read(folder: Path, tags: frozenset[str] = LATEST, tag: str = "latest") -> list[Image | Skip]:
    """All that the layouts in a folder hold."""
    reading = LayoutReading(LayoutSource("local", (str(folder / "*"),), tag), tags, never)
    reading.look()
    found = list(reading.items())
    for item in found:
        if isinstance(item, Failure):
            raise FlatdexError(item.why)
    return [item for item in found if not isinstance(item, Failure)]


def test_a_layout_s_image_brings_its_files(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image(layers=(b"one", b"two"))
    folder = blobs.layout(tmp_path / "org.flatdex.Hello", descriptor)
    (one,) = images_of(read(tmp_path))
    assert (one.source, one.repository, one.digest) == ("local", "org.flatdex.hello", descriptor["digest"])
    assert {blob.digest for blob, _ in one.blobs} == set(blobs.data)
    assert one.blobs[0][0].digest == descriptor["digest"]
    for blob, file in one.blobs:
        assert file == blob_file(folder, {"digest": blob.digest})
        assert file.stat().st_size == blob.size


# Tags


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("latest", "latest"),
        ("v1.0", "v1.0"),
        ("app/org.flatdex.Hello/x86_64/stable", "nightly"),
        ("registry.example.org/hello:1.0", "nightly"),
        ("", "nightly"),
        (None, "nightly"),
    ],
)
def test_a_name_that_is_no_tag_leaves_the_source_s(tmp_path: Path, name: str | None, tag: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    blobs.layout(tmp_path / "hello", descriptor if name is None else tagged(descriptor, name))
    (one,) = images_of(read(tmp_path, frozenset({"latest", "v1.0", "nightly"}), "nightly"))
    assert one.tags == {tag}


def test_images_with_other_tags_are_not_even_read(tmp_path: Path) -> None:
    blobs = Blobs()
    other = blobs.image(flatpak_labels("app/org.flatdex.Other/x86_64/stable"))
    blobs.layout(tmp_path / "hello", tagged(blobs.image(), "latest"), tagged(other, "beta"))
    blob_file(tmp_path / "hello", other).unlink()
    assert [each.ref for each in images_of(read(tmp_path))] == ["app/org.flatdex.Hello/x86_64/stable"]
    assert codes_of(read(tmp_path)) == []


# What can be wrong


def test_a_missing_layer_leaves_the_image_out(tmp_path: Path) -> None:
    blobs = Blobs()
    good, bad = blobs.image(), blobs.image(architecture="arm64", layers=(b"gone",))
    folder = blobs.layout(tmp_path / "hello", good, bad)
    layer = json.loads(blobs.data[bad["digest"]])["layers"][0]
    blob_file(folder, layer).unlink()
    assert [each.architecture for each in images_of(read(tmp_path))] == ["amd64"]
    assert codes_of(read(tmp_path)) == ["missing-blob"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [("same size", "digest-mismatch"), ("longer", "size-mismatch"), ("empty", "size-mismatch")],
)
def test_a_corrupt_layer_leaves_the_image_out(tmp_path: Path, damage: str, code: str) -> None:
    blobs = Blobs()
    good, bad = blobs.image(), blobs.image(architecture="arm64", layers=(b"corrupt",))
    folder = blobs.layout(tmp_path / "hello", good, bad)
    file = blob_file(folder, json.loads(blobs.data[bad["digest"]])["layers"][0])
    data = file.read_bytes()
    file.write_bytes({"same size": data[:-1] + bytes([data[-1] ^ 1]), "longer": data + b"x", "empty": b""}[damage])
    assert [each.architecture for each in images_of(read(tmp_path))] == ["amd64"]
    assert codes_of(read(tmp_path)) == [code]


@pytest.mark.parametrize(("part", "code"), [("manifest", "digest-mismatch"), ("config", "digest-mismatch")])
def test_a_corrupt_manifest_or_config_leaves_the_image_out(tmp_path: Path, part: str, code: str) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    folder = blobs.layout(tmp_path / "hello", descriptor)
    broken = descriptor if part == "manifest" else json.loads(blobs.data[descriptor["digest"]])["config"]
    file = blob_file(folder, broken)
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    assert codes_of(read(tmp_path)) == [code]


def test_a_wrong_size_leaves_the_image_out(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    blobs.layout(tmp_path / "hello", {**descriptor, "size": descriptor["size"] - 1})
    assert codes_of(read(tmp_path)) == ["size-mismatch"]


def test_an_index_within_a_layout_is_followed(tmp_path: Path) -> None:
    blobs = Blobs()
    inner = blobs.index(blobs.image(), blobs.image(architecture="arm64"))
    blobs.layout(tmp_path / "hello", tagged(inner, "latest"))
    assert [each.architecture for each in images_of(read(tmp_path))] == ["amd64", "arm64"]


def test_one_broken_entry_leaves_the_others(tmp_path: Path) -> None:
    blobs = Blobs()
    blobs.layout(
        tmp_path / "hello", {"mediaType": oci.MANIFEST, "digest": "sha512:" + "a" * 128, "size": 3}, blobs.image()
    )
    assert len(images_of(read(tmp_path))) == 1
    assert codes_of(read(tmp_path)) == ["malformed"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("oci-layout", None),
        ("oci-layout", '{"imageLayoutVersion":"2.0.0"}'),
        ("oci-layout", "[]"),
        ("index.json", None),
        ("index.json", "{"),
        ("index.json", '{"schemaVersion":2,"manifests":5}'),
    ],
)
def test_what_is_no_layout_leaves_the_others(tmp_path: Path, name: str, content: str | None) -> None:
    hello_layout(tmp_path / "good")
    bad = hello_layout(tmp_path / "bad")
    (bad / name).unlink()
    if content is not None:
        (bad / name).write_text(content)
    assert [each.repository for each in images_of(read(tmp_path))] == ["good"]
    (skip,) = [item for item in read(tmp_path) if isinstance(item, Skip)]
    assert (skip.source, skip.repository, skip.reference, skip.code) == ("local", "bad", "bad", "not-a-layout")


def test_files_beside_layouts_are_no_layouts(tmp_path: Path) -> None:
    hello_layout(tmp_path / "good")
    (tmp_path / "README").write_text("")
    assert codes_of(read(tmp_path)) == []


def test_what_a_skip_says_does_not_tell_where_things_lie(tmp_path: Path) -> None:
    """Skips go into snapshot.json, which everyone can read."""
    blobs = Blobs()
    descriptor = blobs.image()
    blob_file(blobs.layout(tmp_path / "a", descriptor), descriptor).unlink()
    (tmp_path / "b").mkdir()
    skips = [item for item in read(tmp_path) if isinstance(item, Skip)]
    assert len(skips) == 2
    assert not [skip for skip in skips if str(tmp_path) in skip.why]


# Trust in what was copied before


def test_layers_that_were_checked_before_are_not_read_again(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image()
    folder = blobs.layout(tmp_path / "hello", descriptor)
    layer = json.loads(blobs.data[descriptor["digest"]])["layers"][0]
    asked: list[tuple[str, str]] = []

    def trusted(repository: str, blob: Descriptor) -> bool:
        asked.append((repository, blob.digest))
        return True

    blob_file(folder, layer).write_bytes(b"damaged since")
    source = LayoutSource("local", (str(tmp_path / "*"),))
    reading = LayoutReading(source, LATEST, trusted)
    reading.look()
    assert len(images_of(list(reading.items()))) == 1
    assert asked == [("hello", layer["digest"])]


# Names


def test_no_match_is_an_error_not_an_empty_remote(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source local: failed to find OCI layouts: no folder matches .*/none/\*"):
        layouts.folders(LayoutSource("local", (str(tmp_path / "none/*"),)))


def test_one_pattern_without_a_match_is_an_error_too(tmp_path: Path) -> None:
    hello_layout(tmp_path / "good")
    with pytest.raises(SourceError, match="no folder matches"):
        layouts.folders(LayoutSource("local", (str(tmp_path / "*"), str(tmp_path / "none"))))


@pytest.mark.parametrize(("one", "two"), [("Hello", "hello"), ("hello world", "hello-world"), ("a..b", "a.b")])
def test_two_layouts_of_one_name_are_an_error(tmp_path: Path, one: str, two: str) -> None:
    for name in (one, two):
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match="two layouts are the repository") as caught:
        layouts.folders(LayoutSource("local", (str(tmp_path / "*"),)))
    assert caught.value.fix == "Rename one of the folders."


def test_two_patterns_may_match_one_layout(tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    assert layouts.folders(LayoutSource("local", (str(tmp_path / "*"), str(tmp_path / "hello")))) == {
        "hello": tmp_path / "hello"
    }


def test_a_folder_without_a_usable_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "___").mkdir()
    with pytest.raises(SourceError, match="can't be made a repository's"):
        layouts.folders(LayoutSource("local", (str(tmp_path / "*"),)))


def test_brackets_in_the_configuration_s_own_folder_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "site [1]"
    hello_layout(folder / "images" / "hello")
    source = loaded(folder, GOOD).source("local")
    assert isinstance(source, LayoutSource)
    assert list(layouts.folders(source)) == ["hello"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("org.gnome.Calculator", "org.gnome.calculator"),
        ("a__b", "a__b"),
        ("a---b", "a---b"),
        ("org.flatdex.Hello-1.0-stable-x86_64", "org.flatdex.hello-1.0-stable-x86_64"),
        ("Größe", "gr-e"),
        ("my app (1)", "my-app-1"),
        ("..a..", "a"),
        ("日本", ""),
        ("x" * 256, ""),
    ],
)
def test_a_folder_s_name_becomes_a_repository_s(folder: str, name: str) -> None:
    assert layouts.repository_name(folder) == name


@given(st.text(max_size=30) | st.text(alphabet="aZ._-/ 1ß", max_size=30))
@example("a/b")
@example("İ")
def test_a_repository_name_is_always_valid_or_empty(folder: str) -> None:
    name = layouts.repository_name(folder)
    assert name == "" or (oci.is_repository(name) and "/" not in name)
    assert layouts.repository_name(name) == name


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_layout_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    hello_layout(tmp_path / "good")
    bad = hello_layout(tmp_path / "bad")
    (bad / "index.json").chmod(0)
    with pytest.raises(FlatdexError, match="cannot be read"):
        read(tmp_path)
