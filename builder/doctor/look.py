"""Looks around a remote: asks all that clients would ask, and hands back what was seen. It judges nothing."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from builder import preview
from builder.description import DESCRIPTION, Invalid, Snapshot, parse
from builder.doctor import images, keyfiles, visits
from builder.doctor.asking import Asker, Question
from builder.doctor.listing import check_parts
from builder.doctor.place import INDEX, Place, below, query
from builder.doctor.seen import LARGEST_INDEX, Address, Answer, KeyFile, Site, Visit
from builder.doctor.wish import Wish
from builder.errors import FlatdexError
from builder.flatpak import OCI_ARCHITECTURES
from builder.oci import Malformed
from builder.sources import addresses
from builder.sources.auth import origin_of
from builder.sources.tls import BadCertificateError, Tls

FALLBACK_TAG = "latest"
_LARGEST_PAGE = 2 * 1024 * 1024
_LARGEST_KEY_FILE = 1024 * 1024
_MOST_TAGS = 50
_MOST_ARCHITECTURES = 12

Progress = Callable[[str], Callable[[int, int], None]]


def look(wish: Wish, progress: Progress) -> Site:
    """All that is to be seen. Raises FlatdexError if the wish itself can't be met."""
    tls = Tls((wish.ca,) if wish.ca else ())
    try:
        with Asker(wish.seconds, tls, patience=wish.patience) as asker:
            return _seen(asker, wish, tls, progress)
    except BadCertificateError as error:
        raise FlatdexError(str(error), "Look at --ca.") from error


def _seen(asker: Asker, wish: Wish, tls: Tls, progress: Progress) -> Site:
    place = wish.place
    snapshot, fault = _described(asker, place)
    tags = _tags(wish, snapshot)
    found = tuple(_visits(asker, wish, tags, snapshot, progress("asking for indexes")))
    site = Site(place.url, wish.public or place.url, tags, found, snapshot=snapshot, snapshot_fault=fault)
    front = _kept(asker.ask(Question(below(place.url, ""), _LARGEST_PAGE)))
    repo_files = tuple(_repo_files(asker, wish, snapshot, front))
    if not site.answered:
        registry = asker.ask(Question(below(place.url, "v2/"), _LARGEST_PAGE))
        site = replace(site, registry=registry)
    sample = images.sample(found, wish.sample)
    site = replace(
        site,
        front=front,
        repo_files=repo_files,
        ref_files=tuple(_ref_files(asker, wish, snapshot)),
        icons=tuple(images.icons(asker, sample, progress("asking for icons"))),
        pulls=tuple(images.pulls(sample, wish, tls, progress("pulling images"))),
        registries=tuple(dict.fromkeys(each.registry for each in sample)),
        addresses=tuple(_addresses(wish, found, snapshot, tls)),
        certificate=asker.certificates.get(origin_of(place.url)),
        now=time.time(),
    )
    again = _described(asker, place)[0] if snapshot else None
    return replace(site, flipped=bool(snapshot and again and again.id != snapshot.id))


def _described(asker: Asker, place: Place) -> tuple[Snapshot | None, str]:
    """What the remote says of itself, if flatdex made it; what is wrong with that."""
    answer = asker.ask(Question(below(place.url, DESCRIPTION), LARGEST_INDEX))
    data = answer.plain or b""
    if not answer.good or data.lstrip()[:1] != b"{":
        return None, ""
    try:
        check_parts(data)
        return parse(data), ""
    except (Invalid, Malformed) as error:
        return None, str(error)


def _tags(wish: Wish, snapshot: Snapshot | None) -> tuple[str, ...]:
    if wish.tags:
        return wish.tags
    dispatch = preview.dispatch_of(snapshot) if snapshot else None
    first = wish.place.tag or (dispatch.default_tag if dispatch else FALLBACK_TAG)
    others = dispatch.tags if dispatch and not wish.place.tag else ()
    return tuple(dict.fromkeys((first, *others)))[:_MOST_TAGS]


