"""Checks of what stands in an index, each by what clients of one age or another do when they meet it."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from builder import flatpak, preview
from builder.appdata import reading
from builder.doctor.findings import Finding, finding
from builder.doctor.listing import Entry, Listing
from builder.doctor.seen import Site, Visit
from builder.doctor.tags import labels_of, meant_by
from builder.flatpak import OCI_ARCHITECTURES
from builder.oci import Malformed

_SIZES = ("org.flatpak.installed-size", "org.flatpak.download-size")


def _listings(site: Site) -> Iterator[tuple[Visit, Listing]]:
    """Each index once, though many queries are answered by it."""
    seen = set()
    for visit in site.visits:
        if visit.listing and visit.content not in seen:
            seen.add(visit.content)
            yield visit, visit.listing


def _images(site: Site) -> Iterator[tuple[str, Entry]]:
    """Each image of each index, with its place."""
    for visit, listing in _listings(site):
        for entry in listing.entries:
            yield f"{visit.where}: {entry.where}", entry


def frame(site: Site) -> Iterator[Finding]:
    """What clients insist on before they look at any image."""
    for visit, listing in _listings(site):
        if listing.registry is None:
            yield finding("registry-missing", visit.where, "the index has no `Registry`")
        elif not _resolves(visit.gzip.url, listing.registry):
            yield finding("registry-useless", visit.where, f"Registry is {listing.registry[:100]!r}")
        for key in listing.missing:
            yield finding("key-missing", visit.where, f"no `{key}`")
        for what in listing.strange:
            yield finding("part-malformed", visit.where, what)
        if not listing.entries:
            yield finding("index-empty", visit.where, "the index names no image")


def _resolves(url: str, registry: str) -> bool:
    try:
        found = urljoin(url, registry)
        return bool(registry) and bool(urlsplit(found).hostname) and found.startswith(("http://", "https://"))
    except ValueError:
        return False


def keys(site: Site) -> Iterator[Finding]:
    """What clients insist on in each image."""
    for where, entry in _images(site):
        for key in entry.missing:
            yield finding("key-missing", where, f"no `{key}`")
        for label in entry.odd_labels[:20]:
            yield finding("label-not-text", where, f"the value of {label} is not a string")
        if not entry.digest:
            continue
        if entry.digest.startswith("sha256:") and not re.fullmatch(r"[0-9a-fA-F]{64}", entry.digest[7:]):
            yield finding("digest-malformed", where, f"{entry.digest[:80]!r}")
        elif not entry.digest.startswith("sha256:"):
            yield finding("digest-unknown", where, f"{entry.digest[:80]!r}")


def refs(site: Site) -> Iterator[Finding]:
    """What each image says that it is."""
    for where, entry in _images(site):
        labels = labels_of(entry)
        if flatpak.REF not in labels:
            yield finding("ref-missing", where, f"{entry.digest[:80]} has no label {flatpak.REF}")
            continue
        try:
            ref = flatpak.parse_ref(labels[flatpak.REF])
        except Malformed as error:
            yield finding("ref-malformed", where, str(error))
            continue
        if entry.architecture and OCI_ARCHITECTURES.get(ref.arch, ref.arch) != entry.architecture:
            yield finding("ref-architecture", where, f"Architecture is {entry.architecture[:40]!r}")
        if flatpak.METADATA not in labels:
            yield finding("metadata-missing", where, f"no label {flatpak.METADATA}")
        for label in _SIZES:
            if label in labels and not re.fullmatch(r"[0-9]{1,19}", labels[label]):
                yield finding("size-malformed", where, f"{label} is {labels[label][:40]!r}")
        if flatpak.TOKEN_TYPE in labels and not _is_number(labels[flatpak.TOKEN_TYPE]):
            yield finding("token-malformed", where, f"{labels[flatpak.TOKEN_TYPE][:40]!r}")


def _is_number(value: str) -> bool:
    """Whether this is an int32 as a GVariant in base64."""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(data) == 6 and data.endswith(b"\0i")


def twice(site: Site) -> Iterator[Finding]:
    """Whether each ref is there once."""
    for visit, listing in _listings(site):
        counts = Counter(ref for entry in listing.entries if (ref := labels_of(entry).get(flatpak.REF)))
        for ref, number in counts.items():
            if number > 1:
                yield finding("ref-twice", f"{visit.where}: {ref[:200]}", f"{number} images have this ref")


def tags(site: Site) -> Iterator[Finding]:
    """Whether the answer is one for this tag."""
    for visit in site.visits:
        others = [
            entry
            for entry in (visit.listing.entries if visit.listing else ())
            if entry.tags and visit.tag not in entry.tags
        ]
        if others:
            told = f"{others[0].where} has the tags {', '.join(others[0].tags[:5])[:100]}"
            yield finding("other-tag", visit.where, f"{len(others)} images of other tags: {told}")
    yield from _ignored(site)


def _ignored(site: Site) -> Iterator[Finding]:
    """Whether clients send a tag to a server that doesn't heed it."""
    ignored = {visit.tag for visit in site.visits if visit.ignored}
    named = {site.named: "it"} if site.named else {}
    for file in (*site.repo_files, *site.ref_files):
        tag, sent = meant_by(site, (file.values or {}).get("Url", "")) or ("", False)
        if sent:
            named.setdefault(tag, file.url)
    for tag in sorted(ignored & set(named)):
        static = preview.dispatch_of(site.snapshot).default_tag if site.snapshot else "another tag"
        told = f"clients ask for #{tag}, as {named[tag]} names it, and get index/static, which is that of {static}"
        yield finding("other-tag", f"tag {tag}", told)


def old_clients(site: Site) -> Iterator[Finding]:
    """Whether clients up to 1.4, which read annotations, see anything."""
    seen = set()
    for visit, listing in _listings(site):
        entries = visit.annotations.entries if visit.annotations else ()
        if listing.entries and visit.tag not in seen and not any(flatpak.REF in each.annotations for each in entries):
            seen.add(visit.tag)
            yield finding("annotations-missing", f"tag {visit.tag}", "no ref stands in the images' Annotations")


def appdata(site: Site) -> Iterator[Finding]:
    """Whether software centres can read what is told of applications."""
    known: dict[str, str] = {}
    for where, entry in _images(site):
        labels = labels_of(entry)
        text = labels.get(flatpak.APPDATA)
        if text is None:
            if labels.get(flatpak.REF, "").startswith("app/"):
                yield finding("appdata-missing", where, f"no label {flatpak.APPDATA}")
            continue
        if text not in known:
            known[text] = reading.fault(text)
        if known[text]:
            yield finding("appdata-broken", where, known[text][:200])
