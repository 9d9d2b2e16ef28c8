"""Snapshots: one writer, no half of one, and files that keep their mtimes as long as they keep their bytes."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import dates, plan, snapshot, writing
from builder.catalog import Skip
from builder.config import Config
from builder.content import Content, InMemory, OnDisk
from builder.dates import Before
from builder.description import FileEntry, Invalid, Snapshot, parse
from builder.errors import FlatdexError
from builder.site.tree import Site
from builder.store import Store
from tests.builder.helpers import GOOD, image, loaded
from tests.builder.test_build import NASTY, nasty_images
from tests.real.process import run

NOW = 1_800_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose store is in the temporary folder."""
    return loaded(tmp_path, GOOD)


@pytest.fixture
def store(config: Config) -> Store:
    """Its store."""
    return Store(config.store)


@pytest.fixture
def strict() -> Iterator[None]:
    """The umask of a careful admin."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def site(*skips: Skip, **files: str | Content) -> Site:
    """A site; in the names of files `__` stands for a slash."""
    content = {
        name.replace("__", "/"): InMemory(data.encode()) if isinstance(data, str) else data
        for name, data in files.items()
    }
    return Site(content, {"stable": (image(),)}, skips)


def write(store: Store, config: Config, made: Site, now: int = NOW) -> Snapshot:
    """Writes a site that is new."""
    written = snapshot.write(store, made, config, now)
    assert written.changed
    return store.find(written.id)


def mtimes(one: Snapshot) -> dict[str, int]:
    """What the description says, after a look that the files agree."""
    for entry in one.files:
        assert (one.folder / entry.path).stat().st_mtime_ns == entry.mtime * 10**9
    return {entry.path: entry.mtime for entry in one.files}


def test_a_site_is_written_as_it_is(store: Store, config: Config, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"from a layout")
    made = site(a="one", deep__er__b="two", blob=OnDisk(blob, 13, InMemory(b"from a layout").sha256))
    one = write(store, config, made)
    found = {str(file.relative_to(one.folder)): file.read_bytes() for file in one.folder.rglob("*") if file.is_file()}
    del found["snapshot.json"]
    assert found == {"a": b"one", "deep/er/b": b"two", "blob": b"from a layout"}
    for entry in one.files:
        assert (entry.size, entry.sha256) == (len(found[entry.path]), InMemory(found[entry.path]).sha256)


def own(folder: Path, data: bytes) -> OnDisk:
    """A file of the store's own, such as one that was fetched."""
    file = folder / InMemory(data).sha256
    file.write_bytes(data)
    return OnDisk(file, len(data), InMemory(data).sha256, own=True)


def test_a_file_of_the_store_s_own_becomes_a_part_of_the_site(store: Store, config: Config, tmp_path: Path) -> None:
    fetched = own(tmp_path, b"layer")
    one = write(store, config, Site({"v2/a": fetched, "v2/b": fetched}, {"stable": ()}, ()))
    inodes = {path.stat().st_ino for path in (fetched.file, one.folder / "v2/a", one.folder / "v2/b")}
    assert len(inodes) == 1
    assert mtimes(one) == {"v2/a": NOW, "v2/b": NOW}


def test_a_file_that_a_snapshot_has_already_is_not_dated_anew_there(
    store: Store, config: Config, tmp_path: Path
) -> None:
    fetched = own(tmp_path, b"layer")
    one = write(store, config, Site({"v2/a": fetched}, {"stable": ()}, ()))
    two = write(store, config, Site({"v2/b": fetched}, {"stable": ()}, ()), NOW + 100)
    assert mtimes(one) == {"v2/a": NOW}
    assert mtimes(two)["v2/b"] == NOW + 99
    assert (two.folder / "v2/b").read_bytes() == b"layer"


