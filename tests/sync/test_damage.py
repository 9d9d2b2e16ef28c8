"""Damage in the store goes no further, and the way out that a message names is one; odd links are not believed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import configfile
from builder.build import How, build
from builder.errors import FlatdexError
from builder.report import Report
from builder.store import Store
from sync import status
from sync.outcome import Outcome
from sync.programs import Programs
from sync.promote import promote
from sync.push import promoted, push
from sync.settings import Settings
from sync.targets import Target, target
from sync.verify import Sound, faults
from tests.builder.helpers import hello_layout, ref_of
from tests.real.nginx import Nginx
from tests.sync.places import place
from tests.sync.site import CONFIG, DONE, FAILED, NEW, OLD, PARTLY, Site, served
from tests.sync.test_promote import DAMAGES

BORN = 1_700_000_000
INDEX = "index/latest.json"
ABSENT = "20230101T000000Z-00000000"


def change_in_place(snapshot: Path) -> None:
    """Other bytes with the same size and mtime, in all hard links of the file: what a broken disk does."""
    file = snapshot / INDEX
    before = file.stat().st_mtime_ns
    data = file.read_bytes()
    with file.open("r+b") as opened:
        opened.write(data[::-1])
    os.utime(file, ns=(before, before))


EVERY_DAMAGE = [change_in_place, *list(DAMAGES)[::2]]
each_damage = pytest.mark.parametrize("damage", EVERY_DAMAGE, ids=[damage.__name__ for damage in EVERY_DAMAGE])


def build_here(site: Site, full: bool = False) -> None:
    """`flatdex build`, without a process of its own."""
    config = configfile.load(site.folder / "flatdex.yaml", {})
    with Store(config.store).locked("build", create=True):
        build(config, Report(-1, io.StringIO(), io.StringIO()), How(full=full))


def push_here(site: Site, *names: str) -> list[Outcome]:
    """`flatdex push` to these folders, without a process of its own."""
    store = Store(site.store)
    targets = [target(name, {"rsync": f"./{name}"}, site.folder) for name in names]
    with store.locked("push"):
        return push(store, promoted(store), Settings(site.folder), targets)


def promote_here(site: Site, identifier: str) -> None:
    """`flatdex promote`, without a process of its own."""
    store = Store(site.store)
    with store.locked("promote"):
        promote(store, Sound(store.find(identifier)))


@pytest.fixture
def made(real_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a layout and two snapshots of it, built long ago, the newest promoted."""
    site = Site(real_tmp)
    site.configure()
    with monkeypatch.context() as patch:
        for number in (0, 1):
            hello_layout(real_tmp / "images" / f"hello-{number}", "latest", **{"org.flatpak.ref": ref_of(f"A{number}")})
            patch.setattr("time.time", lambda now=BORN + number * 10: float(now))
            build_here(site)
    assert len(site.ids) == 2
    site.promote(site.ids[-1])
    return site


# A damaged current


@pytest.mark.parametrize("damage", [change_in_place, *list(DAMAGES)[:6:2]])
def test_push_refuses_a_damaged_current(site: Site, damage: Callable[[Path], None]) -> None:
    old = site.promote(OLD)
    (outcome,) = push_here(site, "one")
    assert not outcome.error
    new = site.promote(NEW)
    damage(site.snapshot(NEW))
    with pytest.raises(FlatdexError, match=f"the snapshot {new} is damaged") as caught:
        push_here(site, "one", "two")
    assert "`flatdex build --full`" in caught.value.fix
    assert not (site.folder / "two").exists()
    assert [path.name for path in (site.folder / "one" / "snapshots").iterdir()] == [old]
    assert served(site.folder / "one") == old


@pytest.mark.parametrize("text", ["", "{}", "null"])
def test_push_refuses_a_current_without_a_description(site: Site, text: str) -> None:
    site.configure({"one": {"rsync": "./one"}})
    new = site.promote(NEW)
    (site.snapshot(NEW) / "snapshot.json").write_text(text)
    result = site.flatdex("push", code=FAILED)
    assert f"the snapshot {new} (the one that `current` names) is not complete" in result.stderr
    assert not (site.folder / "one").exists()


@each_damage
def test_the_way_out_that_promote_names_is_one(made: Site, damage: Callable[[Path], None]) -> None:
    """Damage to the newest snapshot, while an older one is served and the sources hold the same as before."""
    mtimes = {entry.path: entry.mtime for entry in Store(made.store).snapshot(made.ids[1]).files}
    old, new = made.promote(made.ids[0]), made.ids[1]
    damage(made.store / "snapshots" / new)
    with pytest.raises(FlatdexError, match=f"the snapshot {new} is damaged and was not published") as caught:
        promote_here(made, new)
    assert "`flatdex build --full`" in caught.value.fix
    assert made.current == old
    build_here(made, full=True)
    promote_here(made, made.ids[-1])
    assert made.current == made.ids[-1] > new
    mended = Store(made.store).snapshot(made.ids[-1])
    assert {entry.path: entry.mtime for entry in mended.files} == mtimes, "no client loads anything again"
    assert list(faults(mended)) == []


