"""A dozen sources at once, most of them bad in a way of their own: what is taken from whom, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.store import Store
from sync.mirror import explain, gather
from sync.mirror.bearers import bearers_of
from sync.mirror.choose import Decision, decide
from sync.mirror.fetch import Fetched, fetch
from sync.mirror.judge import Here, Rules, Taken
from sync.mirror.model import Probed, Source, Wanted
from sync.mirror.patience import Limits
from sync.mirror.pool import Pool
from sync.mirror.probe import probe
from tests.builder.helpers import Answer
from tests.mirror import hosts
from tests.mirror.hosts import raw
from tests.mirror.lists import DAY, REMOTE, described, mirrors, sha256
from tests.real.keys import key, public
from tests.real.process import free_port
from tests.real.tokens import Ear, Heard, Listening, listening

OBJECTS = [f"object {number}".encode() * 1000 for number in range(9)]
LIMITS = Limits(answer=8.0)  # on a busy machine a good server may need a while, too
LONGEST = 20.0  # seconds, of which only the one that hangs should take eight


def paths(*numbers: int) -> dict[str, bytes]:
    """As a site has these objects."""
    return {f"v2/app/blobs/sha256:{sha256(OBJECTS[number])}": OBJECTS[number] for number in numbers}


@dataclass(frozen=True)
class Dozen:
    """The sources by name; a server's requests; the trusted key; and what all said when they were asked at once."""

    urls: dict[str, str]
    running: dict[str, Listening]
    trusted: str
    probed: tuple[Probed, ...]
    took: float

    def name(self, source: Source) -> str:
        return next(name for name, url in self.urls.items() if url == source.url)

    def named(self, sources: list[Source]) -> list[str]:
        return [self.name(each) for each in sources]


def site(data: bytes, *numbers: int) -> Ear:
    """A server of a list and of these objects."""
    return hosts.files({"/snapshot.json": data, **{f"/{path}": held for path, held in paths(*numbers).items()}})


def late(ear: Ear) -> Ear:
    def answer(request: Heard) -> Answer | None:
        if request.path == "/snapshot.json":
            time.sleep(1)
        return ear(request)

    return answer


def copy(origin: bytes, *numbers: int) -> Ear:
    """A mirror of the list, with these objects alone."""
    held = {"/snapshot.json": mirrors(origin, paths(*numbers)), "/upstream/snapshot.json": origin}
    return hosts.files(held | {f"/{path}": data for path, data in paths(*numbers).items()})


def fill_stick(folder: Path, data: bytes, *numbers: int) -> None:
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "snapshot.json").write_bytes(data)
    (folder / "export.json").write_text("{}")
    for number in numbers:
        (folder / "blobs/sha256" / sha256(OBJECTS[number])).write_bytes(OBJECTS[number])


@pytest.fixture(scope="module")
def dozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dozen]:
    """All of them, running, and asked. The list is version 7; the stick is older; only who is stale has object 8."""
    now, tmp_path = int(time.time()), tmp_path_factory.mktemp("dozen")
    keys = (key(tmp_path, "remote"),)
    strangers = (key(tmp_path, "stranger"),)
    every, until = paths(*range(9)), now + 10 * DAY
    good = described(7, files=every, expires=until, keys=keys)
    forged = described(99, files=every, expires=until, keys=strangers)
    expired = described(9, files=every, expires=now - DAY, keys=keys)
    stale = described(6, files=paths(2, 8), expires=until, keys=keys)
    another = described(50, "org.example.other", files=every, expires=until, keys=keys)
    ears: dict[str, Ear] = {
        "good": site(good, *range(8)),
        "slow": late(site(good, *range(8))),
        "partial": copy(good, 2, 3),
        "stale": site(stale, 2, 8),
        "forged": site(forged, *range(9)),
        "expired": site(expired, *range(9)),
        "another": site(another, *range(9)),
        "corrupt": site(good[:-200], *range(9)),
        "loop": lambda request: Answer(status=302, headers={"Location": request.path}),
    }
    fill_stick(tmp_path / "media/stick", described(5, files=paths(0, 1, 4), expires=until, keys=keys), 0, 1)
    with ExitStack() as stack:
        running = {name: stack.enter_context(listening(ear)) for name, ear in ears.items()}
        urls = {name: f"{each.url}/" for name, each in running.items()}
        urls["hanging"] = stack.enter_context(raw(hosts.hangs))
        urls["refusing"] = f"http://127.0.0.1:{free_port()}/"
        urls["stick"] = f"{(tmp_path / 'media/stick').as_uri()}/"
        sources, warnings = gather.sources(list(urls.values()))
        assert len(sources) == 12 and warnings == ()
        started = time.monotonic()
        probed = probe(sources, [public(keys[0])], limits=LIMITS)
        yield Dozen(urls, running, public(keys[0]), probed, time.monotonic() - started)


