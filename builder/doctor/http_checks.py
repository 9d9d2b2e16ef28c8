"""Checks of the index's answers: whether it comes, in what wrapping, and how long clients believe it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from builder.doctor.findings import Finding, finding
from builder.doctor.seen import Answer, Site, Trouble, Visit
from builder.doctor.tags import own_tags

SILENCE = 1800
"""Seconds for which a client asks nothing after an answer that says nothing of it."""
_LONGEST = 1800
_ETAG = re.compile(r'(W/)?"[^"\x00-\x20\x7f]*"')
_TROUBLES = {
    Trouble.UNREACHABLE: "unreachable",
    Trouble.SLOW: "too-slow",
    Trouble.LARGE: "too-large",
    Trouble.TLS: "tls-untrusted",
    Trouble.REDIRECTS: "redirect-broken",
}


def troubled(answer: Answer, where: str) -> Iterator[Finding]:
    """What a request that came to nothing, or not to its end, tells of."""
    code = _TROUBLES.get(answer.trouble)
    if code:
        yield finding(code, where, answer.why)


def answers(site: Site) -> Iterator[Finding]:
    """Whether there is an index at all."""
    for visit in site.visits:
        if visit.listing:
            continue
        yield from _no_index(site, visit)


def _no_index(site: Site, visit: Visit) -> Iterator[Finding]:
    answer = visit.gzip
    if answer.trouble is not Trouble.NONE:
        yield from troubled(answer, visit.where)
    elif _is_registry(site):
        yield finding("is-registry", visit.where, f"{answer.told} for the index, but /v2/ answers as registries do")
    elif site.meant and site.front and site.front.good and _is_page(site.front):
        yield finding("is-page", site.url, f"a page, not a remote: did you mean {site.meant[:200]}?")
    elif answer.status == 200 and _is_page(answer):
        yield finding("is-page", visit.where, "an HTML page in place of the index")
    elif answer.status == 404 and visit.tag not in (own := own_tags(site)) and own:
        yield finding("tag-unknown", f"tag {visit.tag}", f"tags here: {', '.join(own)[:300]}")
    elif answer.status in (401, 403):
        yield finding("index-refused", visit.where, answer.told)
    elif answer.status in (404, 410):
        meant = f": did you mean {site.meant[:200]}?" if site.meant else ""
        yield finding("index-missing", visit.where, f"{answer.told}{meant}")
    elif answer.status != 200:
        yield finding("index-failing", visit.where, answer.told)
    elif "are packed into it" in visit.fault:
        yield finding("too-large", visit.where, visit.fault)
    else:
        wrapped = "Content-Encoding" in visit.fault or "gzip" in visit.fault
        yield finding("index-encoding" if wrapped else "index-unreadable", visit.where, visit.fault)


def _is_registry(site: Site) -> bool:
    answer = site.registry
    if answer is None or answer.status not in (200, 401):
        return False
    said = "docker-distribution-api-version" in answer.headers or "www-authenticate" in answer.headers
    return said or (answer.status == 200 and answer.body.strip() == b"{}")


def _is_page(answer: Answer) -> bool:
    return "html" in answer.header("content-type") or answer.body.lstrip()[:1] == b"<"


def encodings(site: Site) -> Iterator[Finding]:
    """Whether all clients read the same, however it is wrapped, and in whatever order they ask."""
    for visit in read_visits(site):
        if not visit.plain.good:
            yield from troubled(visit.plain, f"{visit.where}, without gzip")
        if not visit.plain_same:
            told = "without gzip another index" if visit.plain.good else f"without gzip: {visit.plain.told}"
            yield finding("encodings-differ", visit.where, told)
        if not visit.turned_same:
            told = "another index" if visit.turned and visit.turned.good else (visit.turned or visit.plain).told
            yield finding("parameter-order", visit.where, f"with its parameters in another order: {told}")
        wrapped = visit.gzip.header("content-encoding") != visit.plain.header("content-encoding")
        vary = visit.gzip.header("vary").lower()
        if wrapped and "accept-encoding" not in vary and "*" not in vary:
            yield finding("vary-missing", visit.where, "packed for those who take gzip, without Vary")


def types(site: Site) -> Iterator[Finding]:
    """What the index is called."""
    for visit in read_visits(site):
        kind = visit.gzip.header("content-type").partition(";")[0].strip().lower()
        if kind != "application/json":
            yield finding("index-type", visit.where, f"Content-Type: {kind or 'none'}")


def lifetimes(site: Site) -> Iterator[Finding]:
    """How long clients ask nothing."""
    for visit in read_visits(site):
        for answer, how in ((visit.gzip, ""), (visit.plain, ", without gzip")):
            if not answer.good:
                continue
            seconds = lifetime(answer.headers)
            if seconds is None:
                yield finding("cache-silent", visit.where + how, "neither Cache-Control nor Expires that clients heed")
            elif seconds > _LONGEST:
                yield finding("cache-long", visit.where + how, f"fresh for {seconds} seconds")


def lifetime(headers: Mapping[str, str]) -> int | None:
    """For how many seconds clients believe an answer; None if it doesn't say."""
    directives = [part.strip().lower() for part in headers.get("cache-control", "").split(",")]
    ages = [match[1] for part in directives if (match := re.fullmatch(r"max-age\s*=\s*\"?([0-9]{1,12})\"?", part))]
    if any(part.partition("=")[0].strip() == "no-cache" for part in directives):
        return 0
    if ages:
        return int(ages[0])
    try:
        expires = parsedate_to_datetime(headers["expires"])
        asked = parsedate_to_datetime(headers["date"])
        return max(0, int(_seconds(expires) - _seconds(asked)))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def etags(site: Site) -> Iterator[Finding]:
    """Whether a client knows the index again."""
    for visit in read_visits(site):
        for answer, how in ((visit.gzip, ""), (visit.plain, ", without gzip")):
            etag = answer.header("etag")
            if answer.good and not etag:
                dated = answer.header("last-modified")
                told = f"no ETag, only Last-Modified: {dated[:40]}" if dated else "neither ETag nor Last-Modified"
                yield finding("etag-dated" if dated else "etag-missing", visit.where + how, told)
            elif etag and not _ETAG.fullmatch(etag):
                yield finding("etag-malformed", visit.where + how, f"ETag: {etag[:80]}")
        yield from _steadiness(visit)
        packed, plain = visit.gzip.header("etag"), visit.plain.header("etag")
        strong = _ETAG.fullmatch(packed) and not packed.startswith("W/")
        if strong and packed == plain and visit.gzip.sha256 != visit.plain.sha256:
            yield finding("etag-shared", visit.where, f"{packed[:80]} is that of both")


