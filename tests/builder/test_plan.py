"""What the next snapshot will hold: dates that no ETag can lie with, and files that stay for a grace time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import dates, flatpak, plan, snapshot
from builder.build import How, build
from builder.catalog import Catalog, Image
from builder.config import GRACE, Config
from builder.content import Content, InMemory
from builder.description import FileEntry, KeptEntry, Snapshot, spells_hash, time_text
from builder.dispatch import Dispatch, Route
from builder.errors import Exit, FlatdexError
from builder.files import sha256_of
from builder.history import History as Past
from builder.outcome import Built
from builder.site.tree import Site
from builder.site.tree import site as tree
from builder.store import Store
from tests.builder.helpers import GOOD, hello_layout, icon_uri, image, loaded, ref_of
from tests.builder.test_build import report

NOW = 1_700_000_000
ICON = "org.freedesktop.appstream.icon-64"
CONFIG = GOOD.replace("sources: [main]}", "sources: [main], architectures: [amd64, arm64], annotations: true}")
QUERIES = tuple(
    "&".join(filter(None, parts))
    for parts in (
        (tag, architecture, form)
        for tag in ("", "tag=latest", "tag=testing")
        for architecture in ("", "architecture=amd64", "architecture=arm64", "architecture=other")
        for form in ("", "annotation:org.flatpak.ref:exists=1")
    )
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with a file for each architecture and form."""
    return loaded(tmp_path, CONFIG)


class History:
    """Successive snapshots of one store, an hour apart."""

    def __init__(self, config: Config, start: int = NOW) -> None:
        self.config = config
        self.store = Store(config.store)
        self.now = start
        self.site = Site({}, {}, ())

    def add(self, *images: Image, config: Config | None = None, later: int = 3600) -> Snapshot:
        """Builds the site of these images."""
        self.config = config or self.config
        self.site = tree(self.config, Catalog(images), snapshot.carried_gzip(self.store.newest()))
        return self.write(self.site, later)

    def write(self, site: Site, later: int = 3600) -> Snapshot:
        """Writes a site, which has to be a new one."""
        self.now += later
        written = snapshot.write(self.store, site, self.config, self.now)
        assert written.changed
        return self.store.find(written.id)

    def answers(self) -> dict[tuple[str, str], FileEntry]:
        """What answers each query, with and without gzip: the file that the newest snapshot's rules lead to."""
        newest = self.store.newest()
        assert newest
        rules = (newest.folder / "index" / ".htaccess").read_text()
        by_plain = {plain: newest.by_path[twin] for twin, plain in self.site.twins.items()}
        found = {}
        for query in QUERIES:
            file = self.config.dispatch.answer(query)
            for suffix in ("", ".gz"):
                if file is not None:
                    entry = by_plain[f"index/{file}.json{suffix}"]
                    assert f"sha256/{file}/{entry.sha256}.json{suffix} " in rules
                    found[query, suffix] = entry
        for tag in self.config.tag_folders:
            for suffix in ("", ".gz"):
                found[f"/{tag}", suffix] = by_plain[f"{tag}/index/static{suffix}"]
        return found


def images(amd64: str, arm64: str | None = None) -> list[Image]:
    """An application for each architecture; `amd64` and `arm64` are letters that tell one version from another."""
    found = [image(ref_of(), digest=f"sha256:{amd64 * 64}")]
    if arm64:
        found.append(image(ref_of(arch="aarch64"), digest=f"sha256:{arm64 * 64}", architecture="arm64"))
    return found


def on_disk(one: Snapshot) -> dict[str, int]:
    """The mtimes of a snapshot's files, after a look that they are those of the description, in whole seconds."""
    for entry in one.all_files:
        assert (one.folder / entry.path).stat().st_mtime_ns == entry.mtime * 10**9
    return {entry.path: entry.mtime for entry in one.all_files}


# Dates


def changes(history: History, steps: list[list[Image]]) -> Iterator[tuple[bool, FileEntry, FileEntry]]:
    """For each query and step: whether its answer changed, and the file that answered before and that answers now."""
    history.add(*steps[0])
    before = history.answers()
    for step in steps[1:]:
        history.add(*step)
        on_disk_newest = history.store.newest()
        assert on_disk_newest
        on_disk(on_disk_newest)
        now = history.answers()
        for key, entry in now.items():
            yield entry.sha256 != before[key].sha256, before[key], entry
        before = now


