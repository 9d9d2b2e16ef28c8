"""Which tag a URL in a file means to clients, and what the index of that tag offers."""

from __future__ import annotations

from collections.abc import Iterator

from builder import flatpak, preview
from builder.doctor.listing import Entry, Listing
from builder.doctor.place import INDEX, below, named_by
from builder.doctor.seen import Site, Visit
from builder.flatpak import Ref
from builder.oci import Malformed
from builder.variants import FALLBACK_TAG


def known_tags(site: Site) -> tuple[str, ...]:
    """Those that were looked at, and those that the remote says it has."""
    return tuple(dict.fromkeys((*site.tags, *own_tags(site))))


def own_tags(site: Site) -> tuple[str, ...]:
    """Those that the remote says it has."""
    return preview.dispatch_of(site.snapshot).tags if site.snapshot else ()


def meant_by(site: Site, value: str) -> tuple[str, bool] | None:
    """The tag that clients get for a `Url` entry, and whether it stands in the query that they send.

    Else it has a URL of its own, for hosts that ignore queries. None: it is no URL of this remote.
    """
    named, fragment = (named_by(value) or "").rstrip("/"), value.partition("#")[2]
    root = site.public.rstrip("/")
    if named == root:
        default = preview.dispatch_of(site.snapshot).default_tag if site.snapshot else FALLBACK_TAG
        return fragment or (FALLBACK_TAG if FALLBACK_TAG in known_tags(site) else default), bool(fragment)
    return next(((tag, False) for tag in known_tags(site) if named == f"{root}/{tag}"), None)


def visits_of(site: Site, tag: str) -> Iterator[Visit]:
    """Those that should have got the index of this tag, and did not get another one's."""
    root = below(site.url, INDEX)
    for visit in site.visits:
        misled = visit.ignored and visit.gzip.url.partition("?")[0] == root
        if visit.tag == tag and not misled:
            yield visit


def listings_of(site: Site, tag: str) -> Iterator[tuple[Visit, Listing]]:
    """Each index of a tag once."""
    seen = set()
    for visit in visits_of(site, tag):
        if visit.listing and visit.content not in seen:
            seen.add(visit.content)
            yield visit, visit.listing


def is_known(site: Site, tag: str) -> bool:
    """Whether all that the tag offers was seen."""
    visits = list(visits_of(site, tag))
    return bool(visits) and all(visit.listing for visit in visits) and not site.narrowed


def offered(site: Site, tag: str) -> set[Ref]:
    """What stands in the tag's indexes."""
    found = (ref_of(entry) for _, listing in listings_of(site, tag) for entry in listing.entries)
    return {ref for ref in found if ref}


def ref_of(entry: Entry) -> Ref | None:
    """What an image is, as clients read it; None if that is nothing."""
    try:
        return flatpak.parse_ref(labels_of(entry).get(flatpak.REF, ""))
    except Malformed:
        return None


def labels_of(entry: Entry) -> dict[str, str]:
    """As clients read them: those of 1.4 and before have only annotations, newer ones prefer labels."""
    return {**entry.annotations, **entry.labels}
