"""Checks of what is around the index: the way there, the servers of a name, icons, what flatdex says of its site."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from builder import preview, renewal
from builder.description import time_text
from builder.doctor.findings import Finding, finding
from builder.doctor.http_checks import lifetime, read_visits
from builder.doctor.place import INDEX, below, is_loopback, query
from builder.doctor.seen import Site

_SHORTEST_ICON = 86400  # seconds
_SOON, _LATER = 7, 21  # days


def places(site: Site) -> Iterator[Finding]:
    """The way there: TLS, redirects, plain HTTP."""
    if site.url.startswith("http:") and not is_loopback(site.url):
        yield finding("plain-http", site.url, "the remote's URL is plain HTTP")
    for registry in site.registries:
        if registry.startswith("http:") and not is_loopback(registry) and not site.url.startswith("http:"):
            yield finding("plain-http", registry, "the registry's URL is plain HTTP")
    hops = next((visit.gzip.hops for visit in read_visits(site) if visit.gzip.hops), ())
    if hops:
        yield finding("redirected", site.url, f"the index is at {hops[-1].partition('?')[0]:.200}")
    until = (site.certificate or {}).get("notAfter")
    if until:
        days = (ssl.cert_time_to_seconds(str(until)) - site.now) / 86400
        if days < _LATER:
            code = "tls-expiring" if days < _SOON else "tls-ageing"
            yield finding(code, site.url, f"the certificate is good for {max(0, int(days))} days, until {until}")


def addresses(site: Site) -> Iterator[Finding]:
    """Whether it is one remote, whichever of its servers a client meets."""
    good = [each for each in site.addresses if not each.why and each.status == 200]
    for each in site.addresses:
        if each not in good:
            told = each.why or f"status {each.status}"
            code = "address-unasked" if each.no_way else "address-unreachable"
            yield finding(code, each.address, f"{each.question}: {told}")
    for question in dict.fromkeys(each.question for each in good):
        alike = [each for each in good if each.question == question]
        first = alike[0]
        for other in alike[1:]:
            if other.sha256 != first.sha256:
                yield finding("address-differs", other.address, f"{question}: other bytes than at {first.address}")
            elif other.etag != first.etag:
                both = f"{first.etag[:60] or 'none'} at {first.address}, {other.etag[:60] or 'none'} here"
                yield finding("address-etag", other.address, f"{question}: {both}")


def snapshot(site: Site) -> Iterator[Finding]:
    """Whether a site of flatdex serves what it says that it is."""
    if site.snapshot_fault:
        yield finding("snapshot-malformed", "snapshot.json", site.snapshot_fault[:200])
    if site.snapshot and site.snapshot.expires is not None and renewal.ends_soon(site.snapshot, int(site.now)):
        code = "signature-expired" if site.snapshot.expires <= site.now else "signature-soon"
        yield finding(code, "snapshot.json", f"signed to be valid until {time_text(site.snapshot.expires)}")
    if site.snapshot is None or site.flipped:
        return
    files, dispatch = site.snapshot.by_path, preview.dispatch_of(site.snapshot)
    for visit in read_visits(site):
        name = dispatch.answer(query(visit.tag, visit.architecture))
        entry = files.get(f"index/{name}.json") if name else None
        if visit.gzip.url.startswith(below(site.url, f"{visit.tag}/{INDEX}")):
            entry = files.get(f"{visit.tag}/{INDEX}")
        static = files.get(INDEX)
        if entry and visit.content == entry.sha256:
            continue
        if static and visit.content == static.sha256:
            yield finding("query-ignored", visit.where, "the answer is index/static as it is")
        else:
            wanted = f"that of {entry.path}" if entry else "there: it should not be found"
            yield finding("snapshot-differs", visit.where, f"the index is not {wanted} in {site.snapshot.id}")


def pages(site: Site) -> Iterator[Finding]:
    """Whether pages tell browsers what may run."""
    front = site.front
    if site.snapshot is None or front is None or not front.good or "html" not in front.header("content-type"):
        return
    if not front.header("content-security-policy") and b"content-security-policy" not in front.body.lower():
        yield finding("page-policy", front.url, "no Content-Security-Policy")


def icons(site: Site) -> Iterator[Finding]:
    """Whether icons come, as what, for how long, and whether they are any."""
    inline = 0
    for icon in site.icons:
        if icon.answer is None:
            inline += not icon.fault
            if icon.fault:
                yield finding("icon-broken", icon.where, icon.fault)
            continue
        if not icon.answer.good:
            yield finding("icon-unreachable", icon.where, f"{icon.url}: {icon.answer.told}")
            continue
        if icon.fault:
            yield finding("icon-broken", icon.where, f"{icon.url}: {icon.fault}")
        kind = icon.answer.header("content-type").partition(";")[0].strip().lower()
        if kind != "image/png":
            yield finding("icon-type", icon.where, f"{icon.url}: Content-Type: {kind or 'none'}")
        seconds = lifetime(icon.answer.headers)
        if seconds is None or seconds < _SHORTEST_ICON:
            told = "no lifetime" if seconds is None else f"fresh for {seconds} seconds"
            yield finding("icon-lifetime", icon.where, f"{icon.url}: {told}")
    if inline:
        yield finding("icon-inline", site.url, f"{inline} icons of the sample stand in the index itself")
