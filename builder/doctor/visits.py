"""Asks for an index in all the ways that clients of all ages do: packed and plain, new and known, turned round."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field, replace

from builder.doctor.asking import Asker, Question
from builder.doctor.listing import Entry, Listing, parse
from builder.doctor.place import query
from builder.doctor.seen import LARGEST_INDEX, Answer, Visit, unpacked
from builder.oci import Malformed

_SHOWN = 2000  # bytes of an answer that are kept to tell what it is


@dataclass
class Library:
    """Indexes that were read already, by the sha256 of their bytes: many queries have one answer."""

    listings: dict[str, Listing] = field(default_factory=dict)

    def read(self, data: bytes) -> tuple[str, Listing]:
        """The sha256, and the index. Raises Malformed."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self.listings:
            found = parse(data)
            self.listings[name] = replace(found, entries=tuple(map(_shared, found.entries)))
        return name, self.listings[name]


def _shared(entry: Entry) -> Entry:
    """With texts that are kept once, in however many indexes they stand."""
    labels, annotations = (
        {name: sys.intern(text) for name, text in each.items()} for each in (entry.labels, entry.annotations)
    )
    return replace(entry, labels=labels, annotations=annotations)


def visit(asker: Asker, index: str, tag: str, architecture: str, library: Library) -> Visit:
    """What the remote answers for one tag and architecture."""
    url = f"{index}?{query(tag, architecture)}"
    packed = asker.ask(Question(url, LARGEST_INDEX, "gzip"))
    nothing = Visit(tag, architecture, _shortened(packed), Answer(url))
    if not packed.good:
        return replace(nothing, fault=packed.told)
    try:
        content, listing = library.read(_plain(packed))
    except Malformed as error:
        return replace(nothing, fault=str(error))
    plain = asker.ask(Question(url, LARGEST_INDEX, "identity", kept=False))
    if plain.good and plain.header("content-encoding"):
        plain = asker.ask(Question(url, LARGEST_INDEX, "identity"))
    turned = asker.ask(Question(f"{index}?{query(tag, architecture, turned=True)}", LARGEST_INDEX, "gzip"))
    old = asker.ask(Question(f"{index}?{query(tag, architecture, 'annotation')}", LARGEST_INDEX, "gzip"))
    return Visit(
        tag,
        architecture,
        _shortened(packed),
        _shortened(plain),
        listing,
        again=tuple(_again(asker, url, packed) for _ in range(2)),
        kept_gzip=_known(asker, url, packed, "gzip"),
        kept_plain=_known(asker, url, plain, "identity"),
        turned=_shortened(turned),
        turned_same=turned.sha256 == packed.sha256 or _same(turned, content),
        plain_same=_same(plain, content),
        annotations=_old(old, library),
        content=content,
    )


def _again(asker: Asker, url: str, first: Answer) -> Answer:
    """The same answer once more; its body only where the ETag is another one: is it still the same file?"""
    glance = asker.ask(Question(url, 0, "gzip", kept=False))
    if glance.header("etag") == first.header("etag"):
        return glance
    return asker.ask(Question(url, LARGEST_INDEX, "gzip", kept=False))


def _known(asker: Asker, url: str, answer: Answer, encoding: str) -> Answer | None:
    """The answer to a client that has the file already; None if it has nothing to tell it by."""
    etag, since = answer.header("etag"), answer.header("last-modified")
    if not answer.good or not (etag or since):
        return None
    return asker.ask(Question(url, LARGEST_INDEX, encoding, etag=etag, since="" if etag else since, kept=False))


def _plain(answer: Answer) -> bytes:
    """The index as it was packed. Raises Malformed, with what is in the way of reading it."""
    encoding = answer.header("content-encoding").strip().lower()
    if answer.plain is None:
        if encoding != "gzip":
            raise Malformed(f"Content-Encoding is {encoding[:40]!r}, where clients asked for gzip")
        raise Malformed(unpacked(answer.body)[1])
    if answer.body[:2] == b"\x1f\x8b" and not encoding and unpacked(answer.body)[0] is not None:
        raise Malformed("packed with gzip, without a Content-Encoding that says so")
    return answer.plain


def _same(answer: Answer, content: str) -> bool:
    if answer.good and not answer.header("content-encoding"):
        return answer.sha256 == content
    return answer.good and answer.plain is not None and hashlib.sha256(answer.plain).hexdigest() == content


def _old(answer: Answer, library: Library) -> Listing | None:
    try:
        return library.read(_plain(answer))[1] if answer.good else None
    except Malformed:
        return None


def _shortened(answer: Answer) -> Answer:
    """Enough to tell what it is."""
    return replace(answer, body=(answer.plain or answer.body)[:_SHOWN])
