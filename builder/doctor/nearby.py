"""Pages and files beside an index: what they name, and where the remote is if somebody gave the URL of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from urllib.parse import urlsplit

from builder.doctor import keyfiles
from builder.doctor.asking import Asker, Question
from builder.doctor.place import INDEX, below, named_by, understood
from builder.doctor.seen import LARGEST_INDEX, Answer, KeyFile, Site
from builder.errors import UsageError

LARGEST_PAGE = 2 * 1024 * 1024
LARGEST_KEY_FILE = 1024 * 1024
_MOST_PARENTS = 6
_MOST_LINKS = 3


def kept(answer: Answer) -> Answer:
    """With a body that can be read as it is."""
    return replace(answer, body=answer.plain or b"")


def key_file(asker: Asker, url: str, group: str) -> KeyFile:
    """The file there, and what stands in it."""
    answer = asker.ask(Question(url, LARGEST_KEY_FILE))
    return KeyFile(url, replace(answer, body=b""), keyfiles.values(answer.plain or b"", group) if answer.good else None)


def links(page: Answer) -> tuple[str, ...]:
    """Where the `.flatpakrepo` files are that a page names."""
    return tuple(keyfiles.links(page.body, page.hops[-1] if page.hops else page.url)) if page.good else ()


def meant(asker: Asker, site: Site, page: Answer) -> str:
    """The remote whose page, or folder, is at the URL of a site without index; empty: none is near, or it is that."""
    named = [url for url in map(_named, _repo_files(asker, page)) if url]
    if any(url.rstrip("/") in (site.url.rstrip("/"), site.public.rstrip("/")) for url in named):
        return ""
    for url in islice(_parents(site.url), _MOST_PARENTS):
        answer = asker.ask(Question(below(url, INDEX), LARGEST_INDEX, "gzip"))
        data = (answer.plain or b"").lstrip()
        if answer.good and data.startswith(b"{") and b'"Results"' in data:
            return url
    return next(iter(named), "")


def _repo_files(asker: Asker, page: Answer) -> Iterator[KeyFile]:
    return (key_file(asker, url, keyfiles.REPO_GROUP) for url in links(page)[:_MOST_LINKS])


def _named(file: KeyFile) -> str:
    """The remote that a file names; empty if it names none."""
    try:
        url = named_by((file.values or {}).get("Url", ""))
        return understood(url).url if url else ""
    except UsageError:
        return ""


def _parents(url: str) -> Iterator[str]:
    """The folders that a URL is in, the nearest first."""
    parts = urlsplit(url)
    names = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    for number in range(len(names) - 1, -1, -1):
        yield f"{parts.scheme}://{parts.netloc}/" + "".join(f"{name}/" for name in names[:number])
