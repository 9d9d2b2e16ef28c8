"""Readers while `current` is flipped: who has read older rules, or an older index, finds its files in newer trees."""

from __future__ import annotations

import gzip
import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder import snapshot, writing
from builder.build import How, build
from builder.config import Config
from builder.description import Snapshot
from builder.site.tree import site
from builder.store import Store
from sync import promote
from tests.builder.helpers import Blobs, catalog_of, flatpak_labels, icon_uri, loaded, ref_of, tagged
from tests.builder.test_build import report
from tests.real.apache import Apache

FLIPS = 200
SECONDS = 2.5
READERS = 4
BORN = 1_700_000_000
CONFIG = """\
store: ./store
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest], architectures: [amd64]}
"""
PATHS = ("index/static?tag=latest&architecture=amd64", "index/static", "latest/index/static?tag=latest")


@dataclass(frozen=True)
class Content:
    """One of the two contents: an index for each path, and its icons."""

    indexes: dict[str, bytes]
    icons: dict[str, bytes]


@dataclass
class Seen:
    """What the readers saw."""

    reads: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    bodies: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    """By path and ETag."""


def write_images(folder: Path, number: int) -> None:
    """The layouts of one of the two contents: 3 applications, or 8, whose icons are of different colours."""
    blobs = Blobs()
    entries = [
        blobs.image(
            flatpak_labels(
                ref_of(f"Flip{each}"),
                **{"org.freedesktop.appstream.icon-64": icon_uri(64, (number, each, 0)), "x": "x" * 100},
            )
        )
        for each in range(3 if number else 8)
    ]
    blobs.layout(folder / "images" / "hello", *(tagged(entry, "latest") for entry in entries))


@pytest.fixture
def chain(real_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, list[Snapshot], list[Content]]:
    """Successive snapshots of one store, whose content goes back and forth, and the two contents."""
    config = loaded(real_tmp, CONFIG)
    store = Store(config.store)
    monkeypatch.setattr(writing, "make_durable", lambda folder: None)
    sites = []
    for number in (0, 1):
        write_images(real_tmp, number)
        sites.append(site(config, catalog_of(config), snapshot.carried_gzip(None)))
        (real_tmp / "images" / "hello").rename(real_tmp / f"images-{number}")
    made: list[Snapshot] = []
    with store.locked("build", create=True):
        for number in range(FLIPS + 1):
            # The layouts were read, and their blobs are published by the first two snapshots.
            (real_tmp / "images").joinpath("hello").symlink_to(real_tmp / f"images-{number % 2}")
            written = snapshot.write(store, sites[number % 2], config, BORN + number)
            (real_tmp / "images" / "hello").unlink()
            assert written.changed
            made.append(store.find(written.id))
    return config, made, [content_of(made[0]), content_of(made[1])]


def content_of(one: Snapshot) -> Content:
    """What a snapshot answers."""
    files = ("index/latest-amd64.json", "index/latest.json", "latest/index/static")
    icons = {entry.path: entry for entry in one.files if entry.path.endswith(".png")}
    return Content(
        {path: (one.folder / file).read_bytes() for path, file in zip(PATHS, files, strict=True)},
        {path: (one.folder / path).read_bytes() for path in icons},
    )


