"""`flatdex export`, from outside: what it puts on a stick, what it leaves alone, what it refuses before it begins."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from builder.description import parse
from builder.stick import placed
from demo.images import APPLICATION, RUNTIME
from tests.export import looks
from tests.sync.site import DONE, FAILED, LOCKED, MIDDLE, NEW, OLD, USAGE, Site, new_version, one_line


def export(site: Site, *args: str | Path, code: int = DONE) -> Any:
    """What `flatdex export stick` says of itself, as JSON."""
    return site.json("export", "stick", *args, code=code)


def paths(stick: Path) -> set[str]:
    return {str(path.relative_to(stick)) for path in stick.rglob("*") if path.is_file()}


def states(stick: Path) -> dict[str, tuple[int, int]]:
    """What tells a file that was written anew from one that was left alone."""
    return {path: ((stick / path).stat().st_ino, (stick / path).stat().st_mtime_ns) for path in paths(stick)}


def check(site: Site, start: str) -> None:
    """The stick holds this snapshot, whole, and nothing else."""
    stick, snapshot = site.folder / "stick", looks.shown(site.folder / "stick")
    assert snapshot and snapshot.id == site.snapshot(start).name
    assert (stick / "snapshot.json").read_bytes() == (site.snapshot(start) / "snapshot.json").read_bytes()
    looks.whole(stick, snapshot)
    looks.check_indexes(stick)
    looks.check_names(stick)
    assert sorted(looks.layout(stick)) == sorted({image["ref"] for image in snapshot.document["images"]})
    assert json.loads((stick / "export.json").read_bytes()) == {"format": 1, "snapshot": snapshot.id, "since": None}


def test_a_stick_holds_the_whole_remote_each_blob_once(site: Site) -> None:
    site.promote(NEW)
    said = export(site)
    check(site, NEW)
    stick, store = site.folder / "stick", site.snapshot(NEW)
    assert said["snapshot"] == store.name and said["since"] is None and said["changed"]
    assert not list((stick / "v2").rglob("sha256:*"))
    held = {path for path in paths(stick) if path.startswith("blobs/sha256/")}
    known = looks.shown(stick)
    assert known and held == {
        placed(each.path) for each in known.files if each.path.startswith("v2/") and ":" in each.path
    }
    assert len(held) == 6  # manifest, config and layer of the application and of its runtime
    assert said["files"] == len(paths(stick)) - 1  # all but export.json
    assert (
        said["bytes"]
        == sum((stick / path).stat().st_size for path in paths(stick)) - (stick / "export.json").stat().st_size
    )


def test_dates_are_those_of_the_site(site: Site) -> None:
    site.promote(NEW)
    export(site)
    known = looks.shown(site.folder / "stick")
    assert known
    for entry in known.files:
        if entry.path != "v2/.htaccess":
            assert (site.folder / "stick" / placed(entry.path)).stat().st_mtime == entry.mtime


def test_modes_are_open_under_any_umask(site: Site) -> None:
    site.promote(NEW)
    before = os.umask(0o077)
    try:
        export(site)
    finally:
        os.umask(before)
    for path in (site.folder / "stick").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


def test_the_same_again_writes_nothing(site: Site) -> None:
    site.promote(NEW)
    export(site)
    before = states(site.folder / "stick")
    assert "has " in one_line(site.flatdex("export", "stick", code=DONE).stdout)
    assert not export(site)["changed"]
    assert states(site.folder / "stick") == before


def test_the_next_version_writes_what_differs_and_removes_what_is_old(site: Site) -> None:
    site.promote(OLD)
    export(site)
    before = states(site.folder / "stick")
    site.promote(NEW)
    said = export(site)
    check(site, NEW)
    after = states(site.folder / "stick")
    rewritten = {path for path in after if after[path] != before.get(path)}
    assert said["files"] == len(rewritten) - 1
    assert said["removed"] == len(before.keys() - after.keys()) > 0
    old, new = (parse((site.snapshot(each) / "snapshot.json").read_bytes()) for each in (OLD, NEW))
    hashes = {placed(entry.path): entry.sha256 for entry in old.files}
    differs = {placed(entry.path) for entry in new.files if hashes.get(placed(entry.path)) != entry.sha256}
    ours = {"README.txt", "index.json", "snapshot.json", "export.json"}
    assert rewritten - ours == differs - {"v2/.htaccess"}


def test_back_to_an_older_version(site: Site) -> None:
    for start in (NEW, OLD, NEW):
        site.promote(start)
        export(site)
        check(site, start)


def test_what_else_is_on_the_stick_is_left_alone(site: Site) -> None:
    stick = site.folder / "stick"
    site.promote(OLD)
    holiday = {"pictures/beach.jpg": b"sand", "apps/notes.txt": b"mine", "blobs/sha256/mine": b"mine"}
    for path, data in holiday.items():
        (stick / path).parent.mkdir(parents=True, exist_ok=True)
        (stick / path).write_bytes(data)
    for start in (OLD, NEW):
        site.promote(start)
        export(site)
    assert {path: (stick / path).read_bytes() for path in holiday} == holiday
    assert sorted(looks.strangers(stick)) == sorted(holiday)


@pytest.mark.parametrize("path", ["index.json", "README.txt", "index/static", "snapshot.json", "v2/.htaccess"])
def test_nothing_of_somebody_else_is_overwritten(site: Site, path: str) -> None:
    site.promote(OLD)
    mine = site.folder / "stick" / path
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    result = site.flatdex("export", "stick", code=FAILED)
    assert path in result.stderr and "no export has put there" in result.stderr
    assert paths(site.folder / "stick") == {path} and mine.read_text() == "mine"


def test_a_new_path_that_is_somebody_elses_is_refused_on_a_stick_too(site: Site) -> None:
    site.promote(OLD)
    export(site)
    stick = site.folder / "stick"
    site.promote(NEW)
    dry = site.flatdex("export", "stick", "--dry-run", "-v", code=DONE).stderr
    new = next(path for path in re.findall(r"would write (\S+):", dry) if not (stick / path).exists())
    (stick / new).parent.mkdir(parents=True, exist_ok=True)
    (stick / new).write_text("mine")
    before = states(stick)
    assert new in site.flatdex("export", "stick", code=FAILED).stderr
    assert states(stick) == before


@pytest.mark.parametrize("name", ["index", "blobs", ".flatdex-export", "export.json", "snapshot.json"])
def test_nothing_is_written_through_a_link(site: Site, name: str) -> None:
    site.promote(OLD)
    elsewhere = site.folder / "elsewhere"
    elsewhere.mkdir()
    (site.folder / "stick" / name).symlink_to(elsewhere)
    for _ in range(2):
        result = site.flatdex("export", "stick", code=FAILED)
        assert name in result.stderr, result.stderr
    assert not list(elsewhere.iterdir())
    assert [path.name for path in (site.folder / "stick").iterdir()] == [name]


def test_what_was_cut_off_is_read_before_it_is_trusted(site: Site) -> None:
    """A name and a size are all that a medium without a journal keeps for sure; what is right is not written again."""
    site.promote(OLD)
    export(site)
    stick = site.folder / "stick"
    for path in ("index/static", f"blobs/sha256/{_blobs(site.snapshot(OLD))[0].name.removeprefix('sha256:')}"):
        file = stick / path
        size, inode = file.stat().st_size, (stick / "index" / "latest.json").stat().st_ino
        file.write_bytes(bytes(size))
        cut_off = {"format": 1, "snapshot": site.snapshot(OLD).name, "since": None, "writing": sorted(paths(stick))}
        (stick / "export.json").write_text(json.dumps(cut_off))
        assert export(site)["files"] == 1
        assert (stick / "index" / "latest.json").stat().st_ino == inode
        check(site, OLD)


def test_a_first_export_that_was_cut_off_goes_on(site: Site) -> None:
    site.promote(OLD)
    export(site)
    stick = site.folder / "stick"
    cut_off = {"format": 1, "snapshot": None, "since": None, "writing": sorted(paths(stick))}
    (stick / "export.json").write_text(json.dumps(cut_off))
    (stick / "snapshot.json").unlink()
    (stick / "blobs" / "sha256" / "1").write_text("somebody's")
    site.promote(NEW)
    assert export(site)["kept"] > 10
    (stick / "blobs" / "sha256" / "1").unlink()
    check(site, NEW)


def test_its_note_is_not_written_through_a_link(site: Site) -> None:
    site.promote(OLD)
    precious = site.folder / "precious"
    precious.write_text("precious")
    (site.folder / "stick" / ".export.json.new").symlink_to(precious)
    export(site)
    assert precious.read_text() == "precious"
    check(site, OLD)


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_took_the_place_of_a_file_is_refused(site: Site, what: str) -> None:
    site.promote(OLD)
    export(site)
    site.promote(NEW)
    taken = site.folder / "stick" / "index" / "static"
    taken.unlink()
    if what == "folder":
        taken.mkdir()
    else:
        taken.symlink_to(site.folder / "stick" / "export.json")
    before = states(site.folder / "stick")
    assert "index/static" in site.flatdex("export", "stick", code=FAILED).stderr
    assert states(site.folder / "stick") == before


def test_what_a_stick_says_cannot_lead_out_of_it(site: Site) -> None:
    site.promote(OLD)
    export(site)
    precious = site.folder / "precious"
    precious.write_text("precious")
    file = site.folder / "stick" / "export.json"
    described = json.loads(file.read_text())
    for path in ("../precious", str(precious)):
        file.write_text(json.dumps({**described, "writing": [path]}))
        assert "outside of the stick" in site.flatdex("export", "stick", code=FAILED).stderr
    shutil.rmtree(site.folder / "stick" / "refs", ignore_errors=True)
    (site.folder / "stick" / "refs").symlink_to(site.folder)
    file.write_text(json.dumps({**described, "writing": ["refs/precious"]}))
    site.flatdex("export", "stick")
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("damage", ["", "{}", '{"format": 9}', '{"format": 1, "snapshot": 7, "since": null}'])
def test_a_stick_whose_own_file_is_damaged_is_left_alone(site: Site, damage: str) -> None:
    site.promote(OLD)
    export(site)
    (site.folder / "stick" / "export.json").write_text(damage)
    before = states(site.folder / "stick")
    site.promote(NEW)
    assert "Empty the folder" in site.flatdex("export", "stick", code=FAILED).stderr
    assert states(site.folder / "stick") == before


def test_a_stick_that_lost_bytes_is_mended_with_full(site: Site) -> None:
    site.promote(OLD)
    export(site)
    stick = site.folder / "stick"
    blob = max((stick / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    gone = stick / "index" / "latest.json"
    gone.unlink()
    assert export(site)["files"] == 1
    assert gone.exists() and not blob.read_bytes().strip(b"\0")
    assert export(site, "--full")["files"] == 1
    check(site, OLD)


@pytest.mark.parametrize("then", [OLD, NEW])
def test_a_damaged_file_of_the_store_gets_on_no_stick(site: Site, then: str) -> None:
    site.promote(OLD)
    export(site)
    site.promote(NEW)
    old, new = (parse((site.snapshot(each) / "snapshot.json").read_bytes()) for each in (OLD, NEW))
    news = {entry.path for entry in new.files if "/blobs/" in entry.path} - old.by_path.keys()
    last = site.snapshot(NEW) / max(news)
    good = last.read_bytes()
    last.chmod(0o644)
    last.write_bytes(bytes(len(good)))
    for _ in range(2):
        result = site.flatdex("export", "stick", code=FAILED)
        assert "damaged" in result.stderr and "flatdex verify" in result.stderr
        known = looks.shown(site.folder / "stick")
        assert known and known.id == old.id
        looks.whole(site.folder / "stick", known)
        assert looks.layout(site.folder / "stick")
    if then == OLD:
        site.promote(OLD)
    last.write_bytes(good)
    assert export(site)["kept"] > 0
    check(site, then)


def _blobs(snapshot: Path) -> list[Path]:
    return sorted(snapshot.glob("v2/*/blobs/sha256:*"), key=lambda file: -file.stat().st_size)


def test_a_dry_run_says_it_all_and_does_nothing(site: Site) -> None:
    site.promote(NEW)
    dry = export(site, "--dry-run")
    assert list((site.folder / "stick").iterdir()) == []
    real = export(site)
    assert {**dry, "dry_run": False, "free": 0} == {**real, "free": 0}
    site.promote(OLD)
    before = states(site.folder / "stick")
    lines = site.flatdex("export", "stick", "--dry-run", "-v", code=DONE)
    assert "would remove blobs/sha256/" in lines.stderr and "would write index/.htaccess" in lines.stderr
    assert states(site.folder / "stick") == before
    (site.folder / "stick").rename(site.folder / "stick-1")
    assert export(site, "--dry-run")["files"] > 30
    assert not (site.folder / "stick").exists()


def test_it_makes_the_folder_but_not_the_mount_point(site: Site) -> None:
    site.promote(NEW)
    (site.folder / "stick").rmdir()
    export(site)
    check(site, NEW)
    result = site.flatdex("export", "no/such/stick", code=USAGE)
    assert "is not there" in result.stderr and not (site.folder / "no").exists()
    (site.folder / "file").write_text("mine")
    assert "is no folder" in site.flatdex("export", "file", code=USAGE).stderr


@pytest.mark.parametrize("folder", ["store", "store/current", "store/sticks", "."])
def test_no_export_goes_into_the_store(site: Site, folder: str) -> None:
    site.promote(NEW)
    assert "lie in each other" in site.flatdex("export", folder, code=USAGE).stderr
    assert not (site.store / "current" / "export.json").exists()


def test_it_says_what_there_is_nothing_of(site: Site) -> None:
    assert "nothing in" in site.flatdex("export", "stick", code=FAILED).stderr
    site.promote(NEW)
    assert "no complete snapshot starts" in site.flatdex("export", "stick", "--since", "1999", code=USAGE).stderr


def test_what_is_said_fits_cron_and_people(site: Site) -> None:
    site.promote(NEW)
    result = site.flatdex("-q", "export", "stick", code=DONE)
    assert (result.stdout, result.stderr) == ("", "")
    site.promote(OLD)
    lines = site.flatdex("export", "stick", code=DONE).stdout.splitlines()
    assert lines[0].startswith(f"exported {site.snapshot(OLD).name} to {site.folder}/stick: ")
    assert lines[1] == f"2 images to install with --sideload-repo=oci:{site.folder}/stick"


def test_only_one_export_writes_to_a_stick(site: Site) -> None:
    site.promote(NEW)
    descriptor = os.open(site.folder / "stick", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "another process exports" in site.flatdex("export", "stick", code=LOCKED).stderr
    finally:
        os.close(descriptor)
    assert not paths(site.folder / "stick")


def test_another_store_takes_a_stick_over(site: Site, tmp_path: Path) -> None:
    """A stick is known by its own description, whoever wrote it."""
    site.promote(NEW)
    export(site)
    other = Site(site.folder / "other")
    other.folder.mkdir()
    shutil.copytree(site.folder / "store", other.store, symlinks=True)
    other.configure()
    other.promote(OLD)
    assert other.json("export", site.folder / "stick")["removed"] > 0
    check(site, OLD)


class TestSince:
    """`--since`: the difference for the next trip."""

    def test_only_news_and_pointers_are_written(self, site: Site) -> None:
        site.promote(NEW)
        said = export(site, "--since", MIDDLE)
        stick = site.folder / "stick"
        assert said["since"] == json.loads((stick / "export.json").read_bytes())["since"] == site.snapshot(MIDDLE).name
        old, new = (parse((site.snapshot(each) / "snapshot.json").read_bytes()) for each in (MIDDLE, NEW))
        had = {entry.sha256 for entry in old.files}
        for entry in new.files:
            there = (stick / placed(entry.path)).exists()
            if entry.sha256 in entry.path.replace("/", "") or ":" in entry.path:
                assert there == (entry.sha256 not in had), entry.path
        assert (stick / "snapshot.json").read_bytes() == (site.snapshot(NEW) / "snapshot.json").read_bytes()
        assert (stick / "index" / "static").exists() and (stick / "index" / "latest.json").exists()

    def test_its_layout_lists_what_is_whole(self, site: Site) -> None:
        site.promote(NEW)
        export(site, "--since", MIDDLE)
        assert [ref.split("/")[1] for ref in looks.layout(site.folder / "stick")] == [APPLICATION]
        text = (site.folder / "stick" / "README.txt").read_text()
        assert "DIFFERENCE" in text and site.snapshot(MIDDLE).name in text and f"app/{APPLICATION}" in text

    def test_what_the_stick_has_already_stays_and_then_it_is_whole(self, site: Site) -> None:
        site.promote(OLD)
        export(site)
        site.promote(NEW)
        said = export(site, "--since", OLD)
        assert said["since"] is None
        check(site, NEW)

    def test_a_whole_export_after_it_adds_what_lacks(self, site: Site) -> None:
        site.promote(NEW)
        export(site, "--since", MIDDLE)
        export(site)
        check(site, NEW)

    def test_pages_are_left_out_if_they_are_no_news_and_not_there(self, images: Site) -> None:
        ids = _two_versions_with_pages(images)
        page = images.folder / "stick" / "runtimes" / "index.html"
        export(images, "--since", ids[0])
        assert not page.exists() and (images.folder / "stick" / "apps" / APPLICATION / "index.html").exists()
        export(images)
        assert page.exists()

    def test_no_page_stays_in_an_older_form(self, images: Site) -> None:
        ids = _two_versions_with_pages(images)
        images.promote(ids[0])
        export(images)
        images.promote(ids[1])
        export(images, "--since", ids[1])
        known = looks.shown(images.folder / "stick")
        assert known
        page = f"apps/{APPLICATION}/index.html"
        assert looks.sha256(images.folder / "stick" / page) == known.by_path[page].sha256

    def test_nothing_stays_in_an_older_form(self, site: Site) -> None:
        """What was the same in two later snapshots, and is another one on the stick."""
        site.promote(OLD)
        export(site)
        stick = site.folder / "stick"
        site.promote(NEW)
        assert export(site, "--since", NEW)["since"] == site.snapshot(NEW).name
        known = looks.shown(stick)
        assert known and known.id == site.snapshot(NEW).name
        for entry in known.files:
            file = stick / placed(entry.path)
            assert entry.path == "v2/.htaccess" or not file.exists() or looks.sha256(file) == entry.sha256, entry.path
        assert [ref.split("/")[1] for ref in looks.layout(stick)] == [RUNTIME]
        export(site)
        check(site, NEW)


def _two_versions_with_pages(images: Site) -> list[str]:
    """The ids of both; the later one is current."""
    _with_pages(images)
    images.flatdex("build", code=DONE)
    new_version(images, "1.1")
    images.flatdex("build", code=DONE)
    images.flatdex("promote", code=DONE)
    return images.ids


def _with_pages(images: Site) -> None:
    text = (images.folder / "flatdex.yaml").read_text()
    (images.folder / "flatdex.yaml").write_text(text.replace("pages: false\n", ""))


def test_images_that_stay_in_a_registry_are_refused(site: Site) -> None:
    site.promote(NEW)
    file = site.snapshot(NEW) / "snapshot.json"
    document = json.loads(file.read_bytes())
    document["files"] = [entry for entry in document["files"] if not entry["path"].startswith("v2/")]
    file.write_text(json.dumps(document))
    result = site.flatdex("export", "stick", code=FAILED)
    assert "stay in a registry" in result.stderr and "flatdex mirror" in result.stderr
    assert not paths(site.folder / "stick")


@pytest.mark.parametrize(
    ("tag", "why"),
    [("aux", "device"), ("v1.", "full stop"), ("README.txt", "is a file, and the folder"), ("com1.x", "device")],
)
def test_names_that_no_stick_can_have_are_refused_before_the_first_byte(images: Site, tag: str, why: str) -> None:
    text = (images.folder / "flatdex.yaml").read_text()
    (images.folder / "flatdex.yaml").write_text(
        text.replace("tag: latest", f"tag: {tag}").replace("[latest]", f"[{tag}]")
    )
    images.flatdex("build", code=DONE)
    images.flatdex("promote", code=DONE)
    result = images.flatdex("export", "stick", code=FAILED)
    assert why in result.stderr, result.stderr
    assert not paths(images.folder / "stick")


def test_the_readme_is_for_any_system(site: Site) -> None:
    site.promote(NEW)
    export(site)
    data = (site.folder / "stick" / "README.txt").read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 20
    text = data.decode("utf-8").removeprefix("\ufeff")
    assert data.isascii() or data.startswith(b"\xef\xbb\xbf")
    for words in (
        "flatpak install --user --sideload-repo=oci:/media/you/STICK example org.flatdex.Demo",
        "flatpak remote-add --user --if-not-exists --from example /media/you/STICK/example.flatpakrepo",
        "flatdex serve /media/you/STICK",
        "flatdex rules nginx --stick /media/you/STICK",
        "flatdex mirror --from file:///media/you/STICK",
        f"app/{APPLICATION}/",
    ):
        assert words in text, words
    assert RUNTIME not in text and max(map(len, text.splitlines())) < 100


def test_pages_open_from_the_folder(images: Site) -> None:
    """Every link of every page leads to a file, as a browser without a web server needs it."""
    _with_pages(images)
    images.flatdex("build", code=DONE)
    images.flatdex("promote", code=DONE)
    export(images)
    stick = images.folder / "stick"
    assert "open index.html" in (stick / "README.txt").read_text(encoding="utf-8-sig")
    pages = sorted(stick.rglob("*.html"))
    assert len(pages) > 4
    for page in pages:
        for link in re.findall(r'(?:href|src)="([^"#]+)', page.read_text()):
            if not re.match(r"[a-z+]+:", link) and page.name != "404.html":
                target = page.parent / link.partition("?")[0]
                assert target.exists(), f"{page.relative_to(stick)}: {link}"


def test_two_images_of_one_ref_are_one_in_the_layout(images: Site) -> None:
    config = (images.folder / "flatdex.yaml").read_text()
    shutil.copytree(images.folder / "images" / APPLICATION, images.folder / "images-testing" / "later")
    new_version(images, "9.9")
    more = '  later: {layouts: ["./images-testing/*"], tag: testing}\nindexes:\n  testing: {tags: [testing]}\n'
    (images.folder / "flatdex.yaml").write_text(config.replace("indexes:\n", more))
    images.flatdex("build", code=DONE)
    images.flatdex("promote", code=DONE)
    said = export(images)
    assert any("several indexes" in note for note in said["notes"]), said["notes"]
    found = looks.layout(images.folder / "stick")
    known = looks.shown(images.folder / "stick")
    assert known
    main = {image["ref"]: image["digest"] for image in known.document["images"] if image["index"] == "stable"}
    assert found == main
    looks.whole(images.folder / "stick", known)


def test_a_manifest_without_a_media_type_is_noted(images: Site) -> None:
    layout = images.folder / "images" / APPLICATION
    index = json.loads((layout / "index.json").read_text())
    [entry] = index["manifests"]
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    del manifest["mediaType"]
    data = json.dumps(manifest).encode()
    entry.update(digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
    (blobs / entry["digest"][7:]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps(index))
    images.flatdex("build")
    images.flatdex("promote", code=DONE)
    result = images.flatdex("export", "stick", code=DONE)
    assert APPLICATION in result.stderr and "no `mediaType`" in result.stderr
