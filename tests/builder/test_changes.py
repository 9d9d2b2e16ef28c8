"""Changes: dated once, carried from snapshot to snapshot, and never a reason for another snapshot by themselves."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from builder import changes
from builder.changes import GONE, MOST, NEW, UPDATED, Change, Offered
from builder.description import Snapshot, timestamp

NOW = timestamp("2026-11-20T10:00:00Z")
HELLO = Offered("stable", "app/org.flatdex.Hello/x86_64/stable", "sha256:1", "2026-01-01T00:00:00Z", "1.0", "Hello")


def before(*offered: Offered, known: list[dict[str, str]] | None = None, **document: object) -> Snapshot:
    """A snapshot that offered these."""
    images = [
        {"index": each.index, "ref": each.ref, "digest": each.digest, "version": each.version, "name": each.name}
        for each in offered
    ]
    document = {"images": images, "changes": [] if known is None else known, **document}
    return Snapshot(Path(), "x", 1, NOW - 100, None, (), (), document)


def kinds(found: tuple[Change, ...]) -> list[tuple[str, str]]:
    """What happened to whom."""
    return [(change.kind, change.id) for change in found]


def test_what_is_new_updated_and_gone_is_told_with_versions_and_names() -> None:
    world = replace(HELLO, ref="app/org.flatdex.World/x86_64/stable", name="World")
    moon = replace(HELLO, ref="app/org.flatdex.Moon/x86_64/stable", name="Moon")
    newer = replace(HELLO, digest="sha256:2", version="1.1")
    found = changes.changes(before(HELLO, world), [newer, moon], NOW)
    assert kinds(found) == [
        (UPDATED, "org.flatdex.Hello"),
        (NEW, "org.flatdex.Moon"),
        (GONE, "org.flatdex.World"),
    ]
    updated, _, gone = found
    assert (updated.before, updated.version, updated.time) == ("1.0", "1.1", "2026-11-20T10:00:00Z")
    assert (gone.name, gone.version) == ("World", "1.0")


def test_where_nothing_changed_the_list_stays_as_it_was_at_any_time() -> None:
    first = changes.changes(before(HELLO), [replace(HELLO, digest="sha256:2")], NOW)
    assert len(first) == 1
    offered = [replace(HELLO, digest="sha256:2")]
    assert changes.changes(before(*offered, known=changes.as_json(first)), offered, NOW + 9999) == first


def test_the_newest_comes_first_and_old_ones_are_forgotten() -> None:
    one = changes.as_json(changes.changes(before(HELLO), [replace(HELLO, digest="sha256:2")], NOW))[0]
    known = [{**one, "time": "2026-01-01T00:00:00Z"} for _ in range(MOST)]
    found = changes.changes(before(HELLO, known=known), [replace(HELLO, digest="sha256:3")], NOW)
    assert len(found) == MOST
    assert [change.time for change in found[:2]] == ["2026-11-20T10:00:00Z", "2026-01-01T00:00:00Z"]


def test_architectures_are_one_change() -> None:
    arm = replace(HELLO, ref="app/org.flatdex.Hello/aarch64/stable", digest="sha256:a")
    found = changes.changes(before(HELLO, arm), [replace(HELLO, digest="sha256:2"), arm], NOW)
    assert kinds(found) == [(UPDATED, "org.flatdex.Hello")]
    assert kinds(changes.changes(before(HELLO, arm), [HELLO], NOW)) == [(UPDATED, "org.flatdex.Hello")]


def test_translations_debug_symbols_and_sources_are_no_news() -> None:
    parts = [
        replace(HELLO, ref=f"runtime/org.flatdex.Hello.{part}/x86_64/stable") for part in ("Locale", "Debug", "Sources")
    ]
    assert changes.changes(before(HELLO), [HELLO, *parts], NOW) == ()


def test_a_first_snapshot_dates_everything_by_its_images_and_asks_no_clock() -> None:
    undated = replace(HELLO, ref="app/org.flatdex.World/x86_64/stable", created="")
    odd = replace(HELLO, ref="app/org.flatdex.Odd/x86_64/stable", created="0001-01-01T00:00:00+23:00")
    found = changes.changes(None, [HELLO, undated, odd], NOW)
    assert [(change.kind, change.id, change.time) for change in found] == [
        (NEW, "org.flatdex.Hello", "2026-01-01T00:00:00Z")
    ]
    assert found == changes.changes(None, [HELLO, undated, odd], NOW + 5)


def test_after_a_snapshot_that_kept_no_changes_what_stayed_is_dated_by_its_images() -> None:
    old = before(HELLO)
    old = replace(old, document={"images": old.document["images"]})
    world = replace(HELLO, ref="app/org.flatdex.World/x86_64/stable", digest="sha256:9")
    images = [{"index": each["index"], "ref": each["ref"], "digest": each["digest"]} for each in old.document["images"]]
    found = changes.changes(replace(old, document={"images": images}), [HELLO, world], NOW)
    assert [(change.id, change.time) for change in found] == [
        ("org.flatdex.World", "2026-11-20T10:00:00Z"),
        ("org.flatdex.Hello", "2026-01-01T00:00:00Z"),
    ]


def test_another_versions_changes_are_taken_for_none() -> None:
    found = changes.changes(before(HELLO, known=[{"odd": "1"}]), [HELLO], NOW)
    assert found == changes.changes(None, [HELLO], NOW)


def test_a_time_without_a_zone_is_utc_wherever_a_build_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        (change,) = changes.changes(None, [replace(HELLO, created="2026-01-01T00:30:00")], NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert change.time == "2026-01-01T00:30:00Z"


def test_an_image_of_the_future_does_not_stand_above_all_that_comes() -> None:
    assert changes.changes(None, [replace(HELLO, created="9999-12-31T23:59:59Z")], NOW) == ()
    assert changes.changes(None, [replace(HELLO, created="0001-01-01T00:00:00Z")], NOW) == ()
