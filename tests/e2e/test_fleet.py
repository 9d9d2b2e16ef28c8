"""Readers of three servers while snapshots are published, one after the other: nobody sees half of anything."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import random
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from builder import snapshot
from builder.catalog import Catalog
from builder.config import Config
from builder.description import Snapshot
from builder.site.tree import site
from builder.store import Store
from sync.outcome import How
from sync.publication import publish
from sync.settings import settings
from tests.builder.helpers import digest, flatpak_labels, icon_uri, image, loaded, ref_of
from tests.builder.test_build import report
from tests.real.apache import Apache
from tests.real.nginx import Nginx

CONTENTS = (0, 1, 2, 1, 3, 4, 5, 6)
"""What is published in turn: also one that was there before."""
APPS = 24
LASTING = 4
"""Applications whose icon stays the same all the time."""
CONFIG = """\
store: ./store
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources:
  main: {registry: "http://127.0.0.1:5000"}
indexes:
  stable: {tags: [latest], architectures: [amd64]}
targets:
  one: {rsync: ./one}
  two: {rsync: ./two}
  plain: {rsync: ./plain}
"""
BY_RULES = {
    "index/static?tag=latest&architecture=amd64": "index/latest-amd64.json",
    "index/static": "index/latest.json",
    "latest/index/static?tag=latest": "latest/index/static",
}
"""Paths as clients ask for them, by a server that obeys the site's rules, and the files whose content answers."""
BY_NAME = {
    "index/latest.json": "index/latest.json",
    "index/latest.json.gz": "index/latest.json",
    "index/static": "index/latest.json",
    "latest/index/static": "latest/index/static",
}
"""The same of a server that knows no rules."""


class Publications:
    """What was published so far: by file, the hash of each publication's content, in their order.

    A publication is known before anybody can see it, and `done` once all targets show it.
    """

    def __init__(self) -> None:
        self.hashes: dict[str, list[str]] = defaultdict(list)
        self.begun = 0
        self.done = 0

    def begin(self, new: Snapshot) -> None:
        for file in {*BY_RULES.values(), *BY_NAME.values()}:
            self.hashes[file].append(hashlib.sha256((new.folder / file).read_bytes()).hexdigest())
        self.begun += 1

    def finish(self) -> None:
        self.done = self.begun

    def shown(self, file: str, since: int) -> list[str]:
        """The hashes that may be seen of a request that was made when `since` publications were done."""
        return self.hashes[file][max(0, since - 1) : self.begun]


