"""What a remote offers, application by application: all that its pages tell, put together from its images."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from builder import advice, catalog, flatpak
from builder.appdata.components import DEFAULT, Component
from builder.changes import Offered
from builder.config import Config, Remote
from builder.flatpak import Ref
from builder.site import flatpakref
from builder.site.labels import Labels
from builder.site.pages.languages import day_of
from builder.site.pages.memory import fingerprint

_BRANCHES = {"stable": 0, "master": 1, "main": 2, "beta": 3}
"""Those that most have, the preferred first: they keep their names whatever else there is."""
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that are nothing to see
_RELEASE = re.compile(r"<release\b([^>]*)>")
_ATTRIBUTE = re.compile(r"""\b(version|date|timestamp|type)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_LONGEST_VERSION = 60
_LONGEST_WORDS = 300
_LONGEST_NAME = 200
_LONGEST_ATTRIBUTE = 200
_END_OF_LIFE = "org.flatpak.commit-metadata.ostree.endoflife"
_END_OF_LIFE_REBASE = "org.flatpak.commit-metadata.ostree.endoflife-rebase"


@dataclass(frozen=True)
class Image:
    """One image of a channel, for one architecture. Sizes are in bytes, None where the image doesn't tell."""

    ref: Ref
    architecture: str
    version: str
    digest: str
    repository: str
    download: int | None
    installed: int | None
    created: str


@dataclass(frozen=True)
class Channel:
    """A tag and a branch in which something is offered, with one image for each architecture.

    `remote` is the remote's name on a user's machine, `flatpakref` the path of the file in the site; `main` is the
    channel that an install button means.
    """

    tag: str
    branch: str
    remote: str
    images: tuple[Image, ...]
    flatpakref: str
    main: bool
    runtime_in: str | None = None
    """The tag that offers its runtime: its own, else another one; None: no index here does."""

    @property
    def version(self) -> str:
        """The version, where all architectures have the same; else empty."""
        found = {image.version for image in self.images}
        return found.pop() if len(found) == 1 else ""


@dataclass(frozen=True)
class EndOfLife:
    """That something is no longer maintained: in whose words, and what to use instead (an id), where that is known."""

    why: str
    successor: str = ""


@dataclass(frozen=True)
class Item:
    """An application, a runtime or an extension, with all channels that it is offered in, the main one first.

    `folder` is the name of its folder in the site. `kind` is `app`, `runtime` or `extension`. `icons` are the paths of
    icons in the site, by size in pixels.
    """

    id: str
    folder: str
    kind: str
    component: Component
    channels: tuple[Channel, ...]
    icons: tuple[tuple[int, str], ...] = ()
    metadata: str = ""
    """Flatpak's metadata, a key file, of the main channel's first image."""
    runtime: str = ""
    """`ID/ARCH/BRANCH` of the runtime, from the metadata; empty for a runtime."""
    end_of_life: EndOfLife | None = None
    changed: str = ""
    """When the newest image was made, as RFC 3339, or empty."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all of it."""
        return fingerprint(self)


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
    found: dict[tuple[str, str], dict[tuple[str, str], list[_Found]]] = defaultdict(lambda: defaultdict(list))
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
    return tuple(make.item(folders[key[1]], found[key]) for key in sorted(found))


