"""Which target flips when: after others, together with others, and never too early or not at all without a word."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdex import main
from sync import push as pushing
from sync.order import Stand, decide
from sync.settings import Quorum
from tests.builder.helpers import Answer
from tests.real.process import wait_for
from tests.real.tokens import Heard, listening
from tests.sync.site import CONFIG, DONE, NEW, OLD, PARTLY, USAGE, Result, Site, new_version, served

SENDING, RETRYING, READY, FLIPPING, LIVE, FAILED, BARRED = Stand

# In ssh's place: runs the command here, unless it is to be refused, or has to wait until the file `go` is there.
_SSH = """\
#!/bin/sh
shift
printf '%s\\n' "$*" >> "{folder}/calls"
case "$* " in
*{refused}*) echo "Permission denied" >&2; exit 255 ;;
*{held}*) while [ -d "{folder}" ] && [ ! -e "{folder}/go" ]; do sleep 0.02; done ;;
esac
eval "exec $*"
"""


@dataclass(frozen=True)
class Fleet:
    """Targets behind an ssh that tells what it was asked to do, in folders of their names."""

    site: Site

    def configure(self, targets: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
        """Writes the configuration; a target needs to name only what is special about it."""
        site = self.site
        every = {name: {"rsync": f"host:{self.root(name)}", "ssh": "./ssh", **own} for name, own in targets.items()}
        site.configure(every)
        lines = "".join(f"{key}: {str(value).replace('True', 'true')}\n" for key, value in more.items())
        (site.folder / "flatdex.yaml").write_text((site.folder / "flatdex.yaml").read_text() + lines)
        self.let()

    def let(self, refused: str = "nothing", held: str = "nothing") -> None:
        """What to refuse and to hold up from now on, as patterns of a shell, and a new list of calls."""
        for name in ("calls", "go"):
            (self.site.folder / name).unlink(missing_ok=True)
        (self.site.folder / "ssh").write_text(_SSH.format(folder=self.site.folder, refused=refused, held=held))
        (self.site.folder / "ssh").chmod(0o755)

    def go(self) -> None:
        """Lets go on what is held up."""
        (self.site.folder / "go").touch()

    def root(self, name: str) -> Path:
        return self.site.folder / name

    def served(self, *names: str) -> list[str | None]:
        """What these targets show."""
        return [served(self.root(name)) for name in names]

    @property
    def flips(self) -> list[str]:
        """The targets whose flip was begun, in order."""
        calls = (self.site.folder / "calls").read_text().splitlines()
        flips = [call for call in calls if call.endswith("/") and "/snapshots/" not in call and "--mkpath" not in call]
        return [Path(call.split()[-1]).name for call in flips]

    def promoted(self, start: str) -> str:
        """Promotes by hand."""
        return self.site.promote(start)

    def push(self, *args: str, code: int = DONE) -> Result:
        return self.site.flatdex("push", *args, code=code)


COPY, FLIP = "/{}/snapshots/", "/{}/' '"


def lines(text: str) -> dict[str, str]:
    """What is said of each target."""
    return {name: rest for name, _, rest in (line.partition(": ") for line in text.splitlines())}


@pytest.fixture
def fleet(site: Site) -> Fleet:
    return Fleet(site)


# The first thing an operator wants: a staging server that has to be good before anybody else gets it.

STAGED: dict[str, dict[str, Any]] = {
    "east": {"after": ["staging"]},
    "staging": {},
    "west": {"after": ["staging"]},
}


def staged(fleet: Fleet, url: str = "") -> None:
    fleet.configure({**STAGED, "staging": {"url": url} if url else {}})


@contextmanager
def web_server(fleet: Fleet, name: str, others: tuple[str, ...] = ()) -> Iterator[tuple[str, list[list[str | None]]]]:
    """Serves a target; gives its URL, and what others showed each time that it was asked."""
    seen: list[list[str | None]] = []

    def ear(request: Heard) -> Answer:
        seen.append(fleet.served(*others))
        file = fleet.root(name) / "current" / request.path.lstrip("/")
        return Answer(file.read_bytes()) if file.is_file() else Answer(b"", 404)

    with listening(ear) as server:
        yield server.url, seen


def test_staging_is_live_and_answers_before_the_others_flip(fleet: Fleet) -> None:
    staged(fleet)
    old = fleet.promoted(OLD)
    fleet.push()
    with web_server(fleet, "staging", ("east", "west")) as (url, seen):
        staged(fleet, url)
        new = fleet.promoted(NEW)
        said = lines(fleet.push().stdout)
    assert fleet.flips[0] == "staging" and sorted(fleet.flips) == ["east", "staging", "west"]
    assert seen and all(shown == [old, old] for shown in seen)
    assert fleet.served("staging", "east", "west") == [new] * 3
    assert said == {"staging": f"serves {new}", "east": f"has {new}", "west": f"has {new}"}


def test_the_others_have_all_files_before_staging_flips(fleet: Fleet) -> None:
    """So they flip at once; but staging waits for nobody."""
    staged(fleet)
    fleet.promoted(OLD)
    fleet.push()
    new = fleet.promoted(NEW)
    fleet.let(held=COPY.format("west"))
    with in_background(fleet) as done:
        wait_for(lambda: fleet.served("staging") == [new], "staging")
        fleet.go()
        assert done() == DONE
    assert fleet.served("east", "west") == [new, new]


@pytest.mark.parametrize("answer", ["nothing", "the old one", "another index"])
def test_a_staging_that_does_not_answer_well_keeps_the_others_where_they_are(fleet: Fleet, answer: str) -> None:
    staged(fleet)
    old = fleet.promoted(OLD)
    fleet.push()
    new = fleet.promoted(NEW)

    def ear(request: Heard) -> Answer:
        if answer == "nothing":
            return Answer(b"", 404)
        where = old if answer == "the old one" or "index" in request.path else new
        return Answer((fleet.site.store / "snapshots" / where / request.path.lstrip("/")).read_bytes())

    with listening(ear) as server:
        staged(fleet, server.url)
        said = lines(fleet.push(code=PARTLY).stderr)
    assert fleet.served("east", "west") == [old, old] and fleet.flips == ["staging"]
    assert said["staging"].startswith("failed: copied, but ")
    assert said["east"] == said["west"] == "failed: not flipped, since staging did not go live"
    staged(fleet)
    fleet.push()
    assert fleet.served("staging", "east", "west") == [new] * 3


@pytest.mark.parametrize("step", [COPY, FLIP], ids=["copy", "flip"])
def test_a_staging_that_cannot_be_reached_keeps_the_others_where_they_are(fleet: Fleet, step: str) -> None:
    staged(fleet)
    old = fleet.promoted(OLD)
    fleet.push()
    fleet.promoted(NEW)
    fleet.let(refused=step.format("staging"))
    said = lines(fleet.push(code=PARTLY).stderr)
    assert fleet.served("staging", "east", "west") == [old] * 3
    assert "Permission denied" in said["staging"]
    assert said["east"] == said["west"] == "failed: not flipped, since staging did not go live"


def test_first_staging_alone_then_the_rest(fleet: Fleet) -> None:
    staged(fleet)
    old = fleet.promoted(OLD)
    fleet.push()
    fleet.let()
    new = fleet.promoted(NEW)
    refused = lines(fleet.push("--rest", code=PARTLY).stderr)
    assert refused.keys() == {"east", "west"} and fleet.flips == []
    assert all(f"not flipped, since staging shows {old}" in each for each in refused.values())
    assert all("flatdex push --only staging" in each for each in refused.values())
    assert lines(fleet.push("--only", "staging").stdout) == {"staging": f"has {new}"}
    assert fleet.served("staging", "east", "west") == [new, old, old]
    assert lines(fleet.push("--rest").stdout) == {"east": f"has {new}", "west": f"has {new}"}
    assert fleet.served("staging", "east", "west") == [new] * 3
    assert lines(fleet.push("--rest").stdout) == {"east": f"already has {new}", "west": f"already has {new}"}


def test_the_rest_is_refused_while_staging_is_not_served_well(fleet: Fleet) -> None:
    staged(fleet)
    fleet.promoted(NEW)
    fleet.push("--only", "staging")
    with listening(lambda request: Answer(b"", 404)) as server:
        staged(fleet, server.url)
        said = lines(fleet.push("--rest", code=PARTLY).stderr)
    assert fleet.served("east", "west") == [None, None]
    for each in said.values():
        assert "staging" in each and "404" in each, "whose URL it is has to be said"
        assert "copied, but" not in each, "nothing was"


def test_the_rest_is_refused_while_staging_cannot_be_asked(fleet: Fleet) -> None:
    staged(fleet)
    fleet.promoted(NEW)
    fleet.push("--only", "staging")
    fleet.let(refused="/staging/")
    said = lines(fleet.push("--rest", code=PARTLY).stderr)
    assert fleet.served("east", "west") == [None, None]
    assert all("staging" in each and "Permission denied" in each for each in said.values()), said


def test_a_target_that_is_named_waits_for_those_before_it_just_the_same(fleet: Fleet) -> None:
    staged(fleet)
    fleet.promoted(NEW)
    said = lines(fleet.push("east", code=PARTLY).stderr)
    assert "not flipped, since staging shows nothing" in said["east"]
    fleet.push("staging", "east")
    assert fleet.served("staging", "east", "west") == [fleet.site.current, fleet.site.current, None]


def test_rest_and_names_together_are_wrong_usage(fleet: Fleet) -> None:
    staged(fleet)
    fleet.promoted(NEW)
    for args in (("--rest", "east"), ("--rest", "--only", "staging"), ("--only", "stagign")):
        fleet.push(*args, code=USAGE)
    assert fleet.served("staging", "east", "west") == [None] * 3


def test_publish_may_stop_at_staging(images: Site) -> None:
    fleet = Fleet(images)
    staged(fleet)
    images.flatdex("publish", code=DONE)
    old = images.current
    new_version(images, "2.0")
    images.flatdex("publish", "--only", "staging", code=DONE)
    new = images.current
    assert new != old and fleet.served("staging", "east", "west") == [new, old, old]
    fleet.push("--rest")
    assert fleet.served("staging", "east", "west") == [new] * 3


def test_a_chain(fleet: Fleet) -> None:
    chain = {"c": {"after": ["b"]}, "b": {"after": ["a"]}, "a": {}}
    fleet.configure(chain)
    old = fleet.promoted(OLD)
    fleet.push()
    assert fleet.flips == ["a", "b", "c"]
    fleet.promoted(NEW)
    fleet.let(refused=FLIP.format("b"))
    said = lines(fleet.push(code=PARTLY).stderr)
    assert fleet.served("a", "b", "c") == [fleet.site.current, old, old]
    assert "Permission denied" in said["b"] and said["c"] == "failed: not flipped, since b did not go live"
    fleet.let(refused=COPY.format("a"))
    fleet.promoted(OLD)
    fleet.push(code=PARTLY)
    fleet.let()
    fleet.push()
    assert fleet.served("a", "b", "c") == [old] * 3


def test_a_first_target_that_fails_bars_the_whole_chain(fleet: Fleet) -> None:
    fleet.configure({"c": {"after": ["b"]}, "b": {"after": ["a"]}, "a": {}})
    fleet.promoted(NEW)
    fleet.let(refused=COPY.format("a"))
    said = lines(fleet.push(code=PARTLY).stderr)
    assert said["b"] == "failed: not flipped, since a did not go live"
    assert said["c"] == "failed: not flipped, since b did not go live"
    assert fleet.served("a", "b", "c") == [None] * 3 and fleet.flips == []


# Together: all or nobody.

THREE: dict[str, dict[str, Any]] = {"a": {}, "b": {}, "c": {}}


@pytest.mark.parametrize(
    ("together", "refused", "flipped"),
    [
        (True, [], "abc"),
        (True, ["c"], ""),
        (3, ["c"], ""),
        (2, ["c"], "ab"),
        (2, ["b", "c"], ""),
        (["a", "b"], ["c"], "ab"),
        (["a", "b"], ["b"], ""),
        (False, ["a", "b"], "c"),
    ],
    ids=str,
)
def test_who_flips_together(fleet: Fleet, together: Any, refused: list[str], flipped: str) -> None:
    fleet.configure(THREE)
    old = fleet.promoted(OLD)
    fleet.push()
    fleet.configure(THREE, together=together)
    new = fleet.promoted(NEW)
    fleet.let(refused="/snapshots/*|*".join(f"/{name}" for name in refused) + "/snapshots/" if refused else "nothing")
    result = fleet.push(code=PARTLY if refused else DONE)
    assert fleet.served("a", "b", "c") == [new if name in flipped else old for name in "abc"]
    assert sorted(fleet.flips) == sorted(flipped)
    said = lines(result.stderr)
    assert said.keys() == set("abc") - set(flipped)
    for name in said:
        assert ("Permission denied" if name in refused else "not flipped, since") in said[name]


def test_a_quorum_is_of_those_that_are_pushed_to(fleet: Fleet) -> None:
    fleet.configure(THREE, together=True)
    fleet.promoted(NEW)
    fleet.let(refused=COPY.format("c"))
    fleet.push("a", "b")
    assert fleet.served("a", "b", "c") == [fleet.site.current, fleet.site.current, None]


@pytest.mark.parametrize("together", [True, 3, ["a", "b", "c"]], ids=str)
def test_what_a_flip_that_fails_leaves_behind_is_told(fleet: Fleet, together: Any) -> None:
    """All were ready, one went live, one did not, and the last one waits for the first."""
    targets = {**THREE, "c": {"after": ["a"]}}
    fleet.configure(targets)
    old = fleet.promoted(OLD)
    fleet.push()
    fleet.configure(targets, together=together)
    new = fleet.promoted(NEW)
    fleet.let(refused=FLIP.format("b"))
    result = fleet.push(code=PARTLY)
    said = {**lines(result.stdout), **lines(result.stderr)}
    assert said["a"] == f"has {new}" and "Permission denied" in said["b"]
    assert (said["c"] == f"has {new}") == (fleet.served("c") == [new]), said["c"]
    assert fleet.served("b") == [old]
    rows = {row["target"]: row for row in fleet.site.json("status", code=PARTLY)["targets"]}
    assert bool(rows["c"]["last_error"]) == (fleet.served("c") != [new])


# Patience: those that are ready flip together, but not at any price.


@contextmanager
def in_background(fleet: Fleet) -> Iterator[Any]:
    """A push by a thread of this process; gives a function that waits for its exit code."""
    done: list[int] = []
    words = ["-c", str(fleet.site.folder / "flatdex.yaml"), "push"]
    thread = threading.Thread(target=lambda: done.append(main(words)), daemon=True)

    def code() -> int:
        thread.join(20)
        return done[0]

    thread.start()
    try:
        yield code
    finally:
        fleet.go()
        thread.join(20)


def test_those_that_are_ready_wait_for_a_slow_one(fleet: Fleet) -> None:
    fleet.configure(THREE)
    old = fleet.promoted(OLD)
    fleet.push()
    new = fleet.promoted(NEW)
    fleet.let(held=COPY.format("c"))
    with in_background(fleet) as done:
        wait_for(lambda: calls(fleet, "/snapshots/") == 3, "all to be sent to")
        with pytest.raises(TimeoutError):
            wait_for(lambda: bool(fleet.flips), "a flip", seconds=0.6)
        assert fleet.served("a", "b", "c") == [old] * 3
        fleet.go()
        assert done() == DONE
    assert fleet.served("a", "b", "c") == [new] * 3


def calls(fleet: Fleet, part: str) -> int:
    """How often it was asked for something with this part."""
    file = fleet.site.folder / "calls"
    return sum(part in line for line in file.read_text().splitlines()) if file.exists() else 0


def test_those_that_are_ready_flip_when_their_patience_is_over(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_PATIENCE", 0.2)
    fleet.configure(THREE)
    old = fleet.promoted(OLD)
    fleet.push()
    new = fleet.promoted(NEW)
    fleet.let(held=COPY.format("c"))
    with in_background(fleet) as done:
        wait_for(lambda: fleet.served("a", "b") == [new, new], "the fast ones", seconds=8)
        assert fleet.served("c") == [old]
        fleet.go()
        assert done() == DONE
    assert fleet.served("a", "b", "c") == [new] * 3


def test_a_quorum_has_no_end_to_its_patience(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_PATIENCE", 0.0)
    fleet.configure(THREE)
    old = fleet.promoted(OLD)
    fleet.push()
    fleet.configure(THREE, together=True)
    fleet.promoted(NEW)
    fleet.let(held=COPY.format("c"))
    with in_background(fleet) as done:
        wait_for(lambda: calls(fleet, "/snapshots/") == 3, "all to be sent to")
        with pytest.raises(TimeoutError):
            wait_for(lambda: bool(fleet.flips), "a flip", seconds=0.8)
        assert fleet.served("a", "b", "c") == [old] * 3
        fleet.go()
        assert done() == DONE
    assert set(fleet.flips) == set("abc")


# What is wrong in a configuration is told with its line.


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            "targets:\n  a: {rsync: ./a, after: [b]}\n  bb: {rsync: ./b}\n",
            "targets.a.after[0]",
            "no target is called 'b'",
        ),
        ("targets:\n  a: {rsync: ./a}\ntogether: [a, c]\n", "together[1]", "no target is called 'c'"),
        ("targets:\n  a: {rsync: ./a}\ntogether: 2\n", "together", "but there are 1"),
        ("targets:\n  a: {rsync: ./a}\ntogether: 0\n", "together", ""),
        ("targets:\n  a: {rsync: ./a}\ntogether: []\n", "together", ""),
        ("targets:\n  a: {rsync: ./a}\ntogether: maybe\n", "together", ""),
        ("targets:\n  a: {rsync: ./a, after: [a]}\n", "targets.a.after", "a after a"),
        (
            "targets:\n  a: {rsync: ./a, after: [c]}\n  b: {rsync: ./b, after: [a]}\n  c: {rsync: ./c, after: [b]}\n",
            "after",
            "wait for each other",
        ),
        ("targets:\n  a: {rsync: ./a, after: a}\n", "targets.a.after", ""),
        ("targets:\n  a: {rsync: ./a}\nparallel: 0\n", "parallel", "1 to 64"),
        ("targets:\n  a: {rsync: ./a}\nparallel: 65\n", "parallel", "1 to 64"),
        ("targets:\n  a: {rsync: ./a, bwlimit: fast}\n", "targets.a.bwlimit", "500k"),
        ("targets:\n  a: {rsync: ./a, timeout: 5}\n", "targets.a.timeout", ""),
        ("targets:\n  a: {rclone: nocolon}\n", "targets.a.rclone", "REMOTE:PATH"),
        ("targets:\n  a: {rclone: 'x:', rsync: ./a}\n", "targets.a", ""),
        ("targets:\n  a: {rclone: 'x:y'}\n  b: {rclone: 'x:y/'}\n", "targets.b.rclone", "'a' too"),
    ],
)
def test_a_configuration_that_cannot_work_is_told_with_its_line(site: Site, text: str, key: str, words: str) -> None:
    site.configure()
    file = site.folder / "flatdex.yaml"
    before = file.read_text()
    file.write_text(before + text)
    result = site.flatdex("check", code=CONFIG)
    told = [line for line in result.stderr.removeprefix("flatdex: ").splitlines() if line.startswith(f"{file}:")]
    assert len(told) == 1 and key in told[0] and words in result.stderr, result.stderr
    line = int(told[0].removeprefix(f"{file}:").partition(":")[0])
    assert before.count("\n") < line <= (before + text).count("\n")
    assert site.flatdex("push", code=CONFIG).stderr == result.stderr


# The decisions themselves.


def test_targets_that_are_ready_flip_together() -> None:
    assert decide({"a": READY, "b": READY}, {}).flip == {"a", "b"}


def test_one_that_is_being_sent_to_holds_up_its_like_as_long_as_there_is_patience() -> None:
    stands = {"a": READY, "b": SENDING}
    assert decide(stands, {}).flip == set()
    assert decide(stands, {}, patient=False).flip == {"a"}


def test_one_that_is_tried_again_holds_up_nobody() -> None:
    assert decide({"a": READY, "b": RETRYING}, {}).flip == {"a"}


def test_one_that_waits_itself_holds_up_nobody() -> None:
    assert decide({"a": READY, "b": SENDING}, {"b": ["a"]}).flip == {"a"}


@pytest.mark.parametrize("stand", [SENDING, RETRYING, READY, FLIPPING])
def test_what_comes_after_another_waits_until_that_is_live(stand: Stand) -> None:
    found = decide({"a": stand, "b": READY}, {"b": ["a"]}, patient=False)
    assert "b" not in found.flip and not found.bar
    assert decide({"a": LIVE, "b": READY}, {"b": ["a"]}).flip == {"b"}


def test_what_comes_after_one_that_failed_is_barred() -> None:
    found = decide({"a": FAILED, "b": READY}, {"b": ["a"]})
    assert found.flip == set() and found.bar == {"b": "not flipped, since a did not go live"}


def test_who_is_not_part_of_the_push_counts_as_live() -> None:
    assert decide({"b": READY}, {"b": ["a"]}).flip == {"b"}


@pytest.mark.parametrize(
    ("quorum", "stands", "flips", "barred"),
    [
        (Quorum(number=2), [READY, SENDING, SENDING], "", ""),
        (Quorum(number=2), [READY, READY, SENDING], "ab", ""),
        (Quorum(number=2), [READY, READY, FAILED], "ab", ""),
        (Quorum(number=2), [READY, RETRYING, FAILED], "", ""),
        (Quorum(number=2), [READY, FAILED, FAILED], "", "a"),
        (Quorum(frozenset("ac")), [READY, READY, SENDING], "", ""),
        (Quorum(frozenset("ac")), [READY, SENDING, READY], "ac", ""),
        (Quorum(frozenset("ac")), [READY, READY, FAILED], "", "ab"),
        (Quorum(frozenset("ac")), [READY, FAILED, READY], "ac", ""),
        (Quorum(number=2), [LIVE, READY, FAILED], "b", ""),
        (Quorum(frozenset("abc")), [LIVE, LIVE, READY], "c", ""),
        (Quorum(number=9), [READY, READY, READY], "abc", ""),
    ],
    ids=range(12),
)
def test_a_quorum(quorum: Quorum, stands: list[Stand], flips: str, barred: str) -> None:
    found = decide(dict(zip("abc", stands, strict=True)), {}, quorum, patient=False)
    assert (set(found.flip), set(found.bar)) == (set(flips), set(barred))


NAMES = "abcd"


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[str], dict[str, list[str]], Quorum | None]:
    """The targets of a push, after whom each comes (also after some that are not part of it), and a quorum."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    after = {name: draw(st.lists(st.sampled_from(NAMES[:at]), unique=True)) for at, name in enumerate(NAMES) if at}
    number = st.integers(1, len(NAMES)).map(lambda number: Quorum(number=number))
    named = st.sets(st.sampled_from(NAMES), min_size=1).map(lambda each: Quorum(frozenset(each)))
    return names, after, draw(st.one_of(st.none(), number, named))


