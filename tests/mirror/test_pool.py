"""The pool: what is named there is whole and durable, what is on its way can be gone on with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.description import DESCRIPTION, Snapshot, parse
from builder.store import Store
from sync.mirror import pool as pool_module
from sync.mirror.part import Part, UnwritableError
from sync.mirror.pool import Pool
from tests.mirror.lists import described
from tests.mirror.objects import Thing, named, things


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def snapshot_with(store: Store, files: dict[str, bytes]) -> Snapshot:
    """A complete snapshot in the store."""
    folder = store.snapshots / "new"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    description = described(files=files)
    (folder / DESCRIPTION).write_bytes(description)
    identifier = parse(description).id
    folder.rename(store.snapshots / identifier)
    return store.snapshot(identifier)


def put(pool: Pool, thing: Thing, data: bytes | None = None) -> None:
    """Writes the object's part."""
    with Part(pool.part(thing.sha256)) as part:
        part.write(thing.data if data is None else data)


def test_what_was_kept_has_its_name_after_it_was_settled_and_not_before(store: Store) -> None:
    pool, [one, other] = Pool(store), things(2)
    for thing in (one, other):
        put(pool, thing)
        pool.keep(thing.sha256, len(thing.data))
    assert set(named(pool.folder)) == {f"{one.sha256}.part", f"{other.sha256}.part"}
    assert pool.have(one.sha256) is None
    pool.settle()
    assert named(pool.folder) == {one.sha256: one.data, other.sha256: other.data}
    assert pool.have(one.sha256) == pool.folder / one.sha256


def test_names_are_given_only_after_the_disk_has_the_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, [one] = Pool(store), things(1)
    seen: list[set[str]] = []
    monkeypatch.setattr(pool_module, "make_durable", lambda folder: seen.append(set(named(folder))))
    put(pool, one)
    pool.keep(one.sha256, len(one.data))
    pool.settle()
    pool.settle()
    assert seen == [{f"{one.sha256}.part"}]


def test_a_batch_that_is_large_enough_is_settled_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_BATCH", 5000)
    pool, some = Pool(store), things(4, 2000)
    for thing in some:
        put(pool, thing)
        pool.keep(thing.sha256, len(thing.data))
    assert [pool.have(thing.sha256) is not None for thing in some] == [True, True, True, False]


def test_files_of_snapshots_are_had_if_their_size_is_right(store: Store) -> None:
    [one, other, third] = things(3)
    snapshot = snapshot_with(store, {"a/one": one.data, "a/other": other.data, "a/third": third.data})
    (snapshot.folder / "a/other").write_bytes(b"cut off")
    (snapshot.folder / "a/third").unlink()
    pool = Pool(store)
    assert [pool.have(thing.sha256) for thing in (one, other, third)] == [snapshot.folder / "a/one", None, None]


def test_a_link_is_no_object(store: Store) -> None:
    pool, [one] = Pool(store), things(1)
    pool.part(one.sha256)
    (pool.folder / one.sha256).symlink_to("/dev/zero")
    assert pool.have(one.sha256) is None


def test_what_a_snapshot_holds_is_forgotten_and_the_rest_stays(store: Store) -> None:
    pool, [one, other] = Pool(store), things(2)
    for thing in (one, other):
        put(pool, thing)
        pool.keep(thing.sha256, len(thing.data))
    pool.settle()
    assert pool.have(one.sha256) == pool.folder / one.sha256
    assert pool.have("0" * 64) is None
    snapshot = snapshot_with(store, {"one": one.data})
    pool.forget(snapshot)
    assert set(named(pool.folder)) == {other.sha256}
    assert pool.have(one.sha256) == snapshot.folder / "one"


def test_leftovers_go_and_names_of_others_stay(store: Store) -> None:
    pool, [one, other, third] = Pool(store), things(3)
    pool.tidy(())
    for thing in (one, other, third):
        put(pool, thing)
    pool.keep(one.sha256, 1)
    pool.settle()
    (pool.folder / "README").write_text("somebody's")
    pool.tidy({other.sha256})
    assert set(named(pool.folder)) == {f"{other.sha256}.part", "README"}


def test_modes_are_open_to_web_servers_under_any_umask(store: Store) -> None:
    pool, [one] = Pool(store), things(1)
    before = os.umask(0o077)
    try:
        put(pool, one)
        pool.keep(one.sha256, len(one.data))
        pool.settle()
    finally:
        os.umask(before)
    assert (pool.folder / one.sha256).stat().st_mode & 0o777 == 0o644
    assert {each.stat().st_mode & 0o777 for each in (pool.folder, pool.folder.parent)} == {0o755}


# Parts


def test_a_part_goes_on_where_it_was_left(store: Store) -> None:
    pool, [one] = Pool(store), things(1, 3_000_000)
    put(pool, one, one.data[:2_000_000])
    moved: list[int] = []
    with Part(pool.part(one.sha256), moved.append) as part:
        part.recall()
        assert (part.size, sum(moved)) == (2_000_000, 2_000_000)
        part.begin()
        assert not part.is_from_one
        part.write(one.data[2_000_000:])
        assert (part.sha256, part.came) == (one.sha256, 1_000_000)
    assert part.file.read_bytes() == one.data
    assert sum(moved) == len(one.data)


def test_a_part_that_is_begun_anew_has_nothing_of_what_was_before(store: Store) -> None:
    pool, [one] = Pool(store), things(1)
    put(pool, one, b"something else that is longer than nothing")
    moved: list[int] = []
    with Part(pool.part(one.sha256), moved.append) as part:
        part.recall()
        part.begin()
        part.restart()
        part.write(one.data)
        assert part.is_from_one
        assert (part.sha256, part.restarts) == (one.sha256, 1)
    assert part.file.read_bytes() == one.data
    assert sum(moved) == len(one.data)


def test_a_part_is_never_written_through_a_link(store: Store, tmp_path: Path) -> None:
    pool, [one] = Pool(store), things(1)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    pool.part(one.sha256).symlink_to(victim)
    with pytest.raises(UnwritableError, match="cannot be written"):
        Part(pool.part(one.sha256))
    assert victim.read_text() == "precious"


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("in the way")
    with pytest.raises(UnwritableError, match=r"mirror/objects cannot be written: Not a directory"):
        Pool(Store(tmp_path)).part("a" * 64)


def test_what_is_no_hash_is_no_name(tmp_path: Path) -> None:
    pool = Pool(Store(tmp_path))
    (tmp_path / "victim").write_text("precious")
    for name in ("../../victim", str(tmp_path / "victim"), "0" * 63):
        assert pool.have(name) is None
        with pytest.raises(ValueError, match="is no hash"):
            pool.part(name)
