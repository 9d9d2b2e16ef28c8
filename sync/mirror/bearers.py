"""Who is asked for objects, in which order: the sources, and the registries that the list itself names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from builder import mirrored
from builder.description import Snapshot
from builder.sources.mirrored import understood
from builder.stick import placed
from sync.mirror.choose import Decision
from sync.mirror.model import Bearer, Probed, Source

_STATIC = "index/static"


def bearers_of(decision: Decision) -> Iterator[Bearer]:
    """Who is asked for objects, in order; the registries that the list itself names come last."""
    for probed in decision.order:
        yield _bearer(probed)
    listed = decision.listed
    if listed and decision.giver:
        with understood(listed.snapshot, mirrored.SOURCE):
            site = decision.giver.source
            base = str(listed.snapshot.document["remote"].get("url") or "") if site.is_file else site.url
            registries = list(_registries(listed.snapshot, base))
        yield from (Bearer(Source(registry), {}, registry) for registry in registries)


def _bearer(probed: Probed) -> Bearer:
    snapshot = probed.own or (probed.listed.snapshot if probed.listed else None)
    place: Callable[[str], str] = placed if probed.is_stick else str
    files = snapshot.all_files if snapshot else ()
    return Bearer(probed.source, {entry.sha256: place(entry.path) for entry in files})


def _registries(snapshot: Snapshot, giver: str) -> Iterator[str]:
    """Where the images of the list are, if they are no files of its site."""
    has_blobs = any(entry.path.startswith("v2/") for entry in snapshot.files)
    public = dict.fromkeys(str(source.get("public", "")) for source in snapshot.document.get("sources", ()))
    for each in public:
        if has_blobs and not urlsplit(each).scheme:  # that is the site itself
            continue
        url = urljoin(f"{giver.rstrip('/')}/{_STATIC}", each)
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:  # which may raise ValueError
            yield url
