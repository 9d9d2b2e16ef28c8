"""A store with large snapshots, made of images that are nowhere: 10,000 icons, and two indexes of about 9 MB."""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import measure
from builder import configfile, oci, snapshot
from builder.catalog import Catalog, Image
from builder.config import Config
from builder.description import Snapshot
from builder.site.tree import Site, site
from builder.store import Store

CHANGED = 10
"""Icons that are others in the newer content."""
BORN = 1_700_000_000
"""Seconds: long past, so that nothing waits for the end of a file's second."""

TAGS = ("latest", "testing")
_CONFIG = """\
store: ./store
remote: {name: bench, url: "http://127.0.0.1/"}
pages: false
sources:
  main: {registry: "http://127.0.0.1:5000"}
indexes:
  stable: {tags: [latest]}
  testing: {tags: [testing]}
"""
_ICONS_OF_ONE = 2
_WORDS = ("static", "remote", "index", "client", "image", "layer", "school", "mirror", "garden", "river")
_APPDATA_WORDS = 130


@dataclass(frozen=True)
class Large:
    """A store whose snapshots hold in turn the one content, the other, and the one again.

    `newer` and `newest` have the files of each other's content, so that readers find all icons in both.
    """

    folder: Path
    config: Config
    store: Store
    older: Snapshot
    newer: Snapshot
    newest: Snapshot


class _All:
    """Contains everything: these icons are no pictures, and nobody decodes them here."""

    def __contains__(self, item: object) -> bool:
        return True


def large(folder: Path, icons: int) -> Large:
    """Makes it in `folder`, in another process: what starts programs later must not have become large itself."""
    folder.mkdir(parents=True)
    (folder / "flatdex.yaml").write_text(_CONFIG)
    config = configfile.load(folder / "flatdex.yaml", {})
    measure.run([sys.executable, "-m", "bench.large", str(folder), str(icons)])
    store = Store(config.store)
    older, newer, newest = sorted(store.complete(), key=lambda each: each.id)
    return Large(folder, config, store, older, newer, newest)


def sites(config: Config, icons: int) -> tuple[Site, Site]:
    """The two contents."""
    gzip = snapshot.carried_gzip(None)
    one, other = (site(config, Catalog(tuple(_images(icons, new))), gzip, _All()) for new in (0, CHANGED))
    return one, other


def _write(folder: Path, icons: int) -> None:
    config = configfile.load(folder / "flatdex.yaml", {})
    store = Store(config.store)
    one, other = sites(config, icons)
    with store.locked("build", create=True):
        for turn, each in enumerate((one, other, one)):
            snapshot.write(store, each, config, BORN + turn)


def _images(icons: int, new: int) -> Iterator[Image]:
    """Applications with two icons each, in each tag; `new` of the icons are others than in the first content."""
    numbers = range(icons // _ICONS_OF_ONE)
    step = max(1, len(numbers) // CHANGED)
    changed = set(numbers[::step][:new])
    for number in numbers:
        labels = _labels(number, number in changed)
        for tag in TAGS:
            yield Image(
                source="main",
                repository=f"apps/app{number:05}",
                tags=frozenset((tag,)),
                digest=oci.digest_of(f"{number} {tag} {number in changed}".encode()),
                media_type=oci.MANIFEST,
                os="linux",
                architecture="amd64",
                created="2026-01-01T00:00:00Z",
                labels=labels,
                annotations={},
            )


def _labels(number: int, is_changed: bool) -> dict[str, str]:
    identifier = f"org.example.App{number:05}"
    words = " ".join(random.Random(number).choices(_WORDS, k=_APPDATA_WORDS))
    return {
        "org.flatpak.ref": f"app/{identifier}/x86_64/stable",
        "org.flatpak.metadata": f"[Application]\nname={identifier}\nruntime=org.example.Platform/x86_64/stable\n",
        "org.flatpak.installed-size": "123456789",
        "org.flatpak.download-size": "12345678",
        "org.freedesktop.appstream.appdata": (
            f'<components version="0.8"><component type="desktop"><id>{identifier}</id>'
            f"<description><p>{words}</p></description></component></components>"
        ),
        "org.freedesktop.appstream.icon-64": _icon(f"{number} 64 {is_changed}"),
        "org.freedesktop.appstream.icon-128": _icon(f"{number} 128"),
    }


def _icon(seed: str) -> str:
    """Some kB that nothing can compress, as a label holds an icon."""
    made = random.Random(seed)
    return "data:image/png;base64," + base64.b64encode(made.randbytes(made.randrange(2500, 4000))).decode()


if __name__ == "__main__":
    _write(Path(sys.argv[1]), int(sys.argv[2]))
