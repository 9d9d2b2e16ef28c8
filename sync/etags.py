"""Whether all servers of a name give one file one ETag: Apache and nginx form them differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import urlsplit

from builder.sources import addresses
from builder.sources.addresses import NoAnswer
from sync.carrier import described
from sync.served import LARGEST, place
from sync.targets import Target

_AT_ONCE = 16  # targets


@dataclass(frozen=True)
class Answered:
    """What one address of a target's URL said of its `snapshot.json`: which snapshot it is, its ETag, the server."""

    target: str
    host: str
    address: str
    server: str = ""
    snapshot: str | None = None
    etag: str = ""
    error: str = ""


@dataclass(frozen=True)
class Told:
    """A line of `check --online` about targets; it is not `good` if clients suffer."""

    text: str
    good: bool

    @property
    def as_json(self) -> dict[str, object]:
        """For a script."""
        return {"what": self.text, "good": self.good}


def told(targets: Iterable[Target]) -> list[Told]:
    """Asks every address of every target that has a URL, and tells what it comes to."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [answer for answers in pool.map(_asked, [each for each in targets if each.url]) for answer in answers]
    return list(findings(asked))


def findings(asked: Sequence[Answered]) -> Iterator[Told]:
    """A line for each target that answers or doesn't, then one for each two that form ETags differently.

    Where they have one host name, a client meets now one, now the other, and loads everything again each time.
    """
    for answer in asked:
        where = f"target {answer.target}, {answer.address}"
        yield Told(f"{where}: {answer.error or f'shows {answer.snapshot}'}", not answer.error)
    seen = set()
    for one, other in combinations([each for each in asked if each.snapshot], 2):
        pair = (one.target, one.server, other.target, other.server)
        if one.snapshot != other.snapshot or one.etag == other.etag or pair in seen:
            continue
        seen.add(pair)
        both = f"{one.target} ({one.server or '?'}) and {other.target} ({other.server or '?'}) give one file two ETags"
        if one.host == other.host:
            yield Told(
                f"{both}, under one name: let one kind of server serve {one.host}, or clients load all anew", False
            )
        else:
            yield Told(f"{both}: don't let them share a name", True)


def _asked(target: Target) -> list[Answered]:
    host = urlsplit(target.url).hostname or ""
    try:
        found = addresses.of(target.url)
    except NoAnswer as error:
        return [Answered(target.name, host, host, error=str(error))]
    answers = [_answered(target, host, address) for address in found]
    good = [answer for answer in answers if not answer.error]
    return good or answers  # an address family that this machine can't reach is not the target's fault


def _answered(target: Target, host: str, address: str) -> Answered:
    try:
        said = addresses.ask(place(target.url), address, LARGEST)
    except NoAnswer as error:
        return Answered(target.name, host, address, error=str(error))
    shown = described(said.body)
    server = said.headers.get("server", "").partition("/")[0].partition(" ")[0]
    if said.status != 200 or shown is None:
        return Answered(target.name, host, address, server, error=f"shows no snapshot (status {said.status})")
    return Answered(target.name, host, address, server, shown.id, said.headers.get("etag", ""))