def decided(dozen: Dozen, here: Here | None = None) -> Decision:
    """What comes of it; who is fresh is asked in this order, instead of a random one: partial, slow, good."""

    def shuffle(found: list[Probed]) -> None:
        found.sort(key=lambda each: ("partial", "slow", "good", "stale", "stick").index(dozen.name(each.source)))

    return decide(dozen.probed, here or Here(), Rules(trusted=True), int(time.time()), shuffle)


def fetched(decision: Decision, folder: Path) -> Fetched:
    wanted = [Wanted(sha256(each), len(each), "app") for each in OBJECTS]
    return fetch(wanted, list(bearers_of(decision)), Pool(Store(folder)), parallel=1)


def test_the_right_list_and_each_object_from_the_right_place(dozen: Dozen, tmp_path: Path) -> None:
    assert dozen.took < LONGEST
    decision = decided(dozen)
    assert decision.listed is not None and decision.giver is not None
    assert decision.listed.snapshot.version == 7 and decision.listed.signed_by == dozen.trusted
    assert dozen.name(decision.giver.source) == "good" and decision.remote_id == REMOTE
    found = {dozen.name(each.probed.source): (each.code, each.taken) for each in decision.verdicts}
    assert found == {
        "good": ("list", Taken.LIST),
        "slow": ("current", Taken.OBJECTS),
        "partial": ("current", Taken.OBJECTS),
        "stale": ("stale", Taken.OBJECTS),
        "stick": ("stale", Taken.OBJECTS),
        "forged": ("forged", Taken.DROPPED),
        "expired": ("expired", Taken.DROPPED),
        "another": ("foreign", Taken.DROPPED),
        "corrupt": ("corrupt", Taken.DROPPED),
        "loop": ("redirect", Taken.DROPPED),
        "hanging": ("timeout", Taken.DROPPED),
        "refusing": ("refused", Taken.DROPPED),
    }
    assert dozen.named([each.source for each in decision.order]) == ["stick", "partial", "slow", "good", "stale"]

    before = {name: len(each.heard) for name, each in dozen.running.items()}
    came = fetched(decision, tmp_path / "store")
    assert (came.missing, came.dropped) == ({}, {})
    assert {dozen.name(source): number for source, (number, _) in came.taken.items()} == {
        "stick": 2,  # 0 and 1; 4 is in its list, but not on it
        "partial": 2,  # 2 and 3
        "slow": 4,  # 4 to 7
        "stale": 1,  # 8, which the others answer with 404: that drops nobody
    }
    asked = {name for name, each in dozen.running.items() if len(each.heard) > before[name]}
    assert asked == {"partial", "slow", "good", "stale"}, "nobody asks those that were dropped"


def test_each_drop_is_explained(dozen: Dozen) -> None:
    decision = decided(dozen)
    lines = list(explain.lines(decision, int(time.time())))
    said: dict[str, str] = {}
    for line in lines[:-2]:
        if not line.startswith(" "):
            place = line.removesuffix(" (configured)")
        else:
            said[place] = f"{said.get(place, '')}{line}\n"
    for name, parts in {
        "good": ("version 7", "valid for 9 days", "signed by SHA256:", "taken for list and objects [list]"),
        "partial": ("a mirror with a part of it", "taken for objects [current]: it has version 7, too"),
        "stick": ("version 5", "taken for objects [stale]: its list is version 5, the newest is 7"),
        "forged": ("version 99", "dropped [forged]: its list is not signed by a trusted key"),
        "expired": ("expired 1 day ago", "dropped [expired]: its list (version 9) expired on"),
        "another": ("remote 'org.example.other'", "another remote than 'org.example.apps'"),
        "corrupt": ("dropped [corrupt]: its snapshot.json is damaged",),
        "loop": ("dropped [redirect]: too many redirects",),
        "hanging": ("dropped [timeout]: no answer within 8 seconds",),
        "refusing": ("dropped [refused]: connection refused",),
    }.items():
        for part in parts:
            assert part in said[dozen.urls[name]], f"{name}: {part}"
    assert lines[-2].startswith("list: version 7") and lines[-2].endswith(dozen.urls["good"])


def test_nothing_below_what_is_here_and_nothing_without_the_list(dozen: Dozen) -> None:
    """The store is ahead of all that can be trusted: version 99 is forged, 50 is another remote's, 9 has expired."""
    decision = decided(dozen, Here(8, REMOTE, "20270101T000000Z-00000000"))
    assert decision.listed is None
    assert decision.why == "no source has a list that is newer than version 8, which is here"
    codes = {dozen.name(each.probed.source): each.code for each in decision.verdicts}
    assert {name for name, code in codes.items() if code == "rollback"} == {
        "good",
        "slow",
        "partial",
        "stale",
        "stick",
    }
