"""What will hurt clients later: nothing is left out for it, but an admin should know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder import flatpak
from builder.catalog import Image
from builder.report import counted

_LONGEST = 200  # characters of what an image says of itself
_END_OF_LIFE = "org.flatpak.commit-metadata.ostree.endoflife"
_END_OF_LIFE_REBASE = "org.flatpak.commit-metadata.ostree.endoflife-rebase"


@dataclass(frozen=True, order=True)
class Advice:
    """A stable code, what it is about (a ref), and a sentence."""

    code: str
    about: str
    what: str


def advice(images: Mapping[str, tuple[Image, ...]]) -> tuple[Advice, ...]:
    """On the images of all indexes."""
    all_images = {(image.repository, image.digest): image for chosen in images.values() for image in chosen}
    found = [each for image in all_images.values() for each in _on_image(image)]
    missing = _missing_runtimes(all_images.values())
    return tuple(sorted({*found, *missing, *_runtimes_in_other_indexes(images)}))


def _on_image(image: Image) -> Iterator[Advice]:
    if not image.names_type:
        what = f"the manifest in {image.repository} has no `mediaType`: system-wide installation from files fails"
        yield Advice("no-media-type", image.ref, what)
    for label, what in ((_END_OF_LIFE, "is at its end of life"), (_END_OF_LIFE_REBASE, "has a successor")):
        if label in image.metadata:
            text = " ".join((flatpak.commit_metadata_text(image.metadata[label]) or "").split())
            yield Advice("end-of-life", image.ref, f"{what}: {text[:_LONGEST]}" if text else what)


def _missing_runtimes(images: Iterable[Image]) -> Iterator[Advice]:
    images = list(images)
    offered = {image.ref for image in images}
    wanted: dict[str, set[str]] = defaultdict(set)
    for image in images:
        runtime = runtime_of(image.metadata.get(flatpak.METADATA, ""))
        if runtime and image.ref.startswith("app/") and f"runtime/{runtime}" not in offered:
            wanted[f"runtime/{runtime}"].add(image.ref)
    for runtime, refs in wanted.items():
        what = f"no index offers it, which is wanted here by {counted(len(refs), 'application')}, such as {min(refs)}"
        yield Advice("runtime-missing", runtime, what)


def _runtimes_in_other_indexes(images: Mapping[str, tuple[Image, ...]]) -> Iterator[Advice]:
    """An index is a remote of its own for who adds it: what it lacks is not found in another one."""
    for name, chosen in images.items():
        own = {image.ref for image in chosen}
        others = {image.ref: other for other, there in images.items() if other != name for image in there}
        wanted: dict[str, set[str]] = defaultdict(set)
        for image in chosen:
            runtime = f"runtime/{runtime_of(image.metadata.get(flatpak.METADATA, ''))}"
            if image.ref.startswith("app/") and runtime not in own and runtime in others:
                wanted[runtime].add(image.ref)
        for runtime, refs in wanted.items():
            needed = f"it is wanted in the index {name} by {counted(len(refs), 'application')}, such as {min(refs)}"
            what = (
                f"{needed}, but only {others[runtime]} offers it: who has the remote of {name} alone can't install them"
            )
            yield Advice("runtime-in-other-index", runtime, what)


def runtime_of(metadata: str) -> str:
    """The runtime that an application's metadata names, such as `org.gnome.Platform/x86_64/48`; empty if none."""
    return flatpak.metadata_value(metadata, "Application", "runtime")[:_LONGEST]