def test_what_is_copied_from_another_site_has_its_date_there(store: Store, config: Config) -> None:
    def there(path: str, text: str, mtime: int) -> FileEntry:
        return FileEntry(path, len(text), InMemory(text.encode()).sha256, mtime)

    entries = (there("a", "one", 1000), there("b", "other", 1000), there("c", "one", NOW + 5000))
    origin = {entry.path: entry for entry in entries}
    one = write(store, config, replace(site(a="one", b="two", c="one"), dates=origin))
    assert mtimes(one) == {"a": 1000, "b": NOW, "c": NOW}, "what is the same, unless its date is yet to come"
    two = write(store, config, replace(site(a="two", b="two"), dates=origin), NOW + 100)
    store.current_link.symlink_to(f"snapshots/{two.id}")  # so that readers see it
    assert mtimes(two) == {"a": NOW + 99, "b": NOW}
    three = write(store, config, replace(site(a="one", b="two"), dates=origin), NOW + 200)
    assert mtimes(three)["a"] == NOW + 199, "it was something else in between"


def test_the_same_site_makes_no_new_snapshot(store: Store, config: Config) -> None:
    one = write(store, config, site(a="one"))
    again = snapshot.write(store, site(a="one"), config, NOW + 100)
    assert again == snapshot.Written(one.id, changed=False)
    assert [each.id for each in store.complete()] == [one.id]


@pytest.mark.parametrize("other", [{"a": "two"}, {"b": "one"}, {"a": "one", "b": "x"}, {}])
def test_any_change_makes_a_new_one(store: Store, config: Config, other: dict[str, str]) -> None:
    one = write(store, config, site(a="one", c="c"))
    two = write(store, config, site(c="c", **other), NOW + 100)
    assert one.id < two.id
    assert (two.previous, two.version, one.version, one.previous) == (one.id, 2, 1, None)


def test_what_did_not_change_keeps_its_mtime(store: Store, config: Config) -> None:
    write(store, config, site(a="one", b="b"))
    two = write(store, config, site(a="one", b="bb", c="new"), NOW + 100)
    assert mtimes(two) == {"a": NOW, "b": NOW + 99, "c": NOW + 99}, "a second ago: nobody needs to wait"
    three = write(store, config, site(a="one", b="b"), NOW + 200)
    assert mtimes(three) == {"a": NOW, "b": NOW + 199}


@pytest.mark.parametrize("later", [0, -1000])
def test_mtimes_and_ids_grow_within_a_second_and_when_the_clock_is_set_back(
    store: Store, config: Config, later: int
) -> None:
    ids, times = [], []
    for number in range(4):
        one = write(store, config, site(a=f"{number}"), NOW + later * number)
        ids.append(one.id)
        times.append(mtimes(one)["a"])
    assert ids == sorted(set(ids))
    assert times == [NOW, NOW + 1, NOW + 2, NOW + 3]


ENTRIES = st.dictionaries(st.sampled_from("abc"), st.tuples(st.sampled_from("xyz"), st.integers(0, 2000)))


@given(ENTRIES, st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(0, 2000))
def test_mtimes_follow_the_promise(before: dict[str, tuple[str, int]], after: dict[str, str], now: int) -> None:
    def sha256(text: str) -> str:
        return InMemory(text.encode()).sha256

    previous = {path: FileEntry(path, 1, sha256(text), mtime) for path, (text, mtime) in before.items()}
    entries = dates.dated({path: InMemory(text.encode()) for path, text in after.items()}, [Before(previous)], now)
    assert [entry.path for entry in entries] == sorted(after)
    for entry in entries:
        text, mtime = before.get(entry.path, ("", now - 1))
        assert entry.mtime == (mtime if text == after[entry.path] else max(now, mtime + 1))


@pytest.mark.usefixtures("strict")
def test_everyone_may_read_it_under_any_umask(store: Store, config: Config) -> None:
    with store.locked("build", create=True):
        one = write(store, config, site(a="one", deep__er__b="two"))
    for place in (one.folder, *one.folder.rglob("*"), store.snapshots, store.root):
        assert place.stat().st_mode & 0o777 == (0o755 if place.is_dir() else 0o644)


def test_unchanged_files_are_hard_links(store: Store, config: Config) -> None:
    one = write(store, config, site(a="one", b="b"))
    two = write(store, config, site(a="one", b="bb"), NOW + 1)
    assert (one.folder / "a").samefile(two.folder / "a")
    assert not (one.folder / "b").samefile(two.folder / "b")