def test_after_a_full_build_push_works_again(made: Site) -> None:
    made.configure({"web": {"rsync": "./web"}})
    made.flatdex("push", code=DONE)
    change_in_place(made.store / "snapshots" / made.ids[1])
    made.flatdex("build", code=DONE)
    result = made.flatdex("push", code=FAILED)
    assert result.stdout == "" and "`flatdex build --full`" in result.stderr
    made.flatdex("publish", "--full", code=DONE)
    assert served(made.folder / "web") == made.current == made.ids[-1]
    page = made.folder / "web" / "current" / INDEX
    assert page.read_bytes() == (made.store / "current" / INDEX).read_bytes()
    assert page.read_bytes().startswith(b'{"Registry"')


# Where `current` leads


def elsewhere(site: Site) -> dict[str, str]:
    """Links that end with a snapshot's name and are none of ours."""
    new = site.ids[-1]
    (site.store / "deeper" / "snapshots").mkdir(parents=True)
    (site.store / "deeper" / "snapshots" / new).symlink_to(site.store / "snapshots" / new)
    return {
        "absolute": f"{site.store}/snapshots/{new}",
        "absolute and nowhere": f"/nowhere/snapshots/{new}",
        "munged": f"/rsyncd-munged/snapshots/{new}",
        "deeper": f"deeper/snapshots/{new}",
        "bare": new,
        "around": f"snapshots/../snapshots/{new}",
        "below": f"snapshots/{new}/index",
        "unfinished": f"snapshots/.unfinished-{new}",
    }


@pytest.mark.parametrize(
    "where",
    [
        *("absolute", "absolute and nowhere", "munged", "deeper", "bare", "around", "below", "unfinished"),
    ],
)
def test_a_current_that_leads_elsewhere_names_no_snapshot_and_promote_mends_it(site: Site, where: str) -> None:
    (site.store / "current").symlink_to(elsewhere(site)[where])
    store = Store(site.store)
    assert store.current() is None
    found = status.status(store, Settings(site.folder))
    assert (found.current, found.error) == (None, "it leads to no snapshot")
    with pytest.raises(FlatdexError, match="nothing was promoted yet"):
        push_here(site, "web")
    assert not (site.folder / "web").exists()
    if where == "munged":
        assert "current  it leads to no snapshot" in site.flatdex("status", code=FAILED).stdout
    promote_here(site, NEW)
    assert str((site.store / "current").readlink()) == f"snapshots/{site.ids[-1]}"
    (outcome,) = push_here(site, "web")
    assert not outcome.error


def test_status_says_when_current_names_what_is_not_there(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    (site.store / "current").symlink_to(f"snapshots/{ABSENT}")
    found = site.json("status", code=FAILED)
    assert found["current"] == ABSENT
    assert f"the snapshot {ABSENT} (the one that `current` names) is not complete" in found["error"]
    assert "is not complete" in site.flatdex("status", code=FAILED).stdout
    assert "is not complete" in site.flatdex("push", code=FAILED).stderr
    assert not (site.folder / "web").exists()
    site.flatdex("promote", code=DONE)
    site.flatdex("push", code=DONE)
    site.flatdex("status", code=DONE)


def test_status_says_when_current_names_a_snapshot_without_description(site: Site) -> None:
    site.promote(NEW)
    (site.snapshot(NEW) / "snapshot.json").unlink()
    assert "is not complete" in site.json("status", code=FAILED)["error"]


def test_a_store_of_which_nothing_was_promoted_is_no_failure(site: Site) -> None:
    assert site.json("status", code=DONE)["error"] == ""


# What targets show


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("folder", "/nowhere/{}"),
        ("folder", "/rsyncd-munged/snapshots/{}"),
        ("folder", "../snapshots/{}"),
        ("folder", "{}"),
        ("folder", "a/snapshots/{}"),
    ],
)
def test_a_target_whose_current_leads_elsewhere_is_not_up_to_date(site: Site, kind: str, where: str) -> None:
    with place(kind, site) as remote:
        store, web = Store(site.store), target("web", remote.settings, site.folder)
        new = site.promote(NEW)
        with store.locked("push"):
            push(store, promoted(store), Settings(site.folder), [web])
            assert is_up_to_date(store, web, new)
            (remote.root / "current").unlink()
            (remote.root / "current").symlink_to(where.format(new))
            assert not is_up_to_date(store, web, new)
            (outcome,) = push(store, promoted(store), Settings(site.folder), [web])
        assert outcome.line == f"web: has {new}", "not `already`"
        assert served(remote.root) == new
        assert is_up_to_date(store, web, new)


