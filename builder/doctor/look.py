"""Looks around a remote: asks all that clients would ask, and hands back what was seen. It judges nothing."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from builder import preview
from builder.description import DESCRIPTION, Invalid, Snapshot, parse
from builder.doctor import images, keyfiles, nearby, runtime_checks, visits
from builder.doctor.asking import Asker, Question, peers_of
from builder.doctor.listing import check_parts
from builder.doctor.place import INDEX, Place, below, query
from builder.doctor.seen import LARGEST_INDEX, Address, Answer, KeyFile, Site, Visit
from builder.doctor.wish import Wish
from builder.errors import UsageError
from builder.flatpak import OCI_ARCHITECTURES
from builder.oci import Malformed
from builder.sources import addresses
from builder.sources.auth import origin_of
from builder.sources.connection import Peers, is_public
from builder.sources.tls import BadCertificateError, Tls

FALLBACK_TAG = "latest"
_MOST_TAGS = 50
_MOST_ARCHITECTURES = 12

Progress = Callable[[str], Callable[[int, int], None]]


def look(wish: Wish, progress: Progress, peers: Peers | None = None) -> Site:
    """All that is to be seen, at addresses that `peers` allow. Raises UsageError if the wish itself can't be met."""
    tls = Tls((wish.ca,) if wish.ca else ())
    peers = peers or peers_of(wish.place.url)
    try:
        with Asker(wish.seconds, tls, patience=wish.patience, peers=peers) as asker:
            return _seen(asker, wish, tls, peers, progress)
    except BadCertificateError as error:
        raise UsageError(str(error), "Look at --ca.") from error


def _seen(asker: Asker, wish: Wish, tls: Tls, peers: Peers, progress: Progress) -> Site:
    place = wish.place
    snapshot, fault = _described(asker, place)
    tags = _tags(wish, snapshot)
    found = tuple(_visits(asker, wish, tags, snapshot, progress("asking for indexes")))
    site = Site(place.url, wish.public or place.url, tags, found, snapshot=snapshot, snapshot_fault=fault)
    site = replace(site, named=place.tag, narrowed=bool(wish.architectures))
    front = nearby.kept(asker.ask(Question(below(place.url, ""), nearby.LARGEST_PAGE)))
    if not site.answered:
        registry = asker.ask(Question(below(place.url, "v2/"), nearby.LARGEST_PAGE))
        front = front if front.good else nearby.kept(asker.ask(Question(place.url, nearby.LARGEST_PAGE)))
        site = replace(site, registry=registry, meant="" if snapshot else nearby.meant(asker, site, front))
    # Where another URL was meant, its files have nothing to do with this one.
    repo_files = () if site.meant and not wish.repo_files else tuple(_repo_files(asker, wish, tls, snapshot, front))
    sample = images.sample(found, wish.sample)
    site = replace(
        site,
        front=front,
        repo_files=repo_files,
        ref_files=tuple(_ref_files(asker, wish, site)),
        icons=tuple(images.icons(asker, sample, progress("asking for icons"))),
        pulls=tuple(images.pulls(sample, wish, tls, peers, progress("pulling images"))),
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
            if snapshot and (index != wish.place.index or _is_deaf(visit, snapshot)):
                own = f"{tag}/{INDEX}"
                if index == wish.place.index and own in snapshot.by_path:
                    index = below(wish.place.url, own)
                    visit = visits.visit(asker, index, tag, architecture, library)
                visit = replace(visit, ignored=True)
            done += 1
            yield visit
            if visit.listing and not wish.architectures:
                here = sorted({entry.architecture for entry in visit.listing.entries} - {"", *todo})
                todo += [each for each in here if each.isalnum()][: _MOST_ARCHITECTURES - len(todo)]


def _is_deaf(visit: Visit, snapshot: Snapshot) -> bool:
    """Whether the server ignored the query, and gave another tag's index: this one can only have a URL of its own."""
    files, dispatch = snapshot.by_path, preview.dispatch_of(snapshot)
    name = dispatch.answer(query(visit.tag, visit.architecture))
    static, wanted = files.get(INDEX), files.get(f"index/{name}.json")
    other = visit.tag != dispatch.default_tag
    return bool(other and static and wanted and wanted.sha256 != static.sha256 == visit.content)


def _repo_files(asker: Asker, wish: Wish, tls: Tls, snapshot: Snapshot | None, front: Answer) -> Iterator[KeyFile]:
    """Those that were named, wherever they are, else those that the remote itself tells of."""
    if wish.repo_files:
        for url in wish.repo_files:
            with Asker(wish.seconds, tls, peers=peers_of(url)) as other:
                yield nearby.key_file(other, url, keyfiles.REPO_GROUP)
        return
    ours = [entry.path for entry in snapshot.files if entry.path.endswith(".flatpakrepo")] if snapshot else []
    for url in [below(wish.place.url, path) for path in ours] or nearby.links(front):
        yield nearby.key_file(asker, url, keyfiles.REPO_GROUP)


def _ref_files(asker: Asker, wish: Wish, site: Site) -> Iterator[KeyFile]:
    """A sample, and those that tell where runtimes are, which is judged however small the sample."""
    if not site.snapshot:
        return
    paths = sorted(entry.path for entry in site.snapshot.files if entry.path.endswith(".flatpakref"))
    for path in dict.fromkeys((*paths[: wish.sample], *runtime_checks.telling(site, site.snapshot))):
        yield nearby.key_file(asker, below(wish.place.url, path), keyfiles.REF_GROUP)


def _addresses(wish: Wish, found: Iterable[Visit], snapshot: Snapshot | None, tls: Tls) -> Iterator[Address]:
    """What each address behind the name says of an index, packed and plain, and of the snapshot."""
    url = wish.place.index
    known = list(wish.host_addresses)
    if wish.each_address:
        try:
            behind = addresses.of(url)
        except addresses.NoAnswer as error:
            yield Address("", url, why=str(error))
            behind = ()
        private = {each for each in behind if not is_public(each)}
        if len(private) < len(set(behind)):  # a public name, which may mean harm
            yield from (Address(each, url, why="not asked: a private address") for each in sorted(private))
            behind = tuple(each for each in behind if each not in private)
        known += behind
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