@dataclass(frozen=True)
class Answer:
    """What a server said; the body is as it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def unpacked(self) -> bytes:
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body


@dataclass
class Known:
    """An index that a client keeps, to ask whether it changed."""

    etag: str
    modified: str
    sha256: str


@dataclass
class Reader:
    """A client: asks for indexes, in each way that clients do, then for all icons that they name, now and later."""

    server: str
    port: int
    paths: Mapping[str, str]
    encoding: str
    publications: Publications
    stop: threading.Event
    reads: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    etags: dict[tuple[str, str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """By path, encoding and hash of the content."""

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self._known: dict[str, Known] = {}
        self._older: deque[list[str]] = deque(maxlen=12)

    def read(self) -> None:
        """Reads until told to stop."""
        turn = 0
        while not self.stop.is_set():
            for path, file in self.paths.items():
                turn += 1
                try:
                    icons = self._index(path, file, ("plain", "etag", "date")[turn % 3])
                    for icon in chain(icons, random.choice(self._older or [[]])[:5]):
                        self._icon(icon)
                except (OSError, EOFError, http.client.HTTPException) as error:
                    self.wrong.append(f"{self.server} {path} ({self.encoding}): {error!r}")
                    self._connection.close()
        self._connection.close()

    def _asked(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/{path}", headers={"Accept-Encoding": self.encoding, **named})
        answer = self._connection.getresponse()
        body = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status == 200 and found.get("content-length") != str(len(body)):
            self.wrong.append(f"{self.server} {path}: {len(body)} bytes, told as {found.get('content-length')}")
        return Answer(answer.status, found, body)

    def _index(self, path: str, file: str, way: str) -> list[str]:
        """The icons of an index, if it is another one than was known."""
        known = self._known.get(path)
        condition = {} if known is None or way == "plain" else _condition(known, way)
        since = self.publications.done
        answer = self._asked(path, **condition)
        possible = self.publications.shown(file, since)
        where = f"{self.server} {path} ({self.encoding}, {way}) after {since} publications"
        self.reads[f"index {answer.status}"] += 1
        if answer.status == 304 and condition and known:
            if known.sha256 not in possible:
                self.wrong.append(f"{where}: a stale 304")
            return []
        body = gzip.decompress(answer.body) if path.endswith(".gz") else answer.unpacked
        sha256 = hashlib.sha256(body).hexdigest()
        if answer.status != 200 or sha256 not in possible:
            old = sha256 in self.publications.hashes[file]
            self.wrong.append(f"{where}: {answer.status}, {'an old index' if old else f'{len(body)} bytes'}")
            return []
        self._note(path, sha256, answer)
        icons = [each.decode() for each in re.findall(rb'icon-64":"(?:\.\./)+(icons/[0-9a-f/]+\.png)"', body)]
        if not known or known.sha256 != sha256:
            self._older.append(random.sample(icons, len(icons)))
        self._known[path] = Known(answer.headers.get("etag", ""), answer.headers.get("last-modified", ""), sha256)
        return icons

    def _icon(self, path: str) -> None:
        answer = self._asked(path)
        self.reads[f"icon {answer.status}"] += 1
        sha256 = hashlib.sha256(answer.body).hexdigest()
        if answer.status != 200:
            self.wrong.append(f"{self.server} {path}: {answer.status}")
        elif sha256 != path.removeprefix("icons/").removesuffix(".png").replace("/", ""):
            self.wrong.append(f"{self.server} {path}: other bytes, {len(answer.body)} of them")
        else:
            self._note("icon", sha256, answer)

    def _note(self, path: str, sha256: str, answer: Answer) -> None:
        etag = answer.headers.get("etag", "")
        if not re.fullmatch('"[^"]+"', etag):
            self.wrong.append(f"{self.server} {path}: the ETag {etag or 'is missing'}")
        encoded = answer.headers.get("content-encoding", "identity")
        self.etags[path, encoded, sha256].add(etag)


def _condition(known: Known, way: str) -> dict[str, str]:
    return {"If_None_Match": known.etag} if way == "etag" else {"If_Modified_Since": known.modified}


def written(config: Config, store: Store, content: int) -> Snapshot:
    """A snapshot in which all icons but a few, and all digests, are others in each content; all sizes are the same."""
    images = []
    for number in range(APPS):
        colour = (0 if number < LASTING else content + 1, number, 0)
        labels = flatpak_labels(
            ref_of(f"Fleet{number:02}"), **{"org.freedesktop.appstream.icon-64": icon_uri(64, colour)}
        )
        named = f"{number} {content}"
        images.append(image(repository=f"fleet{number:02}", digest=digest(named), labels=labels))
    made = site(config, Catalog(tuple(images)), snapshot.carried_gzip(store.newest()))
    done = snapshot.write(store, made, config, int(time.time()))
    assert done.changed
    return store.find(done.id)


def published(config: Config, store: Store, content: int, publications: Publications) -> Snapshot:
    """Publishes a content, to all targets."""
    with store.locked("publish", create=True):
        new = written(config, store, content)
        publications.begin(new)
        how = settings(config.publishing, config.folder)
        done = publish(store, how, "publish", new, how.targets, report(), How(thorough=False))
        assert done.whole and all(each.changed for each in done.outcomes), done
        publications.finish()
    return new


@contextmanager
def reading(folder: Path, publications: Publications) -> Iterator[list[Reader]]:
    """Two readers of each target's server, with gzip and without."""
    stop = threading.Event()
    with ExitStack() as stack:
        servers = {
            name: (stack.enter_context(Apache(folder / f"apache-{name}", folder / name / "current")), BY_RULES)
            for name in ("one", "two")
        }
        nginx = stack.enter_context(Nginx(folder / "nginx", folder / "plain" / "current"))
        ports = {name: (server.port, paths) for name, (server, paths) in servers.items()}
        readers = [
            Reader(name, port, paths, encoding, publications, stop)
            for name, (port, paths) in {**ports, "plain": (nginx.port, BY_NAME)}.items()
            for encoding in ("gzip", "identity")
        ]
        threads = [threading.Thread(target=each.read) for each in readers]
        for thread in threads:
            thread.start()
        try:
            yield readers
            time.sleep(0.5)  # what was published last is to be read, too
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_no_reader_of_a_fleet_sees_half_while_snapshots_are_published(real_tmp: Path) -> None:
    config = loaded(real_tmp, CONFIG)
    store, publications = Store(config.store), Publications()
    made = [published(config, store, CONTENTS[0], publications)]
    with reading(real_tmp, publications) as readers:
        made += [published(config, store, content, publications) for content in CONTENTS[1:]]
    for file in {*BY_RULES.values(), *BY_NAME.values()}:
        assert len({each.by_path[file].size for each in made}) == 1, f"{file} is to have one size in all snapshots"
        assert len({each.by_path[file].sha256 for each in made}) == len(set(CONTENTS))
    reads = sum((each.reads for each in readers), Counter[str]())
    said = f"{reads.total()} reads in {len(made)} publications: {dict(sorted(reads.items()))}"
    print(said)
    wrong = [text for each in readers for text in each.wrong]
    assert not wrong, f"{len(wrong)} wrong answers in {said}: {Counter(wrong).most_common(8)}"
    assert reads["icon 200"] > 2000 and reads["index 200"] > 100 and reads["index 304"] > 100, said
    assert set(reads) == {"icon 200", "index 200", "index 304"}, said
    assert_etags_tell_contents_apart(readers, publications, said)


def assert_etags_tell_contents_apart(readers: list[Reader], publications: Publications, said: str) -> None:
    """One ETag for one content, on both servers that obey the rules; never one for two contents, on any server."""
    again = {each for hashes in publications.hashes.values() for each in hashes if hashes.count(each) > 1}
    by_rules: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(dict)
    for reader in readers:
        contents: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for (path, encoding, sha256), etags in reader.etags.items():
            if reader.paths is BY_RULES:
                by_rules[path, encoding, sha256].setdefault(reader.server, set()).update(etags)
            for etag in etags if path != "icon" else ():
                contents[path, encoding, etag].add(sha256)
        assert all(len(each) == 1 for each in contents.values()), f"one ETag for two contents in {said}"
    both = {key: each for key, each in by_rules.items() if len(each) == 2}
    for key, each in both.items():
        if key[2] not in again:  # what was published again got a later date
            assert len(set().union(*each.values())) == 1, f"{key} has the ETags {each} in {said}"
    indexes = sum(path != "icon" for path, _, _ in both)
    assert indexes > len(BY_RULES) * len(set(CONTENTS)), f"{indexes} indexes were read on both servers in {said}"
    assert len(both) - indexes > APPS, f"{len(both) - indexes} icons were read on both servers in {said}"
