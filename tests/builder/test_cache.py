"""The cache's own files: believed if they are whole, else as if they were not there."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import oci
from builder.oci import Descriptor
from builder.sources import cache as module
from builder.sources.cache import Cache, Look, Tags

URL = "https://registry.example.org"
KNOWN = {
    "apps/one": Tags(
        1_700_000_000,
        {
            "latest": Descriptor(oci.MANIFEST, oci.digest_of(b"1"), 1234),
            "testing": Descriptor("", oci.digest_of(b"2"), 0),
        },
    ),
    "two": Tags(5, {"latest": Descriptor(oci.DOCKER_MANIFEST, oci.digest_of(b"3"), 77)}),
}
NOTE = {"inputs": "abc", "indexes": 3, "skips": [{"why": "Grüße"}]}


def filled(root: Path) -> Cache:
    """A cache that knows something."""
    cache = Cache(root)
    cache.keep_look(URL, Look(KNOWN))
    cache.keep_note("built", NOTE)
    return cache


def tags_file(root: Path) -> Path:
    """The one file with tags."""
    (file,) = (root / "tags").iterdir()
    return file


def test_tags_and_notes_are_there_in_the_next_build(tmp_path: Path) -> None:
    filled(tmp_path)
    with Cache(tmp_path) as cache:
        assert cache.look(URL).tags == KNOWN
        assert cache.look(URL + "/other").tags == {}
        assert cache.note("built") == NOTE
        assert cache.note("other") == {}


def test_what_is_kept_later_replaces_all_of_it(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    cache.keep_look(URL, Look({"two": KNOWN["two"]}))
    cache.keep_note("built", {})
    assert cache.look(URL).tags == {"two": KNOWN["two"]}
    assert cache.note("built") == {}
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(["built.json", tags_file(tmp_path).name])


def test_tags_that_are_cut_off_anywhere_are_none(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    file = tags_file(tmp_path)
    data = file.read_bytes()
    for length in range(len(data)):
        file.write_bytes(data[:length])
        assert cache.look(URL).tags == {}, length


@pytest.mark.parametrize("flip", [0x01, 0x04, 0x10, 0x80])
def test_a_flipped_byte_is_never_believed(tmp_path: Path, flip: int) -> None:
    cache = filled(tmp_path)
    file, note = tags_file(tmp_path), tmp_path / "built.json"
    data, noted = file.read_bytes(), note.read_bytes()
    for place in range(len(data)):
        file.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
        assert cache.look(URL).tags in ({}, KNOWN), place
    for place in range(len(noted)):
        note.write_bytes(noted[:place] + bytes([noted[place] ^ flip]) + noted[place + 1 :])
        assert cache.note("built") in ({}, NOTE), place


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "latest", "tags"]), inner),
    max_leaves=8,
)


@given(
    JSON
    | st.fixed_dictionaries({"repositories": JSON})
    | st.fixed_dictionaries({"repositories": st.fixed_dictionaries({"a": JSON})})
    | st.fixed_dictionaries(
        {
            "repositories": st.fixed_dictionaries(
                {"a": st.fixed_dictionaries({"asked": JSON, "tags": st.dictionaries(st.just("latest"), JSON)})}
            )
        }
    )
)
def test_other_json_is_no_error_even_with_a_hash_that_fits(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    root = tmp_path_factory.mktemp("cache")
    cache = filled(root)
    file = tags_file(root)
    file.write_text(json.dumps(value))
    assert cache.look(URL).tags == {}
    cache._write(file, value)  # type: ignore[arg-type]
    for tags in cache.look(URL).tags.values():
        assert all(oci.is_digest(to.digest) and to.size >= 0 for to in tags.pointers.values())


@pytest.mark.parametrize(
    "pointer", [["t", "sha256:x", 1], ["t", oci.digest_of(b""), -1], ["t", oci.digest_of(b""), 1, 2], [], 5, None]
)
def test_a_pointer_of_another_form_is_none(tmp_path: Path, pointer: object) -> None:
    cache = filled(tmp_path)
    value = {"repositories": {"a": {"asked": 1, "tags": {"latest": pointer}}}}
    cache._write(tags_file(tmp_path), value)
    assert cache.look(URL).tags == {}


@pytest.mark.parametrize("asked", [float("inf"), float("nan"), "x", None, []])
def test_a_time_of_another_form_is_none(tmp_path: Path, asked: object) -> None:
    cache = filled(tmp_path)
    cache._write(tags_file(tmp_path), {"repositories": {"a": {"asked": asked, "tags": {}}}})
    assert cache.look(URL).tags == {}


def test_names_that_are_not_utf_8_can_be_noted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.keep_note("built", {"reference": "caf\udce9"})
    assert cache.note("built") == {"reference": "caf\udce9"}


def file_in_its_place(root: Path) -> None:
    root.write_text("a file")


def files_in_place_of_folders(root: Path) -> None:
    root.mkdir()
    for name in ("blobs", "tags", "rates"):
        (root / name).write_text("a file")


def folders_in_place_of_files(root: Path) -> None:
    filled(root)
    tags_file(root).unlink()
    (root / "built.json").unlink()
    (root / "built.json" / "x").mkdir(parents=True)
    name = Cache(root)._tags_file(URL)
    (name / "x").mkdir(parents=True)


def pipes(root: Path) -> None:
    (root / "tags").mkdir(parents=True)
    os.mkfifo(root / "built.json")
    os.mkfifo(Cache(root)._tags_file(URL))


@pytest.mark.parametrize("spoil", [file_in_its_place, files_in_place_of_folders, folders_in_place_of_files, pipes])
def test_garbage_in_its_place_is_an_empty_cache(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    root = tmp_path / "cache"
    spoil(root)
    with Cache(root) as cache:
        assert cache.look(URL).tags == {} and cache.note("built") == {}
        digest = cache.keep(b"blob")
        assert cache.blob(digest) in (None, b"blob")
        cache.keep_look(URL, Look(KNOWN))
        cache.keep_note("built", NOTE)
        cache.tidy()
        assert cache.look(URL).tags in ({}, KNOWN) and cache.note("built") in ({}, NOTE)


def test_a_full_disk_keeps_what_there_was_but_of_tags_nothing_that_is_older_than_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = filled(tmp_path)

    def full(file: Path, data: bytes) -> int:
        with file.open("wb") as opened:
            opened.write(data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "create_private", full)
    cache.keep_look(URL, Look())
    cache.keep_note("built", {"other": 1})
    monkeypatch.undo()
    assert cache.look(URL) == Look() and cache.note("built") == NOTE
    assert len(list(tmp_path.rglob("*.json*"))) == 1, "nothing unfinished is left"


def test_a_look_is_there_in_the_next_build_and_may_be_doubted(tmp_path: Path) -> None:
    look = Look(KNOWN, "settings", frozenset({"two", "new"}))
    Cache(tmp_path).keep_look(URL, look)
    assert Cache(tmp_path).look(URL) == look
    Cache(tmp_path, trusted=False).doubt(URL)
    assert Cache(tmp_path).look(URL) == Look(KNOWN, "", frozenset({"two", "new"}))
    Cache(tmp_path).doubt(URL + "/other")
    assert Cache(tmp_path).look(URL + "/other") == Look()


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None},
        {"settings": 5},
        {"again": None},
        {"again": "two"},
        {"again": ["../two"]},
        {"again": [5]},
        {"again": [["two"]]},
        {"repositories": {"../two": {"asked": 1, "tags": {}}}},
        {"repositories": {"two": {"asked": 1, "tags": {"latest": [oci.MANIFEST, "sha256:x", 3]}}}},
    ],
)
def test_a_look_of_another_form_was_not_whole(tmp_path: Path, change: dict[str, object]) -> None:
    cache = filled(tmp_path)
    sound = {"repositories": {"two": {"asked": 1, "tags": {}}}, "settings": "settings", "again": ["two"]}
    cache._write(tags_file(tmp_path), sound)
    assert cache.look(URL).settings == "settings"
    cache._write(tags_file(tmp_path), {**sound, **change})
    assert cache.look(URL).settings == ""
    cache._write(tags_file(tmp_path), {"repositories": sound["repositories"]})
    assert cache.look(URL) == Look({"two": Tags(1)})


def test_without_trust_nothing_is_taken_that_was_not_kept_by_this_build(tmp_path: Path) -> None:
    with filled(tmp_path) as cache:
        old = cache.keep(b"old")
    with Cache(tmp_path, trusted=False) as cache:
        assert cache.blob(old) is None
        assert cache.look(URL).tags == {} and cache.note("built") == {}
        new = cache.keep(b"new")
        assert cache.blob(new) == b"new"
        cache.keep(b"old")
        assert cache.blob(old) == b"old"
        cache.keep_look(URL, Look({"two": KNOWN["two"]}))
    with Cache(tmp_path) as cache:
        assert (cache.blob(old), cache.blob(new)) == (b"old", b"new")
        assert cache.look(URL).tags == {"two": KNOWN["two"]}


def test_without_trust_a_blob_is_kept_again(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        digest = cache.keep(b"blob")
    (pack,) = (tmp_path / "blobs").iterdir()
    pack.write_bytes(pack.read_bytes()[:-1] + b"?")
    with Cache(tmp_path, trusted=False) as cache:
        cache.keep(b"blob")
    with Cache(tmp_path) as cache:
        assert cache.blob(digest) == b"blob"


def test_caches_share_a_folder(tmp_path: Path) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        with Cache(tmp_path) as cache:
            for turn in range(30):
                tags = {"two": Tags(turn, KNOWN["two"].pointers)}
                cache.keep_look(URL, Look(tags))
                seen = cache.look(URL).tags
                if seen and seen["two"].pointers != KNOWN["two"].pointers:
                    wrong.append(seen)
                if cache.blob(cache.keep(b"%d %d" % (number, turn))) != b"%d %d" % (number, turn):
                    wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    with Cache(tmp_path) as cache:
        assert all(cache.blob(oci.digest_of(b"%d %d" % (each, turn))) for each in range(6) for turn in range(30))


def test_one_digest_is_fetched_by_one_at_a_time(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.fetching("a") is cache.fetching("a")
    assert cache.fetching("a") is not cache.fetching("b")


def test_after_ctrl_c_the_packs_stay_open_for_threads_that_are_still_at_work(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Cache(tmp_path) as cache:
        raise KeyboardInterrupt
    assert cache.blob(cache.keep(b"late")) == b"late"
    with pytest.raises(ValueError, match="an error"), Cache(tmp_path) as cache:
        raise ValueError("an error")
    assert cache.blob(cache.keep(b"late")) is None
