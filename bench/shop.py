"""A catalog of applications that are nowhere, with appdata as large and as much translated as real ones."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterator
from functools import lru_cache

from PIL import Image as Picture

from bench.fill import WORDS
from builder import oci
from builder.catalog import Catalog, Image

BORN = 1_700_000_000
_LANGUAGES = "ar ca cs da de el es et fi fr he hu it ja ko nl pl pt_BR ro ru sk sl sr sv tr uk zh_CN"
_CATEGORIES = ("AudioVideo", "Development", "Education", "Game", "Graphics", "Network", "Office", "Science", "Utility")
_ICONS = 50  # different ones: what is drawn on them is nobody's matter here


def catalog(applications: int, changed: frozenset[int] = frozenset()) -> Catalog:
    """One image for each of two architectures; those `changed` have another release."""
    return Catalog(tuple(image for number in range(applications) for image in _images(number, number in changed)))


def _images(number: int, is_changed: bool) -> Iterator[Image]:
    for architecture, flatpak_name in (("amd64", "x86_64"), ("arm64", "aarch64")):
        labels = _labels(number, flatpak_name, is_changed)
        yield Image(
            source="main",
            repository=f"apps/app{number:05}",
            tags=frozenset(("latest",)),
            digest=oci.digest_of(f"{number} {architecture} {is_changed}".encode()),
            media_type=oci.MANIFEST,
            os="linux",
            architecture=architecture,
            created=f"2026-{1 + number % 12:02}-{1 + number % 28:02}T00:00:00Z",
            labels=labels,
            annotations={},
        )


def _labels(number: int, architecture: str, is_changed: bool) -> dict[str, str]:
    identifier = f"org.example.App{number:05}"
    metadata = (
        f"[Application]\nname={identifier}\nruntime=org.example.Platform/{architecture}/48\n"
        "[Context]\nshared=network;ipc;\nsockets=x11;wayland;pulseaudio;\ndevices=dri;\nfilesystems=xdg-download;home;\n"
        "[Session Bus Policy]\norg.freedesktop.Notifications=talk\norg.freedesktop.secrets=talk\n"
    )
    return {
        "org.flatpak.ref": f"app/{identifier}/{architecture}/stable",
        "org.flatpak.metadata": metadata,
        "org.flatpak.installed-size": str(123456789 + number),
        "org.flatpak.download-size": str(12345678 + number),
        "org.freedesktop.appstream.appdata": _appdata(identifier, number, architecture, is_changed),
        "org.freedesktop.appstream.icon-64": icon(number % _ICONS, 64),
        "org.freedesktop.appstream.icon-128": icon(number % _ICONS, 128),
    }


def _appdata(identifier: str, number: int, architecture: str, is_changed: bool) -> str:
    words = random.Random(number)

    def some(count: int) -> str:
        return " ".join(words.choices(WORDS, k=count))

    def translated(element: str, count: int) -> str:
        texts = (f'<{element} xml:lang="{language}">{some(count)}</{element}>' for language in _LANGUAGES.split())
        return f"<{element}>{some(count)}</{element}>" + "".join(texts)

    def described(language: str) -> str:
        given = f' xml:lang="{language}"' if language else ""
        return f"<description{given}><p>{some(40)}</p><ul><li>{some(8)}</li><li>{some(8)}</li></ul></description>"

    screenshots = "".join(
        f'<screenshot><caption>{some(4)}</caption><image type="source" width="1600" height="900">'
        f"https://pictures.example.org/{identifier}/{shot}.png</image></screenshot>"
        for shot in range(4)
    )
    releases = "".join(
        f'<release version="{version}.{number % 7}" timestamp="{BORN + version * 1_000_000}">{described("")}</release>'
        for version in range(8 if is_changed else 7, 0, -1)
    )
    return (
        f'<components version="0.8"><component type="desktop-application"><id>{identifier}</id>'
        f"<name>{some(1).title()} {number}</name>{translated('summary', 6)}"
        f"<developer><name>{some(2)}</name></developer>"
        f"{''.join(map(described, ('', *_LANGUAGES.split())))}<project_license>GPL-3.0-or-later</project_license>"
        f"<categories><category>{_CATEGORIES[number % len(_CATEGORIES)]}</category></categories>"
        f'<keywords><keyword>{some(1)}</keyword></keywords><url type="homepage">https://{number}.example.org/</url>'
        f"<screenshots>{screenshots}</screenshots><releases>{releases}</releases>"
        f'<content_rating type="oars-1.1"><content_attribute id="social-info">mild</content_attribute></content_rating>'
        f'<bundle type="flatpak">app/{identifier}/{architecture}/stable</bundle></component></components>'
    )


@lru_cache
def icon(number: int, size: int) -> str:
    """A small PNG as a label holds it."""
    stream = io.BytesIO()
    Picture.new("RGB", (size, size), ((number * 40) % 256, (number * 90) % 256, 160)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
