"""A registry by the distribution protocol: its catalog, its tags, and the images that they lead to."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from builder import oci
from builder.catalog import Image, Skip
from builder.config import RegistrySource
from builder.errors import SourceError
from builder.oci import Descriptor, Malformed, Manifest
from builder.report import counted
from builder.sources import walk
from builder.sources.transport import FetchError, Response, TooLargeError, Transport
from builder.sources.walk import LeftOut, Missing, Place

CONNECTIONS = 16
_PAGE = 1000  # the most that registries grant
_LARGEST_PAGE = 8 * 1024 * 1024
_MOST_PAGES = 10_000
_MOST_NAMES = 200_000
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+\s*(?:=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_REL = re.compile(r""";\s*rel\s*=\s*("[^"]*"|'[^']*'|[^\s;,]+)""", re.IGNORECASE)
_FIXES: dict[int | None, str] = {
    None: "Is the registry running, and is its URL in the configuration right?",
    HTTPStatus.UNAUTHORIZED: "The registry wants a login; flatdex reads it as an anonymous client.",
    HTTPStatus.FORBIDDEN: "The registry does not let anonymous clients read this.",
    HTTPStatus.NOT_FOUND: "Is the name in the configuration right?",
}
_NO_CATALOG = "If this registry has no catalog, list its repositories by name: `repositories: [NAME, ..]`."

Progress = Callable[[int, int], None]
"""Called with how many repositories are done, and of how many."""


class Registry:
    """One registry source. Whatever can't be read raises SourceError: a failure is not an empty answer."""

    def __init__(self, transport: Transport, source: RegistrySource) -> None:
        self._transport = transport
        self._source = source

    def read(self, tags: frozenset[str], progress: Progress) -> Iterator[Image | Skip]:
        """All images that `tags` lead to, repository by repository in the order of their names."""
        names = self.repositories()
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            readings = [pool.submit(self._repository, name, tags) for name in names]
            for number, reading in enumerate(readings, 1):
                yield from reading.result()
                progress(number, len(readings))
        finally:  # after Ctrl-C nobody wants to wait for the answers that are still under way
            pool.shutdown(wait=isinstance(sys.exception(), Exception), cancel_futures=True)

    def ping(self) -> None:
        """Asks whether a registry is there at all."""
        self._get(f"{self._source.registry}/v2/", _LARGEST_PAGE, (), "reach the registry")

    def repositories(self) -> list[str]:
        """The names of the repositories to read, sorted; the catalog is asked only for a glob's sake."""
        patterns = self._source.repositories
        names = {name for name in patterns if not is_glob(name)}
        if len(names) < len(patterns):
            names.update(self._catalog())
        taken = sorted(name for name in names if takes(self._source, name))
        if not taken:
            why = f"none of the registry's {counted(len(names), 'repository')} is taken by the configuration"
            fix = "Look at `repositories` and `exclude`. An empty remote is not published by accident."
            raise SourceError(self._source.name, "find repositories", why, fix)
        return taken

    def _catalog(self) -> Iterator[str]:
        operation = "list the repositories"
        for name in self._listed("_catalog", "repositories", operation, _NO_CATALOG):
            if not oci.is_repository(name):
                raise SourceError(self._source.name, operation, f"not a repository name: {name[:80]!r}")
            yield name

    def _tags(self, repository: str) -> list[str]:
        try:
            return list(self._listed(f"{repository}/tags/list", "tags", f"list the tags of {repository}"))
        except SourceError as error:
            # A catalog also names repositories to which somebody is just pushing, and such as were emptied.
            if _status(error) == HTTPStatus.NOT_FOUND and repository not in self._source.repositories:
                return []
            raise

    def _repository(self, repository: str, tags: frozenset[str]) -> list[Image | Skip]:
        contents = _Contents(self, repository)
        found: list[Image | Skip] = []
        for tag in sorted(tags.intersection(self._tags(repository))):
            place = Place(self._source.name, repository, tag, rank(self._source, repository))
            tagged = contents.tagged(place)
            found.extend([tagged] if isinstance(tagged, Skip) else walk.images(contents, place, tagged))
        return found

    def _listed(self, path: str, key: str, operation: str, fix: str = "") -> Iterator[str]:
        url = f"{self._source.registry}/v2/{path}?n={_PAGE}"
        origin = urlsplit(url)[:2]
        listed = 0
        for _ in range(_MOST_PAGES):
            page = self._get(url, _LARGEST_PAGE, ("application/json",), operation, fix)
            names = self._names(page, key, operation)
            listed += len(names)
            if listed > _MOST_NAMES:
                raise SourceError(self._source.name, operation, f"more than {_MOST_NAMES} names")
            yield from names
            url = self._next_page(page, operation)
            if not url:
                return
            if urlsplit(url)[:2] != origin:
                raise SourceError(self._source.name, operation, f"its next page is at another place: {url}")
        raise SourceError(self._source.name, operation, f"more than {_MOST_PAGES} pages")

    def _next_page(self, page: Response, operation: str) -> str:
        following = _following(page.headers.get("Link", ""))
        try:
            return urljoin(page.url, following) if following else ""
        except ValueError as error:
            raise SourceError(self._source.name, operation, f"its next page is no URL: {following!r:.200}") from error

    def _names(self, page: Response, key: str, operation: str) -> list[str]:
        try:
            answer = oci.parse_object(page.body)
        except Malformed as error:
            raise SourceError(self._source.name, operation, f"GET {page.url}: {error}") from error
        names = answer.get(key)
        if names is None and key in answer:  # docker-registry says null when the last tag is gone
            return []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SourceError(self._source.name, operation, f"GET {page.url}: `{key}` is not a list of names")
        return names

    def _get(self, url: str, limit: int, accept: tuple[str, ...], operation: str, fix: str = "") -> Response:
        try:
            return self._transport.get(url, limit, accept)
        except FetchError as error:
            best = fix if fix and error.status else _FIXES.get(error.status, "")
            raise SourceError(self._source.name, operation, str(error), best) from error

    def fetch(self, repository: str, kind: str, reference: str, limit: int) -> Response:
        """A manifest or blob. Raises Missing for a 404, and LeftOut for one that is larger than `limit` bytes."""
        url = f"{self._source.registry}/v2/{repository}/{kind}/{reference}"
        try:
            return self._get(url, limit, oci.MANIFEST_TYPES if kind == "manifests" else (), f"read {repository}")
        except SourceError as error:
            if _status(error) == HTTPStatus.NOT_FOUND:
                raise Missing(f"{kind}/{reference} of {repository} is not in the registry") from error
            if isinstance(error.__cause__, TooLargeError):
                raise LeftOut("too-large", f"{kind}/{reference} has more than {limit} bytes") from error
            raise