def test_what_answers_a_query_later_is_dated_later_also_when_an_old_answer_comes_back(config: Config) -> None:
    steps = [images("a", "a"), images("b", "a"), images("a", "a"), images("b", "a"), images("c", "a"), images("a", "a")]
    seen = list(changes(History(config), steps))
    assert any(changed and before.size == now.size for changed, before, now in seen), "the dangerous case"
    for changed, before, now in seen:
        assert (before.mtime < now.mtime) if changed else (before.mtime == now.mtime), (before, now)
    assert {changed for changed, _, _ in seen} == {True, False}, "arm64 does not change, the others do"


def test_files_that_become_equal_again_are_dated_each_by_its_own_query(config: Config) -> None:
    """With an amd64 image alone, its file and that of all architectures are equal; with an arm64 image they are not."""
    steps = [images("a"), images("a", "a"), images("a"), images("b"), images("b", "b"), images("a"), images("b", "a")]
    history = History(config)
    for changed, before, now in changes(history, steps):
        assert (before.mtime < now.mtime) if changed else (before.mtime == now.mtime), (before, now)
    history.add(*images("a"))
    answers = history.answers()
    every, amd64 = answers["", ""], answers["architecture=amd64", ""]
    assert every.sha256 == amd64.sha256 and every.path != amd64.path


def test_a_twin_is_dated_like_its_plain_file(config: Config) -> None:
    history = History(config)
    for letter in "aba":
        newest = history.add(*images(letter))
    mtimes = on_disk(newest)
    assert len(history.site.twins) == 14
    for twin, plain in history.site.twins.items():
        assert mtimes[twin] == mtimes[plain]
        assert newest.by_path[twin].sha256 == newest.by_path[plain].sha256
        assert newest.by_path[twin].sha256 in twin


def test_where_other_files_answer_all_plain_indexes_and_their_twins_count_as_changed(config: Config) -> None:
    history = History(config)
    one = on_disk(history.add(*images("a", "b")))
    routes = tuple(route for route in config.dispatch.routes if route.architecture != "arm64")
    moved = replace(config, dispatch=replace(config.dispatch, routes=routes))
    two = on_disk(history.add(*images("a", "b"), config=moved))
    later = {path for path, mtime in two.items() if mtime != one.get(path)}
    indexes = {*history.site.twins, *history.site.twins.values()}
    assert len(indexes) == 28
    assert later == {*indexes, "index/.htaccess"}, "nothing else changes its mtime"
    assert {two[path] for path in later} == {history.now - 1}


def test_the_same_dispatch_read_anew_is_no_change(config: Config, tmp_path: Path) -> None:
    history = History(config)
    one = on_disk(history.add(*images("a", "b")))
    history.config = loaded(tmp_path, CONFIG)
    two = on_disk(history.write(replace(history.site, files={**history.site.files, "new": InMemory(b"new")})))
    assert two == {**one, "new": history.now - 1}


# Any sequence of sites

PLAIN = ("index/a.json", "index/b.json", "t/index/static")
OTHER = ("icons/.htaccess", "index/static", "x.flatpakrepo")
SITES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(PLAIN + OTHER), st.sampled_from(["one", "two", "three"])),
        st.integers(-5000, 5000) | st.sampled_from([0, 1, GRACE, -GRACE]),
    ),
    min_size=1,
    max_size=8,
)
DISPATCH = Dispatch((Route("latest", "", False, "a"),), "latest")


def site_of(texts: Mapping[str, str]) -> Site:
    """A site of these texts; the indexes among them have twins."""
    files: dict[str, Content] = {path: InMemory(text.encode()) for path, text in texts.items()}
    twins = {}
    for path in [path for path in files if path in PLAIN]:
        content = files[path]
        twin = f"{path.rpartition('/')[0]}/sha256/{path.rpartition('/')[2]}/{content.sha256}.json"
        twins[twin] = path
        files[twin] = content
    return Site(files, {}, (), twins)


def next_snapshot(site: Site, previous: Snapshot | None, now: int, dispatch: Dispatch = DISPATCH) -> Snapshot:
    """The snapshot that would be written, without writing it."""
    created = max(now, previous.created + 1) if previous else now
    history = Past(previous, (previous,) if previous else ())
    described = json.loads(json.dumps({"dispatch": asdict(dispatch)}))
    files = dates.entries(site.files, site.twins, described["dispatch"], history, created)
    kept = dates.kept(site.files, history, created, GRACE)
    return Snapshot(Path(), str(created), 1, created, None, files, kept, described)


