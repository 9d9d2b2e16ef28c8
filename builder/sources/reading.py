"""One registry, read: first what its tags point to, then, where that is news, the images behind them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from builder import oci
from builder.catalog import Failure, Image, Skip
from builder.config import RegistrySource
from builder.errors import SourceError
from builder.memo import NOTHING, Memo
from builder.oci import Descriptor, Manifest
from builder.parallel import mapped, threads
from builder.sources import walk
from builder.sources.cache import Cache, Look, Tags
from builder.sources.registry import Registry
from builder.sources.walk import LeftOut, Missing, Place

_MOST_ASKED_ONE_BY_ONE = 2
"""Tags of a repository of which nothing is known: if there are more, their list is cheaper than a 404 for each."""

_NOT_FOR_US = ("unauthorized", "forbidden")

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""

Item = Image | Skip | Failure


class NotCachedError(Exception):
    """Something is not in the cache, and nobody is to be asked."""


class RegistryReading:
    """Reads `tags` of one registry source, of all its repositories or of those in `names`.

    With `offline` it asks nobody and takes all from the cache. With `only` it asks those repositories and takes the
    others as the last look saw them, if that one saw all. Of images only `labels` are kept, where they are given.
    """

    def __init__(
        self,
        registry: Registry,
        source: RegistrySource,
        tags: frozenset[str],
        cache: Cache,
        progress: Callable[[str], Progress],
        *,
        offline: bool = False,
        names: list[str] | None = None,
        labels: frozenset[str] | None = None,
        only: frozenset[str] | None = None,
        memo: Memo = NOTHING,
    ) -> None:
        self._registry = registry
        self._source = source
        self._tags = tags
        self._cache = cache
        self._progress = progress
        self._offline = offline
        self._memo = memo
        self._names = names
        self._labels = labels
        self._name = known_as(source)
        last = cache.look(self._name)
        self._known = last.tags
        self._settings = _settings(source, tags) if names is None else ""
        self._again = last.again
        self._asked: frozenset[str] | None = None
        """The repositories to ask; None: all."""
        if only is not None and self._settings and self._settings == last.settings:
            self._asked = frozenset(
                name for name in only | last.again if oci.is_repository(name) and source.takes(name)
            )
        self._seen: dict[str, dict[str, Descriptor]] = {}
        self._skips: list[Skip] = []
        self._failures: dict[str, Failure] = {}

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What could not be read so far."""
        return tuple(sorted(self._failures.values()))

    def look(self) -> str:
        """Asks each repository what the wanted tags point to; the cache then knows, also when it ends by Ctrl-C.

        A text that is the same whenever the same images are behind all tags; empty if not all could be seen.
        """
        if self._offline:
            self._look_into_cache()
        else:
            try:
                names = self._to_ask()
            except SourceError as error:
                self._fail("", error)
                self._cache.doubt(self._name)
            else:
                try:
                    self._ask(names)
                finally:
                    self._keep(names)
                if self._asked is not None:
                    self._take(name for name in self._known if name not in self._asked)
        if self._failures or self._skips:
            return ""
        lines = (
            f"{repository}:{tag} {to.digest} {to.media_type}\n"
            for repository, tags in sorted(self._seen.items())
            for tag, to in sorted(tags.items())
        )
        return "".join(lines) or "nothing"

    def _look_into_cache(self) -> None:
        names = sorted(filter(self._source.takes, self._known))
        if not names:
            why = f"source {self._source.name}: nothing of it is in the cache, and nobody was asked (--offline)"
            self._failures[""] = Failure(self._source.name, "", "not-cached", why)
        self._take(names)

    def _take(self, names: Iterable[str]) -> None:
        """What was known of these counts as seen."""
        for name in names:
            pointers = self._known[name].pointers
            self._seen[name] = {tag: pointers[tag] for tag in sorted(self._tags.intersection(pointers))}

    def _to_ask(self) -> list[str]:
        if self._asked is not None:
            return sorted(self._asked)
        return self._registry.repositories() if self._names is None else self._names

    def _ask(self, names: list[str]) -> None:
        if self._source.access.rate:  # if it does not suffice for all, each gets its turn
            names = sorted(names, key=lambda name: (self._pointers(name).asked, name))
        show = self._progress(f"{self._source.name}: tags")
        at_once = self._source.access.connections
        many = [name for name in names if self._unknown_tags(name) > _MOST_ASKED_ONE_BY_ONE]
        listed = dict(zip(many, mapped(at_once, self._listed, many), strict=True))
        asked = [(name, tag) for name in names for tag in sorted(listed.get(name, self._tags))]
        self._seen = {name: {} for name in names}
        for number, ((name, tag), to) in enumerate(zip(asked, mapped(at_once, self._tagged, asked), strict=True), 1):
            if to:
                self._seen[name][tag] = to
            show(number, len(asked))
        named = [name for name in names if name in self._source.repositories and self._is_empty(name)]
        for name, there in zip(named, mapped(at_once, self._exists, named), strict=True):
            if not there and name not in self._failures:
                why = "the registry has no such repository, but the configuration names it"
                self._skips.append(Skip(self._source.name, name, name, "no-such-repository", why))
        for name in self._failures:
            self._seen.pop(name, None)

    def _pointers(self, repository: str) -> Tags:
        return self._known.get(repository, Tags())

    def _unknown_tags(self, repository: str) -> int:
        return len(self._tags.difference(self._pointers(repository).pointers))

    def _is_empty(self, repository: str) -> bool:
        return not self._seen[repository] and repository not in self._failures

    def _listed(self, repository: str) -> frozenset[str]:
        try:
            return self._tags.intersection(self._registry.tags(repository))
        except Missing:  # a catalog also names what was emptied, and what somebody is just pushing to
            return frozenset()
        except SourceError as error:
            self._fail_if_known(repository, error)
            return frozenset()

    def _exists(self, repository: str) -> bool:
        try:
            self._registry.tags(repository)
        except Missing:
            return False
        except SourceError as error:
            self._fail(repository, error)
        return True

    def _tagged(self, asked: tuple[str, str]) -> Descriptor | None:
        repository, tag = asked
        if repository in self._failures:
            return None
        try:
            return self._registry.tagged(repository, tag, self._pointers(repository).pointers.get(tag))
        except Missing:
            return None
        except LeftOut as left:
            self._skips.append(Skip(self._source.name, repository, tag, left.code, left.why))
        except SourceError as error:
            self._fail_if_known(repository, error)
        return None

    def _fail_if_known(self, repository: str, error: SourceError) -> None:
        """Many registries answer so for what is not there: anybody may name what only a pattern takes."""
        if self._asked is None or error.code not in _NOT_FOR_US or not self._is_stranger(repository):
            self._fail(repository, error)

    def _is_stranger(self, repository: str) -> bool:
        known = repository in self._known or repository in self._again
        return not known and repository not in self._source.repositories

    def _fail(self, repository: str, error: SourceError) -> None:
        why = f"{error.what}\n  {error.fix}" if error.fix else error.what
        self._failures.setdefault(repository, Failure(self._source.name, repository, error.code, why))

    def _keep(self, names: list[str]) -> None:
        """What could not be asked stays known as it was, and so does what was not to be asked."""
        now, settings = int(time.time()), self._settings
        asked = {name: Tags(now, pointers) for name, pointers in self._seen.items() if name not in self._failures}
        again = {*self._failures, *(skip.repository for skip in self._skips)}
        before = {name: self._known[name] for name in names if name in self._known and name in self._failures}
        if self._asked is not None:
            before = {name: tags for name, tags in self._known.items() if name not in asked}
            asked = {name: tags for name, tags in asked.items() if tags.pointers or not self._is_stranger(name)}
        if sys.exception() is not None:  # it was not to be read to its end
            before = {**self._known}
            asked = {
                name: Tags(now, {**self._pointers(name).pointers, **tags.pointers}) for name, tags in asked.items()
            }
            settings, again = (settings, set(names)) if self._asked is not None else ("", set())
        self._cache.keep_look(self._name, Look({**before, **asked}, settings, frozenset(again)))

    def items(self) -> Iterator[Item]:
        """The images behind what was seen, and what is wrong with others, in the order of repositories and tags."""
        places = [
            (Place(self._source.name, name, tag, self._source.rank(name), self._labels), to)
            for name, tags in sorted(self._seen.items())
            for tag, to in sorted(tags.items())
        ]
        self._registry.relent()
        found: dict[Place, list[Item]] = {}
        fetching: dict[Place, Future[list[Item]]] = {}
        with threads(self._source.access.connections) as pool:
            for place, to in places:
                known = self._from_cache(place, to)
                if known is None:
                    fetching[place] = pool.submit(self._fetched, place, to)
                else:
                    found[place] = known
            show = self._progress(f"{self._source.name}: images")
            for number, (place, fetched) in enumerate(fetching.items(), 1):
                found[place] = fetched.result()
                show(number, len(fetching))
        for place, _ in places:
            if place.repository not in self._failures:
                yield from found[place]
        yield from self._skips
        yield from self.failures

    def _from_cache(self, place: Place, to: Descriptor) -> list[Item] | None:
        try:
            items, digests = self._memo.of(("images", place, to), lambda: self._cached(place, to))
            self._cache.use(digests)
            return items
        except NotCachedError as error:
            if self._offline:
                where = f"source {self._source.name}: {place.repository}"
                why = f"{where}: {error} is not in the cache, and nobody was asked (--offline)"
                self._failures.setdefault(
                    place.repository, Failure(self._source.name, place.repository, "not-cached", why)
                )
            return [] if self._offline else None

    def _cached(self, place: Place, to: Descriptor) -> tuple[list[Item], frozenset[str]]:
        """With the digests of what was read for it."""
        contents = _Contents(self._cache, place.repository)
        items: list[Item] = list(walk.images(contents, place, to))
        return items, frozenset(contents.read)

    def _fetched(self, place: Place, to: Descriptor) -> list[Item]:
        if place.repository in self._failures:
            return []
        try:
            return list(walk.images(_Contents(self._cache, place.repository, self._registry), place, to))
        except SourceError as error:
            self._fail(place.repository, error)
            return []


