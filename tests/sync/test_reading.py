"""What list, show, verify and status say, and that reading never waits while writers take turns."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.description import Invalid, read_snapshot
from tests.sync.site import DONE, FAILED, LOCKED, MIDDLE, NEW, OLD, USAGE, Site, with_images

WRITERS = (["build"], ["promote"], ["push"], ["publish"])


@contextmanager
def writing(site: Site, verb: str = "build") -> Iterator[None]:
    """Another process, as far as the lock tells, writes to the store."""
    descriptor = os.open(site.store / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, f"`flatdex {verb}` (process 1) since 2024-01-01 10:00:00 UTC\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def test_list_as_json(site: Site) -> None:
    middle = site.promote(MIDDLE)
    rows = site.json("list")
    assert [row["id"] for row in rows] == site.ids
    assert [row["id"] for row in rows if row["current"]] == [middle]
    assert [row["created"] for row in rows] == ["2024-01-05T10:00:00Z", "2024-01-05T10:00:05Z", "2024-02-01T10:00:00Z"]
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert [row["previous"] for row in rows] == [None, *site.ids[:2]]
    assert {(row["refs"], row["images"], row["repositories"], row["skips"]) for row in rows} == {(2, 2, 2, 0)}
    for row in rows:
        files = [path for path in (site.store / "snapshots" / row["id"]).rglob("*") if path.is_file()]
        files = [path for path in files if path.name != "snapshot.json"]
        kept = {entry["path"]: entry["size"] for entry in site.json("show", row["id"])["kept"]}
        size = sum(path.stat().st_size for path in files)
        assert (row["files"], row["bytes"]) == (len(files) - len(kept), size - sum(kept.values()))


def test_list_as_text_marks_the_current_one(site: Site) -> None:
    site.promote(MIDDLE)
    lines = site.flatdex("list", code=DONE).stdout.splitlines()
    assert [line[:2] for line in lines] == ["  ", "* ", "  "]
    changes = ["+2 ~0 -0", "+0 ~1 -0", "+0 ~1 -0"]
    assert all("  2 refs  " in line and f" MB  {change}" in line for line, change in zip(lines, changes, strict=True))
    assert [line[2:].split()[0] for line in lines] == site.ids


def test_show_takes_the_current_snapshot_else_the_newest(site: Site) -> None:
    new = site.snapshot(NEW).name
    assert site.flatdex("show", code=DONE).stdout.splitlines()[0] == f"snapshot  {new}"
    old = site.promote(OLD)
    assert site.flatdex("show", code=DONE).stdout.splitlines()[0] == f"snapshot  {old} (current)"


def test_show_as_json_is_the_description_and_whether_it_is_current(site: Site) -> None:
    site.promote(OLD)
    description = json.loads((site.snapshot(OLD) / "snapshot.json").read_text())
    assert site.json("show", OLD) == {**description, "current": True}
    assert site.json("show", NEW)["current"] is False


def test_show_as_text_names_indexes_and_counts(site: Site) -> None:
    said = site.flatdex("show", NEW, code=DONE).stdout
    for line in (
        "created   2024-02-01T10:00:00Z",
        "holds     2 refs by 2 images in 2 repositories",
        "index/latest.json: 2",
    ):
        assert line in said
    assert f"version   3, after {site.snapshot(MIDDLE).name}" in said


def test_verify_says_that_all_is_as_written(site: Site) -> None:
    new = site.snapshot(NEW).name
    count = sum(len(site.json("show", NEW)[key]) for key in ("files", "kept"))
    assert site.flatdex("verify", code=DONE).stdout == f"{new}: {count} files, all as written\n"
    assert site.json("verify", OLD) == {"snapshot": site.snapshot(OLD).name, "ok": True, "faults": []}


def test_verify_names_every_fault(site: Site) -> None:
    (site.snapshot(NEW) / "index" / "latest.json").unlink()
    (site.snapshot(NEW) / "extra").touch()
    result = site.flatdex("verify", NEW, code=FAILED)
    name = site.snapshot(NEW).name
    assert result.stderr.splitlines() == [
        f"{name}: extra: is not in snapshot.json",
        f"{name}: index/latest.json: is missing",
    ]
    found = site.json("verify", NEW, code=FAILED)
    assert (found["ok"], len(found["faults"])) == (False, 2)


def test_status_of_a_store(site: Site) -> None:
    new = site.snapshot(NEW).name
    wanted: dict[str, object] = {
        "store": str(site.store),
        "current": None,
        "error": "",
        "newest": new,
        "hold": None,
        "targets": [],
    }
    assert wanted.items() <= site.json("status").items()
    assert "nothing was promoted yet" in site.flatdex("status", code=DONE).stdout
    old = site.promote(OLD)
    assert site.json("status")["current"] == old
    lines = site.flatdex("status", code=DONE).stdout.splitlines()
    wanted_lines = [["store", str(site.store)], ["current", old], ["newest", new]]
    assert [line.split() for line in lines][:3] == wanted_lines and lines[3].startswith("built    ")


def test_an_empty_store_is_no_error_where_nothing_is_needed(real_tmp: Path) -> None:
    site = Site(real_tmp)
    site.configure()
    assert site.json("list") == []
    assert site.flatdex("list", code=DONE).stdout == f"no snapshots in {site.store}: `flatdex build` makes one\n"
    wanted: dict[str, object] = {
        "store": str(site.store),
        "current": None,
        "error": "",
        "newest": None,
        "built": None,
        "targets": [],
    }
    assert wanted.items() <= site.json("status").items()
    for verb in ("show", "verify"):
        result = site.flatdex(verb, code=FAILED)
        assert f"no complete snapshot in {site.store}" in result.stderr and "flatdex build" in result.stderr
    assert not site.store.exists()


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_an_unknown_id_is_wrong_usage(site: Site, verb: str) -> None:
    assert "no complete snapshot starts with '2099'" in site.flatdex(verb, "2099", code=USAGE).stderr


def test_a_named_store_needs_no_configuration(site: Site) -> None:
    (site.folder / "flatdex.yaml").unlink()
    assert len(site.json("list", "--store", "./store")) == 3
    site.flatdex("--store", "store", "promote", OLD, code=DONE)
    assert site.current == site.snapshot(OLD).name


@pytest.mark.parametrize("verb", ["list", "show", "verify", "status"])
def test_reading_does_not_wait_for_a_writer(site: Site, verb: str) -> None:
    with writing(site):
        site.flatdex(verb, code=DONE, timeout=10)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda words: words[0])
def test_a_second_writer_is_told_who_writes(real_tmp: Path, writer: list[str]) -> None:
    site = with_images(real_tmp)
    site.configure({"here": {"rsync": "./target"}})
    site.store.mkdir()
    with writing(site, "publish"):
        result = site.flatdex(*writer, code=LOCKED, timeout=10)
        assert not (site.store / "snapshots").exists()
    first = result.stderr.splitlines()[0]
    holder = "`flatdex publish` (process 1) since 2024-01-01 10:00:00 UTC"
    assert first == f"flatdex: {site.store} is being written to by {holder}"
    assert result.stdout == ""


def test_a_lock_left_by_a_killed_writer_holds_nobody_up(site: Site) -> None:
    (site.store / "lock").write_text("`flatdex build` (process 1) since 2024-01-01 10:00:00 UTC\n")
    site.flatdex("promote", code=DONE)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"id": 5},
        {"id": "20240301T100000Z-00000000"},
        {"created": 5},
        {"created": "yesterday"},
        {"version": "1"},
        {"previous": 7},
        {"counts": None},
        {"variants": 3},
        {"skips": None},
        {"files": None},
        {"files": [{"path": 5, "size": 1, "sha256": "", "mtime": 1}]},
        {"files": [{"path": "/etc/passwd", "size": 1, "sha256": "", "mtime": 1}]},
        {"files": [{"path": "a/../../b", "size": 1, "sha256": "", "mtime": 1}]},
        {"files": [{"path": "a", "size": "1", "sha256": "", "mtime": 1}]},
        {"files": [{"path": "a", "size": 1, "sha256": 5, "mtime": "1"}]},
        {"files": [{"path": "a"}]},
        {"files": ["a"]},
    ],
    ids=str,
)
def test_a_description_that_is_none_is_refused(site: Site, change: dict[str, object]) -> None:
    """It may come from a mirror, a crash or an editor: whoever reads it on relies on its form."""
    description = site.snapshot(NEW) / "snapshot.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), **change}))
    with pytest.raises(Invalid, match=r"snapshots/"):
        read_snapshot(site.snapshot(NEW))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "[" * 200_000, '"' + "x" * 10], ids=range(7))
def test_text_that_is_no_description_is_refused(site: Site, text: str) -> None:
    (site.snapshot(NEW) / "snapshot.json").write_text(text)
    with pytest.raises(Invalid):
        read_snapshot(site.snapshot(NEW))


def test_an_odd_description_does_not_hide_the_good_snapshots(site: Site) -> None:
    description = site.snapshot(MIDDLE) / "snapshot.json"
    description.write_text(json.dumps({**json.loads(description.read_text()), "counts": {}}))
    result = site.flatdex("list", code=DONE)
    assert site.snapshot(OLD).name in result.stdout and site.snapshot(NEW).name in result.stdout
