"""What a configuration says, as frozen values: paths are absolute, defaults are filled in, names are known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from builder import flatpak
from builder.dispatch import Dispatch

CONNECTIONS = 16
"""How many requests to a registry run at once."""

VALID_FOR = 14 * 86400
"""For how many seconds a signed snapshot is valid."""

GRACE = 7 * 86400
"""For how many seconds files that are named by their hash outlive their last mention."""

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
    runtime_repo: str = ""
    """The URL of the `.flatpakrepo` file of the remote that has the runtimes which this one lacks."""
    plain_host: bool = False
    """Whether the web server ignores query strings: then each tag is reached at a URL of its own."""

    def called(self, tag: str, main_tag: str) -> str:
        """The name by which users have a tag's index as a remote; the `.flatpakrepo` file is called so, too."""
        return self.name if tag == main_tag else f"{self.name}-{tag}"

    def address(self, tag: str, main_tag: str) -> str:
        """The `Url` by which clients reach a tag's index: byte for byte the same wherever it is written."""
        if self.plain_host:
            return f"oci+{self.url}" if tag == main_tag else f"oci+{self.url.rstrip('/')}/{tag}/"
        return f"oci+{self.url}" if tag == main_tag == "latest" else f"oci+{self.url}#{tag}"


class Screenshots(Enum):
    """What pages do with screenshots, which are pictures on other hosts."""

    LINK = "link"
    HOTLINK = "hotlink"
    MIRROR = "mirror"


@dataclass(frozen=True)
class Theme:
    """A site's own look; `accent` is a colour as `#rrggbb`, `links` are texts with their URLs."""

    accent: str = "#1c66d4"
    logo: Path | None = None
    links: tuple[tuple[str, str], ...] = ()
    footer: str = ""


@dataclass(frozen=True)
class Pages:
    """How the pages for people are written; the first of `languages` (BCP 47) is at `/`, each other at `/LANGUAGE/`."""

    languages: tuple[str, ...] = ("en",)
    templates: Path | None = None
    theme: Theme = Theme()
    screenshots: Screenshots = Screenshots.LINK
    picture_hosts: tuple[str, ...] = ()
    """Hosts in private networks that pictures may be fetched from; public ones always may."""


@dataclass(frozen=True)
class Rate:
    """At most `number` manifests in any `window` seconds."""

    number: int
    window: int


@dataclass(frozen=True)
class Access:
    """How a registry is asked: `connections` at once, with which login and certificates. Files are PEM or JSON."""

    connections: int = CONNECTIONS
    rate: Rate | None = None
    auth_file: Path | None = None
    ca: Path | None = None
    cert: tuple[Path, Path | None] | None = None
    """A client certificate, and its key where that is a file of its own."""
    auth_realms: tuple[str, ...] = ()
    """Token services, beside the registry's own, that the login may be sent to."""


@dataclass(frozen=True)
class RegistrySource:
    """A registry; `public` is what the indexes name as `Registry`, `repositories` and `exclude` are globs.

    `max_stale` is in seconds: how long the images of what can't be read are kept; None: for ever.
    """

    name: str
    registry: str
    public: str
    repositories: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    token: Token = Token.AS_IMAGE
    access: Access = Access()
    max_stale: int | None = None

    def takes(self, repository: str) -> bool:
        """Whether the source has this repository."""
        return any(fnmatchcase(repository, pattern) for pattern in self.repositories) and not any(
            fnmatchcase(repository, pattern) for pattern in self.exclude
        )

    def rank(self, repository: str) -> int:
        """The place in `repositories` that matches: a smaller one is preferred."""
        return next(number for number, pattern in enumerate(self.repositories) if fnmatchcase(repository, pattern))


@dataclass(frozen=True)
class LayoutSource:
    """OCI layouts on disk; `layouts` are absolute glob patterns, `tag` is for images that bring none."""

    name: str
    layouts: tuple[str, ...]
    tag: str = "latest"
    token: Token = Token.NONE
    public: str = HERE
    max_stale: int | None = None

    def takes(self, repository: str) -> bool:
        """Whether the source may have this repository: only its folders tell."""
        return True

    def rank(self, repository: str) -> int:
        """All are equal."""
        return 0


