"""A registry by the distribution protocol: its catalog, its tags, its manifests and blobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import urljoin

from builder import oci
from builder.config import RegistrySource, is_glob
from builder.errors import SourceError
from builder.oci import Descriptor, Malformed
from builder.report import counted, span
from builder.sources import walk
from builder.sources.answers import FetchError, Response, TooLargeError
from builder.sources.auth import origin_of
from builder.sources.cache import Cache
from builder.sources.credentials import BadAuthFileError
from builder.sources.limits import Budget, RateUsedUp
from builder.sources.transport import Transport
from builder.sources.walk import LeftOut, Missing

_PAGE = 1000  # the most that registries grant
_LARGEST_PAGE = 8 * 1024 * 1024
_MOST_PAGES = 10_000
_MOST_NAMES = 200_000
_PATIENCE = 10.0  # seconds to wait until a limited rate allows another request
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+\s*(?:=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_REL = re.compile(r""";\s*rel\s*=\s*("[^"]*"|'[^']*'|[^\s;,]+)""", re.IGNORECASE)
_UNREACHABLE = ("unreachable", "Is the registry running, and is its URL in the configuration right?")
_KINDS = {
    HTTPStatus.UNAUTHORIZED: (
        "unauthorized",
        "It wants a login: `skopeo login` or `podman login` writes one where flatdex looks, `auth_file` names another.",
    ),
    HTTPStatus.FORBIDDEN: ("forbidden", "The login that flatdex uses, or a client without one, may not read this."),
    HTTPStatus.NOT_FOUND: ("not-found", ""),
    HTTPStatus.BAD_REQUEST: ("bad-answer", "Is its URL right? A port that wants https:// answers so to http://."),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "rate-limited",
        "It wants fewer requests: see `rate` and `connections`. What was read is kept, the next build goes on from it.",
    ),
}
_SERVER_ERROR = ("server-error", "The registry has a problem of its own; the next build asks again.")
_ELSEWHERE = ("bad-answer", "The registry redirects there: is that server well, and may this machine reach it?")
_NO_LIST = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
_NO_CATALOG = "If this registry has no catalog, list its repositories by name: `repositories: [NAME, ..]`."


