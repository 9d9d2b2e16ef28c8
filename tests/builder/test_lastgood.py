"""What a snapshot holds, as images again: they make the same bytes, and damage costs no more than what it hit."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from builder import flatpak, lastgood
from builder.catalog import Catalog, Image
from builder.config import Config, LayoutSource, Source
from builder.description import Snapshot, read_snapshot
from builder.site.tree import site
from builder.snapshot import carried_gzip
from tests.builder.helpers import Blobs, catalog_of, flatpak_labels, icon_uri, loaded, ref_of, tagged
from tests.builder.test_build import ICON, NASTY, built, files, nasty_images


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with images that are not all good."""
    nasty_images(tmp_path)
    return loaded(tmp_path, NASTY)


def source_of(config: Config) -> Source:
    """The one source."""
    return config.sources[0]


def refs(images: tuple[Image, ...]) -> list[str]:
    """Their refs."""
    return [image.ref for image in images]


def remade(config: Config, one: Snapshot) -> dict[str, str]:
    """The hashes of the site that is made of what a snapshot holds."""
    found = Catalog(lastgood.images(one, source_of(config)))
    made = site(config, found, carried_gzip(one), frozenset())
    return {path: content.sha256 for path, content in made.files.items()}


def hashes(one: Snapshot) -> dict[str, str]:
    """The hashes of a snapshot's files."""
    return {entry.path: entry.sha256 for entry in one.files}


def test_what_a_snapshot_holds_makes_the_same_site_without_the_layouts(config: Config, tmp_path: Path) -> None:
    _, one = built(config)
    shutil.rmtree(tmp_path / "images")
    assert remade(config, one) == hashes(one)


def test_images_are_kept_as_they_were(config: Config) -> None:
    _, one = built(config)
    read = {(image.repository, image.digest): image for image in catalog_of(config).images}
    kept = lastgood.images(one, source_of(config))
    assert len(kept) == 5
    for image in kept:
        before = read[image.repository, image.digest]
        assert image.kept and not before.kept
        for name in ("ref", "tags", "media_type", "os", "architecture", "created", "source"):
            assert getattr(image, name) == getattr(before, name)
        assert [blob.digest for blob, _ in image.blobs] == [blob.digest for blob, _ in before.blobs]
        assert all(file.is_relative_to(one.folder) for _, file in image.blobs)


def test_icons_that_became_files_are_text_again(config: Config) -> None:
    _, one = built(config)
    with_icon = [image for image in lastgood.images(one, source_of(config)) if ICON in image.metadata]
    assert {image.metadata[ICON] for image in with_icon} == {icon_uri(), icon_uri(128)}


def test_an_image_of_two_tags_has_both(tmp_path: Path) -> None:
    blobs = Blobs()
    entry = blobs.image()
    blobs.layout(tmp_path / "images" / "hello", tagged(entry, "latest"), tagged(entry, "testing"))
    config = loaded(tmp_path, NASTY)
    _, one = built(config)
    (image,) = lastgood.images(one, source_of(config))
    assert image.tags == {"latest", "testing"}
    assert remade(config, one) == hashes(one)


def test_another_source_and_what_the_source_no_longer_takes_are_not_kept(config: Config) -> None:
    _, one = built(config)
    source = source_of(config)
    assert isinstance(source, LayoutSource)
    assert lastgood.images(one, replace(source, name="other")) == ()


@pytest.mark.parametrize("number", [0, 1], ids=["manifest", "config"])
def test_an_image_whose_files_are_gone_is_not_kept(config: Config, number: int) -> None:
    _, one = built(config)
    before = lastgood.images(one, source_of(config))
    before[0].blobs[number][1].unlink()
    assert refs(lastgood.images(one, source_of(config))) == refs(before[1:])


def test_a_layer_that_is_gone_takes_all_images_that_need_it(config: Config) -> None:
    _, one = built(config)
    before = lastgood.images(one, source_of(config))
    descriptor, file = before[0].blobs[-1]
    file.unlink()
    left = [
        image
        for image in before
        if image.repository != before[0].repository or descriptor.digest not in [each.digest for each, _ in image.blobs]
    ]
    assert refs(lastgood.images(one, source_of(config))) == refs(tuple(left)) != refs(before)


def test_a_damaged_manifest_is_none(config: Config) -> None:
    _, one = built(config)
    before = lastgood.images(one, source_of(config))
    file = before[0].blobs[0][1]
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data.replace(b"schemaVersion", b"schemaversion"))
    assert refs(lastgood.images(one, source_of(config))) == refs(before[1:])


def test_a_lost_icon_costs_the_icon_alone(config: Config) -> None:
    _, one = built(config)
    before = refs(lastgood.images(one, source_of(config)))
    for entry in one.files:
        if entry.path.endswith(".png"):
            (one.folder / entry.path).unlink()
    assert refs(lastgood.images(one, source_of(config))) == before
    assert "index/latest.json" in remade(config, one)


@pytest.mark.parametrize("damage", ["flipped", "cut", "away", "folder", "other JSON", "garbage"])
def test_a_damaged_index_is_not_believed_and_another_one_helps(config: Config, damage: str) -> None:
    _, one = built(config)
    before = lastgood.images(one, source_of(config))
    file = one.folder / "index" / "latest.json"
    data = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "away":
        other = {
            "flipped": data.replace(b'"Labels"', b'"Lavels"', 1),
            "cut": data[:-10],
            "other JSON": b'{"Results":[{"Name":"three","Images":[5]}]}',
            "garbage": b"\xff" * 100,
        }
        file.write_bytes(other[damage])
    assert refs(lastgood.images(one, source_of(config))) == refs(before)
    for each in (one.folder / "index").glob("*.json"):
        if each.is_file():
            each.write_text("[]")
    assert lastgood.images(one, source_of(config)) == ()


def test_a_snapshot_of_an_older_version_keeps_nothing_and_is_no_error(config: Config) -> None:
    _, one = built(config)
    document = json.loads((one.folder / "snapshot.json").read_bytes())
    for image in document["images"]:
        del image["source"], image["created"]
    for variant in document["variants"]:
        del variant["form"]
    (one.folder / "snapshot.json").write_text(json.dumps(document))
    assert lastgood.images(read_snapshot(one.folder), source_of(config)) == ()


def test_end_of_life_and_token_type_stay(tmp_path: Path) -> None:
    end = "org.flatpak.commit-metadata.ostree.endoflife"
    value = base64.b64encode(b"use another\0\0s").decode()
    blobs = Blobs()
    labels = flatpak_labels(ref_of("Old"), **{end: value, flatpak.TOKEN_TYPE: flatpak.TOKEN_REQUIRED})
    blobs.layout(tmp_path / "images" / "hello", tagged(blobs.image(labels), "latest"))
    config = loaded(tmp_path, NASTY)
    _, one = built(config)
    (image,) = lastgood.images(one, source_of(config))
    assert image.metadata[end] == value
    assert remade(config, one) == hashes(one) and files(one)