def told_apart(identifiers: Iterable[str], first: Callable[[str], bool]) -> dict[str, str]:
    """The name of each one's folder: the id itself, unless it is very long, or another one differs in case alone.

    Not all file systems, and so not all targets, tell these apart, and a name can have 255 bytes, `.flatpakref` too.
    Of two the `first` keeps its name: nobody takes over somebody else's page.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for identifier in sorted(identifiers, key=lambda each: (not first(each), each)):
        name = identifier
        if len(name) > _LONGEST_NAME or name.lower() in taken:
            name = f"{identifier[:_LONGEST_NAME]}~{hashlib.sha256(identifier.encode()).hexdigest()[:16]}"
        found[identifier] = name
        taken.add(name.lower())
    return found


def offered(items: Iterable[Item], images: Mapping[str, Iterable[catalog.Image]]) -> Iterator[Offered]:
    """What is offered, as changes are told of it; without pages names and versions are unknown."""
    known = {
        (image.ref, image.digest): (image.version, item.component.name.get(DEFAULT, ""))
        for item in items
        for channel in item.channels
        for image in channel.images
    }
    for index, chosen in images.items():
        for image in chosen:
            version, name = known.get((flatpak.parse_ref(image.ref), image.digest), ("", ""))
            yield Offered(index, image.ref, image.digest, image.created, version, name)


def screenshots(items: Iterable[Item]) -> tuple[str, ...]:
    """The URLs of all screenshots, each once."""
    return tuple(dict.fromkeys(shot.url for item in items for shot in item.component.screenshots))


@dataclass(frozen=True)
class _Found:
    """An image that is offered, by its ref."""

    ref: Ref
    image: catalog.Image


def newest_version(text: str) -> str:
    """The version of the newest release in appdata; of those without a date the first; empty if there is none.

    It is looked for without parsing, since each architecture's image has an appdata of its own.
    """
    best: tuple[bool, str] | None = None
    version = ""
    for release in _RELEASE.finditer(text):
        given = {name: _unescaped(double or single) for name, double, single in _ATTRIBUTE.findall(release[1])}
        rank = (given.get("type") != "development", _day(given))
        if given.get("version") and (best is None or rank > best):
            best, version = rank, given["version"]
    return "".join(character for character in version if character.isprintable())[:_LONGEST_VERSION]


def _can_be_seen(text: str) -> bool:
    return any(unicodedata.category(each)[0] in "LNPS" and each not in _UNSEEN for each in text)


def _unescaped(value: str) -> str:
    """An attribute's value. What stands in a comment may hold references that no parser would take."""
    try:
        return html.unescape(value[:_LONGEST_ATTRIBUTE])
    except (ValueError, OverflowError):
        return ""


def _day(release: Mapping[str, str]) -> str:
    """The day of a release in a form that sorts."""
    seconds = release.get("timestamp", "")
    if seconds.isascii() and seconds.isdecimal() and len(seconds) < 12:
        return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
    return release.get("date", "")[:10]


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

    def item(self, folder: str, found: Mapping[tuple[str, str], list[_Found]]) -> Item:
        """One item, from its images by tag and branch."""
        order = sorted(found, key=self._preference)
        for tag, branch in order:
            found[tag, branch].sort(key=lambda each: each.ref.arch != "x86_64")
        main = found[order[0]][0]
        image, ref = main.image, main.ref
        metadata = image.metadata.get(flatpak.METADATA, "")
        return Item(
            id=ref.id,
            folder=folder,
            kind="app" if ref.kind == "app" else "extension" if "[ExtensionOf]" in metadata else "runtime",
            component=self._component(ref, image),
            channels=tuple(self._channel(place, folder, found[place], place == order[0]) for place in order),
            icons=self._labels.icons(image),
            metadata=metadata,
            runtime=_runtime(found[order[0]]),
            end_of_life=_end_of_life(image),
            changed=max(filter(day_of, (each.image.created for each in found[order[0]])), default=""),
        )

    def _preference(self, place: tuple[str, str]) -> tuple[bool, int, int, str]:
        """The main tag first, then the order of the configuration; the branches that most have before others."""
        tag, branch = place
        place_of_tag = (tag != self._main_tag, self._tags.get(tag, len(self._tags)))
        return (*place_of_tag, _BRANCHES.get(branch, len(_BRANCHES)), branch)

    def _offering(self, runtime: str, own_tag: str) -> str | None:
        """The tag that offers a runtime, its own tag first."""
        tags = (own_tag, *self._tags)
        return next((tag for tag in tags if f"runtime/{runtime}" in self._offered.get(tag, ())), None)

    def _channel(self, place: tuple[str, str], folder: str, found: Sequence[_Found], main: bool) -> Channel:
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
            version=newest_version(self._labels.appdata(found.image)),
            digest=found.image.digest,
            repository=found.image.repository,
            download=_whole(metadata.get("org.flatpak.download-size", "")),
            installed=_whole(metadata.get("org.flatpak.installed-size", "")),
            created=found.image.created,
        )

    def _component(self, ref: Ref, image: catalog.Image) -> Component:
        components = self._labels.components(image, self._languages)
        own = [each for each in components if each.id == ref.id]
        found = (own or list(components) or [Component(ref.id)])[0]
        names = {language: name for language, name in found.name.items() if _can_be_seen(name)}
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
