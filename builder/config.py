"""What a configuration says, as frozen values: paths are absolute, defaults are filled in, names are known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from builder.dispatch import Dispatch

HERE = "../"
"""The site itself, as seen from an index: the `Registry` of images whose blobs are files of the site."""


class Token(Enum):
    """Whether clients ask for a token before they pull."""

    AS_IMAGE = "as the image says"
    NONE = "none"
    REQUIRED = "required"


class Form(Enum):
    """Where an index file carries an image's metadata."""

    LABELS = "labels"
    ANNOTATIONS = "annotations"
    BOTH = "both"


@dataclass(frozen=True)
class Remote:
    """The remote as its users see it."""

    name: str
    title: str
    url: str
    id: str
    comment: str = ""
    description: str = ""
    homepage: str = ""
    icon: str = ""


@dataclass(frozen=True)
class RegistrySource:
    """A registry; `public` is what the indexes name as `Registry`, `repositories` and `exclude` are globs."""

    name: str
    registry: str
    public: str
    repositories: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    token: Token = Token.AS_IMAGE


@dataclass(frozen=True)
class LayoutSource:
    """OCI layouts on disk; `layouts` are absolute glob patterns, `tag` is for images that bring none."""

    name: str
    layouts: tuple[str, ...]
    tag: str = "latest"
    token: Token = Token.NONE
    public: str = HERE


Source = RegistrySource | LayoutSource


@dataclass(frozen=True)
class Index:
    """A choice of images: those of `sources`, in that order, that have one of `tags` and all of `required_labels`."""

    name: str
    sources: tuple[str, ...]
    tags: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    required_labels: tuple[str, ...] = ("org.flatpak.ref",)
    extract_icons: bool = True
    annotations: bool = False


@dataclass(frozen=True)
class Variant:
    """One index file, `index/FILE.json`: an index, cut down to some architectures (none named: all), in one form."""

    file: str
    index: str
    architectures: tuple[str, ...] = ()
    form: Form = Form.LABELS

    def takes(self, architecture: str) -> bool:
        """Whether images of this architecture are in the file."""
        return not self.architectures or architecture in self.architectures


@dataclass(frozen=True)
class Icons:
    """The folder of a site in which icons lie, and the URL of that folder as written into an index."""

    folder: str = "icons"
    url: str = "../icons/"


@dataclass(frozen=True)
class Cache:
    """The lifetimes, in seconds, that a web server sends; 0 means: ask each time."""

    index: int = 0
    icons: int = 365 * 86400


@dataclass(frozen=True)
class Config:
    """A whole configuration. `targets` are the validated settings by name, as the sync side reads them."""

    file: Path
    store: Path
    remote: Remote | None
    sources: tuple[Source, ...]
    indexes: tuple[Index, ...]
    variants: tuple[Variant, ...]
    dispatch: Dispatch
    tag_folders: Mapping[str, str]
    """For hosts that ignore query strings: a tag, which is a folder of the site too, to its variant's `file`."""
    targets: Mapping[str, Mapping[str, str]]
    icons: Icons = Icons()
    cache: Cache = Cache()

    @property
    def folder(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.file.parent

    def index(self, name: str) -> Index:
        """The index called `name`."""
        return next(index for index in self.indexes if index.name == name)

    def source(self, name: str) -> Source:
        """The source called `name`."""
        return next(source for source in self.sources if source.name == name)