@dataclass(frozen=True)
class MirrorSource:
    """What was fetched of another site, and lies in `folder`: its list is the snapshot `of`, with its `version`.

    `partial` tells that some of its images were not taken; of its `tags` only these were (none named: all).
    """

    name: str
    folder: Path
    of: str
    version: int
    partial: bool
    tags: tuple[str, ...] = ()
    token: Token = Token.NONE
    public: str = HERE
    max_stale: int | None = None

    def takes(self, repository: str) -> bool:
        """Whether the source may have this repository: only what was fetched tells."""
        return True

    def rank(self, repository: str) -> int:
        """All are equal."""
        return 0


Source = RegistrySource | LayoutSource | MirrorSource


def is_glob(pattern: str) -> bool:
    """Whether this is a pattern, not a name."""
    return any(character in pattern for character in "*?[")


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
    max_shrink: int = 20
    """How many of a hundred refs a build may take away."""


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
class Mirror:
    """What to copy, from where. `only` are patterns of ids or refs; nothing said of tags or architectures: all.

    `trusted_keys` are lines such as `ssh-ed25519 AAAA..`; `mounts` is the well-known folder to look for on mounted file
    systems, and `discover` for how many seconds to listen on the LAN; empty and 0: not at all.
    """

    sources: tuple[str, ...]
    only: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    dependencies: bool = True
    trusted_keys: tuple[str, ...] = ()
    remote_id: str = ""
    sources_folder: Path | None = None
    mounts: str = ""
    discover: int = 0
    parallel: int = 8
    own: Mapping[str, Any] = field(default_factory=dict)
    """What the configuration says of `remote` and of pages, validated: it comes before what the list says."""


@dataclass(frozen=True)
class Signing:
    """Which keys sign each snapshot, and for how many seconds it is valid then."""

    keys: tuple[Path, ...]
    valid_for: int = VALID_FOR


@dataclass(frozen=True)
class Config:
    """A whole configuration."""

    file: Path
    store: Path
    remote: Remote | None
    sources: tuple[Source, ...]
    indexes: tuple[Index, ...]
    variants: tuple[Variant, ...]
    dispatch: Dispatch
    tag_folders: Mapping[str, str]
    """For hosts that ignore query strings: a tag, which is a folder of the site too, to its variant's `file`."""
    publishing: Mapping[str, Any]
    """How and where snapshots go, as the sync side reads it: `targets`, `keep`, `hooks`, `doctor`, .."""
    icons: Icons = Icons()
    cache: Cache = Cache()
    grace: int = GRACE
    pages: Pages | None = None
    """None: a site without pages."""
    sign: Signing | None = None
    mirror: Mirror | None = None
    """For a copy of another site; sources, indexes and so on are known when that site's list is."""

    @property
    def folder(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.file.parent

    @property
    def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """The validated settings of each target by its name."""
        found: Mapping[str, Mapping[str, Any]] = self.publishing.get("targets", {})
        return found

    def index(self, name: str) -> Index:
        """The index called `name`."""
        return next(index for index in self.indexes if index.name == name)

    def source(self, name: str) -> Source:
        """The source called `name`."""
        return next(source for source in self.sources if source.name == name)

    def labels_of(self, source: Source) -> frozenset[str]:
        """The labels and annotations of a source's images that indexes carry, or look at."""
        required = (label for index in self.indexes if source.name in index.sources for label in index.required_labels)
        return frozenset((*flatpak.INDEX_LABELS, flatpak.COMMIT_METADATA, *required))

    def tags_of(self, source: Source) -> frozenset[str]:
        """The tags that indexes take from a source."""
        return frozenset(tag for index in self.indexes if source.name in index.sources for tag in index.tags)