def test_a_damaged_file_is_not_linked_but_written_anew(store: Store, config: Config) -> None:
    one = write(store, config, site(a="one", b="b"))
    (one.folder / "a").write_text("damaged")
    two = write(store, config, site(a="one", b="bb"), NOW + 1)
    assert (two.folder / "a").read_text() == "one"
    assert mtimes(two)["a"] == NOW


def test_a_lost_file_is_written_anew(store: Store, config: Config) -> None:
    one = write(store, config, site(a="one", b="b"))
    (one.folder / "a").unlink()
    two = write(store, config, site(a="one", b="bb"), NOW + 1)
    assert (two.folder / "a").read_text() == "one"


# Never half of one


def test_a_failure_while_writing_leaves_what_was_there(store: Store, config: Config, tmp_path: Path) -> None:
    one = write(store, config, site(a="one"))
    gone = OnDisk(tmp_path / "gone", 3, "0" * 64)
    with pytest.raises(FlatdexError, match=r"could not be written: No such file or directory: .*/gone") as caught:
        snapshot.write(store, site(a="one", z=gone), config, NOW + 1)
    assert caught.value.fix == "What was published before is untouched."
    assert [each.id for each in store.complete()] == [one.id]
    assert [folder.name for folder in store.snapshots.iterdir()] == [one.id]


def test_a_blob_that_changes_while_it_is_copied_is_told(store: Store, config: Config, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"other")
    with pytest.raises(FlatdexError, match="changed while it was read"):
        snapshot.write(store, site(blob=OnDisk(blob, 5, "0" * 64)), config, NOW)
    assert list(store.complete()) == []


def test_an_unfinished_folder_is_no_snapshot_and_the_next_build_removes_it(store: Store, config: Config) -> None:
    one = write(store, config, site(a="one"))
    unfinished = store.snapshots / ".unfinished-20260101T000000Z-00000000"
    one.folder.rename(unfinished)
    assert store.newest() is None
    two = write(store, config, site(a="one"))
    assert not unfinished.exists()
    assert (two.id, two.version) == (one.id, 1)