class _Contents:
    """A repository's manifests and configs; what was read once is kept, since tags often lead to the same image."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self._registry = registry
        self._repository = repository
        self._known: dict[str, bytes] = {}

    def tagged(self, place: Place) -> Descriptor | Skip:
        """What a tag points to. The digest is that of the bytes, whatever the registry says of them."""
        try:
            answer = self._registry.fetch(self._repository, "manifests", place.tag, walk.LARGEST_MANIFEST)
        except Missing as error:
            return place.skip(place.tag, "tag-gone", str(error))
        except LeftOut as left:
            return place.skip(place.tag, left.code, left.why)
        digest = oci.digest_of(answer.body)
        said = answer.headers.get("Docker-Content-Digest", digest)
        if said.startswith("sha256:") and said != digest:
            return place.skip(place.tag, "digest-mismatch", f"the registry calls it {said!r:.90}, but it is {digest}")
        self._known[digest] = answer.body
        return Descriptor(answer.headers.get("Content-Type", ""), digest, len(answer.body))

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._read("manifests", descriptor, walk.LARGEST_MANIFEST)

    def config(self, descriptor: Descriptor) -> bytes:
        return self._read("blobs", descriptor, walk.LARGEST_CONFIG)

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        return ()

    def _read(self, kind: str, descriptor: Descriptor, limit: int) -> bytes:
        if descriptor.digest not in self._known:
            answer = self._registry.fetch(self._repository, kind, descriptor.digest, limit)
            self._known[descriptor.digest] = answer.body
        return self._known[descriptor.digest]


def takes(source: RegistrySource, name: str) -> bool:
    """Whether the configuration takes the repository `name`."""
    return any(fnmatchcase(name, pattern) for pattern in source.repositories) and not any(
        fnmatchcase(name, pattern) for pattern in source.exclude
    )


def rank(source: RegistrySource, name: str) -> int:
    """The place in the configuration's list that matches `name`: a smaller one is preferred."""
    return next(number for number, pattern in enumerate(source.repositories) if fnmatchcase(name, pattern))


def is_glob(pattern: str) -> bool:
    """Whether this is a pattern, not a name."""
    return any(character in pattern for character in "*?[")


def _following(link: str) -> str:
    """The URL in a Link header whose relation is `next`; empty if there is none."""
    for url, parameters in _LINK.findall(link):
        relation = _REL.search(parameters)
        if relation and "next" in relation[1].strip("\"'").lower().split():
            return str(url)
    return ""


def _status(error: SourceError) -> int | None:
    return error.__cause__.status if isinstance(error.__cause__, FetchError) else None
