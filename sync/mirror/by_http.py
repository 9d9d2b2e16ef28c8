"""Objects from a web server or a registry: gone on with after a cut, and never more than was promised."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from builder import oci
from builder.config import Access
from builder.description import is_inside
from builder.sources.access import transport_to
from builder.sources.answers import CutError, FetchError
from builder.sources.auth import origin_of
from builder.sources.streams import SLOWEST, Stream, streamed
from builder.sources.transport import Patience, Transport
from sync.mirror.item import Item
from sync.mirror.model import Bearer, Found
from sync.mirror.part import Part
from sync.mirror.reader import Absent, Failing, Lost, Stopped, Wrong

_BACKOFF = 0.3  # seconds before the second try, doubled for each further one
_LONGEST_WAIT = 30.0  # seconds that a Retry-After may ask for
_SLOWEST_OF_OTHERS = 16 * 1024  # bytes a second
_GETS_ON = 1024 * 1024  # bytes with which a try was worth it, so that it is none of those that are counted
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")
_ACCEPT = {"Accept": ", ".join(oci.MANIFEST_TYPES)}


@dataclass(frozen=True)
class _Place:
    """Where an object may be."""

    transport: Transport
    url: str
    scope: str = ""


class HttpReader:
    """Reads from a site's files, and from the registry that its images lie in. A peer on the LAN gets no login."""

    def __init__(
        self,
        bearer: Bearer,
        access: Access,
        environment: Mapping[str, str],
        patience: Patience,
        stopped: threading.Event,
    ) -> None:
        self.source = bearer.source
        self._holds = bearer.holds
        self._stopped = stopped
        self._patience = patience
        self._stays = bearer.source.found is Found.LAN
        # Who nobody has named must not hold up a run by dripping: others have what it has.
        self._slowest = SLOWEST if bearer.source.found is Found.CONFIGURED else _SLOWEST_OF_OTHERS
        self._registry = bearer.registry.rstrip("/")
        if self._stays and origin_of(self._registry) != origin_of(self.source.url):
            self._registry = ""
        self._close = ExitStack()
        self._transports: dict[str, Transport] = {}
        for url in filter(None, dict.fromkeys((self.source.url, self._registry))):
            made = transport_to(url, access, environment, anonymous=self._stays, patience=patience)
            self._transports[url] = self._close.enter_context(made)

    def may_have(self, item: Item) -> bool:
        """Whether it is among its files, or may be in its registry."""
        return item.sha256 in self._holds or bool(self._registry and item.repositories)

    def _places(self, item: Item) -> Iterator[_Place]:
        """A stick that is served as it is has its images' files elsewhere than they are said to be."""
        path = self._holds.get(item.sha256)
        if path is not None and is_inside(path):
            paths = (path, f"blobs/sha256/{item.sha256}") if path.startswith("v2/") else (path,)
            for each in paths:
                yield _Place(self._transports[self.source.url], self.source.url + quote(each, safe="/:@"))
        elif self._registry:
            kind = "manifests" if item.is_manifest else "blobs"
            for name in filter(oci.is_repository, item.repositories):
                url = f"{self._registry}/v2/{name}/{kind}/sha256:{item.sha256}"
                yield _Place(self._transports[self._registry], url, f"repository:{name}:pull")

    def read(self, item: Item, part: Part) -> None:
        """As `Reader` has it."""
        absent = Absent(f"{self.source.url} names no place for it")
        for place in self._places(item):
            try:
                return self._download(place, item, part)
            except Absent as error:
                absent = error
        raise absent

    def _download(self, place: _Place, item: Item, part: Part) -> None:
        """All of it, in as many tries as it takes, as long as it gets on."""
        left, anew = self._patience.retries, self._patience.retries
        while True:
            if self._stopped.is_set():
                raise Stopped
            before, restarts = part.size, part.restarts
            try:
                return self._once(place, item, part)
            except FetchError as error:
                anew -= part.restarts - restarts
                if part.size - before >= _GETS_ON and anew >= 0:
                    left = self._patience.retries
                pause = error.pause if error.pause is not None else _backoff(self._patience.retries - left)
                if not error.again or left <= 0 or pause > _LONGEST_WAIT:
                    raise self._meaning(error) from error
                left -= 1
            self._stopped.wait(pause)

    def _once(self, place: _Place, item: Item, part: Part) -> None:
        headers = dict(_ACCEPT) if item.is_manifest else {}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
        patience = self._patience.read
        with streamed(
            place.transport,
            place.url,
            headers,
            scope=place.scope,
            patience=patience,
            stays=self._stays,
            slowest=self._slowest,
        ) as stream:
            whole, coding = _agreed(place, stream, item, part), stream.headers.get("Content-Encoding", "")
            while data := stream.read():
                if part.size + len(data) > item.limit:
                    raise Wrong(f"GET {place.url}: more than {item.limit} bytes")
                part.write(data)
                if self._stopped.is_set():
                    raise Stopped
        if whole is not None and part.size < whole:
            raise CutError(place.url, f"only {part.size} of {whole} bytes came", "GET")
        if coding and part.sha256 != item.sha256:  # files that are packed themselves come with it, too
            raise Wrong(f"GET {place.url}: sent with Content-Encoding: {coding:.40}, which was not asked for")

    def _meaning(self, error: FetchError) -> Exception:
        if self._stopped.is_set():
            return Stopped()
        if error.status is None:
            return Lost(str(error))
        if error.again:
            return Failing(str(error))
        return Absent(str(error))

    def cut(self) -> None:
        """Cuts the connections."""
        for transport in self._transports.values():
            transport.cut()

    def close(self) -> None:
        """Closes the connections."""
        self._close.close()


def _agreed(place: _Place, stream: Stream, item: Item, part: Part) -> int | None:
    """How many bytes the object has by the answer's headers, if they say so; the part is ready for its body.

    Raises Wrong if that is not its size, and CutError if it has to be asked for anew.
    """
    told = stream.headers.get("Content-Length", "")
    whole = int(told) if re.fullmatch(r"[0-9]{1,18}", told) else None
    goes_on = part.size == 0
    if stream.status != HTTPStatus.OK:
        if not part.size:
            raise Wrong(f"GET {place.url}: answered {stream.status}, though all of it was asked for")
        match = _RANGE.fullmatch(stream.headers.get("Content-Range", ""))
        whole = int(match[3]) if match and match[3] != "*" else None
        goes_on = stream.status == HTTPStatus.PARTIAL_CONTENT and match is not None and int(match[1]) == part.size
    if whole is not None and (misfit := item.misfit(whole)):
        raise Wrong(f"GET {place.url}: {misfit}")
    if not goes_on:
        part.restart()
        if stream.status != HTTPStatus.OK:
            raise CutError(place.url, f"answered {stream.status}, which does not go on where it ended", "GET")
    return whole


def _backoff(tried: int) -> float:
    return float(_BACKOFF * 2**tried) * random.uniform(0.75, 1.25)  # noqa: S311
