"""Puts together what a remote offers: from the images of its indexes to items with all their channels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from builder import advice, catalog, flatpak
from builder.appdata.components import DEFAULT, Component
from builder.config import Config, Remote
from builder.flatpak import Ref
from builder.site import flatpakref
from builder.site.labels import Labels
from builder.site.pages.languages import day_of
from builder.site.pages.names import can_be_seen, told_apart
from builder.site.pages.offer import Channel, EndOfLife, Image, Item

_BRANCHES = {"stable": 0, "master": 1, "main": 2, "beta": 3}
"""Those that most have, the preferred first: they keep their names whatever else there is."""
_LONGEST_WORDS = 300
_END_OF_LIFE = "org.flatpak.commit-metadata.ostree.endoflife"
_END_OF_LIFE_REBASE = "org.flatpak.commit-metadata.ostree.endoflife-rebase"


def items(
    config: Config,
    images: Mapping[str, Iterable[catalog.Image]],
    labels: Labels,
    published: Collection[str] = frozenset(),
) -> tuple[Item, ...]:
    """All that has a page of its own or a line on one, by kind and id; `images` are those of each index.

    `published` are the paths of the newest snapshot's files: who has a name there keeps it.
    """
    if config.remote is None:
        return ()
    found: dict[tuple[str, str], dict[_Place, list[_Found]]] = defaultdict(lambda: defaultdict(list))
    offered: dict[str, set[str]] = defaultdict(set)
    for index in config.indexes:
        for image in images[index.name]:
            ref = flatpak.parse_ref(image.ref)
            for tag in sorted(image.tags):
                offered[tag].add(image.ref)
                if not flatpak.is_part(ref):
                    found[ref.kind, ref.id][tag, ref.branch].append(_Found(ref, image))
    folders = told_apart({identifier for _, identifier in found}, lambda name: f"refs/{name}.flatpakref" in published)
    taken = {path.split("/")[2] for path in published if path.startswith("refs/") and path.count("/") == 3}
    known = taken.union(_BRANCHES)
    branches = told_apart({branch for places in found.values() for _, branch in places}, known.__contains__)
    make = _Maker(config, config.remote, labels, offered, branches)
    ordered = {key: make.ordered(found[key]) for key in sorted(found)}
    first = {key: next(iter(places.values()))[0].image for key, places in ordered.items()}
    every = (each.image for places in ordered.values() for some in places.values() for each in some)
    labels.read(first.values(), every, config.pages.languages if config.pages else ())
    return tuple(make.item(folders[key[1]], places) for key, places in ordered.items())


_Place = tuple[str, str]
"""A tag and a branch."""


@dataclass(frozen=True)
class _Found:
    """An image that is offered, by its ref."""

    ref: Ref
    image: catalog.Image


class _Maker:
    """Puts items together."""

    def __init__(
        self,
        config: Config,
        remote: Remote,
        labels: Labels,
        offered: Mapping[str, set[str]],
        branches: Mapping[str, str],
    ) -> None:
        self._branches = branches
        self._remote = remote
        self._main_tag = config.dispatch.default_tag
        self._tags = {tag: place for place, tag in enumerate(config.dispatch.tags)}
        self._languages = config.pages.languages if config.pages else ()
        self._labels = labels
        self._offered = offered

    def ordered(self, found: Mapping[_Place, Iterable[_Found]]) -> dict[_Place, list[_Found]]:
        """An item's images by tag and branch: those that stand for it first."""
        return {
            place: sorted(found[place], key=lambda each: each.ref.arch != "x86_64")
            for place in sorted(found, key=self._preference)
        }

    def item(self, folder: str, found: Mapping[_Place, Sequence[_Found]]) -> Item:
        """One item, from its images as they were `ordered`."""
        main = next(iter(found.values()))
        image, ref = main[0].image, main[0].ref
        metadata = image.metadata.get(flatpak.METADATA, "")
        return Item(
            id=ref.id,
            folder=folder,
            kind="app" if ref.kind == "app" else "extension" if "[ExtensionOf]" in metadata else "runtime",
            component=self._component(ref, image),
            channels=tuple(self._channel(place, folder, some, some is main) for place, some in found.items()),
            icons=self._labels.icons(image) if self._languages else (),
            metadata=metadata,
            runtime=_runtime(main),
            end_of_life=_end_of_life(image),
            changed=max(filter(day_of, (each.image.created for each in main)), default=""),
        )

    def _preference(self, place: _Place) -> tuple[bool, int, int, str]:
        """The main tag first, then the order of the configuration; the branches that most have before others."""
        tag, branch = place
        place_of_tag = (tag != self._main_tag, self._tags.get(tag, len(self._tags)))
        return (*place_of_tag, _BRANCHES.get(branch, len(_BRANCHES)), branch)

    def _offering(self, runtime: str, own_tag: str) -> str | None:
        """The tag that offers a runtime, its own tag first."""
        tags = (own_tag, *self._tags)
        return next((tag for tag in tags if f"runtime/{runtime}" in self._offered.get(tag, ())), None)

    def _channel(self, place: _Place, folder: str, found: Sequence[_Found], main: bool) -> Channel:
        tag, branch = place
        return Channel(
            tag=tag,
            branch=branch,
            remote=self._remote.called(tag, self._main_tag),
            images=tuple(self._image(each) for each in found),
            flatpakref=flatpakref.path(folder, tag, self._branches[branch], main),
            main=main,
            runtime_in=self._offering(_runtime(found), tag),
        )

    def _image(self, found: _Found) -> Image:
        metadata = found.image.metadata
        return Image(
            ref=found.ref,
            architecture=found.image.architecture,
            version=self._labels.version(found.image),
            digest=found.image.digest,
            repository=found.image.repository,
            download=_whole(metadata.get("org.flatpak.download-size", "")),
            installed=_whole(metadata.get("org.flatpak.installed-size", "")),
            created=found.image.created,
        )

    def _component(self, ref: Ref, image: catalog.Image) -> Component:
        components = self._labels.components(image)
        own = [each for each in components if each.id == ref.id]
        found = (own or list(components) or [Component(ref.id)])[0]
        names = {language: name for language, name in found.name.items() if can_be_seen(name)}
        return replace(found, name={DEFAULT: ref.id, **names})


def _runtime(found: Sequence[_Found]) -> str:
    """`ID/ARCH/BRANCH` of what the first of these images needs; empty if it needs none."""
    return advice.runtime_of(found[0].image.metadata.get(flatpak.METADATA, ""))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _end_of_life(image: catalog.Image) -> EndOfLife | None:
    why, successor = (_commit_text(image, label) for label in (_END_OF_LIFE, _END_OF_LIFE_REBASE))
    if why is None and successor is None:
        return None
    parts = (successor or "").split("/")
    return EndOfLife(why or "", parts[1] if len(parts) == 4 else "")


def _commit_text(image: catalog.Image, label: str) -> str | None:
    if label not in image.metadata:
        return None
    text = flatpak.commit_metadata_text(image.metadata[label]) or ""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[
        :_LONGEST_WORDS
    ]
