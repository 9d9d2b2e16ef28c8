"""The store: what counts as a snapshot, and who may write."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import description, files, store
from builder.description import Invalid
from builder.errors import Exit, FlatdexError, LockedError, UsageError
from builder.store import Store
from tests.real.process import run

ONE, TWO = "20260101T000000Z-aaaaaaaa", "20260101T000001Z-00000000"


def snapshot(root: Path, identifier: str, **changes: Any) -> Path:
    """A snapshot's folder with a description that `changes` something of."""
    folder = root / "snapshots" / identifier
    folder.mkdir(parents=True)
    entry = {"path": "index/static", "size": 1, "sha256": "0" * 64, "mtime": 5}
    created = f"{identifier[:4]}-{identifier[4:6]}-{identifier[6:8]}T00:00:00Z"
    document: dict[str, Any] = {
        "format": 1,
        "id": identifier,
        "version": 1,
        "created": created,
        "previous": None,
        "files": [entry],
        "counts": {"refs": 0, "images": 0, "repositories": 0, "files": 1, "bytes": 1},
        "dispatch": {"routes": [], "default_tag": "latest", "unknown_tag": None},
        "remote": {"id": None},
        "variants": [],
        "images": [],
        "skips": [],
        "kept": [],
    }
    (folder / "snapshot.json").write_text(json.dumps({**document, **changes}))
    return folder


def ids(root: Path) -> list[str]:
    """The complete snapshots."""
    return [each.id for each in Store(root).complete()]


def test_a_store_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    empty = Store(tmp_path / "none")
    assert (list(empty.complete()), empty.newest(), empty.current()) == ([], None, None)


def test_snapshots_come_newest_first(tmp_path: Path) -> None:
    for identifier in (ONE, TWO):
        snapshot(tmp_path, identifier)
    assert ids(tmp_path) == [TWO, ONE]
    assert [each.id for each in Store(tmp_path).complete("20260101T000000")] == [ONE]
    newest = Store(tmp_path).newest()
    assert newest is not None
    assert newest.id == TWO


@pytest.mark.parametrize(
    "changes",
    [
        *({"format": 2}, {"format": None}, {"id": TWO}, {"version": None}, {"version": "1"}, {"created": "x"}),
        *({"created": 5}, {"files": None}, {"files": [{}]}, {"files": [5]}, {"files": {"a": 1}}),
        *(
            {"files": [{"path": path, "size": 1, "sha256": "0" * 64, "mtime": 5}]}
            for path in ("../x", "/etc/passwd", "a/../../x", "", "a\0b", 5, None)
        ),
        {"files": [{"path": "a", "size": "1", "sha256": "0" * 64, "mtime": 5}]},
        {"files": [{"path": "a", "size": 1, "sha256": "0" * 64, "mtime": 5, "mode": 7}]},
    ],
)
def test_a_folder_with_another_description_is_no_snapshot(tmp_path: Path, changes: dict[str, Any]) -> None:
    snapshot(tmp_path, ONE, **changes)
    assert ids(tmp_path) == []
    with pytest.raises(Invalid):
        description.read_snapshot(tmp_path / "snapshots" / ONE)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, None])
def test_a_folder_with_a_broken_description_is_no_snapshot(tmp_path: Path, content: bytes | None) -> None:
    file = snapshot(tmp_path, ONE) / "snapshot.json"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert ids(tmp_path) == []


@pytest.mark.parametrize("name", [f".unfinished-{ONE}", f"{ONE}.bak", "20260101", "lost+found", ONE.upper()])
def test_only_an_id_is_the_name_of_a_snapshot(tmp_path: Path, name: str) -> None:
    snapshot(tmp_path, name, id=name, created="2026-01-01T00:00:00Z")
    assert ids(tmp_path) == []


def test_a_copy_under_another_id_is_no_snapshot(tmp_path: Path) -> None:
    snapshot(tmp_path, ONE).rename(tmp_path / "snapshots" / TWO)
    assert ids(tmp_path) == []


def test_a_snapshot_is_found_by_the_start_of_its_id(tmp_path: Path) -> None:
    for identifier in (ONE, TWO):
        snapshot(tmp_path, identifier)
    found = Store(tmp_path).find("20260101T000001Z")
    assert (found.id, found.by_path["index/static"].mtime) == (TWO, 5)
    with pytest.raises(UsageError, match="several snapshots start with '2026'"):
        Store(tmp_path).find("2026")
    with pytest.raises(UsageError, match="no complete snapshot starts with '2027'") as caught:
        Store(tmp_path).find("2027")
    assert caught.value.exit_code is Exit.USAGE


def test_current_names_what_its_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(f"snapshots/{ONE}")
    assert Store(tmp_path).current() == ONE


def test_a_current_that_is_no_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    with pytest.raises(FlatdexError, match="current is not a symbolic link"):
        Store(tmp_path).current()


# The lock


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with Store(tmp_path).locked("build", create=True):
        with pytest.raises(LockedError) as caught, Store(tmp_path).locked("publish", create=True):
            pytest.fail("two writers at once")
        assert caught.value.exit_code is Exit.LOCKED
        message = (
            rf"{re.escape(str(tmp_path))} is being written to by `flatdex build` \(process {os.getpid()}\) since 2"
        )
        assert re.match(message, caught.value.what)
    with Store(tmp_path).locked("publish", create=True):
        assert (tmp_path / "lock").read_text().count("\n") == 1
    with Store(tmp_path).locked("x"):
        assert re.fullmatch(r"`flatdex x` .*\n", (tmp_path / "lock").read_text())


def test_another_process_is_kept_out_and_reads_freely(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from builder.store import Store; from builder.errors import LockedError\n"
        "store = Store(pathlib.Path(sys.argv[1])); print(len(list(store.complete())))\n"
        "try:\n  with store.locked('x'): print('written')\n"
        "except LockedError as error: print('kept out', 'build' in str(error))"
    )
    snapshot(tmp_path, ONE)
    repository = Path(store.__file__).parent.parent
    command = [sys.executable, "-c", program, str(tmp_path)]
    with Store(tmp_path).locked("build", create=True):
        assert run(command, cwd=repository).stdout == "1\nkept out True\n"
    assert run(command, cwd=repository).stdout == "1\nwritten\n"


def test_the_lock_is_let_go_when_its_holder_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Store(tmp_path).locked("build", create=True):
        raise ZeroDivisionError
    with Store(tmp_path).locked("build", create=True):
        assert (tmp_path / "lock").is_file()


# Paths, times and folders


@given(st.text(alphabet="a./\0", max_size=8))
def test_a_path_that_is_inside_stays_inside(path: str) -> None:
    if description.is_inside(path):
        place = os.path.normpath(os.path.join("/root/x", path))  # noqa: PTH118
        assert place.startswith("/root/x/")
        assert "\0" not in path


@pytest.mark.parametrize("path", ["a", "a/b", ".htaccess", "v2/a/blobs/sha256:0", "a/...", "..a"])
def test_paths_of_a_site_are_inside(path: str) -> None:
    assert description.is_inside(path)


@given(st.integers(0, 4_000_000_000), st.integers(1, 1_000_000))
def test_ids_sort_by_time_and_times_come_back(seconds: int, later: int) -> None:
    assert description.snapshot_id(seconds, "f" * 64) < description.snapshot_id(seconds + later, "0" * 64)
    assert description.timestamp(description.time_text(seconds)) == seconds


def test_folders_are_readable_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.create_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o755, 0o755]


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="a"):
        files.create_folder(tmp_path / "a")
    files.make_durable(tmp_path)
