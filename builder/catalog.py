"""What was found in the sources, and which of it an index takes: pure decisions, the same in any order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from builder import flatpak
from builder.config import Index
from builder.oci import Descriptor, Malformed

_PASSING = frozenset(("digest-mismatch", "missing-blob", "no-such-repository", "not-a-layout", "size-mismatch"))
_OLDEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Skip:
    """An image left out, or something of it: a stable code, where it stands, and why in a sentence."""

    source: str
    repository: str
    reference: str
    code: str
    why: str

    @property
    def act(self) -> bool:
        """Whether an admin should do something about it."""
        return self.code not in ("not-a-flatpak", "attestation", "duplicate-ref", "icon-rejected")

    @property
    def lasting(self) -> bool:
        """Whether it follows from the content of what has a digest: asking again would give it again."""
        return self.code not in _PASSING


@dataclass(frozen=True, order=True)
class Failure:
    """A source, or one repository of it, that could not be read: what it held is to be kept.

    `repository` is empty for all of the source; `code` tells the kinds of failure apart; `why` is a sentence.
    """

    source: str
    repository: str
    code: str
    why: str


@dataclass(frozen=True)
class Image:
    """One image of a repository: what an index needs of its manifest and config.

    `rank` is the place of its repository in its source's configuration. `blobs` are the files, by descriptor, that
    become part of the site; an image that stays in a registry has none.
    """

    source: str
    repository: str
    tags: frozenset[str]
    digest: str
    media_type: str
    os: str
    architecture: str
    created: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    rank: int = 0
    blobs: tuple[tuple[Descriptor, Path], ...] = ()
    names_type: bool = True
    """Whether the manifest itself says its media type."""
    kept: bool = False
    """Whether this is what an earlier build read, since nothing could be read now."""

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """Labels and annotations as one: some builders write the one, some the other, some both."""
        return {**self.annotations, **self.labels}

    @property
    def ref(self) -> str:
        """The Flatpak ref as written; empty for an image that is no Flatpak."""
        return self.metadata.get(flatpak.REF, "")


@dataclass(frozen=True)
class Catalog:
    """Images, each of a repository once, what was left out, and what could not be read."""

    images: tuple[Image, ...] = ()
    skips: tuple[Skip, ...] = ()
    failures: tuple[Failure, ...] = ()


def collected(found: Iterable[Image | Skip | Failure]) -> Catalog:
    """A catalog in a fixed order; an image found under several tags becomes one that has them all."""
    images: dict[tuple[str, str, str], Image] = {}
    skips: set[Skip] = set()
    failures: set[Failure] = set()
    for item in found:
        if isinstance(item, Skip):
            skips.add(item)
            continue
        if isinstance(item, Failure):
            failures.add(item)
            continue
        key = (item.source, item.repository, item.digest)
        known = images.get(key)
        images[key] = replace(item, tags=item.tags | known.tags) if known else item
    return Catalog(tuple(images[key] for key in sorted(images)), tuple(sorted(skips)), tuple(sorted(failures)))


def choose(catalog: Catalog, index: Index) -> Catalog:
    """The images that `index` takes, exactly one for each ref, in the order of repository, ref and digest.

    Of several images with one ref the first counts by: the order of the index's sources, the order of the source's
    repositories, the newest `created`, the greatest digest. The others are skips.
    """
    images: list[Image] = []
    skips: list[Skip] = []
    for image in _candidates(catalog.images, index):
        fault = _fault(image, index)
        if fault:
            skips.append(fault)
        else:
            images.append(image)
    by_ref: dict[str, Image] = {}
    for image in sorted(images, key=lambda image: _preference(image, index), reverse=True):
        winner = by_ref.setdefault(image.ref, image)
        if winner is not image:
            why = f"{image.ref} is taken from {winner.repository}@{winner.digest} in the index {index.name}"
            skips.append(_skip(image, "duplicate-ref", why))
    chosen = sorted(by_ref.values(), key=lambda image: (image.repository, image.ref, image.digest))
    return Catalog(tuple(chosen), tuple(sorted(skips)))


def _candidates(images: Iterable[Image], index: Index) -> Iterator[Image]:
    for image in images:
        if image.source in index.sources and not image.tags.isdisjoint(index.tags):
            # What is the same need not be looked through again.
            yield image if image.tags.issubset(index.tags) else replace(image, tags=image.tags.intersection(index.tags))


def _preference(image: Image, index: Index) -> tuple[int, int, datetime, str]:
    """Greater is better."""
    return (-index.sources.index(image.source), -image.rank, _moment(image.created), image.digest)


def _moment(created: str) -> datetime:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return _OLDEST
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fault(image: Image, index: Index) -> Skip | None:
    metadata = image.metadata
    if flatpak.REF not in metadata:
        return _skip(image, "not-a-flatpak", f"no label {flatpak.REF}")
    missing = [label for label in index.required_labels if label not in metadata]
    if missing and not image.kept:  # of what is kept only those labels are known that clients read
        return _skip(image, "label-missing", f"no label {missing[0]}, which the index {index.name} requires")
    try:
        ref = flatpak.parse_ref(image.ref)
    except Malformed as error:
        return _skip(image, "bad-ref", str(error))
    expected = flatpak.OCI_ARCHITECTURES.get(ref.arch, image.architecture)
    if image.architecture != expected:
        why = f"{image.ref} in an image for {image.architecture!r:.40}: clients of both would get it wrong"
        return _skip(image, "architecture-mismatch", why)
    if not metadata.get(flatpak.METADATA):
        return _skip(image, "no-metadata", f"no label {flatpak.METADATA}: clients would ignore the image")
    if flatpak.COMMIT_METADATA in metadata:
        text = flatpak.commit_metadata_text(metadata[flatpak.COMMIT_METADATA])
        if text != metadata[flatpak.METADATA]:
            why = f"{flatpak.METADATA} and {flatpak.COMMIT_METADATA} differ: no client could install it"
            return _skip(image, "metadata-mismatch", why)
    return None


def _skip(image: Image, code: str, why: str) -> Skip:
    return Skip(image.source, image.repository, image.digest, code, why)
