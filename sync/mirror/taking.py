"""What a mirror takes of a list: index files, the images that were chosen, and the objects that these consist of."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder import flatpak, mirrored, oci
from builder.catalog import Image
from builder.config import Mirror, MirrorSource
from builder.copied import FOLDER
from builder.description import FileEntry, Snapshot
from builder.errors import FlatdexError
from builder.flatpak import parse_ref
from builder.oci import Malformed, Manifest
from builder.screenshots.shots import known_to
from builder.sources.mirrored import images, index_files, understood, unpacked
from sync.mirror.model import Wanted
from sync.mirror.select import Choice, Offer, Selected, selected

Find = Callable[[str], Path | None]
"""An object by its sha256; None while it is nowhere."""

_THEIRS = "Whoever runs the remote that is mirrored should look at this image."
_URL = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True)
class Taking:
    """A list and the configuration's choice; `find` gives an object's file by its sha256, once it is there."""

    snapshot: Snapshot
    mirror: Mirror
    find: Find

    @property
    def choice(self) -> str:
        """A text that is the same as long as the same is asked for."""
        asked = (
            *(self.mirror.only, self.mirror.architectures, self.mirror.tags, self.mirror.dependencies),
            *(self._shows_pictures, self._shows_logo),
        )
        return hashlib.sha256(repr(asked).encode("utf-8")).hexdigest()

    @cached_property
    def _source(self) -> MirrorSource:
        snapshot = self.snapshot
        return MirrorSource(mirrored.SOURCE, Path(FOLDER), snapshot.id, snapshot.version, False, self.mirror.tags)

    @property
    def _shows_pages(self) -> bool:
        return self.mirror.own.get("pages") is not False and self.snapshot.document.get("pages") is not None

    @property
    def _shows_pictures(self) -> bool:
        """Whether the copy's pages show screenshots as files of the site."""
        listed = self.snapshot.document.get("pages")
        said = listed.get("screenshots") if isinstance(listed, dict) else ""
        own = self.mirror.own.get("screenshots", said)
        return self._shows_pages and (own["mode"] if isinstance(own, dict) else own) == "mirror"

    @property
    def _shows_logo(self) -> bool:
        return self._shows_pages and "theme" not in self.mirror.own

    def lists(self) -> list[Wanted]:
        """The index files, compressed: what comes first."""
        with understood(self.snapshot, mirrored.SOURCE):
            by_path = self.snapshot.by_path
            packed = [by_path[f"{entry.path}.gz"] for entry in index_files(self.snapshot, self.mirror.tags)]
            tags = ", ".join(tag for index in self.snapshot.document["indexes"] for tag in index["tags"])
        if not packed:
            wanted = f" with the tags {', '.join(self.mirror.tags)}" if self.mirror.tags else ""
            raise FlatdexError(f"the remote has no index{wanted}", f"It has: {tags or 'nothing'}.")
        return [Wanted(entry.sha256, entry.size) for entry in packed]

    @cached_property
    def offered(self) -> dict[Offer, Image]:
        """All images that the list offers with these tags."""
        found = images(self.snapshot, self._source, None, self._read_index)
        with understood(self.snapshot, mirrored.SOURCE):
            told = self.snapshot.document["images"]
            by_key = {(image.repository, image.digest): image for image in found if _is_good(image)}
            keys = ((each["index"], (each["repository"], each["digest"])) for each in told)
            return {_offer(by_key[key], index): by_key[key] for index, key in keys if key in by_key}

    @cached_property
    def selected(self) -> Selected:
        """What is taken of it. Raises FlatdexError if that is nothing."""
        choice = Choice(self.mirror.only, self.mirror.architectures, self.mirror.dependencies)
        found = selected(self.offered, choice)
        if not found.offers:
            what = f"the remote has nothing that fits {', '.join(self.mirror.only)}" if self.mirror.only else ""
            what = what or f"the remote has nothing for {', '.join(self.mirror.architectures) or 'anybody'}"
            raise FlatdexError(what, "An empty mirror is not made by accident: look at `only` and `architectures`.")
        return found

    @property
    def keys(self) -> frozenset[tuple[str, str]]:
        """The repository and digest of each image that is taken."""
        return frozenset((each.repository, each.digest) for each in self.selected.offers)

    @property
    def partial(self) -> bool:
        """Whether some of the list's images are not taken."""
        return len(self.keys) < len({(each["repository"], each["digest"]) for each in self.snapshot.document["images"]})

    def manifests(self) -> list[Wanted]:
        """The manifests of the images."""
        sizes = {entry.sha256: entry.size for entry in self.snapshot.files}
        hexes = ((repository, digest.removeprefix("sha256:")) for repository, digest in sorted(self.keys))
        return [Wanted(sha256, sizes.get(sha256), repository, is_manifest=True) for repository, sha256 in hexes]

    def objects(self) -> list[Wanted]:
        """Everything else: configs, layers, icons, screenshots, the logo; once the manifests are there."""
        found: dict[str, Wanted] = {}
        for each in (*self._blobs(), *(Wanted(entry.sha256, entry.size) for entry in self._files())):
            found.setdefault(each.sha256, each)
        return list(found.values())

    def _blobs(self) -> Iterator[Wanted]:
        for repository, digest in sorted(self.keys):
            file = self.find(digest.removeprefix("sha256:"))
            if file is None:
                raise FlatdexError(f"the manifest {digest} of {repository} is not in the store")
            try:
                manifest = oci.parse_manifest(file.read_bytes())
            except Malformed as error:
                raise FlatdexError(f"the manifest {digest} of {repository}: {error}", _THEIRS) from error
            if not isinstance(manifest, Manifest):
                raise FlatdexError(f"{digest} of {repository} is no image, but a list of images", _THEIRS)
            for blob in (manifest.config, *manifest.layers):
                yield Wanted(blob.hex, blob.size, repository)

    def _files(self) -> Iterator[FileEntry]:
        yield from self._icons()
        if self._shows_pictures:
            yield from self._pictures(self.offered[offer] for offer in self.selected.offers)
        logo = mirrored.logo_of(self.snapshot) if self._shows_logo else ""
        yield from (entry for entry in self.snapshot.files if logo and entry.sha256 == logo)

    def _icons(self) -> Iterator[FileEntry]:
        """The icons that the index names for the images, as files."""
        asked: list[FileEntry] = []

        def read(entry: FileEntry) -> bytes:
            if entry.path.endswith(".png"):
                asked.append(entry)
                return b""
            return self._read_index(entry)

        images(self.snapshot, self._source, self.keys, read)
        yield from asked

    def _pictures(self, chosen: Iterable[Image]) -> Iterator[FileEntry]:
        known = known_to(self.snapshot)
        by_hash = {entry.sha256: entry for entry in self.snapshot.files} if known else {}
        for image in chosen if known else ():
            for url in _URL.findall(image.metadata.get(flatpak.APPDATA, "")):
                shot = known.get(html.unescape(url))
                for picture in (shot.full, shot.small) if shot else ():
                    if picture.sha256 in by_hash:
                        yield by_hash[picture.sha256]

    def _read_index(self, entry: FileEntry) -> bytes:
        """An index file, unpacked; nothing in place of an icon, which is not there yet."""
        packed = self.snapshot.by_path.get(f"{entry.path}.gz")
        file = self.find(packed.sha256) if packed else None
        return unpacked(file.read_bytes(), entry.size) if file else b""


def _is_good(image: Image) -> bool:
    try:
        parse_ref(image.ref)
    except Malformed:
        return False
    return True


def _offer(image: Image, index: str) -> Offer:
    ref, metadata = parse_ref(image.ref), image.metadata.get(flatpak.METADATA, "")
    return Offer(index, ref, image.repository, image.digest, image.architecture, metadata)