def _visits(
    asker: Asker, wish: Wish, tags: tuple[str, ...], snapshot: Snapshot | None, tell: Callable[[int, int], None]
) -> Iterator[Visit]:
    """One for each tag and architecture; what an answer has of others is asked for, too."""
    library = visits.Library()
    machine = platform.machine()
    dispatch = preview.dispatch_of(snapshot) if snapshot else None
    routed = sorted({route.architecture for route in dispatch.routes} - {""}) if dispatch else []
    wanted = list(wish.architectures or dict.fromkeys((OCI_ARCHITECTURES.get(machine, machine), *routed)))
    done = 0
    for tag in tags:
        todo, index = list(wanted), wish.place.index
        for architecture in todo:  # grows while answers name more
            tell(done, max(done + 1, len(tags) * len(todo)))
            visit = visits.visit(asker, index, tag, architecture, library)
            if snapshot and index == wish.place.index and _is_deaf(visit, snapshot):
                index = below(wish.place.url, f"{tag}/{INDEX}")
                visit = visits.visit(asker, index, tag, architecture, library)
            done += 1
            yield visit
            if visit.listing and not wish.architectures:
                here = sorted({entry.architecture for entry in visit.listing.entries} - {"", *todo})
                todo += [each for each in here if each.isalnum()][: _MOST_ARCHITECTURES - len(todo)]


def _is_deaf(visit: Visit, snapshot: Snapshot) -> bool:
    """Whether the server ignored the query, so that this tag is reached at a URL of its own, which there is."""
    files, name = snapshot.by_path, preview.dispatch_of(snapshot).answer(query(visit.tag, visit.architecture))
    static, wanted, own = (files.get(path) for path in (INDEX, f"index/{name}.json", f"{visit.tag}/{INDEX}"))
    others = visit.listing and any(each.tags and visit.tag not in each.tags for each in visit.listing.entries)
    return bool(others and static and wanted and own and wanted.sha256 != static.sha256 == visit.content)


def _repo_files(asker: Asker, wish: Wish, snapshot: Snapshot | None, front: Answer) -> Iterator[KeyFile]:
    """Those that were named, else those that the remote itself tells of."""
    urls: list[str] = list(wish.repo_files)
    if not urls and snapshot:
        ours = [entry.path for entry in snapshot.files if entry.path.endswith(".flatpakrepo")]
        urls = [below(wish.place.url, path) for path in ours]
    if not urls and front.good:
        urls = list(keyfiles.links(front.body, front.hops[-1] if front.hops else front.url))
    for url in urls:
        yield _key_file(asker, url, keyfiles.REPO_GROUP)


def _ref_files(asker: Asker, wish: Wish, snapshot: Snapshot | None) -> Iterator[KeyFile]:
    paths = [entry.path for entry in snapshot.files if entry.path.endswith(".flatpakref")] if snapshot else []
    for path in sorted(paths)[: wish.sample]:
        yield _key_file(asker, below(wish.place.url, path), keyfiles.REF_GROUP)


def _key_file(asker: Asker, url: str, group: str) -> KeyFile:
    answer = asker.ask(Question(url, _LARGEST_KEY_FILE))
    return KeyFile(url, replace(answer, body=b""), keyfiles.values(answer.plain or b"", group) if answer.good else None)


def _kept(answer: Answer) -> Answer:
    """With a body that can be read as it is."""
    return replace(answer, body=answer.plain or b"")


def _addresses(wish: Wish, found: Iterable[Visit], snapshot: Snapshot | None, tls: Tls) -> Iterator[Address]:
    """What each address behind the name says of an index, packed and plain, and of the snapshot."""
    url = wish.place.index
    known = list(wish.host_addresses)
    if wish.each_address:
        try:
            known += addresses.of(url)
        except addresses.NoAnswer as error:
            yield Address("", url, why=str(error))
    first = next((visit for visit in found if visit.listing), None)
    if not known or not first:
        return
    asked = [(f"{url}?{query(first.tag, first.architecture)}", encoding) for encoding in ("gzip", "identity")]
    if snapshot:
        asked.append((below(wish.place.url, DESCRIPTION), "identity"))
    for address in dict.fromkeys(known):
        for question, encoding in asked:
            yield _said(question, encoding, address, wish, tls)


def _said(url: str, encoding: str, address: str, wish: Wish, tls: Tls) -> Address:
    shown = f"{url.partition('?')[0]} ({encoding})"
    try:
        said = addresses.ask(url, address, LARGEST_INDEX, encoding=encoding, seconds=wish.seconds, tls=tls, kept=False)
    except addresses.NoAnswer as error:
        return Address(address, shown, why=str(error), no_way=error.no_way)
    return Address(address, shown, said.status, said.headers.get("etag", ""), said.sha256)