@given(SITES)
def test_any_sequence_of_sites_keeps_the_promise(steps: list[tuple[dict[str, str], int]]) -> None:
    now = NOW
    previous: Snapshot | None = None
    last: dict[str, FileEntry] = {}
    for texts, later in steps:
        now += later
        site = site_of(texts)
        one = next_snapshot(site, previous, now)
        before = {entry.path: entry for entry in previous.files} if previous else {}
        for entry in one.files:
            assert type(entry.mtime) is int
            assert entry.mtime <= one.created
            known = before.get(entry.path)
            if known and known.sha256 == entry.sha256:
                assert entry.mtime == known.mtime
            elif known:
                assert entry.mtime > known.mtime
            elif entry.path in last and entry.path not in site.twins:
                assert entry.mtime > last[entry.path].mtime or entry.sha256 == last[entry.path].sha256
        for twin, plain in site.twins.items():
            assert one.by_path[twin].mtime == one.by_path[plain].mtime
        assert not {entry.path for entry in one.files} & {entry.path for entry in one.kept}
        last |= {entry.path: entry for entry in one.files}
        previous = one


@given(SITES)
def test_any_sequence_of_sites_keeps_hash_named_files_for_the_grace_time(
    steps: list[tuple[dict[str, str], int]],
) -> None:
    now = NOW
    previous: Snapshot | None = None
    until: dict[str, int] = {}
    for texts, later in steps:
        now += later
        site = site_of(texts)
        one = next_snapshot(site, previous, now)
        for path in {*(entry.path for entry in previous.files if spells_hash(entry))} if previous else ():
            until[path] = one.created + GRACE
        expected = {path: end for path, end in until.items() if path not in site.files and end > one.created}
        assert {entry.path: entry.until for entry in one.kept} == expected
        assert all(spells_hash(entry) for entry in one.kept)
        until = {path: end for path, end in until.items() if path in expected}
        previous = one


# Kept files


def hash_named(text: str) -> tuple[str, InMemory]:
    """A file whose path spells its hash, as icons have it."""
    content = InMemory(text.encode())
    return f"icons/{content.sha256[:2]}/{content.sha256[2:]}.png", content


def flat(*hashed: str, **files: str) -> Site:
    """A site of some files whose paths spell their hashes, and others."""
    named: dict[str, Content] = {path: InMemory(text.encode()) for path, text in files.items()}
    return Site({**named, **dict(map(hash_named, hashed))}, {"stable": ()}, ())


def test_a_hash_named_file_stays_for_the_grace_time_and_is_then_dropped(config: Config) -> None:
    history = History(config)
    path, content = hash_named("an icon")
    history.write(flat("an icon", page="one"))
    two = history.write(flat(page="two"))
    end = history.now + GRACE
    entry = KeptEntry(path, content.size, content.sha256, two.created - 3600, end)
    assert two.kept == (entry,)
    assert two.document["kept"] == [{**asdict(entry), "until": time_text(end)}]
    assert path not in [file["path"] for file in two.document["files"]]
    three = history.write(flat(page="three"), later=GRACE - 1)
    assert three.kept == (entry,), "carried on, and no longer than at first"
    assert (three.folder / path).samefile(two.folder / path)
    assert (three.folder / path).read_bytes() == content.data
    on_disk(three)
    four = history.write(flat(page="four"), later=1)
    assert four.kept == ()
    assert not (four.folder / path).exists()


def test_a_kept_file_that_is_named_again_is_an_ordinary_one(config: Config) -> None:
    history = History(config)
    path, content = hash_named("an icon")
    one = history.write(flat("an icon", page="one"))
    history.write(flat(page="two"))
    three = history.write(flat("an icon", page="one"))
    assert three.kept == ()
    assert [entry for entry in three.files if entry.path == path] == [one.by_path[path]], "it was the same all the time"
    assert (three.folder / path).read_bytes() == content.data
    four = history.write(flat(page="four"))
    assert [entry.until for entry in four.kept] == [history.now + GRACE], "its time starts anew"


def test_an_index_that_comes_back_while_it_is_kept_has_its_bytes_and_a_later_date(config: Config) -> None:
    history = History(config)
    one = history.add(*images("a"))
    paths = [twin for twin in history.site.twins if "arm64" not in twin]
    two = history.add(*images("b"))
    assert {entry.path for entry in two.kept} == set(paths)
    three = history.add(*images("a"))
    for path in paths:
        assert three.by_path[path].mtime == history.now - 1 > one.by_path[path].mtime
        assert sha256_of(three.folder / path) == three.by_path[path].sha256
    assert not {entry.path for entry in three.kept} & set(paths)