def asked(connection: http.client.HTTPConnection, path: str, encoding: str) -> tuple[int, str, bytes]:
    """Status, ETag and unpacked body of a GET."""
    connection.request("GET", f"/{path}", headers={"Accept-Encoding": encoding})
    answer = connection.getresponse()
    body = answer.read()
    if answer.getheader("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return answer.status, answer.getheader("ETag", ""), body


def reader(port: int, encoding: str, contents: list[Content], seen: Seen, stop: threading.Event) -> None:
    """Asks for an index, then for an icon that it names, until told to stop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    turn = 0
    while not stop.is_set():
        path = PATHS[turn % len(PATHS)]
        turn += 1
        try:
            status, etag, body = asked(connection, path, encoding)
            seen.reads[path] += 1
            if status != 200 or body not in [content.indexes[path] for content in contents]:
                seen.wrong.append(f"{path} ({encoding}): {status}, {len(body)} bytes")
                continue
            seen.bodies.setdefault((f"{path} {encoding}", etag), set()).add(body)
            icons = re.findall(rb'icon-64":"(?:\.\./)+(icons/[0-9a-f/]+\.png)"', body)
            icon = icons[turn * 7 % len(icons)].decode()
            status, _, data = asked(connection, icon, encoding)
            seen.reads["icons"] += 1
            if status != 200 or data not in [content.icons.get(icon) for content in contents]:
                seen.wrong.append(f"{icon}: {status}, {len(data)} bytes")
        except (OSError, EOFError, http.client.HTTPException) as error:
            seen.wrong.append(f"{path} ({encoding}): {error!r}")
            connection.close()
    connection.close()


def flipped(store: Store, snapshots: list[Snapshot]) -> Iterator[str]:
    """Flips to each in turn, evenly."""
    start = time.monotonic()
    for number, each in enumerate(snapshots):
        time.sleep(max(0, start + SECONDS * number / len(snapshots) - time.monotonic()))
        promote._flip(store, each.id)
        yield each.id


def test_no_reader_sees_anything_but_one_of_two_contents_while_current_goes_on(
    chain: tuple[Config, list[Snapshot], list[Content]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, snapshots, contents = chain
    for path in PATHS:
        assert contents[0].indexes[path] != contents[1].indexes[path]
        assert len(contents[0].indexes[path]) > 2 * len(contents[1].indexes[path])
    assert not contents[0].icons.keys() & contents[1].icons.keys()
    monkeypatch.setattr(promote, "make_durable", lambda folder: None)
    store = Store(config.store)
    promote._flip(store, snapshots[0].id)
    seen, stop = Seen(), threading.Event()
    with Apache(config.folder / "apache", config.store / "current") as apache:
        threads = [
            threading.Thread(target=reader, args=(apache.port, encoding, contents, seen, stop))
            for encoding in ("gzip", "identity") * (READERS // 2)
        ]
        for thread in threads:
            thread.start()
        try:
            flips = sum(1 for _ in flipped(store, snapshots[1:]))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    said = f"{flips} flips, {sum(seen.reads.values())} reads: {dict(seen.reads)}"
    assert not seen.wrong, f"{len(seen.wrong)} wrong answers in {said}: {Counter(seen.wrong).most_common(5)}"
    assert flips == FLIPS and all(seen.reads[path] > 100 for path in (*PATHS, "icons")), said
    both = {path for path in PATHS for content in contents if content.indexes[path]}
    assert both == set(PATHS)
    assert all(len(bodies) == 1 for bodies in seen.bodies.values()), f"one ETag for two contents; {said}"
    shown = {body for bodies in seen.bodies.values() for body in bodies}
    assert shown >= {content.indexes[path] for content in contents for path in PATHS}, f"nobody saw a change; {said}"


def test_what_a_reader_of_older_rules_asks_for_is_in_the_newer_tree(real_tmp: Path) -> None:
    """The same without luck: each file that older rules and indexes name is looked for in the next snapshot."""
    config = loaded(real_tmp, CONFIG)
    store = Store(config.store)
    older: dict[str, bytes] = {}
    for number in (0, 1, 0):
        write_images(real_tmp, number)
        with store.locked("build", create=True):
            newest = store.find(build(config, report(), How(allow_shrink=True)).snapshot)
        for path, data in older.items():
            assert (newest.folder / path).read_bytes() == data, path
        older = dict(named(newest.folder))
        assert len(older) >= 6 + (3 if number else 8)


def named(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files that a snapshot's rules, and its indexes, name."""
    for rules in ("index/.htaccess", "latest/index/.htaccess"):
        for target in set(re.findall(r"(?<= )sha256/\S+", (folder / rules).read_text())):
            path = f"{rules.removesuffix('.htaccess')}{target}"
            yield path, (folder / path).read_bytes()
    for icon in re.findall(r'"\.\./(icons/[0-9a-f/]+\.png)"', (folder / "index/latest.json").read_text()):
        yield icon, (folder / icon).read_bytes()
