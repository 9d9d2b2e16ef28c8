"""From a site to a mirror that no network leads to, by stick alone, and from there to the next one."""

from __future__ import annotations

from pathlib import Path

from builder.description import Snapshot
from builder.store import Store
from tests.export import looks
from tests.export.test_fat import image, there_and_back
from tests.sync.site import DONE, NEW, OLD, Site

__all__ = ["image"]  # the fixture


def mirrored(site: Site, stick: Path, name: str = "mirror") -> Snapshot:
    """What a mirror's store shows after a run that had nothing but the stick."""
    store = site.folder / name
    site.flatdex("mirror", "--from", f"file://{stick}", "--store", store, code=DONE)
    site.flatdex("verify", "--store", store, code=DONE)
    current = Store(store).current()
    assert current
    return Store(store).snapshot(current)


def digests(snapshot: Snapshot) -> dict[str, str]:
    return {image["ref"]: image["digest"] for image in snapshot.document["images"]}


def origin(site: Site, start: str) -> Snapshot:
    return Store(site.store).snapshot(site.snapshot(start).name)


def test_a_mirror_is_made_of_a_stick_that_fat_has_held(site: Site, image: Path) -> None:
    site.promote(NEW)
    site.flatdex("export", "stick", code=DONE)
    back = site.folder / "back"
    there_and_back(site.folder / "stick", image, back)
    found = mirrored(site, back)
    assert digests(found) == digests(origin(site, NEW))
    assert (found.folder / "upstream" / "snapshot.json").read_bytes() == (back / "snapshot.json").read_bytes()


def test_a_difference_updates_a_mirror_that_has_what_it_is_based_on(site: Site) -> None:
    site.promote(OLD)
    site.flatdex("export", "stick", code=DONE)
    assert digests(mirrored(site, site.folder / "stick")) == digests(origin(site, OLD))
    site.promote(NEW)
    small = site.folder / "small"
    said = site.json("export", small, "--since", OLD)
    whole = site.json("export", site.folder / "whole", "--dry-run")
    assert said["since"] and said["bytes"] < whole["bytes"] / 2
    assert digests(mirrored(site, small)) == digests(origin(site, NEW))


def test_a_mirror_fills_sticks_that_carry_the_origins_list_on(site: Site) -> None:
    site.promote(NEW)
    site.flatdex("export", "stick", code=DONE)
    first = mirrored(site, site.folder / "stick")
    second = site.folder / "second"
    site.flatdex("--store", site.folder / "mirror", "export", second, code=DONE)
    assert (second / "snapshot.json").read_bytes() == (first.folder / "snapshot.json").read_bytes()
    assert (second / "upstream" / "snapshot.json").read_bytes() == (site.snapshot(NEW) / "snapshot.json").read_bytes()
    looks.whole(second, first)
    looks.check_names(second)
    assert sorted(looks.layout(second).values()) == sorted(digests(first).values())
    assert digests(mirrored(site, second, "next")) == digests(origin(site, NEW))
    third = site.folder / "third"  # even if the list is no news
    site.flatdex("--store", site.folder / "mirror", "export", third, "--since", first.id, code=DONE)
    assert (third / "upstream" / "snapshot.json").read_bytes() == (second / "upstream" / "snapshot.json").read_bytes()