def test_only_files_whose_path_spells_their_hash_are_kept(config: Config) -> None:
    history = History(config)
    labels = {**image().labels, ICON: icon_uri()}
    history.add(image(labels=labels))
    two = history.add(*images("b"))
    kept = {entry.path for entry in two.kept}
    assert {path.partition("/")[0] for path in kept} == {"icons", "index", "latest"}
    assert all(entry.sha256 in entry.path.replace("/", "") for entry in two.kept)
    # The name is a hash, but another file's.
    other = hash_named("other")[0]
    history.write(Site({other: InMemory(b"not what its name says"), "page": InMemory(b"1")}, {"stable": ()}, ()))
    assert other not in {entry.path for entry in history.write(flat(page="two")).kept}


def test_blobs_are_kept_too(tmp_path: Path) -> None:
    """Who has just read the older index pulls the older image."""
    config = local(tmp_path)
    _, one = built(config)
    blobs = {entry.path for entry in one.files if entry.path.startswith("v2/hello/")}
    assert {path.split("/")[2] for path in blobs} == {"blobs", "manifests"}
    hello_layout(tmp_path / "images" / "hello", "latest", version="2")
    (tmp_path / "images" / "hello").rename(tmp_path / "images" / "renamed")
    _, two = built(config)
    assert {entry.path for entry in two.kept} >= blobs
    for path in blobs:
        assert (two.folder / path).samefile(one.folder / path)


def test_kept_files_are_no_content(config: Config) -> None:
    history = History(config)
    history.write(flat("an icon", page="one"))
    two = history.write(flat(page="two"))
    assert two.kept
    for later in (1, GRACE, GRACE * 2):
        written = snapshot.write(history.store, flat(page="two"), config, history.now + later)
        assert written == snapshot.Written(two.id, changed=False)
    assert plan.content_hash_of(two) == plan.content_hash(flat(page="two").files)
    assert two.document["counts"]["files"] == 1


@pytest.mark.parametrize(
    ("damage", "full"), [("lost", False), ("cut", False), ("lost", True), ("cut", True), ("other bytes", True)]
)
def test_a_damaged_file_that_nothing_names_any_more_stops_no_build(config: Config, damage: str, full: bool) -> None:
    """Its bytes are nowhere else, so it can't be mended; the new site does not need it."""
    history = History(config)
    path, content = hash_named("an icon")
    history.write(flat("an icon", page="one"))
    two = history.write(flat(page="two"))
    file = two.folder / path
    if damage == "lost":
        file.unlink()
    else:
        overwrite(file, content.data[:-1] if damage == "cut" else content.data.swapcase())
    written = snapshot.write(history.store, flat(page="three"), config, history.now + 10, full=full)
    three = history.store.find(written.id)
    assert written.changed
    assert path not in three.by_path
    assert not (three.folder / path).exists()


# The description


def test_the_description_lists_the_images_of_each_index(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG + "  beta: {tags: [beta], sources: [main]}\n")
    both = image(ref_of("Both"), repository="both", tags=frozenset({"latest", "beta"}))
    latest = image(ref_of("Arm", "aarch64"), repository="arm", architecture="arm64")
    one = History(config).add(both, latest)

    def entry(index: str, each: Image) -> dict[str, Any]:
        known = ("ref", "architecture", "source", "repository", "digest", "created")
        named = {"name": flatpak.parse_ref(each.ref).id, "version": ""}
        return {"index": index, **{key: getattr(each, key) for key in known}, **named}

    assert one.document["images"] == [entry("stable", latest), entry("stable", both), entry("beta", both)]


# The build


LOCAL = """\
store: ./store
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest]}
  testing: {tags: [testing]}
"""


def local(folder: Path, *names: str) -> Config:
    """A configuration, and a layout in its folder whose image has these names."""
    hello_layout(folder / "images" / "hello", *(names or ("latest",)))
    return loaded(folder, LOCAL)


def built(config: Config, full: bool = False, allow_shrink: bool = False) -> tuple[Built, Snapshot]:
    """Builds, and reads what was built."""
    store = Store(config.store)
    with store.locked("build", create=True):
        done = build(config, report(), How(full=full, allow_shrink=allow_shrink))
    return done, store.find(done.snapshot)


