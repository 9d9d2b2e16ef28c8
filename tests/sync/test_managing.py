"""Snapshots are managed by the command: listed, compared, rolled back, held, pinned and pruned."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.prune import Candidate, doomed
from sync.settings import Keep
from tests.sync.command import FLATDEX
from tests.sync.site import DONE, FAILED, MIDDLE, NEW, OLD, PARTLY, USAGE, Site, new_version, one_line, served, tree

APP = "app/org.flatdex.Demo/x86_64/stable"


@pytest.fixture
def published(images: Site) -> Site:
    """Two versions of an application were published, one after the other, here and to a target."""
    images.configure({"web": {"rsync": "./web"}})
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("publish", code=DONE)
    return images


# What changed


def test_list_tells_what_changed_what_was_promoted_when_and_what_is_pinned(site: Site) -> None:
    site.flatdex("promote", OLD, code=DONE)
    site.flatdex("pin", MIDDLE, code=DONE)
    old, middle, new = site.json("list")
    assert [each["changes"] for each in (old, middle)] == [
        {"new": 2, "updated": 0, "gone": 0},
        {"new": 0, "updated": 1, "gone": 0},
    ]
    assert (old["promoted"] is not None, new["promoted"]) == (True, None)
    assert [each["pinned"] for each in (old, middle, new)] == [False, True, False]
    assert all(each["bytes"] > 1000 for each in (old, middle, new))
    first, second, _ = site.flatdex("list", code=DONE).stdout.splitlines()
    assert f"promoted {old['promoted']}" in first and second.endswith("pinned")


def test_list_does_not_guess_what_a_removed_predecessor_held(site: Site) -> None:
    subprocess.run(["rm", "-r", site.snapshot(OLD)], check=True)
    middle, _ = site.json("list")
    assert middle["changes"] is None


def test_diff_names_refs_with_digests_and_files(site: Site) -> None:
    found = site.json("diff", OLD, NEW)
    (change,) = found["refs"]
    digests = [
        next(image["digest"] for image in site.json("show", each)["images"] if image["ref"].startswith("app/"))
        for each in (OLD, NEW)
    ]
    ref = change["ref"]
    assert change == {"index": "stable", "ref": ref, "before": digests[0], "after": digests[1]}
    assert (found["from"], found["to"]) == (site.snapshot(OLD).name, site.snapshot(NEW).name)
    assert f"v2/org.flatdex.demo/manifests/{digests[1]}" in found["added"]
    assert f"v2/org.flatdex.demo/manifests/{digests[0]}" in found["removed"]
    assert "index/latest.json" in found["changed"] and "snapshot.json" not in found["changed"]
    said = site.flatdex("diff", OLD, NEW, "--files", code=DONE).stdout
    assert f"~ stable: {ref} {digests[0]} -> {digests[1]}\n" in said and "~ file index/latest.json\n" in said
    assert "refs: 0 new, 1 updated, 0 gone;" in said


def test_diff_by_default_tells_what_a_promotion_would_change(site: Site) -> None:
    assert (site.json("diff")["from"], site.json("diff")["to"]) == (site.ids[1], site.ids[2]), "nothing is current yet"
    site.promote(OLD)
    assert (site.json("diff")["from"], site.json("diff")["to"]) == (site.ids[0], site.ids[2])
    site.promote(NEW)
    assert (site.json("diff")["from"], site.json("diff")["to"]) == (site.ids[1], site.ids[2]), "what the last one did"
    assert site.json("diff", OLD)["to"] == site.ids[2]
    assert site.json("diff", NEW, OLD)["counts"] == {"new": 0, "updated": 1, "gone": 0}
    assert "compares two" in site.flatdex("diff", OLD, MIDDLE, NEW, code=USAGE).stderr


def test_diff_of_what_came_and_went(site: Site) -> None:
    document = json.loads((site.snapshot(NEW) / "snapshot.json").read_text())
    document["images"] = [image for image in document["images"] if image["ref"].startswith("app/")]
    (site.snapshot(NEW) / "snapshot.json").write_text(json.dumps(document))
    assert site.json("diff", MIDDLE, NEW)["counts"] == {"new": 0, "updated": 1, "gone": 1}
    assert site.json("diff", NEW, MIDDLE)["counts"] == {"new": 1, "updated": 1, "gone": 0}
    assert "- stable: runtime/" in site.flatdex("diff", MIDDLE, NEW).stdout


# Going back


def test_rollback_brings_the_old_content_as_a_new_snapshot_everywhere_and_holds(published: Site) -> None:
    old, bad = published.ids
    before = published.folder / "web" / "current" / "index" / "latest.json"
    later_than = int(before.stat().st_mtime)
    result = published.flatdex("rollback", "--reason", "1.1 crashes", code=DONE)
    new = published.ids[-1]
    assert published.current == served(published.folder / "web") == new not in (old, bad)
    assert result.stdout.startswith(f"promoted {new}, which holds again what {old} held (before: {bad})\n")
    assert "until `flatdex release`" in result.stdout
    index = published.folder / "web" / "current" / "index" / "latest.json"
    assert index.read_bytes() == (published.store / "snapshots" / old / "index" / "latest.json").read_bytes()
    assert int(index.stat().st_mtime) > later_than, "else If-Modified-Since would be answered 304"
    assert published.json("status", code=PARTLY)["hold"]["reason"] == "1.1 crashes"
    assert published.flatdex("status", code=PARTLY).stdout.startswith("HELD ")


def test_while_held_publish_builds_and_says_why_it_does_not_promote(published: Site) -> None:
    published.flatdex("rollback", code=DONE)
    held = published.current
    result = published.flatdex("-q", "publish", code=PARTLY)
    newest = published.ids[-1]
    assert published.current == served(published.folder / "web") == held != newest, "the bad build does not come back"
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{newest} was not promoted: held since ") and "back to what" in first
    assert "flatdex release" in second
    found = published.json("publish", code=PARTLY)
    assert found["promoted"] is None and found["hold"]["reason"].startswith("back to what")
    published.flatdex("release", code=DONE)
    assert published.flatdex("release", code=DONE).stdout == "there is no hold\n"
    published.flatdex("publish", code=DONE)
    assert published.current == served(published.folder / "web") == newest


def test_a_hold_lets_a_target_that_was_down_catch_up(published: Site) -> None:
    published.flatdex("rollback", "--no-push", code=DONE)
    assert served(published.folder / "web") != published.current
    published.flatdex("publish", code=PARTLY)
    assert served(published.folder / "web") == published.current


def test_hold_by_hand_and_promote(published: Site) -> None:
    old, new = published.ids
    held = published.flatdex("hold", "  waiting for\nQA ", code=DONE).stdout
    assert held.startswith("held since ") and held.endswith(": waiting for QA\n")
    refused = published.flatdex("promote", code=PARTLY)
    assert "not promoted: held since" in refused.stderr and "`flatdex release`" in refused.stderr
    result = published.flatdex("promote", old, code=DONE)
    assert published.current == old
    assert "still held since" in result.stderr and "`flatdex rollback" in result.stderr, "older than what was current"
    assert published.json("promote", new)["now"] == new


def test_before_anything_is_current_a_hold_keeps_it_so(images: Site) -> None:
    images.store.mkdir()
    images.flatdex("hold", "not yet", code=DONE)
    result = images.flatdex("publish", code=PARTLY)
    assert "not promoted: held" in result.stderr and images.current is None and len(images.ids) == 1


def test_a_hold_that_cannot_be_read_holds(published: Site) -> None:
    (published.store / "hold").write_text("{")
    assert "can't be read" in published.flatdex("publish", code=PARTLY).stderr
    published.flatdex("release", code=DONE)
    published.flatdex("publish", code=DONE)


def test_rollback_goes_to_what_was_current_before_not_to_what_was_built_before(published: Site) -> None:
    old, bad = published.ids
    published.flatdex("hold", "x", code=DONE)
    new_version(published, "1.2")
    published.flatdex("publish", code=PARTLY)
    assert published.json("rollback")["again"] == old
    assert published.json("rollback", bad[:16])["again"] == bad
    assert [each["again"] for each in (published.json("show"),)] == [bad]


def test_rollback_once_more_finishes_the_first_one_and_goes_nowhere_else(published: Site) -> None:
    old, _ = published.ids
    published.flatdex("rollback", "--no-push", code=DONE)
    (published.store / "hold").unlink()  # as if it had been killed
    lines = (published.store / "log.jsonl").read_bytes().splitlines(keepends=True)
    (published.store / "log.jsonl").write_bytes(b"".join(lines[:-1]))
    current, names = published.current, list(published.ids)
    result = published.flatdex("rollback", code=DONE)
    assert result.stdout.startswith(f"{current} is current, and holds again what {old} held: to go further back, name")
    assert (published.current, published.ids, served(published.folder / "web")) == (current, names, current)
    assert published.json("status", code=PARTLY)["hold"] is not None
    assert [each["verb"] for each in published.json("log")][-2:] == ["found", "rollback"]


@pytest.mark.parametrize("words", [["rollback", "2099"], ["pin", "2099"], ["diff", "2099"]])
def test_an_id_that_is_not_there(published: Site, words: list[str]) -> None:
    before = tree(published.store / "snapshots")
    assert "no complete snapshot starts with '2099'" in published.flatdex(*words, code=USAGE).stderr
    assert tree(published.store / "snapshots") == before


def test_rollback_to_what_is_current_or_to_nothing(images: Site) -> None:
    images.flatdex("publish", code=DONE)
    assert "nothing to roll back to" in images.flatdex("rollback", code=USAGE).stderr
    assert "is what is current" in images.flatdex("rollback", images.ids[0], code=USAGE).stderr
    assert images.json("status")["hold"] is None, "a refused rollback holds nothing"


def test_rollback_to_a_damaged_snapshot_changes_nothing(published: Site) -> None:
    old, bad = published.ids
    file = published.store / "snapshots" / old / "index" / "latest.json"
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[::-1])
    result = published.flatdex("rollback", code=FAILED)
    assert f"the snapshot {old} is damaged" in result.stderr
    assert published.current == bad and published.json("status")["hold"] is None and published.ids == [old, bad]


# Cleaning up


def test_prune_keeps_what_is_current_pinned_or_shown_by_a_target(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    extend(site, "keep: {snapshots: 1, days: 0}")
    for start in (OLD, MIDDLE, NEW):
        site.flatdex("promote", start, code=DONE)
        site.flatdex("push", code=DONE)
    site.flatdex("promote", MIDDLE, code=DONE)
    assert site.json("prune", "--dry-run")["snapshots"] == [site.ids[0]]
    site.flatdex("pin", OLD, code=DONE)
    assert site.json("prune", "-n") == {"snapshots": [], "targets": {"web": []}, "errors": {}, "dry_run": True}
    site.flatdex("unpin", OLD, code=DONE)
    names = list(site.ids)
    said = f"would remove {names[0]}\nwould remove {names[0]} from web\n"
    assert site.flatdex("prune", "--dry-run").stdout == said
    assert site.ids == names, "nothing was removed"
    result = site.flatdex("prune", code=DONE)
    assert site.ids == names[1:]
    assert result.stdout == f"removed {names[0]}\nremoved {names[0]} from web\n"
    assert sorted(path.name for path in (site.folder / "web" / "snapshots").iterdir()) == names[1:]
    assert served(site.folder / "web") == names[2], "what it shows stays, also where `current` is another one"
    assert site.flatdex("prune", code=DONE).stdout == "nothing to remove\n"


@pytest.mark.parametrize("known", [True, False])
def test_prune_keeps_what_a_target_that_is_behind_shows(site: Site, known: bool) -> None:
    """In the store as far as it is known, to be linked to; on the target in any case."""
    site.configure({"web": {"rsync": "./web"}})
    extend(site, "keep: {snapshots: 1, days: 0}")
    old, middle, new = site.ids
    site.promote(OLD)
    site.flatdex("push", code=DONE)
    site.promote(NEW)
    if not known:
        (site.store / "targets" / "web.json").unlink()
        (site.store / "log.jsonl").unlink()
    assert site.json("prune")["snapshots"] == ([middle] if known else [old, middle])
    assert site.ids == ([old, new] if known else [new])
    assert served(site.folder / "web") == old and (site.folder / "web" / "current" / "snapshot.json").exists()


def extend(site: Site, text: str) -> None:
    """Adds to the configuration."""
    file = site.folder / "flatdex.yaml"
    file.write_text(f"{file.read_text()}{text}\n")


def test_without_keep_ten_snapshots_and_thirty_days_stay_and_publish_removes_nothing(published: Site) -> None:
    assert published.json("prune") == {"snapshots": [], "targets": {"web": []}, "errors": {}, "dry_run": False}
    assert published.json("publish")["pruned"] is None


def test_with_keep_publish_prunes_too(published: Site) -> None:
    extend(published, "keep: {snapshots: 1, days: 0}")
    new_version(published, "1.2")
    old = list(published.ids)
    found = published.json("publish")
    assert found["pruned"]["snapshots"] == old[:1] and found["pruned"]["targets"] == {"web": old[:1]}
    assert published.ids == [old[1], published.current], "what `rollback` goes to stays"
    assert published.flatdex("-q", "publish", code=DONE).stdout == ""


def test_prune_finishes_what_was_cut_off(site: Site) -> None:
    (site.snapshot(OLD)).rename(site.store / "snapshots" / f".removed-{site.snapshot(OLD).name}")
    site.flatdex("prune", "--local", code=DONE)
    assert not list((site.store / "snapshots").glob(".*"))


def test_a_target_that_cannot_be_asked_is_told_and_loses_nothing(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}, "bad": {"rsync": "host:/srv/x", "ssh": "./no-such-ssh"}})
    site.promote(NEW)
    result = site.flatdex("prune", code=PARTLY)
    assert one_line(result.stderr).startswith("bad: nothing was removed there: rsync: ")


def test_prune_works_on_a_full_disk(images: Site) -> None:
    images.flatdex("build", code=DONE)
    size = sum(path.stat().st_blocks * 512 for path in images.store.rglob("*"))
    script = f"""
