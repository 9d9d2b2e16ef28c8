"""A stick on a real FAT, which mtools write and read without the kernel's help: no byte and no name is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.images import APPLICATION
from tests.export import looks
from tests.preview.server import preview
from tests.real.flatpak import Flatpak
from tests.real.process import located, require, run
from tests.sync.site import DONE, MIDDLE, NEW, OLD, Site, tree

_MEGABYTES = 48


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A FAT32 of its own, empty."""
    require("mformat", "mcopy", "fsck.vfat")
    file = tmp_path / "fat.img"
    with file.open("wb") as opened:
        opened.truncate(_MEGABYTES * 1024 * 1024)
    run([located("mformat"), "-i", file, "-F", "-v", "STICK", "::"])
    return file


def there_and_back(stick: Path, image: Path, back: Path) -> None:
    """Copies a stick's folder into a FAT, and what the FAT holds then to another folder."""
    run([located("mcopy"), "-i", image, "-s", "-Q", "-m", *sorted(stick.iterdir()), "::"])
    run([located("fsck.vfat"), "-n", image])
    back.mkdir()
    run([located("mcopy"), "-i", image, "-s", "-n", "-m", "::*", f"{back}/"])


def contents(folder: Path) -> dict[str, bytes]:
    return {path: data for path, (*_, data) in tree(folder).items()}


def test_no_byte_is_lost(site: Site, image: Path) -> None:
    site.promote(NEW)
    site.flatdex("export", "stick", code=DONE)
    stick, back = site.folder / "stick", site.folder / "back"
    there_and_back(stick, image, back)
    assert contents(back) == contents(stick)
    assert (back / ".htaccess").exists() and (back / "v2" / ".htaccess").exists()


def test_a_copy_that_fat_has_is_used_and_brought_up_to_date(site: Site, image: Path) -> None:
    """Dates are even seconds there, and modes are not kept at all."""
    site.promote(OLD)
    site.flatdex("export", "stick", code=DONE)
    back = site.folder / "back"
    there_and_back(site.folder / "stick", image, back)
    for path in back.rglob("*"):
        path.chmod(0o755)
    assert not site.json("export", back)["changed"]
    flatpak = Flatpak(site.folder / "client")
    with preview(site, back) as server:
        flatpak.remote_add("stick", server.url)
        flatpak.run("install", "--noninteractive", "stick", APPLICATION)
    site.promote(MIDDLE)
    fresh = site.json("export", "stick")
    assert site.json("export", back)["files"] == fresh["files"]
    known = looks.shown(back)
    assert known and known.id == site.snapshot(MIDDLE).name
    looks.whole(back, known)
    assert contents(back) == contents(site.folder / "stick")