def test_an_index_that_would_become_empty_is_refused(tmp_path: Path) -> None:
    config = local(tmp_path)
    first, _ = built(config)
    local(tmp_path, "testing")
    for full in (False, True):
        with pytest.raises(FlatdexError) as caught:
            built(config, full)
        assert caught.value.what == f"the index stable would become empty (`max_shrink` is 20%):\n  {ref_of()}"
        assert caught.value.fix.startswith("Nothing was built.") and "--allow-shrink" in caught.value.fix
        assert caught.value.exit_code == Exit.FAILED
    assert [each.id for each in Store(config.store).complete()] == [first.snapshot]
    done, two = built(config, allow_shrink=True)
    assert done.changed
    assert [(each["index"], each["ref"]) for each in two.document["images"]] == [("testing", ref_of())]
    again, _ = built(config)
    assert not again.changed, "what is empty already may stay so"


def test_the_first_build_may_have_an_empty_index(tmp_path: Path) -> None:
    done, one = built(local(tmp_path))
    assert done.changed
    refs = {variant["index"]: variant["refs"] for variant in one.document["variants"]}
    assert refs == {"stable": 1, "testing": 0}


def test_an_index_that_loses_a_few_is_built_and_one_that_loses_more_is_not(tmp_path: Path) -> None:
    config = local(tmp_path)
    names = ("One", "Two", "Three", "Four")
    for name in names:
        hello_layout(tmp_path / "images" / name, "latest", **{"org.flatpak.ref": ref_of(name)})
    first, _ = built(config)
    (tmp_path / "images" / "Two" / "index.json").unlink()
    (tmp_path / "images" / "One" / "index.json").unlink()
    with pytest.raises(FlatdexError) as caught:
        built(config)
    lost = f"  {ref_of('One')}\n  {ref_of('Two')}"
    assert caught.value.what == f"the index stable would lose 2 of 5 refs (`max_shrink` is 20%):\n{lost}"
    assert "Left out: 2 not-a-layout." in caught.value.fix
    assert [each.id for each in Store(config.store).complete()] == [first.snapshot]
    hello_layout(tmp_path / "images" / "Two", "latest", **{"org.flatpak.ref": ref_of("Two")})
    done, two = built(config)
    assert done.changed and not done.whole
    assert [skip.code for skip in done.skips] == ["not-a-layout"]
    assert sorted(each["ref"] for each in two.document["images"]) == sorted([ref_of(), *map(ref_of, names[1:])])


def overwrite(file: Path, data: bytes) -> None:
    """Changes a file in place, and with it all its hard links, and gives it its mtime back."""
    before = file.stat().st_mtime_ns
    file.write_bytes(data)
    os.utime(file, ns=(before, before))


def test_full_mends_a_snapshot_although_nothing_changed(tmp_path: Path) -> None:
    config = local(tmp_path)
    _, one = built(config)
    victims = [entry.path for entry in one.files if entry.size > 1]
    assert {"index", "latest", "testing", "icons", "v2", "example.flatpakrepo"} <= {
        path.split("/")[0] for path in victims
    }
    whole = {entry.path: (one.folder / entry.path).read_bytes() for entry in one.files}
    for path in victims:
        overwrite(one.folder / path, whole[path][::-1])
    unnoticed, _ = built(config)
    assert not unnoticed.changed, "the damage can't be seen without reading every byte"
    done, two = built(config, full=True)
    assert done.changed and two.id > one.id
    assert {entry.path: (two.folder / entry.path).read_bytes() for entry in two.files} == whole
    assert two.files == one.files, "the mtimes stay"
    on_disk(two)
    again, _ = built(config, full=True)
    assert not again.changed, "a sound one needs no mending"


@pytest.mark.parametrize("damage", ["lost", "touched", "longer"])
def test_full_mends_what_any_look_would_find(tmp_path: Path, damage: str) -> None:
    config = local(tmp_path)
    _, one = built(config)
    file = one.folder / "index" / "latest.json"
    before = file.read_bytes()
    file.unlink()
    if damage != "lost":
        file.write_bytes(before + b" " * (damage == "longer"))
    _, two = built(config, full=True)
    assert two.id != one.id
    assert (two.folder / "index" / "latest.json").read_bytes() == before
    assert two.files == one.files
    on_disk(two)


def test_full_mends_a_snapshot_that_holds_more_than_was_written(tmp_path: Path) -> None:
    """promote refuses such a one, and names `build --full` as the way out."""
    config = local(tmp_path)
    _, one = built(config)
    (one.folder / "index" / "extra.json").write_text("{}")
    done, two = built(config, full=True)
    assert done.changed
    assert not (two.folder / "index" / "extra.json").exists()
