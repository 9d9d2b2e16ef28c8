"""publish, init and check, as cron and newcomers use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command.registry import scripted
from tests.real.process import free_port
from tests.sync.site import CONFIG, DONE, FAILED, PARTLY, USAGE, Site, new_version, served, tree


@pytest.fixture
def published(images: Site) -> Site:
    images.configure({"one": {"rsync": "./one"}, "two": {"rsync": "./two"}})
    result = images.flatdex("publish", code=DONE)
    [name] = images.ids
    built, *others = result.stdout.splitlines()
    assert built.startswith(f"built {name}: 2 refs")
    assert others == [f"promoted {name}", f"one: has {name}", f"two: has {name}"]
    assert result.stderr == ""
    return images


def test_publish_builds_promotes_and_pushes_and_says_nothing_more_under_cron(published: Site) -> None:
    [name] = published.ids
    assert published.current == name
    for target in ("one", "two"):
        assert served(published.folder / target) == name
        assert tree(published.folder / target / "snapshots" / name) == tree(published.store / "snapshots" / name)
    result = published.flatdex("-q", "publish", code=DONE)
    assert (result.stdout, result.stderr, published.ids) == ("", "", [name])
    refs = ["app/org.flatdex.Demo/x86_64/stable", "runtime/org.flatdex.Platform/x86_64/stable"]
    found = published.json("publish")
    assert [ref.split("/")[1] for ref in found.pop("refs")] == [ref.split("/")[1] for ref in refs]
    plain = {"asked": False, "sent": 0, "again": False, "barred": False, "left_out": False}
    serves = {"snapshot": name, "before": name, "error": "", **plain}
    assert found == {
        "snapshot": name,
        "changed": False,
        "skips": [],
        "stale": [],
        "advice": [],
        "promoted": {"before": name, "now": name, "changed": False},
        "hold": None,
        "pruned": None,
        "renewed": "",
        "targets": [{"target": "one", **serves}, {"target": "two", **serves}],
    }


def test_publish_brings_a_new_version_to_all_targets_but_one_that_fails(published: Site) -> None:
    [old] = published.ids
    new_version(published, "1.1")
    published.configure({"one": {"rsync": "./flatdex.yaml/x"}, "two": {"rsync": "./two"}})
    result = published.flatdex("-q", "publish", code=PARTLY)
    [_, new] = published.ids
    assert published.current == served(published.folder / "two") == new != old
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1 and result.stderr.startswith("one: failed: ")


def test_publish_without_targets_builds_and_promotes(images: Site) -> None:
    found = images.json("publish")
    assert found["changed"] is True and found["targets"] == []
    assert found["promoted"] == {"before": None, "now": found["snapshot"], "changed": True}
    assert images.current == found["snapshot"]


def test_publish_that_cannot_read_its_source_leaves_all_as_it_was(site: Site) -> None:
    before = site.promote(site.ids[-1])
    result = site.flatdex("publish", code=PARTLY)  # there are no images
    first, second = result.stderr.splitlines()
    assert first.startswith("stale local: unreadable since ") and ", kept as it was: 2 images: " in first
    assert "no folder matches" in first and "is its disk mounted?" in second
    assert f"unchanged: {before}: 2 refs in 1 index, 1 stale" in result.stdout
    assert site.current == before and len(site.ids) == 3
    site.flatdex("verify", code=DONE)


def test_publish_that_cannot_read_its_source_publishes_nothing_at_first(real_tmp: Path) -> None:
    site = Site(real_tmp)
    site.configure()
    result = site.flatdex("publish", code=FAILED)  # there are no images
    assert result.stderr.startswith("flatdex: ") and "no folder matches" in result.stderr and result.stdout == ""
    assert site.current is None and not list(site.store.rglob("snapshot.json"))


def test_publish_with_a_skip_to_act_on_is_partly_done(images: Site) -> None:
    (images.folder / "images" / "broken").mkdir()
    result = images.flatdex("-q", "publish", code=PARTLY)
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1 and "broken" in result.stderr
    assert images.current == images.ids[0]


def test_build_as_json(images: Site) -> None:
    found = images.json("build")
    assert found["snapshot"] == images.ids[0] and found["changed"] is True and len(found["refs"]) == 2
    assert images.json("build") == {**found, "changed": False}
    assert images.current is None


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:5000", "https://registry.example.org/", "http://[::1]:5000", "images", "./images", "{}/images"],
)
def test_what_init_writes_passes_the_check(images: Site, url: str) -> None:
    (images.folder / "flatdex.yaml").unlink()
    result = images.flatdex("init", url.format(images.folder), code=DONE)
    assert "flatdex.yaml" in result.stdout and "flatdex check" in result.stdout
    assert images.flatdex("check", code=DONE).stdout.endswith("good\n")
    if "images" in url:
        assert len(images.json("build")["refs"]) == 2


def test_init_for_a_folder_when_the_configuration_goes_elsewhere(images: Site) -> None:
    """Relative paths in a configuration are relative to it, those on a command line are not."""
    (images.folder / "conf").mkdir()
    images.flatdex("init", "-c", "conf/mine.yaml", "images", code=DONE)
    assert len(images.json("build", "-c", "conf/mine.yaml")["refs"]) == 2


@pytest.mark.parametrize(
    "folder", ["with space", 'quo"te', "back\\slash", "hash #x", "col: on", "[set]", "${HOME}", "-x"]
)
def test_init_for_a_folder_of_any_name(images: Site, folder: str) -> None:
    (images.folder / "flatdex.yaml").unlink()
    (images.folder / "images").rename(images.folder / folder)
    images.flatdex("init", "--", folder, code=DONE)
    assert len(images.json("build")["refs"]) == 2


def test_init_never_overwrites(images: Site) -> None:
    before = (images.folder / "flatdex.yaml").read_text()
    result = images.flatdex("init", "http://127.0.0.1:5000", code=FAILED)
    assert "flatdex.yaml is there already" in result.stderr and "-c FILE" in result.stderr
    assert (images.folder / "flatdex.yaml").read_text() == before


@pytest.mark.parametrize(
    "url",
    ["nowhere", "", "ftp://host/", "http://", "http://[", "registry.example.org:5000", "flatdex.yaml", "http://h/a b"],
)
def test_init_refuses_what_is_neither_a_registry_nor_a_folder(images: Site, url: str) -> None:
    result = images.flatdex("init", "-c", "new.yaml", url, code=USAGE)
    assert result.stderr.startswith("flatdex: ") and not (images.folder / "new.yaml").exists()


def test_init_where_nothing_can_be_written(images: Site) -> None:
    result = images.flatdex("init", "-c", "/proc/flatdex.yaml", "http://127.0.0.1:5000", code=FAILED)
    assert "/proc/flatdex.yaml" in result.stderr


def test_check_says_good(images: Site) -> None:
    said = images.flatdex("check", code=DONE).stdout
    assert said.startswith(f"{images.folder}/flatdex.yaml: 1 source") and said.endswith(": good\n")
    assert images.json("check") == {"file": f"{images.folder}/flatdex.yaml", "ok": True, "sources": [], "targets": []}


def test_check_online_says_what_answers(images: Site) -> None:
    result = images.flatdex("check", "--online", code=DONE)
    assert result.stdout.splitlines()[0] == "source local: answers, 2 repositories"
    with scripted() as registry:
        registry.configure(images)
        assert images.json("check", "--online")["sources"] == [{"source": "main", "repositories": 3, "private": []}]


def test_check_online_says_what_does_not_answer(real_tmp: Path) -> None:
    site = Site(real_tmp)
    url = f"http://127.0.0.1:{free_port()}"
    named = f'remote: {{name: e, url: "http://h/"}}\nsources: {{main: {{registry: "{url}"}}}}\nstore: ./store\n'
    (site.folder / "flatdex.yaml").write_text(named + "indexes: {stable: {tags: [latest]}}\n")
    result = site.flatdex("check", "--online", code=FAILED)
    first, *more = result.stderr.splitlines()
    assert "source main" in first and url in first and "connection refused" in first
    assert all(line.startswith("  ") for line in more) and len(more) <= 1
    assert "good" not in result.stdout


def test_check_tells_all_errors_at_once(real_tmp: Path) -> None:
    site = Site(real_tmp)
    (site.folder / "flatdex.yaml").write_text("store: 5\nremot: {}\nsources: {a: {}}\nindexes: {}\n")
    result = site.flatdex("check", code=CONFIG)
    assert len([line for line in result.stderr.splitlines() if not line.startswith("  ")]) >= 4
    assert site.flatdex("publish", code=CONFIG).stderr == result.stderr