NEXT = {SENDING: [RETRYING, READY, FAILED], RETRYING: [READY, FAILED], FLIPPING: [LIVE, FAILED]}


@settings(deadline=None, max_examples=1000)
@given(fleets(), st.data())
def test_nobody_flips_too_early_and_nobody_is_forgotten(
    fleet: tuple[list[str], dict[str, list[str]], Quorum | None], data: st.DataObject
) -> None:
    names, after, quorum = fleet
    stands = dict.fromkeys(names, SENDING)
    flipped = False
    for _ in range(20 * len(names)):
        patient = data.draw(st.booleans(), "patient")
        while (found := decide(stands, after, quorum, patient)).bar:
            assert all(stands[name] is READY for name in found.bar)
            stands |= dict.fromkeys(found.bar, FAILED)
        for name in found.flip:
            assert stands[name] is READY
            assert all(stands.get(other, LIVE) is LIVE for other in after.get(name, ())), (name, stands)
        if found.flip and not flipped and quorum:
            there = [name for name in names if stands[name] in (READY, FLIPPING, LIVE)]
            assert quorum.names & set(names) <= set(there) and len(there) >= min(quorum.number, len(names))
        flipped |= bool(found.flip)
        stands |= dict.fromkeys(found.flip, FLIPPING)
        moving = sorted(name for name in names if stands[name] in NEXT)
        if not moving:
            break
        name = data.draw(st.sampled_from(moving), "who")
        stands[name] = data.draw(st.sampled_from(NEXT[stands[name]]), name)
    assert set(stands.values()) <= {LIVE, FAILED}, stands