mount -t tmpfs -o size={3 * size + 400_000} tmpfs store || exit 99
flatdex -q publish || exit 98
head -c 100000000 /dev/zero > store/ballast 2>/dev/null
flatdex prune --local || exit 97
"""
    env = {**os.environ, "PATH": f"{FLATDEX.parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=images.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 99 or "unshare" in ran.stderr:
        pytest.skip("no mount namespace is allowed here")
    assert (ran.returncode, ran.stdout) == (0, "nothing to remove\n"), ran.stderr


@given(
    st.lists(st.integers(0, 400), unique=True, max_size=20),
    st.integers(1, 12),
    st.integers(0, 60),
    st.sets(st.integers(0, 400)),
)
def test_any_choice_keeps_the_newest_the_young_and_the_needed(
    ages: list[int], number: int, days: int, needed: set[int]
) -> None:
    now = 1_700_000_000

    def name(age: int) -> str:
        return f"{10_000 - age:05}"

    candidates = [Candidate(name(age), now - age * 86400) for age in ages]
    gone = doomed(candidates, Keep(number, days), {name(age) for age in needed}, now)
    newest = sorted(ages)[:number]
    expected = sorted(name(age) for age in ages if age not in newest and age >= days and age not in needed)
    assert list(gone) == expected


# Everything that writes


def test_a_writer_may_wait_for_another_one(site: Site) -> None:
    holding = subprocess.Popen(["flock", site.store / "lock", "sleep", "2"])
    time.sleep(0.2)
    try:
        assert "is being written to" in site.flatdex("promote", code=11).stderr
        site.flatdex("promote", "--wait", "20", code=DONE)
    finally:
        holding.kill()
        holding.wait()
    assert site.current == site.ids[-1]


def test_verify_finds_what_an_index_or_the_rules_name_and_is_not_there(site: Site) -> None:
    folder = site.snapshot(NEW)
    icon = next(path for path in folder.glob("icons/*/*.png"))
    rules = folder / "index" / ".htaccess"
    twin = next(path for path in (folder / "index" / "sha256" / "latest").iterdir() if path.suffix == ".json")
    blob = next(path for path in folder.glob("v2/*/blobs/*"))
    for file in (icon, twin, blob):
        forget(folder, file)
    result = site.flatdex("verify", NEW, code=FAILED)
    relative = [str(file.relative_to(folder)) for file in (icon, twin, blob)]
    assert f".json: names {relative[0]}, which is not there" in result.stderr
    assert f"{rules.relative_to(folder)}: leads to {relative[1]}, which is not there" in result.stderr
    assert f"names {relative[2]}, which is not there" in result.stderr


def forget(folder: Path, file: Path) -> None:
    """Lets neither the description nor the folder have a file."""
    description = folder / "snapshot.json"
    document = json.loads(description.read_text())
    name = str(file.relative_to(folder))
    document["files"] = [entry for entry in document["files"] if entry["path"] != name]
    description.write_text(json.dumps(document))
    file.unlink()


def test_verify_takes_a_folder_too_and_needs_no_configuration_then(site: Site, tmp_path: Path) -> None:
    site.configure({"web": {"rsync": "./web"}})
    site.promote(NEW)
    site.flatdex("push", code=DONE)
    root = site.folder / "web" / "current"
    (site.folder / "flatdex.yaml").unlink()
    assert "all as written" in site.flatdex("verify", root, code=DONE).stdout
    assert "all as written" in site.flatdex("verify", "web/current", code=DONE).stdout
    (root / "index" / "latest.json").write_text("{}")
    assert "index/latest.json: has 2 bytes" in site.flatdex("verify", root, code=FAILED).stderr
    assert "holds no snapshot" in site.flatdex("verify", tmp_path, code=USAGE).stderr