class Registry:
    """One registry source. Whatever can't be read raises SourceError: a failure is not an empty answer."""

    def __init__(
        self, transport: Transport, source: RegistrySource, cache: Cache, budget: Budget | None = None
    ) -> None:
        self._transport = transport
        self._source = source
        self._cache = cache
        self._budget = budget
        self._used_up = False

    def ping(self) -> None:
        """Asks whether a registry is there at all."""
        try:
            self._get(f"{self._source.registry}/v2/", _LARGEST_PAGE, (), "reach the registry")
        except SourceError as error:
            if status_of(error) != HTTPStatus.UNAUTHORIZED:  # what may be read is seen at what is to be read
                raise

    def relent(self) -> None:
        """Asks again although there were no answers to other questions."""
        self._transport.relent()

    def repositories(self) -> list[str]:
        """The names of the repositories to read, sorted; the catalog is asked only for a glob's sake."""
        patterns = self._source.repositories
        names = {name for name in patterns if not is_glob(name)}
        if len(names) < len(patterns):
            names.update(self._catalog())
        taken = sorted(filter(self._source.takes, names))
        if not taken:
            why = f"none of the registry's {counted(len(names), 'repository')} is taken by the configuration"
            fix = "Look at `repositories` and `exclude`. An empty remote is not published by accident."
            raise SourceError(self._source.name, "find repositories", why, fix, "nothing-taken")
        return taken

    def _catalog(self) -> Iterator[str]:
        operation = "list the repositories"
        for name in self._listed("_catalog", "repositories", "registry:catalog:*", operation, _NO_CATALOG):
            if not oci.is_repository(name):
                self._reject(operation, f"not a repository name: {name[:80]!r}")
            yield name

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository. Raises Missing if there is no such repository."""
        operation = f"list the tags of {repository}"
        try:
            listed = self._listed(f"{repository}/tags/list", "tags", _scope(repository), operation)
            return [tag for tag in listed if oci.is_tag(tag)]
        except SourceError as error:
            if status_of(error) == HTTPStatus.NOT_FOUND:
                raise Missing(f"there is no repository {repository}") from error
            raise

    def _listed(self, path: str, key: str, scope: str, operation: str, fix: str = "") -> Iterator[str]:
        url = f"{self._source.registry}/v2/{path}?n={_PAGE}"
        origin = origin_of(url)
        listed = 0
        seen: set[str] = set()
        while url not in seen:
            seen.add(url)
            page = self._get(url, _LARGEST_PAGE, ("application/json",), operation, scope, fix)
            names = self._names(page, key, operation)
            listed += len(names)
            if listed > _MOST_NAMES:
                self._reject(operation, f"more than {_MOST_NAMES} names")
            yield from names
            url = self._next_page(page, operation)
            if not url:
                return
            if origin_of(url) != origin:
                self._reject(operation, f"its next page is at another place: {url.partition('?')[0]:.200}")
            if len(seen) >= _MOST_PAGES:
                self._reject(operation, f"more than {_MOST_PAGES} pages")
        self._reject(operation, "its pages lead round in a circle")

    def _next_page(self, page: Response, operation: str) -> str:
        following = _following(page.headers.get("Link", ""))
        try:
            return urljoin(page.url, following) if following else ""
        except ValueError:
            self._reject(operation, f"its next page is no URL: {following!r:.200}")

    def _names(self, page: Response, key: str, operation: str) -> list[str]:
        try:
            answer = oci.parse_object(page.body)
        except Malformed as error:
            self._reject(operation, f"GET {page.url.partition('?')[0]:.200}: {error}")
        names = answer.get(key)
        if names is None and key in answer:  # docker-registry says null when the last tag is gone
            return []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._reject(operation, f"GET {page.url.partition('?')[0]:.200}: `{key}` is not a list of names")
        return names

    def _reject(self, operation: str, why: str) -> NoReturn:
        raise SourceError(self._source.name, operation, why, code="bad-answer")

    def tagged(self, repository: str, tag: str, known: Descriptor | None) -> Descriptor:
        """What a tag points to; one that still points to `known` costs a request without a body.

        The digest is that of the bytes, whatever the registry says of them. Raises Missing and LeftOut.
        """
        if known and self._budget and self._is_at(repository, tag, known):
            return known
        answer = self._manifest(repository, tag, known.digest if known else "")
        if answer.status == HTTPStatus.NOT_MODIFIED and known:
            return known
        digest = oci.digest_of(answer.body)
        said = answer.headers.get("Docker-Content-Digest", digest)
        if said.startswith("sha256:") and said != digest:
            raise LeftOut("digest-mismatch", f"the registry calls it {said!r:.90}, but it is {digest}")
        self._cache.keep(answer.body)
        return Descriptor(answer.headers.get("Content-Type", ""), digest, len(answer.body))

    def _is_at(self, repository: str, tag: str, known: Descriptor) -> bool:
        """Asks by HEAD, which registries that count requests don't count."""
        answer = self._answer(repository, f"manifests/{tag}", 0, oci.MANIFEST_TYPES, head=True)
        return answer.headers.get("Docker-Content-Digest") == known.digest

    def manifest(self, repository: str, digest: str) -> bytes:
        """A manifest, whose bytes are yet to be checked. Raises Missing and LeftOut."""
        return self._manifest(repository, digest).body

    def _manifest(self, repository: str, reference: str, etag: str = "") -> Response:
        self._spend(repository)
        answer = self._answer(repository, f"manifests/{reference}", walk.LARGEST_MANIFEST, oci.MANIFEST_TYPES, etag)
        self._used_up |= re.match(r"0+(;|$)", answer.headers.get("RateLimit-Remaining", "")) is not None
        return answer

    def _spend(self, repository: str) -> None:
        """Waits for a limited rate's sake. Raises SourceError when that would take too long."""
        operation, code = f"read {repository}", "rate-limited"
        if self._used_up:
            why = "the registry says that it takes no more requests for now (RateLimit-Remaining: 0)"
            raise SourceError(self._source.name, operation, why, "The next build goes on from here.", code)
        try:
            if self._budget:
                self._budget.take(_PATIENCE)
        except RateUsedUp as error:
            why = f"`rate` is used up, the next request may be sent in {span(error.wait)}"
            raise SourceError(self._source.name, operation, why, "The next build goes on from here.", code) from error

    def blob(self, repository: str, digest: str) -> bytes:
        """An image config, whose bytes are yet to be checked. Raises Missing and LeftOut."""
        return self._answer(repository, f"blobs/{digest}", walk.LARGEST_CONFIG).body

    def _answer(
        self,
        repository: str,
        what: str,
        limit: int,
        accept: tuple[str, ...] = (),
        etag: str = "",
        *,
        head: bool = False,
    ) -> Response:
        url = f"{self._source.registry}/v2/{repository}/{what}"
        try:
            return self._get(url, limit, accept, f"read {repository}", _scope(repository), etag=etag, head=head)
        except SourceError as error:
            if status_of(error) == HTTPStatus.NOT_FOUND:
                raise Missing(f"{what} of {repository} is not in the registry") from error
            if isinstance(error.__cause__, TooLargeError):
                raise LeftOut("too-large", f"{what} has more than {limit} bytes") from error
            raise

    def _get(
        self,
        url: str,
        limit: int,
        accept: tuple[str, ...],
        operation: str,
        scope: str = "",
        fix: str = "",
        etag: str = "",
        *,
        head: bool = False,
    ) -> Response:
        try:
            return self._transport.get(url, limit, accept, scope=scope, etag=etag, head=head)
        except FetchError as error:
            code, usual = _ELSEWHERE if error.elsewhere else _kind(error.status)
            if isinstance(error.__cause__, BadAuthFileError) or "certificate" in error.why:
                usual = fix = ""  # the sentence says what to do
            best = f"{usual} {fix}".strip() if error.status in _NO_LIST and not error.elsewhere else usual
            raise SourceError(self._source.name, operation, str(error), best, code) from error


def status_of(error: SourceError) -> int | None:
    """The status of the registry's own answer that an error is about, if it is about one."""
    cause = error.__cause__
    return cause.status if isinstance(cause, FetchError) and not cause.elsewhere else None


def _kind(status: int | None) -> tuple[str, str]:
    """A failure's code, and the likely fix."""
    if status is None:
        return _UNREACHABLE
    if status >= 500:
        return _SERVER_ERROR
    return _KINDS.get(HTTPStatus(status), ("bad-answer", "")) if status in list(HTTPStatus) else ("bad-answer", "")


def _scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def _following(link: str) -> str:
    """The URL in a Link header whose relation is `next`; empty if there is none."""
    for url, parameters in _LINK.findall(link):
        relation = _REL.search(parameters)
        if relation and "next" in relation[1].strip("\"'").lower().split():
            return str(url)
    return ""
