"""The release log: one line for each release, chained by hashes, and hooks that are told the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.store import Store
from sync import hooks, log
from tests.sync.site import DONE, FAILED, NEW, OLD, PARTLY, Site, new_version, one_line

Change = Callable[[list[bytes]], list[bytes]]


def entries(site: Site) -> list[dict[str, Any]]:
    """The lines of the log, as a script reads them."""
    return [json.loads(line) for line in (site.store / "log.jsonl").read_text().splitlines()]


def test_a_release_is_one_line_that_tells_what_who_from_to_refs_targets_and_result(images: Site) -> None:
    images.configure({"web": {"rsync": "./web"}})
    images.flatdex("publish", code=DONE)
    new_version(images, "1.1")
    images.configure({"web": {"rsync": "./web"}, "bad": {"rsync": "./flatdex.yaml/x"}})
    images.flatdex("publish", code=PARTLY)
    first, second = entries(images)
    old, new = images.ids
    assert (first["from"], first["to"], first["result"], first["verb"]) == (None, old, "done", "publish")
    assert (second["from"], second["to"], second["result"]) == (old, new, "partly")
    assert second["refs"] == {"new": 0, "updated": 1, "gone": 0}
    web, bad = second["targets"]
    assert (web["target"], web["from"], web["result"]) == ("web", old, "live")
    assert (bad["target"], bad["result"]) == ("bad", "failed") and "Not a directory" in bad["error"]
    assert "@" in str(second["who"]) and str(second["time"]).endswith("Z")
    said = images.flatdex("log", code=DONE).stdout.splitlines()
    assert len(said) == 2 and f"{old} -> {new}  +0 ~1 -0  [web: live, bad: failed]  partly" in said[1]
    assert images.flatdex("log", "-n", "1", code=DONE).stdout.splitlines() == said[1:]
    assert [each["line"] for each in images.json("log")] == [1, 2]


def test_nothing_new_is_no_line_and_what_fails_again_is_told_once(images: Site) -> None:
    images.configure({"bad": {"rsync": "./flatdex.yaml/x"}})
    for _ in range(3):
        images.flatdex("publish", code=PARTLY)
    assert [each["result"] for each in entries(images)] == ["partly"]
    images.configure({"bad": {"rsync": "./web"}})
    for _ in range(2):
        images.flatdex("publish", code=DONE)
    assert [each["result"] for each in entries(images)] == ["partly", "done"]
    assert images.json("status")["targets"][0]["failing_since"] is None


def test_every_verb_that_changes_something_is_told(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    for words in (
        ["promote", OLD],
        ["hold", "why"],
        ["release"],
        ["pin", NEW],
        ["unpin", NEW],
        ["push"],
        ["push"],
        ["promote"],
        ["rollback", "--no-push"],
    ):
        site.flatdex(*words, code=DONE)
    verbs = [each["verb"] for each in entries(site)]
    assert verbs == ["promote", "hold", "release", "pin", "unpin", "push", "promote", "rollback"]
    assert site.flatdex("log", code=DONE).stdout.count("\n") == 8


def test_each_line_holds_the_hash_of_the_line_before(site: Site) -> None:
    for start in (OLD, NEW, OLD):
        site.flatdex("promote", start, code=DONE)
    lines = (site.store / "log.jsonl").read_bytes().splitlines(keepends=True)
    assert json.loads(lines[0])["before"] == log.START
    assert [json.loads(line)["before"] for line in lines[1:]] == [log.hash_of(line) for line in lines[:-1]]
    assert all(not each.fault for each in log.lines(Store(site.store)))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda lines: [lines[0].replace(b"promote", b"nothing"), *lines[1:]], 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [lines[0], b"not JSON\n", *lines[1:]], 2),
        (lambda lines: [lines[0], b"[]\n", *lines[1:]], 2),
    ],
    ids=["changed", "removed", "first removed", "swapped", "added", "added json"],
)
def test_a_log_that_was_changed_is_found_out(
    site: Site, change: Callable[[list[bytes]], list[bytes]], wrong: int
) -> None:
    for start in (OLD, NEW, OLD):
        site.flatdex("promote", start, code=DONE)
    file = site.store / "log.jsonl"
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
    result = site.flatdex("log", code=FAILED)
    assert f"{file}:{wrong}: " in result.stderr.splitlines()[0]
    assert site.json("log", code=FAILED)[wrong - 1]["fault"]


def test_what_a_crash_left_of_a_line_goes_and_the_chain_holds(site: Site) -> None:
    site.flatdex("promote", OLD, code=DONE)
    file = site.store / "log.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"time": "20')
    assert len(site.json("log")) == 1, "a line without its end was never told to be there"
    site.flatdex("promote", NEW, code=DONE)
    assert file.read_bytes().startswith(whole + b'{"time"') and [each["fault"] for each in site.json("log")] == ["", ""]


def test_a_flip_that_no_line_tells_of_is_told_by_the_next_writer(site: Site) -> None:
    """By hand, or by a run that was killed between the flip and its line."""
    site.flatdex("promote", OLD, code=DONE)
    site.promote(NEW)
    site.flatdex("promote", code=DONE)
    _, found = entries(site)
    assert (found["verb"], found["from"], found["to"]) == ("found", site.ids[0], site.ids[2])
    assert "by hand" in str(found["result"])


def test_an_empty_log(site: Site) -> None:
    assert "nothing was released" in site.flatdex("log", code=DONE).stdout and site.json("log") == []


# Hooks


def test_hooks_are_told_what_changed(images: Site) -> None:
    images.configure({"web": {"rsync": "./web"}})
    file = images.folder / "flatdex.yaml"
    text = 'hooks: {after_promote: ["cat > promoted.json"], after_push: ["cat > pushed.json", "touch second"]}\n'
    file.write_text(file.read_text() + text)
    images.flatdex("publish", code=DONE)
    promoted, pushed = (json.loads((images.folder / f"{name}.json").read_text()) for name in ("promoted", "pushed"))
    assert (promoted["event"], pushed["event"]) == ("promote", "push")
    assert promoted["from"] is None and promoted["to"] == pushed["to"] == images.ids[0]
    assert [change["ref"].split("/")[0] for change in pushed["refs"]] == ["app", "runtime"]
    assert pushed["counts"] == {"new": 2, "updated": 0, "gone": 0} and pushed["remote"]["name"] == "example"
    assert promoted["targets"] == [] and pushed["targets"][0]["result"] == "live"
    assert "index/static" in pushed["files"]["added"], "what a cache has to forget"
    assert (images.folder / "second").exists()
    for name in ("promoted.json", "pushed.json"):
        (images.folder / name).unlink()
    images.flatdex("publish", code=DONE)
    assert not list(images.folder.glob("pu*.json")), "nothing changed, nothing is told"


def test_a_hook_that_fails_is_told_and_undoes_nothing(images: Site) -> None:
    file = images.folder / "flatdex.yaml"
    file.write_text(file.read_text() + 'hooks: {after_promote: ["echo first; echo last words >&2; exit 7"]}\n')
    result = images.flatdex("publish", code=PARTLY)
    assert images.current == images.ids[0]
    line = one_line(result.stderr)
    assert line.startswith("the hook 'echo first") and line.endswith("failed (7): last words")


def test_a_hook_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_LONGEST", 0.2)
    (line,) = hooks.run(["sleep 60"], {}, tmp_path)
    assert "took more than 0.2 s and was ended" in line


def test_a_hook_that_reads_nothing(tmp_path: Path) -> None:
    assert hooks.run(["true"], {"much": "x" * 1_000_000}, tmp_path) == []