def known_as(source: RegistrySource) -> str:
    """The name under which the cache knows a source."""
    return f"{source.name} {source.registry}"


def _settings(source: RegistrySource, tags: frozenset[str]) -> str:
    """A hash of what decides which repositories and tags a look sees."""
    access = replace(source.access, connections=0, rate=None)
    seen = (source.registry, source.repositories, source.exclude, sorted(tags), access)
    return sha256(repr(seen).encode("utf-8", "surrogateescape")).hexdigest()


class FailedReading:
    """A source that could not even be opened."""

    def __init__(self, error: SourceError, source: RegistrySource, cache: Cache) -> None:
        self._error = error
        self._source = source
        self._cache = cache

    def look(self) -> str:
        """Nothing can be seen."""
        self._cache.doubt(known_as(self._source))
        return ""

    def items(self) -> Iterator[Item]:
        """Only why."""
        yield Failure(self._error.source, "", self._error.code, str(self._error))


class _Contents:
    """A repository's manifests and configs, from the cache or else from the registry, if one is given."""

    def __init__(self, cache: Cache, repository: str, registry: Registry | None = None) -> None:
        self._cache = cache
        self._repository = repository
        self._registry = registry
        self.read: set[str] = set()
        """The digests of all that was."""

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, lambda registry: registry.manifest(self._repository, descriptor.digest))

    def config(self, descriptor: Descriptor) -> bytes:
        return self._read(descriptor, lambda registry: registry.blob(self._repository, descriptor.digest))

    def files(self, manifest: Descriptor, content: Manifest) -> tuple[tuple[Descriptor, Path], ...]:
        return ()

    def _read(self, descriptor: Descriptor, fetch: Callable[[Registry], bytes]) -> bytes:
        self.read.add(descriptor.digest)
        data = self._cache.blob(descriptor.digest)
        if data is not None:
            return data
        if self._registry is None:
            raise NotCachedError(descriptor.digest)
        with self._cache.fetching(descriptor.digest):
            data = self._cache.blob(descriptor.digest)
            if data is None:
                data = fetch(self._registry)
                if oci.digest_of(data) == descriptor.digest:
                    self._cache.keep(data)
        return data
