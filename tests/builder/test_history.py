"""What is served need not be what was built last: dates and kept files follow what readers have seen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder import dates, plan, snapshot
from builder.config import GRACE, Config
from builder.content import InMemory
from builder.description import Snapshot, spells_hash
from builder.errors import FlatdexError
from builder.files import replace_file
from builder.history import history_of
from builder.site.tree import Site
from builder.store import Store
from tests.builder.helpers import GOOD, loaded
from tests.builder.test_plan import History, flat, images, on_disk

NOW = 1_700_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """One index for one architecture."""
    return loaded(tmp_path, GOOD)


def promote(store: Store, one: Snapshot) -> None:
    """Lets `current` name it, as promote does."""
    store.current_link.unlink(missing_ok=True)
    store.current_link.symlink_to(f"snapshots/{one.id}")
    os.utime(store.current_link, (one.created, one.created), follow_symlinks=False)
    store.note_promoted(one.id)


def shown_by(store: Store, name: str, one: Snapshot) -> None:
    """Notes that a target shows it, as push does."""
    store.targets.mkdir(exist_ok=True)
    replace_file(store.targets / f"{name}.json", json.dumps({"live": one.id}).encode())


def icon(letter: str) -> tuple[str, str]:
    """A file under its hash: its path and its text."""
    sha256 = InMemory(letter.encode()).sha256
    return f"icons/{sha256[:2]}/{sha256[2:]}.png", letter


def with_icon(letter: str, **texts: str) -> Site:
    """A site of these texts, and an icon."""
    path, text = icon(letter)
    return flat(**texts, **{path: text})


# Dates


def test_what_was_built_and_never_promoted_changes_no_date(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    promote(history.store, one)
    history.write(flat(page="two"))
    three = history.write(flat(page="one", more="x"))
    assert three.by_path["page"].mtime == one.by_path["page"].mtime, "readers have never seen another content"


def test_what_was_built_and_never_promoted_is_continued_where_it_is_later(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    promote(history.store, one)
    two = history.write(flat(page="two"))
    three = history.write(flat(page="two", more="x"))
    assert three.by_path["page"].mtime == two.by_path["page"].mtime > one.by_path["page"].mtime


def test_a_content_that_a_target_shows_with_a_later_date_counts(config: Config) -> None:
    """`current` was set back by hand to the first one, while a target still shows the second."""
    history = History(config)
    one = history.write(flat(page="one"))
    two = history.write(flat(page="two"))
    promote(history.store, one)
    shown_by(history.store, "web", two)
    three = history.write(flat(page="one", more="x"))
    assert three.by_path["page"].mtime > two.by_path["page"].mtime, "else the target's readers would get a stale 304"


def test_what_was_promoted_once_counts_also_when_an_older_one_is_current_again(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    promote(history.store, one)
    two = history.write(flat(page="two"))
    promote(history.store, two)
    promote(history.store, one)  # by hand
    three = history.write(flat(page="one", more="x"))
    assert three.by_path["page"].mtime > two.by_path["page"].mtime, "those who saw the second one would get a stale 304"


def test_a_target_that_lags_behind_lends_no_date(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="c", other="x"))
    shown_by(history.store, "lags", one)
    history.write(flat(page="b", other="x"))
    newest = history.write(flat(other="x"))
    promote(history.store, newest)
    again = history.write(flat(page="c", other="x"))
    assert again.by_path["page"].mtime == again.created - 1
    assert again.by_path["other"].mtime == one.by_path["other"].mtime


def test_a_clock_that_went_back_dates_nothing_back(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    promote(history.store, one)
    two = history.write(flat(page="two"), later=-90_000)
    assert two.created > one.created and two.id > one.id
    assert two.by_path["page"].mtime > one.by_path["page"].mtime


# Files that stay


def test_files_of_what_is_served_stay_however_long_a_hold_lasts(config: Config) -> None:
    history = History(config)
    served = history.write(with_icon("a", page="one"))
    promote(history.store, served)
    history.write(with_icon("b", page="two"), later=3600)
    later = history.write(with_icon("c", page="three"), later=GRACE + 3600)
    until = {entry.path: entry.until for entry in later.kept}
    assert until[icon("a")[0]] == later.created + GRACE, "the first one is still served"
    assert icon("b")[0] in until
    on_disk(later)


def test_files_of_what_a_target_shows_stay_however_long_it_is_behind(config: Config) -> None:
    history = History(config)
    behind = history.write(with_icon("a", page="one"))
    promote(history.store, behind)
    shown_by(history.store, "slow", behind)
    for letter in "bcd":
        newest = history.write(with_icon(letter, page=letter), later=GRACE + 1)
        promote(history.store, newest)
    kept = {entry.path: entry.until for entry in newest.kept}
    assert kept[icon("a")[0]] == newest.created + GRACE
    assert icon("b")[0] not in kept, "its time is over, nobody shows it"
    shown_by(history.store, "slow", newest)
    after = history.write(with_icon("e", page="e"), later=GRACE + 1)
    assert icon("a")[0] not in {entry.path for entry in after.kept}


def test_after_a_hold_that_was_longer_than_the_grace_time_files_stay_for_it_all_the_same(config: Config) -> None:
    history = History(config)
    served = history.write(with_icon("a", page="one"))
    promote(history.store, served)
    waiting = history.write(with_icon("b", page="two"))
    history.now += 30 * 86400
    promote(history.store, waiting)
    os.utime(history.store.current_link, (history.now, history.now), follow_symlinks=False)
    three = history.write(with_icon("c", page="three"), later=60)
    assert {entry.path: entry.until for entry in three.kept}[icon("a")[0]] == history.now - 60 + GRACE
    promote(history.store, three)
    os.utime(history.store.current_link, (history.now, history.now), follow_symlinks=False)
    four = history.write(with_icon("d", page="four"), later=GRACE - 60)
    assert icon("a")[0] not in {entry.path for entry in four.kept}, "but no longer than that"


def test_the_grace_time_is_the_configuration_s(tmp_path: Path) -> None:
    history = History(loaded(tmp_path, GOOD + "grace: 2h\n"))
    promote(history.store, history.write(with_icon("a")))
    two = history.write(with_icon("b"), later=60)
    (kept,) = two.kept
    assert kept.until == two.created + 7200
    promote(history.store, two)
    three = history.write(with_icon("c"), later=7201)
    assert [entry.path for entry in three.kept] == [icon("b")[0]]


def test_kept_files_are_links_and_cost_nothing(config: Config) -> None:
    history = History(config)
    one = history.write(with_icon("a"))
    promote(history.store, one)
    two = history.write(with_icon("b"))
    path = icon("a")[0]
    assert (two.folder / path).stat().st_ino == (one.folder / path).stat().st_ino


# The same again


def again(history: History, old: Snapshot, later: int = 3600) -> Snapshot:
    """What rollback makes."""
    history.now += later
    return history.store.find(snapshot.republish(history.store, old, history.now, GRACE).id)


def test_what_is_published_again_is_dated_later_where_it_differs_from_what_is_served(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one", same="x"))
    two = history.write(flat(page="two", same="x"))
    promote(history.store, two)
    back = again(history, one)
    assert plan.content_hash_of(back) == plan.content_hash_of(one) and back.id > two.id and back.version == 3
    assert back.by_path["page"].mtime > two.by_path["page"].mtime
    assert back.by_path["same"].mtime == two.by_path["same"].mtime
    assert (back.document["again"], back.document["previous"]) == (one.id, two.id)
    on_disk(back)


def test_index_files_under_their_hash_are_dated_anew_like_their_plain_twins(config: Config) -> None:
    history = History(config)
    one = history.add(*images("a", "a"))
    twins: Mapping[str, str] = dict(history.site.twins)
    two = history.add(*images("b", "a"))
    promote(history.store, two)
    back = again(history, one)
    assert dict(dates.twins_of(one.by_path)) == twins, "the same as those who built it knew"
    for twin, plain in twins.items():
        assert back.by_path[twin].mtime == back.by_path[plain].mtime
        assert back.by_path[plain].mtime > two.by_path[plain].mtime


def test_icons_that_come_back_keep_their_dates(config: Config) -> None:
    history = History(config)
    one = history.write(with_icon("a", page="one"))
    promote(history.store, one)
    promote(history.store, history.write(with_icon("b", page="two")))
    back = again(history, one, later=GRACE * 2)
    path = icon("a")[0]
    assert back.by_path[path].mtime == one.by_path[path].mtime
    assert (back.folder / path).stat().st_ino == (one.folder / path).stat().st_ino
    assert [entry.path for entry in back.kept] == [icon("b")[0]], "those of what was served until now stay"


def test_nothing_damaged_is_published_again(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    promote(history.store, history.write(flat(page="two")))
    file = one.folder / "page"
    file.write_text("eno")
    with pytest.raises(FlatdexError, match="page is not what it was"):
        again(history, one)


def test_what_is_served_and_gone_from_the_store_is_passed_over(config: Config) -> None:
    history = History(config)
    one = history.write(flat(page="one"))
    shown_by(history.store, "web", one)
    (history.store.targets / "odd.json").write_text("[")
    history.store.current_link.symlink_to("snapshots/20200101T000000Z-00000000")
    found = history_of(history.store)
    assert found.newest and found.newest.id == one.id
    assert [each.id for each in found.seen] == [one.id]


def test_the_rules_are_in_the_description_too(config: Config) -> None:
    """Web servers don't hand them out."""
    history = History(config)
    one = history.add(*images("a"))
    rules = {entry.path for entry in one.files if entry.path.endswith(".htaccess")}
    assert rules and one.document["rules"].keys() == rules
    for path, text in one.document["rules"].items():
        assert (one.folder / path).read_text() == text
    assert not any(spells_hash(one.by_path[path]) for path in rules)
