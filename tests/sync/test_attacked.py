"""What goes wrong around a push stays where it is: other remotes, odd bytes, damaged notes, hooks that linger."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from builder.description import Invalid, parse
from builder.store import Store
from sync import hooks, log, notes
from tests.sync.site import DONE, FAILED, MIDDLE, NEW, OLD, PARTLY, USAGE, Site, new_version, served, with_snapshots


def other_remote(site: Site, folder: Path) -> Site:
    """Another site of another remote, which names the first one's target by mistake."""
    other = with_snapshots(folder)
    file = other.folder / "flatdex.yaml"
    text = file.read_text().replace("8080/", "9090/")
    file.write_text(f"{text}targets: {{web: {{rsync: {site.folder}/web}}}}\nkeep: {{snapshots: 1, days: 0}}\n")
    for snapshot in (other.store / "snapshots").iterdir():
        description = snapshot / "snapshot.json"
        document = json.loads(description.read_text())
        document["remote"]["id"] = "http://127.0.0.1:9090/"
        description.write_text(json.dumps(document))
    return other


def test_prune_leaves_another_remote_s_target_alone(site: Site, tmp_path: Path) -> None:
    site.configure({"web": {"rsync": "./web"}})
    for start in (OLD, NEW):
        site.promote(start)
        site.flatdex("push", code=DONE)
    (tmp_path / "other").mkdir()
    other = other_remote(site, tmp_path / "other")
    before = sorted(path.name for path in (site.folder / "web" / "snapshots").iterdir())
    result = other.flatdex("prune", code=PARTLY)
    assert "web: nothing was removed there: it shows another remote" in result.stderr
    assert sorted(path.name for path in (site.folder / "web" / "snapshots").iterdir()) == before