def test_a_crash_at_any_step_leaves_no_snapshot(store: Store, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_write_files", "_write_file", "description", "make_durable"):
        with monkeypatch.context() as patch:

            def crash(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(plan if name == "description" else writing, name, crash)
            with pytest.raises(KeyboardInterrupt):
                snapshot.write(store, site(a="one"), config, NOW)
        assert list(store.complete()) == [], name
    assert write(store, config, site(a="one")).version == 1
    assert len(list(store.snapshots.iterdir())) == 1


# gzip


def test_gzip_bytes_are_carried_over_from_the_previous_snapshot(store: Store, config: Config) -> None:
    content = InMemory(b"one")
    other = gzip.compress(b"one", 1, mtime=7)
    one = write(store, config, site(a=content, **{"a.gz": InMemory(other)}))
    assert snapshot.carried_gzip(one)(content) == other
    new = snapshot.carried_gzip(one)(InMemory(b"two"))
    assert gzip.decompress(new) == b"two"


def test_damaged_gzip_bytes_are_not_carried_over(store: Store, config: Config) -> None:
    content = InMemory(b"one")
    one = write(store, config, site(a=content, **{"a.gz": InMemory(gzip.compress(b"one", 1, mtime=7))}))
    for damage in (b"x", None):
        (one.folder / "a.gz").unlink()
        if damage:
            (one.folder / "a.gz").write_bytes(damage)
        assert gzip.decompress(snapshot.carried_gzip(one)(content)) == b"one"


def test_gzip_holds_no_time() -> None:
    compress = snapshot.carried_gzip(None)
    data = compress(InMemory(b"one"))
    assert data[4:8] == b"\0\0\0\0"
    assert gzip.decompress(data) == b"one"


# The description


def test_the_description_says_what_is_here(store: Store, config: Config) -> None:
    skip = Skip("main", "hello", "latest", "tag-gone", "it is gone")
    one = write(store, config, site(skip, a="one"))
    document = json.loads((one.folder / "snapshot.json").read_bytes())
    entry = {"path": "a", "size": 3, "sha256": InMemory(b"one").sha256, "mtime": NOW}
    assert document["files"] == [entry]
    assert {key: document[key] for key in ("format", "id", "version", "created", "previous", "kept")} == {
        "format": 1,
        "id": one.id,
        "version": 1,
        "created": "2027-01-15T08:00:00Z",
        "previous": None,
        "kept": [],
    }
    assert one.id.startswith("20270115T080000Z-")
    url = "http://127.0.0.1:8080/"
    assert document["remote"] == {"id": url, "name": "example", "title": "Example", "url": url}
    index = {"name": "stable", "tags": ["latest"], "architectures": [], "extract_icons": True, "annotations": False}
    assert document["indexes"] == [index]
    look = {"accent": "#1c66d4", "links": [], "footer": "", "logo": ""}
    assert document["pages"] == {"languages": ["en"], "screenshots": "link", **look}
    assert "mirror" not in document
    assert document["sources"][0] == {"name": "main", "public": "http://127.0.0.1:5000/"}
    assert document["counts"] == {"images": 1, "refs": 1, "repositories": 1, "files": 1, "bytes": 3}
    variant = {"path": "index/latest.json", "index": "stable", "architectures": [], "form": "labels", "refs": 1}
    assert document["variants"] == [variant]
    (said,) = document["skips"]
    assert (said["code"], said["act"], said["repository"]) == ("tag-gone", True, "hello")


def test_the_description_does_not_tell_a_registry_s_inner_address(tmp_path: Path) -> None:
    inner = GOOD.replace(
        '"http://127.0.0.1:5000"', '"http://inside.example.net:5000", public: "https://r.example.org/"'
    )
    config = loaded(tmp_path, inner)
    one = write(Store(config.store), config, site(a="one"))
    text = (one.folder / "snapshot.json").read_text()
    assert "https://r.example.org/" in text
    assert "inside.example.net" not in text
    assert str(tmp_path) not in text


def test_the_id_s_second_half_comes_from_the_content(store: Store, config: Config, tmp_path: Path) -> None:
    one = write(store, config, site(a="one"))
    elsewhere = write(Store(tmp_path / "elsewhere"), replace(config, store=tmp_path / "elsewhere"), site(a="one"))
    other = write(Store(tmp_path / "other"), replace(config, store=tmp_path / "other"), site(a="two"))
    assert one.id == elsewhere.id
    assert one.id[:16] == other.id[:16]
    assert one.id != other.id


TREE = """
import hashlib, pathlib, sys
from builder import configfile, plan, snapshot
from tests.builder.helpers import catalog_of
from builder.site.tree import site
from builder.store import Store
config = configfile.load(pathlib.Path(sys.argv[1]), {}, sys.argv[2])
made = site(config, catalog_of(config), snapshot.carried_gzip(None))
written = snapshot.write(Store(config.store), made, config, 1800000000)
folder = Store(config.store).find(written.id).folder
for file in sorted(folder.rglob("*")):
    if file.is_file():
        print(file.relative_to(folder), hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
"""


def test_the_same_input_gives_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    nasty_images(tmp_path)
    file = tmp_path / "flatdex.yaml"
    file.write_text(NASTY)
    repository = Path(snapshot.__file__).parent.parent
    trees = [
        run(
            [sys.executable, "-c", TREE, file, tmp_path / f"store-{seed}"],
            cwd=repository,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4242")
    ]
    assert trees[0].count("\n") > 30
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize("sha256", ["/etc/passwd", "../" * 21 + "x", "0" * 63, "0" * 65, "A" * 64, "", 7, None])
def test_a_description_whose_hashes_are_none_is_none(store: Store, config: Config, sha256: object) -> None:
    """A hash becomes the name of a file where a site is copied."""
    document = json.loads(write(store, config, site(a="one")).described)
    document["files"][0]["sha256"] = sha256
    with pytest.raises(Invalid, match="is no hash"):
        parse(json.dumps(document).encode())