def is_up_to_date(store: Store, web: Target, current: str) -> bool:
    return status.target_status(store, web, Programs(store.root), current, store.snapshot(current), ()).up_to_date


def test_status_says_when_a_target_s_url_shows_another_snapshot(site: Site) -> None:
    old = site.snapshot(OLD)
    with Nginx(site.folder / "server", old) as server:
        site.configure({"web": {"rsync": "./web"}})
        new = site.promote(NEW)
        site.flatdex("push", code=DONE)
        site.configure({"web": {"rsync": "./web", "url": server.url}})
        (row,) = site.json("status", code=PARTLY)["targets"]
        wanted = {"live": new, "up_to_date": False, "error": f"has {new}, but {server.url} shows {old.name}"}
        assert wanted.items() <= row.items()
        said = site.flatdex("status", code=PARTLY).stdout
        assert f"target   web: has {new}, but {server.url} shows {old.name}" in said


def test_status_says_when_a_target_s_url_shows_nothing(site: Site) -> None:
    (site.folder / "empty").mkdir()
    with Nginx(site.folder / "server", site.folder / "empty") as server:
        site.configure({"web": {"rsync": "./web"}})
        site.promote(NEW)
        site.flatdex("push", code=DONE)
        site.configure({"web": {"rsync": "./web", "url": server.url}})
        (row,) = site.json("status", code=PARTLY)["targets"]
    assert not row["up_to_date"] and "404" in row["error"]


# Targets that can't be


WITHIN = "the target and the store lie within each other"
BAD_TARGETS = [
    ("store", WITHIN),
    ("./store/", WITHIN),
    ("store/web", WITHIN),
    ("store/snapshots", WITHIN),
    ("store/current", WITHIN),
    ("x/../store/web", WITHIN),
    (".", WITHIN),
    ("..", WITHIN),
    ("/", WITHIN),
    ("{folder}", WITHIN),
    ("{folder}/store/web", WITHIN),
    ("link", WITHIN),
    ("link/web", WITHIN),
    ("~/store/web", WITHIN),
]


@pytest.mark.parametrize(("destination", "what"), BAD_TARGETS, ids=[each[0] for each in BAD_TARGETS])
def test_a_target_that_would_copy_the_store_into_itself_is_refused(real_tmp: Path, destination: str, what: str) -> None:
    site = configured(real_tmp, web=destination)
    result = site.flatdex("check", env={"HOME": str(real_tmp)}, code=CONFIG)
    assert f"targets.web.rsync: {what}" in result.stderr


def test_no_verb_works_with_such_a_target(real_tmp: Path) -> None:
    site = configured(real_tmp, web="store/web")
    for verb in ("push", "publish", "status", "build"):
        assert WITHIN in site.flatdex(verb, code=CONFIG).stderr


def configured(folder: Path, **destinations: str) -> Site:
    """A site with a store, in which is nothing, and these targets; `link` leads to the store, `to-web` to ./web."""
    site = Site(folder)
    for name in ("store/snapshots", "web"):
        (folder / name).mkdir(parents=True)
    (folder / "link").symlink_to("store")
    (folder / "to-web").symlink_to("web")
    site.configure({name: {"rsync": place.format(folder=folder)} for name, place in destinations.items()})
    return site


@pytest.mark.parametrize(
    ("around", "store"), [("./a", "a/store"), ("./a/store/x/..", "a/store"), ("/", "/nowhere/store")]
)
def test_a_target_around_a_store_elsewhere_is_refused(real_tmp: Path, around: str, store: str) -> None:
    site = configured(real_tmp, web=around)
    assert WITHIN in site.flatdex("check", "--store", store, code=CONFIG).stderr


def test_a_target_whose_name_starts_like_the_store_s_is_taken(real_tmp: Path) -> None:
    configured(real_tmp, web="./a-b").flatdex("check", "--store", "a", code=DONE)


TWICE = [
    ("./web", "web"),
    ("./web", "./web/"),
    ("./web", "x/../web"),
    ("./web", "{folder}/web"),
    ("./web", "to-web"),
    ("./web", "~/web"),
    ("host:/srv/x", "host:/srv/x/"),
    ("rsync://host/x", "rsync://host/x/"),
]


@pytest.mark.parametrize(("one", "other"), TWICE, ids=[each[1] for each in TWICE])
def test_one_place_under_two_names_is_refused(real_tmp: Path, one: str, other: str) -> None:
    site = configured(real_tmp, one=one, other=other)
    result = site.flatdex("check", env={"HOME": str(real_tmp)}, code=CONFIG)
    assert "targets.other.rsync: this is the target 'one' too" in result.stderr


@pytest.mark.parametrize("other", ["./web2", "./we", "host:/srv/web", "host:web", "rsync://host/web"])
def test_places_that_only_look_alike_are_taken(real_tmp: Path, other: str) -> None:
    configured(real_tmp, one="./web", other=other).flatdex("check", code=DONE)