def test_prune_leaves_a_pinned_snapshot_on_targets_although_its_copy_here_is_damaged(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    file = site.folder / "flatdex.yaml"
    file.write_text(f"{file.read_text()}keep: {{snapshots: 1, days: 0}}\n")
    for start in (OLD, NEW):
        site.promote(start)
        site.flatdex("push", code=DONE)
    site.flatdex("pin", OLD, code=DONE)
    (site.snapshot(OLD) / "snapshot.json").write_text("{")
    site.flatdex("prune", code=DONE)
    assert (site.folder / "web" / "snapshots" / site.ids[0]).is_dir()


def test_prune_does_nothing_where_current_leads_elsewhere(site: Site) -> None:
    (site.store / "current").symlink_to(site.snapshot(OLD))
    names = list(site.ids)
    assert "leads elsewhere" in site.flatdex("prune", "--local", code=FAILED).stderr
    assert site.ids == names


@pytest.mark.parametrize("verb", ["push", "status"])
def test_odd_bytes_on_one_target_are_that_target_s_trouble(site: Site, verb: str) -> None:
    site.configure({"odd": {"rsync": "./odd"}, "good": {"rsync": "./good"}})
    site.promote(OLD)
    site.flatdex("push", code=DONE)
    description = site.folder / "odd" / "current" / "snapshot.json"
    description.unlink()
    os.mkfifo(description)
    site.promote(NEW)
    site.flatdex(verb, timeout=30)
    if verb == "push":
        assert served(site.folder / "good") == site.current


def test_a_note_that_cannot_be_written_is_told_and_stops_nobody(site: Site) -> None:
    site.configure({"one": {"rsync": "./one"}, "two": {"rsync": "./two"}})
    new = site.promote(NEW)
    (site.store / "targets" / ".one.json.new").mkdir(parents=True)
    result = site.flatdex("push", code=PARTLY)
    assert result.stderr.startswith("one: failed: ") and result.stdout == f"two: has {new}\n"
    assert served(site.folder / "two") == new and site.json("log")[-1]["result"] == "partly"


@pytest.mark.parametrize(
    "path", ["index//latest.json", "./a", "a/./b", "a/../b", "a\nb", "\udcff", "/a", "a/", "", "."]
)
def test_a_path_is_taken_in_its_one_plain_form_only(site: Site, path: str) -> None:
    document = json.loads((site.snapshot(NEW) / "snapshot.json").read_text())
    parse(json.dumps(document).encode())
    document["files"][0]["path"] = path
    with pytest.raises(Invalid):
        parse(json.dumps(document).encode())


def test_numbers_that_are_none_are_refused(site: Site) -> None:
    document = json.loads((site.snapshot(NEW) / "snapshot.json").read_text())
    for number in (10**30, -1, 1.5, True):
        document["files"][0]["mtime"] = number
        with pytest.raises(Invalid):
            parse(json.dumps(document).encode())


def test_a_carriage_return_in_the_log_costs_no_line(site: Site) -> None:
    for start in (OLD, MIDDLE, NEW):
        site.flatdex("promote", start, code=DONE)
    file = site.store / "log.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0][:5] + b"\r" + lines[0][6:] + b"".join(lines[1:]))
    damaged = file.read_bytes()
    log.append(Store(site.store), "hold", reason="x")
    assert file.read_bytes().startswith(damaged)
    assert [bool(line.fault) for line in log.lines(Store(site.store))] == [True, True, False, False]


@pytest.mark.parametrize("text", ["null", "[]", "{}", "[" * 100_000, '{"reason": 1, "who": 2, "since": "9999-99"}'])
def test_what_is_no_hold_holds(site: Site, text: str) -> None:
    (site.store / "hold").write_text(text)
    assert notes.hold(Store(site.store)) is not None
    site.flatdex("promote", code=PARTLY)
    site.flatdex("release", code=DONE)


@pytest.mark.parametrize("text", ["null", "{}", '"x"', "[7]", "[" * 100_000])
def test_pins_that_cannot_be_read_stop_prune(site: Site, text: str) -> None:
    (site.store / "pins").write_text(text)
    assert "pinned snapshots can't be read" in site.flatdex("prune", "--local", code=FAILED).stderr


@pytest.mark.parametrize("command", ["sleep 20; true", "sleep 20 & sleep 20"])
def test_a_hook_s_children_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(hooks, "_LONGEST", 0.3)
    started = time.monotonic()
    assert hooks.run([command], {}, tmp_path) and time.monotonic() - started < 10


# Going back in an emergency


def test_a_rollback_waits_for_no_staging_server(images: Site) -> None:
    targets = {"staging": {"rsync": "./staging"}, "web": {"rsync": "./web", "after": ["staging"]}}
    images.configure(targets)  # type: ignore[arg-type]
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("publish", code=DONE)
    targets["staging"] = {"rsync": "./flatdex.yaml/x"}
    images.configure(targets)  # type: ignore[arg-type]
    result = images.flatdex("rollback", code=PARTLY)
    assert served(images.folder / "web") == images.current and "staging: failed" in result.stderr


def test_push_anyway_waits_for_nobody(images: Site) -> None:
    targets = {"staging": {"rsync": "./flatdex.yaml/x"}, "web": {"rsync": "./web", "after": ["staging"]}}
    images.configure(targets)  # type: ignore[arg-type]
    images.flatdex("publish", code=PARTLY)
    assert not (images.folder / "web" / "current").exists()
    images.flatdex("push", "web", "--anyway", code=DONE)
    assert served(images.folder / "web") == images.current


def test_rollback_by_id_once_more_changes_nothing(images: Site) -> None:
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("publish", code=DONE)
    old = images.ids[0]
    images.flatdex("rollback", old, code=DONE)
    names = list(images.ids)
    images.flatdex("rollback", old, code=DONE)
    assert images.ids == names
    (images.store / "current").unlink()
    assert "`current` names nothing" in images.flatdex("rollback", code=USAGE).stderr


def test_what_is_released_is_said(images: Site) -> None:
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("hold", "x", code=DONE)
    images.flatdex("publish", code=PARTLY)
    assert f"the next `flatdex publish` promotes {images.ids[-1]}" in images.flatdex("release", code=DONE).stdout
    assert "needs a reason" in images.flatdex("hold", " ", code=USAGE).stderr


def test_a_hold_that_is_there_is_told_by_a_rollback_that_changes_nothing(images: Site) -> None:
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("publish", code=DONE)
    images.flatdex("rollback", "--reason", "crashes", code=DONE)
    assert images.json("rollback", "--reason", "other")["hold"] == "crashes"


def test_what_was_published_is_told_although_nothing_can_be_pruned(images: Site) -> None:
    file = images.folder / "flatdex.yaml"
    file.write_text(f"{file.read_text()}keep: {{snapshots: 1, days: 0}}\n")
    images.store.mkdir()
    (images.store / "pins").write_text("{")
    result = images.flatdex("publish", code=PARTLY)
    assert f"promoted {images.current}" in result.stdout
    assert "pinned snapshots can't be read" in result.stderr


def test_who_was_not_asked_is_not_said_to_serve(images: Site) -> None:
    targets: dict[str, dict[str, str]] = {"web": {"rsync": "./web"}}
    images.configure(targets)
    images.flatdex("publish", code=DONE)
    images.configure({"web": {"rsync": "./web", "url": "http://127.0.0.1:9/"}, "bad": {"rsync": "./flatdex.yaml/x"}})
    file = images.folder / "flatdex.yaml"
    file.write_text(f"{file.read_text()}together: true\n")
    assert f"web: already has {images.current}\n" in images.flatdex("push", code=PARTLY).stdout


# What is told of targets


def test_a_hook_is_told_what_changed_for_a_target_that_was_behind(images: Site) -> None:
    images.configure({"web": {"rsync": "./web"}})
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.flatdex("publish", "--only", "web", code=DONE)
    new_version(images, "1.2")
    images.configure({"web": {"rsync": "./flatdex.yaml/x"}})
    images.flatdex("publish", code=PARTLY)
    images.configure({"web": {"rsync": "./web"}})
    file = images.folder / "flatdex.yaml"
    file.write_text(file.read_text() + 'hooks: {after_push: ["cat > pushed.json"]}\n')
    images.flatdex("push", code=DONE)
    told = json.loads((images.folder / "pushed.json").read_text())
    assert told["from"] == told["to"] and told["counts"] == {"new": 0, "updated": 1, "gone": 0}
    assert "index/latest.json" in told["files"]["changed"]


def test_a_target_that_cannot_be_asked_is_too_old_only_once_it_has_failed_for_long(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    site.promote(NEW)
    site.flatdex("push", code=DONE)
    (site.store / "built").touch()
    site.configure({"web": {"rsync": "host:/srv/x", "ssh": "./no-such-ssh"}})
    assert site.json("status", "--max-age", "2h")["too_old"] == []
    site.flatdex("push", code=PARTLY)
    assert site.json("status", "--max-age", "2h")["too_old"] == []
    time.sleep(2)
    (line,) = site.json("status", "--max-age", "1s", code=FAILED)["too_old"][-1:]
    assert line.startswith("web has failed since ")


def test_a_lost_store_is_told_to_adopt(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    new = site.promote(NEW)
    site.flatdex("push", code=DONE)
    site.store.rename(site.folder / "lost")
    said = site.flatdex("status", code=PARTLY).stdout
    assert f"shows {new}, which this store does not know: `flatdex adopt web`" in said


def test_a_password_in_a_remote_is_told_to_nobody(site: Site) -> None:
    place = ":webdav,url='http://127.0.0.1:9/',user=bob,pass=SECRET:site"
    site.configure({"cdn": {"rclone": place}})
    site.promote(NEW)
    result = site.flatdex("push", code=PARTLY)
    written = [file.read_text() for file in (site.store / "targets" / "cdn.json", site.store / "log.jsonl")]
    assert not any("SECRET" in text for text in (result.stdout, result.stderr, *written))
    assert "cdn: failed: rclone: " in result.stderr
