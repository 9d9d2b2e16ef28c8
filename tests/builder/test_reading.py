"""Reading a registry again: only what moved is asked for, and whatever goes wrong, the site is the same or stays."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder import configfile
from builder.build import How, build
from builder.config import Config
from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.outcome import Built
from builder.sources import registry as registry_module
from builder.sources import transport
from builder.sources.cache import Cache
from builder.store import Store
from tests.builder.helpers import Answer, Blobs, Json, as_registry, flatpak_labels, icon_uri, loaded, ref_of, write
from tests.builder.test_build import files, report
from tests.builder.test_regindexer import OLD

ICON = "org.freedesktop.appstream.icon-64"
CONFIG = """\
store: ./store
remote: {{name: example, url: "http://127.0.0.1:8080/"}}
sources:
  main: {{registry: "{url}"{more}}}
indexes:
  stable: {{tags: [latest], architectures: [amd64], annotations: true}}
  testing: {{tags: [testing], extract_icons: false}}
"""


SHRINKING = How(allow_shrink=True)


@dataclass
class Fake:
    """A registry that knows conditional requests. `change` gives other answers, or None for the usual one."""

    blobs: Blobs = field(default_factory=Blobs)
    tags: dict[str, dict[str, Json]] = field(default_factory=dict)
    change: Callable[[str], Answer | str | None] = lambda path: None
    delay: float = 0
    url: str = ""
    log: list[tuple[str, int, bool]] = field(default_factory=list)
    """Path, status, and whether the request was conditional."""
    busiest: int = 0
    active: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, repository: str, name: str, *tags: str, **labels: str) -> None:
        """Makes an image what the tags point to."""
        entry = self.blobs.image(flatpak_labels(ref_of(name), **{ICON: icon_uri(64, (len(name), 0, 0)), **labels}))
        self.tags.setdefault(repository, {}).update(dict.fromkeys(tags or ("latest",), entry))

    def asked(self) -> list[tuple[str, int, bool]]:
        """What was asked since the last call, sorted."""
        log, self.log = self.log, []
        return sorted((path.partition("?")[0].removeprefix("/v2/"), *rest) for path, *rest in log)  # type: ignore[misc]

    def answer(self, path: str, etag: str) -> Answer | None:
        """What a request gets; None cuts the connection."""
        changed = self.change(path)
        if changed == "cut":
            return None
        if isinstance(changed, Answer):
            return changed
        found = as_registry(self.blobs, self.tags)(path)
        if found and etag and found.headers.get("Docker-Content-Digest") == etag.strip('"'):
            return Answer(b"", 304, found.headers)
        return found


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """Serves it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with fake.lock:
                fake.active += 1
                fake.busiest = max(fake.busiest, fake.active)
            etag = self.headers.get("If-None-Match", "")
            time.sleep(random.uniform(0, fake.delay))
            answer = fake.answer(self.path, etag)
            with fake.lock:
                fake.active -= 1
                fake.log.append((self.path, answer.status if answer else 0, bool(etag)))
            if answer is None:
                self.close_connection = True
                return
            head = [f"HTTP/1.1 {answer.status} X"]
            length = {"Content-Length": str(len(answer.body))} if answer.status != 304 else {}
            head += [f"{name}: {value}" for name, value in {**length, **answer.headers}.items()]
            body = b"" if self.command == "HEAD" else answer.body
            self.wfile.write("\r\n".join([*head, "", ""]).encode() + body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    """A registry of five repositories, asked without long waits."""
    monkeypatch.setattr(transport, "_BACKOFF", 0.001)
    fake = Fake()
    for name in "ABCD":
        fake.offer(f"apps/{name.lower()}", name, "latest")
    fake.offer("apps/a", "Atest", "testing")
    fake.tags["empty"] = {}
    with serving(fake):
        yield fake


def config_of(folder: Path, fake: Fake, more: str = "") -> Config:
    """A configuration with that registry."""
    folder.mkdir(parents=True, exist_ok=True)
    return loaded(folder, CONFIG.format(url=fake.url, more=more))


def run(config: Config, how: How = SHRINKING) -> tuple[Built, Snapshot]:
    """Builds, and reads what was built."""
    store = Store(config.store)
    with store.locked("build", create=True):
        done = build(config, report(), how)
    return done, store.find(done.snapshot)


def site_of(config: Config, how: How = SHRINKING) -> dict[str, bytes]:
    """The files of the site that a build makes."""
    return files(run(config, how)[1])


def refs(done: Built) -> list[str]:
    """The names in the refs of a build."""
    return [ref.split("/")[1].rpartition(".")[2] for ref in done.refs]


QUIET = [
    ("_catalog", 200, False),
    *((f"apps/{name}/manifests/latest", 304, True) for name in "abcd"),
    ("apps/a/manifests/testing", 304, True),
]
UNKNOWN = [(f"apps/{name}/manifests/testing", 404, False) for name in "bcd"] + [
    (f"empty/manifests/{tag}", 404, False) for tag in ("latest", "testing")
]


def test_a_second_build_asks_only_whether_tags_moved(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    first, one = run(config)
    assert len([path for path, _, conditional in fake.asked() if "/blobs/" in path or conditional]) == 5
    second, two = run(config)
    assert (first.changed, second.changed, two.id) == (True, False, one.id)
    assert fake.asked() == sorted(QUIET + UNKNOWN)
    assert (second.refs, second.indexes, second.skips, second.advice) == (
        first.refs,
        first.indexes,
        first.skips,
        first.advice,
    )


def test_when_nothing_moved_no_image_is_looked_at(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    shutil.rmtree(config.store / "cache" / "blobs")
    fake.asked()
    run(config)
    assert fake.asked() == sorted(QUIET + UNKNOWN)


def test_named_repositories_need_no_catalog(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake, ', repositories: ["apps/a"]')
    run(config)
    fake.asked()
    run(config)
    assert fake.asked() == [("apps/a/manifests/latest", 304, True), ("apps/a/manifests/testing", 304, True)]


def test_one_moved_tag_costs_its_manifest_and_config(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    fake.asked()
    fake.offer("apps/b", "Bnew")
    done, _ = run(config)
    assert refs(done) == ["A", "Atest", "Bnew", "C", "D"]
    asked = fake.asked()
    assert ("apps/b/manifests/latest", 200, True) in asked
    assert [path.rpartition("/sha256")[0] for path, _, _ in asked if "sha256:" in path] == ["apps/b/blobs"] or len(
        [path for path, _, _ in asked if "sha256:" in path]
    ) == 1
    assert len([status for _, status, _ in asked if status == 304]) == 4


def test_an_image_that_was_seen_before_is_fetched_from_no_tag_and_no_repository(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    fake.asked()
    fake.tags["copy"] = {"latest": fake.tags["apps/a"]["latest"]}
    fake.tags["apps/b"]["testing"] = fake.tags["apps/a"]["testing"]
    run(config)
    asked = fake.asked()
    assert ("copy/manifests/latest", 200, False) in asked and ("apps/b/manifests/testing", 200, False) in asked
    assert not [path for path, _, _ in asked if "sha256:" in path]


def test_the_same_image_in_many_repositories_is_fetched_once(tmp_path: Path, fake: Fake) -> None:
    for number in range(20):
        fake.tags[f"copy/{number}"] = fake.tags["apps/a"]
    fake.delay = 0.01
    run(config_of(tmp_path, fake))
    paths = [path for path, _, _ in fake.asked() if "/blobs/" in path]
    assert len(paths) == 5


def test_a_deleted_tag_and_a_deleted_repository_are_gone(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    del fake.tags["apps/a"]["testing"], fake.tags["apps/d"]
    done, _ = run(config)
    assert refs(done) == ["A", "B", "C"]
    assert done.stale == ()
    fake.asked()
    assert run(config)[0].changed is False
    assert len(fake.asked()) == 1 + 3 + 3 + 2


def test_a_full_build_asks_all_again_and_refills_the_cache(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    for pack in (config.store / "cache" / "blobs").iterdir():
        pack.write_bytes(pack.read_bytes()[:-1] + b"?")
    fake.asked()
    assert site_of(config, How(full=True)) == before
    asked = fake.asked()
    assert not [path for path, _, conditional in asked if conditional]
    assert len([path for path, _, _ in asked if "/blobs/" in path]) == 5
    assert site_of(config) == before
    assert fake.asked() == sorted(QUIET + UNKNOWN)
    (config.store / "cache" / "built.json").unlink()
    assert site_of(config) == before
    assert fake.asked() == sorted(QUIET + UNKNOWN), "all blobs are there again"


# Offline


def test_offline_makes_the_same_site_and_asks_nobody(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    fake.asked()
    assert site_of(config, How(offline=True)) == before
    shutil.rmtree(config.store / "snapshots")
    (config.store / "cache" / "built.json").unlink()
    done, one = run(config, How(offline=True))
    assert files(one) == before
    assert (done.stale, done.whole) == ((), True)
    assert fake.asked() == []


def test_offline_without_a_cache_is_an_error_at_first(tmp_path: Path, fake: Fake) -> None:
    with pytest.raises(FlatdexError, match="nothing of it is in the cache, and nobody was asked"):
        run(config_of(tmp_path, fake), How(offline=True))
    assert fake.asked() == []


def test_offline_without_a_cache_keeps_what_there_was(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    shutil.rmtree(config.store / "cache")
    fake.asked()
    done, one = run(config, How(offline=True))
    assert files(one) == before
    assert [(each.source, each.repository, each.code) for each in done.stale] == [("main", "", "not-cached")]
    assert fake.asked() == []


def test_offline_keeps_a_repository_whose_blobs_are_lost(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    (pack,) = (config.store / "cache" / "blobs").iterdir()
    pack.unlink()
    (config.store / "cache" / "built.json").unlink()
    done, one = run(config, How(offline=True))
    assert files(one) == before
    assert [each.repository for each in done.stale] == ["apps/a", "apps/b", "apps/c", "apps/d"]
    assert {each.code for each in done.stale} == {"not-cached"}


# A damaged cache


def damages(cache: Path) -> Iterator[tuple[str, Path, bytes | None]]:
    """Names of damages, the file to damage, and its bytes after that; None: none."""
    (pack,) = (cache / "blobs").iterdir()
    (tags,) = (cache / "tags").iterdir()
    for file in (pack, tags, cache / "built.json"):
        data = file.read_bytes()
        for place in sorted({0, 1, 40, 47, 48, 49, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1}):
            yield f"{file.name} cut at {place}", file, data[:place]
            yield f"{file.name} flipped at {place}", file, data[:place] + bytes([data[place] ^ 5]) + data[place + 1 :]
        yield f"{file.name} garbage", file, os.urandom(5000)
        yield f"{file.name} away", file, None
    data = tags.read_bytes()
    digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
    for place in digits[:: max(1, len(digits) // 20)]:
        other = b"2" if data[place : place + 1] == b"1" else b"1"
        yield f"another digit at {place}", tags, data[:place] + other + data[place + 1 :]


def test_a_damaged_cache_makes_the_same_site(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    cache = config.store / "cache"
    shutil.copytree(cache, tmp_path / "good")
    for name, file, data in list(damages(cache)):
        shutil.rmtree(cache)
        shutil.copytree(tmp_path / "good", cache)
        file.unlink()
        if data is not None:
            file.write_bytes(data)
        for _ in range(2):
            done, one = run(config)
            assert files(one) == before, name
            assert done.stale == () and not done.changed, name
            (cache / "built.json").unlink(missing_ok=True)
        fake.asked()
        assert files(run(config)[1]) == before, name
        assert not [path for path, status, _ in fake.asked() if status == 200 and path != "_catalog"], name


@pytest.mark.parametrize("kind", ["file", "garbage", "folders"])
def test_garbage_in_place_of_the_cache_makes_the_same_site(tmp_path: Path, fake: Fake, kind: str) -> None:
    before = site_of(config_of(tmp_path / "good", fake))
    config = config_of(tmp_path / "bad", fake)
    cache = config.store / "cache"
    config.store.mkdir()
    if kind == "file":
        cache.write_text("a file")
    else:
        shutil.copytree(tmp_path / "good" / "store" / "cache", cache)
        for file in [path for path in cache.rglob("*") if path.is_file()]:
            if kind == "folders":
                file.unlink()
                (file / "x").mkdir(parents=True)
            else:
                file.write_bytes(b"\0{garbage" * 500)
    for _ in range(2):
        done, one = run(config)
        assert files(one) == before and done.whole


def test_two_builds_share_a_cache(tmp_path: Path, fake: Fake) -> None:
    fake.delay = 0.005
    before = site_of(config_of(tmp_path / "alone", fake))
    configs = [config_of(tmp_path / name, fake) for name in "abcd"]
    shared = tmp_path / "shared"
    for config in configs:
        config.store.mkdir()
        (config.store / "cache").symlink_to(shared)
    shared.mkdir()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(site_of, configs)) == [before] * 4
        assert list(pool.map(site_of, configs)) == [before] * 4


# Determinism


def test_neither_threads_nor_delays_nor_order_nor_the_cache_change_a_byte(tmp_path: Path, fake: Fake) -> None:
    for number in range(12):
        fake.offer(f"more/{number}", f"More{number % 9}", "latest", "testing", x=str(number))
    sites = []
    fake.delay = 0.01
    for number, connections in enumerate((1, 16, 16)):
        config = config_of(tmp_path / str(number), fake, f", connections: {connections}")
        sites += [site_of(config), site_of(config, How(full=True, allow_shrink=True))]
        fake.tags = dict(random.sample(list(fake.tags.items()), len(fake.tags)))
    assert all(each == sites[0] for each in sites)


@pytest.mark.parametrize("connections", [1, 4])
def test_no_more_than_connections_at_once(tmp_path: Path, fake: Fake, connections: int) -> None:
    for number in range(12):
        fake.offer(f"more/{number}", f"More{number}")
    fake.delay = 0.01
    run(config_of(tmp_path, fake, f", connections: {connections}"))
    assert 1 <= fake.busiest <= connections


# A limited rate


def test_with_too_small_a_rate_each_repository_gets_its_turn(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "_PATIENCE", 0.0)
    repositories = '"apps/a", "apps/b", "apps/c", "apps/d"'
    text = f", rate: 3/1h, connections: 1, repositories: [{repositories}]"
    config = config_of(tmp_path, fake, text)
    seen: set[str] = set()
    turns = 0
    while len(seen) < 5 and turns < 5:
        turns += 1
        for file in (config.store / "cache" / "rates").glob("*"):
            file.unlink()  # an hour later
        done, _ = run(config)
        now = set(refs(done))
        assert seen <= now, "what was read stays"
        seen = now
        assert all(each.code == "rate-limited" and "`rate` is used up" in each.why for each in done.stale)
    assert seen == {"A", "Atest", "B", "C", "D"}
    assert turns > 1


def test_a_registry_that_says_that_nothing_remains_is_left_alone(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake, ", connections: 1")
    run(config)
    fake.asked()
    for name in "ABCD":
        fake.offer(f"apps/{name.lower()}", name + "new")

    def remaining(path: str) -> Answer | None:
        found = as_registry(fake.blobs, fake.tags)(path)
        if found and "/manifests/" in path and found.status == 200:
            return replace(found, headers={**found.headers, "RateLimit-Remaining": "0;w=21600"})
        return None

    fake.change = remaining
    done, _ = run(config)
    assert len([path for path, _, _ in fake.asked() if "/manifests/" in path]) == 1
    assert {each.code for each in done.stale} == {"rate-limited"}
    assert len(done.refs) == 5


# Failures


FAILURES: Mapping[str, tuple[Answer | str, str]] = {
    "cut": ("cut", "unreachable"),
    "401": (Answer(b"{}", 401), "unauthorized"),
    "403": (Answer(b"{}", 403), "forbidden"),
    "429": (Answer(b"{}", 429), "rate-limited"),
    "500": (Answer(b"{}", 500), "server-error"),
    "html": (Answer(b"{}", 418), "bad-answer"),
}


def failing(fake: Fake, part: str, answer: Answer | str) -> None:
    """Lets all requests whose path has `part` fail."""
    fake.change = lambda path: answer if part in path else None


def old_form(folder: Path, fake: Fake) -> Config:
    """A configuration in regindexer's form."""
    file = write(folder, OLD.replace("http://127.0.0.1:5000", fake.url), "config.yaml")
    return configfile.load(file, {}, str(folder / "store"))


@pytest.mark.parametrize("form", ["own", "regindexer's"])
@pytest.mark.parametrize("part", ["/v2/", "_catalog", "apps/b/", "apps/b/manifests/latest"])
@pytest.mark.parametrize("kind", FAILURES)
def test_what_fails_stays_byte_for_byte(tmp_path: Path, fake: Fake, kind: str, part: str, form: str) -> None:
    config = old_form(tmp_path, fake) if form != "own" else config_of(tmp_path, fake)
    before = site_of(config)
    answer, code = FAILURES[kind]
    failing(fake, part, answer)
    done, one = run(config)
    assert files(one) == before
    name = config.sources[0].name
    place = "apps/b" if "apps/b" in part else ""
    assert [(each.source, each.repository, each.code) for each in done.stale] == [(name, place, code)]
    assert done.stale[0].kept == (1 if place else 5)
    assert not done.whole
    fake.change = lambda path: None
    done, one = run(config)
    assert files(one) == before and done.whole and done.stale == ()


@pytest.mark.parametrize("form", ["own", "regindexer's"])
def test_what_fails_stays_while_the_rest_moves(tmp_path: Path, fake: Fake, form: str) -> None:
    config = old_form(tmp_path, fake) if form != "own" else config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/", Answer(b"secret.internal", 500))
    fake.offer("apps/c", "Cnew")
    fake.offer("apps/b", "Bnew")
    done, one = run(config)
    assert refs(done) == ["A", "Atest", "B", "Cnew", "D"]
    (stale,) = one.document["stale"]
    assert set(stale) == {"source", "repository", "code", "since"}
    assert (stale["repository"], stale["code"]) == ("apps/b", "server-error")
    text = (one.folder / "snapshot.json").read_text()
    assert "answered 500" not in text and (form == "own" or fake.url not in text)
    assert fake.url in done.stale[0].why


def test_a_404_is_no_failure(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/manifests/", Answer(b"{}", 404))
    done, _ = run(config)
    assert refs(done) == ["A", "Atest", "C", "D"] and done.stale == ()


def test_a_config_that_can_t_be_fetched_keeps_what_the_repository_had(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    fake.offer("apps/b", "Bnew")
    failing(fake, "/blobs/", Answer(b"", 500))
    done, one = run(config)
    assert files(one) == before
    assert [each.repository for each in done.stale] == ["apps/b"]
    fake.change = lambda path: None
    assert refs(run(config)[0]) == ["A", "Atest", "Bnew", "C", "D"]


def test_the_first_build_of_all_may_not_lack_a_source_but_may_lack_a_repository(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    failing(fake, "/v2/", Answer(b"", 500))
    with pytest.raises(FlatdexError, match="answered 500"):
        run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    done, _ = run(config)
    assert refs(done) == ["A", "Atest", "C", "D"]
    assert [(each.repository, each.kept) for each in done.stale] == [("apps/b", 0)]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of builds to so many seconds from now."""
    real = time.time

    def at(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return at


def test_since_stays_until_it_is_mended(tmp_path: Path, fake: Fake, at: Callable[[float], None]) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    at(100)
    first = run(config)[0].stale[0].since
    at(5000)
    assert [each.since for each in run(config)[0].stale] == [first]
    fake.change = lambda path: None
    at(6000)
    assert run(config)[0].stale == ()
    failing(fake, "apps/b/", Answer(b"", 500))
    at(9000)
    assert run(config)[0].stale[0].since >= first + 8800


def test_since_goes_when_it_is_mended_also_if_a_snapshot_told_of_it(
    tmp_path: Path, fake: Fake, at: Callable[[float], None]
) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    fake.offer("apps/c", "Cnew")
    first = run(config)[0].stale[0].since
    fake.change = lambda path: None
    assert run(config)[0].stale == ()
    failing(fake, "apps/b/", Answer(b"", 500))
    at(9000)
    assert run(config)[0].stale[0].since >= first + 8800


def test_since_stays_in_a_full_build(tmp_path: Path, fake: Fake, at: Callable[[float], None]) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    first = run(config)[0].stale[0].since
    at(9000)
    assert run(config, How(full=True))[0].stale[0].since == first


def test_a_lost_cache_during_a_failure_loses_no_image(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake)
    before = site_of(config)
    failing(fake, "/v2/", "cut")
    run(config)
    shutil.rmtree(config.store / "cache")
    done, one = run(config)
    assert files(one) == before and len(done.stale) == 1


def test_max_stale_ends_it(tmp_path: Path, fake: Fake, at: Callable[[float], None]) -> None:
    config = config_of(tmp_path, fake, ", max_stale: 1h")
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    assert run(config)[0].stale[0].kept == 1
    at(3500)
    assert run(config)[0].stale[0].kept == 1
    at(3700)
    done, _ = run(config)
    assert refs(done) == ["A", "Atest", "C", "D"]
    assert [(each.repository, each.kept) for each in done.stale] == [("apps/b", 0)]
    fake.change = lambda path: None
    assert refs(run(config)[0]) == ["A", "Atest", "B", "C", "D"]


def test_two_sources_of_one_registry_both_ask_only_whether_tags_moved(tmp_path: Path, fake: Fake) -> None:
    text = CONFIG.format(url=fake.url, more=', repositories: ["apps/a"]').replace(
        "indexes:", f'  other: {{registry: "{fake.url}", repositories: ["apps/b"]}}\nindexes:'
    )
    config = loaded(tmp_path, text)
    run(config)
    fake.asked()
    run(config)
    paths = [path for path, status, conditional in fake.asked() if status == 304 and conditional]
    assert paths == ["apps/a/manifests/latest", "apps/a/manifests/testing", "apps/b/manifests/latest"]


def test_kept_images_of_an_architecture_that_no_file_has_don_t_count_as_lost(tmp_path: Path, fake: Fake) -> None:
    for name in "ABC":
        labels = flatpak_labels(ref_of(name, "aarch64"))
        fake.tags[f"arm/{name.lower()}"] = {"latest": fake.blobs.image(labels, architecture="arm64")}
    start, _, rest = OLD.partition("    flatpak:\n")
    text = (start + rest[rest.index("    flatpak_amd64:") :]).replace("http://127.0.0.1:5000", fake.url)
    text = text.replace("    flatpak_testing_amd64:", "    flatpak_testing_amd64:")
    config = configfile.load(write(tmp_path, text, "config.yaml"), {}, str(tmp_path / "store"))
    before = site_of(config)
    failing(fake, "/v2/", "cut")
    done, one = run(config, How())
    assert files(one) == before and len(done.stale) == 1


def test_the_note_of_what_was_built_may_hold_names_that_are_not_utf_8(tmp_path: Path) -> None:
    images = tmp_path / "images"
    blobs = Blobs()
    folder = blobs.layout(images / os.fsdecode(b"caf\xe9"), blobs.image())
    index = json.loads((folder / "index.json").read_bytes())
    index["manifests"].append({"digest": "nonsense"})
    (folder / "index.json").write_text(json.dumps(index))
    text = CONFIG.format(url="http://127.0.0.1:9", more="").replace(
        'main: {registry: "http://127.0.0.1:9"}', 'main: {layouts: ["./images/*"]}'
    )
    config = loaded(tmp_path, text)
    first, _ = run(config)
    second, _ = run(config)
    assert [skip.code for skip in first.skips] == ["malformed"]
    assert (second.changed, second.skips) == (False, first.skips)


def test_what_max_stale_ends_is_no_shrinking(tmp_path: Path, fake: Fake, at: Callable[[float], None]) -> None:
    config = config_of(tmp_path, fake, ", max_stale: 1h")
    run(config)
    failing(fake, "/v2/", Answer(b"", 500))
    run(config, How())
    at(3700)
    assert run(config, How())[0].refs == ()


def test_offline_knows_a_source_that_has_nothing_to_take(tmp_path: Path, fake: Fake) -> None:
    other = Fake(tags={"none": {}})
    with serving(other):
        text = CONFIG.format(url=fake.url, more=", public: /")
        more = f'  other: {{registry: "{other.url}", public: /}}\nindexes:'
        config = loaded(tmp_path, text.replace("indexes:", more))
        assert run(config)[0].whole
        assert run(config, How(offline=True))[0].whole


def test_offline_without_a_cache_names_the_source(tmp_path: Path, fake: Fake) -> None:
    with pytest.raises(FlatdexError, match="main"):
        run(config_of(tmp_path, fake), How(offline=True))


def test_what_could_not_be_read_for_a_while_is_not_tidied_away(
    tmp_path: Path, fake: Fake, at: Callable[[float], None]
) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    for number in range(17):
        with Cache(config.store / "cache") as cache:
            cache.keep(b"%d" % number)
    failing(fake, "apps/b/", Answer(b"", 500))
    at(31 * 86400)
    assert len(run(config)[0].stale) == 1
    fake.change = lambda path: None
    fake.asked()
    run(config)
    assert not [path for path, _, _ in fake.asked() if "sha256:" in path]


def test_a_source_whose_certificate_file_is_missing_keeps_what_it_had(tmp_path: Path, fake: Fake) -> None:
    first, before = run(config_of(tmp_path, fake))
    done, after = run(config_of(tmp_path, fake, ", ca: ./missing.pem"))
    assert [(each.code, each.repository) for each in done.stale] == [("bad-certificate", "")]
    assert done.refs == first.refs and after.id == before.id
    assert "missing.pem" in done.stale[0].why and "`ca`" in done.stale[0].why


def test_a_build_that_asks_nobody_leaves_since_as_it_was(
    tmp_path: Path, fake: Fake, at: Callable[[float], None]
) -> None:
    config = config_of(tmp_path, fake)
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    first = run(config)[0].stale[0].since
    at(9000)
    assert run(config, How(offline=True))[0].whole
    assert [each.since for each in run(config)[0].stale] == [first]
