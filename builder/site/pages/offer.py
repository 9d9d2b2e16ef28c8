"""What a remote offers, application by application: all that its pages tell, put together from its images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from builder import catalog, flatpak
from builder.appdata.components import DEFAULT, Component
from builder.changes import Offered
from builder.flatpak import Ref
from builder.site.pages.memory import fingerprint


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
        """A hash that is another one for another item: all that an image says is in its digest."""
        digests = tuple(tuple(image.digest for image in channel.images) for channel in self.channels)
        places = tuple((each.tag, each.branch, each.flatpakref, each.runtime_in, each.main) for each in self.channels)
        return fingerprint((self.folder, self.kind, self.icons, digests, places))


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