def _steadiness(visit: Visit) -> Iterator[Finding]:
    for again in visit.again:
        # Apache calls the ETag of a file weak while it is less than a second old.
        first, later = (each.header("etag").removeprefix("W/") for each in (visit.gzip, again))
        if again.good and again.sha256 == visit.gzip.sha256 and first != later:
            both = f"{first[:60] or 'none'}, then {later[:60] or 'none'}"
            yield finding("etag-unstable", visit.where, f"{both}, of the same bytes")
            return


def not_modified(site: Site) -> Iterator[Finding]:
    """Whether a client that has the index is told so, in a few bytes, and what it remembers then."""
    for visit in read_visits(site):
        for code, first, answer in (
            ("not-modified-gzip", visit.gzip, visit.kept_gzip),
            ("not-modified-plain", visit.plain, visit.kept_plain),
        ):
            if answer is None or answer.trouble is not Trouble.NONE:
                continue
            if answer.status != 304:
                known = first.header("etag") or first.header("last-modified")
                yield finding(code, visit.where, f"{answer.told} to a client that has {known[:80]}")
                continue
            lost = [name for name in ("etag", "cache-control") if name in first.headers and name not in answer.headers]
            if lost and not ("expires" in answer.headers and lost == ["cache-control"]):
                yield finding("not-modified-forgets", visit.where, f"a 304 without {' and '.join(lost)}")


def read_visits(site: Site) -> Iterator[Visit]:
    """Those of which there is an index."""
    return (visit for visit in site.visits if visit.listing)
