"""Files dropped into a folder: every way to drop them, none of them lost, none that does harm."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.errors import FlatdexError
from sync.events.kept import dropped, spool
from sync.events.kept.dropped import UnclearError
from sync.events.kept.spool import Spool
from sync.events.model import Hint
from tests.real.process import located, run, wait_for
from tests.real.sshd import Sshd


@dataclass
class Seen:
    """An inbox that does nothing by itself."""

    offers: list[tuple[Hint, Callable[[], None]]] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    at_once: bool = False

    def offer(self, origin: str, hint: Hint, done: Callable[[], None] = lambda: None) -> str:
        assert origin == "spool"
        self.offers.append((hint, done))
        if self.at_once:
            done()
        return "id"

    def refused(self, origin: str, reason: str, detail: str = "") -> None:
        self.refusals.append((reason, detail))

    def state(self, origin: str, state: str, up: bool = True) -> None:
        assert up == state.startswith("watching ")
        self.states.append(state)

    @property
    def names(self) -> list[set[str]]:
        return [set(hint.repositories) for hint, _ in self.offers]

    def wait(self, number: int) -> None:
        wait_for(lambda: len(self.offers) >= number, f"{number} offers", 15)


@contextmanager
def watching(folder: Path, inbox: Seen) -> Iterator[Spool]:
    origin = Spool(folder, inbox)
    origin.start()
    try:
        yield origin
    finally:
        origin.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "spool"


@pytest.fixture
def inbox(folder: Path) -> Iterator[Seen]:
    seen = Seen()
    with watching(folder, seen):
        yield seen


def drop(folder: Path, name: str, text: str = "apps/hello\n") -> Path:
    """As it should be done."""
    other = folder / f".{name}.new"
    other.write_text(text)
    return other.rename(folder / name)


def gone(path: Path) -> None:
    wait_for(lambda: not path.exists(), f"{path} to be removed", 5)


def quiet(seconds: float = 0.5) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("apps/hello", {"apps/hello"}),
        ("apps/hello:stable", {"apps/hello"}),
        ("apps/hello@sha256:00", {"apps/hello"}),
        ("registry.example.org/apps/hello:stable", {"apps/hello", "registry.example.org/apps/hello"}),
        ("localhost:5000/apps/hello", {"apps/hello"}),
        ("localhost/hello", {"hello", "localhost/hello"}),
        ("docker://host:5000/hello:v1@sha256:00", {"hello"}),
        ("my.app/hello", {"my.app/hello", "hello"}),
        ("hello", {"hello"}),
        ("hello:1", {"hello"}),
        ("", set()),
        ("Apps/Hello", set()),
        ("../etc/passwd", set()),
        ("/apps", set()),
        ("apps//hello", set()),
        ("two words", set()),
        ("a" * 300, set()),
        ("-", set()),
        ("host.example/", set()),
    ],
)
def test_what_a_reference_names(text: str, names: set[str]) -> None:
    assert set(dropped.repositories(text)) == names


@pytest.mark.parametrize(
    ("name", "data", "names", "everything", "unclear"),
    [
        ("x", b"apps/hello\n", {"apps/hello"}, False, []),
        (
            "x",
            b"\xef\xbb\xbfapps/hello\r\n# a comment\r\n\r\n  apps/b:1 # why\r\n",
            {"apps/hello", "apps/b"},
            False,
            [],
        ),
        ("x", b"*\n", set(), True, []),
        ("x", b"apps/a\nNO\n*", {"apps/a"}, True, [2]),
        ("apps%2Fhello", b"", {"apps/hello"}, False, []),
        ("apps%2fhello:stable", b"\n", {"apps/hello"}, False, []),
        ("hello", b"", {"hello"}, False, []),
        ("everything", b"", set(), True, []),
        ("*", b"", set(), True, []),
        ("everything", b"apps/hello", {"apps/hello"}, False, []),
    ],
)
def test_what_a_file_names(name: str, data: bytes, names: set[str], everything: bool, unclear: list[int]) -> None:
    hint, wrong = dropped.hint(name, data)
    assert (set(hint.repositories), hint.everything, wrong) == (names, everything, unclear)
    assert hint.about


@pytest.mark.parametrize(
    ("name", "data"),
    [("x", b"NO\n"), ("x", b"# nothing\n"), ("Not One", b""), ("x", b"\xff\xfe"), ("x", b"\0" * 99), ("%00", b"")],
)
def test_what_names_nothing(name: str, data: bytes) -> None:
    with pytest.raises(UnclearError):
        dropped.hint(name, data)


@pytest.mark.parametrize("name", [".x", ".x.Ab3dEf", "x~", "x.tmp", "x.part", "x.PART", "x.filepart", "x.swp", "\n~"])
def test_names_of_files_that_are_not_complete(name: str) -> None:
    assert dropped.is_temporary(name)
    assert not dropped.is_temporary("apps%2Fhello") and not dropped.is_temporary("part")


def test_a_file_is_taken_and_goes_when_it_is_done(folder: Path, inbox: Seen) -> None:
    wait_for(lambda: inbox.states == [f"watching {folder}"], "its state")
    path = drop(folder, "one")
    inbox.wait(1)
    assert inbox.names == [{"apps/hello"}]
    quiet()
    assert path.exists() and len(inbox.offers) == 1
    inbox.offers[0][1]()
    gone(path)
    assert list(folder.iterdir()) == []


def test_what_is_not_done_is_read_again_by_the_next_run(folder: Path, inbox: Seen) -> None:
    path = drop(folder, "one")
    inbox.wait(1)
    later = Seen(at_once=True)
    with watching(folder, later):
        later.wait(1)
        gone(path)
    inbox.offers[0][1]()  # the same again, when it has gone
    quiet(0.3)
    assert len(inbox.offers) == 1 and inbox.refusals == []


def test_what_is_done_after_the_end_goes_too(folder: Path) -> None:
    seen = Seen()
    with watching(folder, seen):
        path = drop(folder, "one")
        seen.wait(1)
    assert path.exists()
    seen.offers[0][1]()
    assert not path.exists()


def test_what_is_done_at_once_while_it_ends_goes_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(at_once=True)
    with watching(folder, seen) as origin:
        real = seen.offer

        def late(*args: Any) -> str:
            origin._ending.set()
            return real(*args)

        monkeypatch.setattr(seen, "offer", late)
        gone(drop(folder, "one"))


@pytest.mark.parametrize("how", ["replaced", "rewritten", "appended"])
def test_what_was_changed_meanwhile_is_read_again(folder: Path, inbox: Seen, how: str) -> None:
    path = drop(folder, "one")
    inbox.wait(1)
    if how == "replaced":
        drop(folder, "one", "apps/other\n")
    elif how == "rewritten":
        path.write_text("apps/other\n")
    else:
        with path.open("a") as opened:
            opened.write("apps/other\n")
    inbox.offers[0][1]()
    inbox.wait(2)
    assert "apps/other" in inbox.names[1] and path.exists()  # by the name that it was given
    inbox.offers[1][1]()
    gone(path)


def test_what_comes_between_a_look_and_a_removal_is_not_lost(
    folder: Path, inbox: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "one")
    inbox.wait(1)
    real = os.rename

    def late(old: str, new: str, **where: int) -> None:
        if new.startswith(".flatdex-"):
            monkeypatch.setattr(os, "rename", real)
            drop(folder, old, "apps/other\n")
        real(old, new, **where)

    monkeypatch.setattr(os, "rename", late)
    inbox.offers[0][1]()
    inbox.wait(2)
    assert inbox.names[1] == {"apps/other"}
    inbox.offers[1][1]()
    wait_for(lambda: not list(folder.iterdir()), "an empty folder")


def test_a_removal_that_was_cut_off_is_finished_by_the_next_run(folder: Path, inbox: Seen) -> None:
    drop(folder, ".flatdex-0123abcd-apps%2Fhello", "")
    inbox.wait(1)
    assert inbox.names == [{"apps/hello"}]
    inbox.offers[0][1]()
    wait_for(lambda: not list(folder.iterdir()), "an empty folder")


def test_a_writer_that_takes_its_time_is_waited_for(folder: Path, inbox: Seen) -> None:
    complete = {f"apps/n{number}" for number in range(40)}
    for attempt in range(5):  # a busy machine may stop a writer for longer than anybody waits
        with (folder / "slow").open("w") as opened:
            for name in complete:
                opened.write(f"{name}\n")
                opened.flush()
                quiet(0.01)
        inbox.wait(attempt + 1)
        if inbox.names[attempt] == complete:
            return
        while (folder / "slow").exists():
            inbox.offers[-1][1]()
            quiet(0.2)
        inbox.offers = inbox.offers[: attempt + 1]
    pytest.fail("it was never read as a whole")


def test_an_unfinished_line_is_waited_for_longer(folder: Path, inbox: Seen) -> None:
    with (folder / "slow").open("w") as opened:
        quiet(0.5)
        opened.write("apps/hel")
        opened.flush()
        quiet(0.5)
        opened.write("lo")
    inbox.wait(1)
    assert inbox.names == [{"apps/hello"}]


def test_temporary_files_are_nobodys_business_until_they_are_renamed(folder: Path, inbox: Seen) -> None:
    for name in (".x.Ab3dEf", "x.part", "x.tmp", "x~"):
        (folder / name).write_text("apps/hello\n")
    quiet()
    assert inbox.offers == [] and len(list(folder.iterdir())) == 4
    (folder / "x.part").rename(folder / "x")
    inbox.wait(1)


def test_by_ssh_scp_and_rsync(folder: Path, real_tmp: Path, inbox: Seen) -> None:
    inbox.at_once = True
    (real_tmp / "file").write_text("apps/rsync\n")
    with Sshd(real_tmp / "sshd") as server:
        ssh = server.command
        run([*ssh.split(), server.host, f"echo apps/ssh > {folder}/ssh"])
        run([*ssh.split(), server.host, f"touch {folder}/apps%2Ftouch"])
        run([located("rsync"), "-e", ssh, str(real_tmp / "file"), f"{server.host}:{folder}/"])
        scp = [located("scp"), "-O", *ssh.replace(" -p ", " -P ").split()[1:]]
        (real_tmp / "copied").write_text("apps/scp\n")
        run([*scp, str(real_tmp / "copied"), f"{server.host}:{folder}/"])
        inbox.wait(4)
    assert {name for names in inbox.names for name in names} == {"apps/ssh", "apps/touch", "apps/rsync", "apps/scp"}
    wait_for(lambda: not list(folder.iterdir()), "an empty folder")


def test_what_is_no_plain_file_is_told_once_and_never_opened(folder: Path, tmp_path: Path, inbox: Seen) -> None:
    secret = tmp_path / "secret"
    secret.write_text("apps/secret\n")
    (folder / "link").symlink_to(secret)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    (folder / "large").write_bytes(b"apps/x\n" * 10_000)
    (folder / "wrong").write_text("NO SECRET\n")
    drop(folder, "good")
    inbox.wait(1)
    (folder / "folder" / "more").touch()
    quiet(1)
    assert inbox.names == [{"apps/hello"}]
    reasons = sorted((reason, Path(detail.split(": ")[0]).name) for reason, detail in inbox.refusals)
    none = [("not-a-file", name) for name in ("dangling", "folder", "link", "pipe", "socket")]
    assert reasons == [("malformed", "wrong"), *none, ("too-large", "large")]
    assert "SECRET" not in str(inbox.refusals)
    assert len(list(folder.iterdir())) == 8 and secret.exists()


def test_a_name_with_a_bad_line_is_taken_as_far_as_it_goes(folder: Path, inbox: Seen) -> None:
    path = drop(folder, "some", "apps/hello\n../../etc\nNO\n")
    inbox.wait(1)
    assert inbox.names == [{"apps/hello"}]
    assert [reason for reason, _ in inbox.refusals] == ["malformed"] and f"{path}:2:" in inbox.refusals[0][1]


def test_what_was_refused_is_read_when_it_has_changed(folder: Path, inbox: Seen) -> None:
    path = drop(folder, "one", "NO\n")
    wait_for(lambda: bool(inbox.refusals), "a refusal")
    path.write_text("apps/hello\n")
    inbox.wait(1)


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(
    folder: Path, tmp_path: Path, inbox: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("apps/secret\n")
    real = spool._read

    def late(where: int, name: str) -> tuple[bytes, spool._Stamp]:
        (folder / name).unlink()
        (folder / name).symlink_to(secret)
        monkeypatch.setattr(spool, "_read", real)
        return real(where, name)

    monkeypatch.setattr(spool, "_read", late)
    drop(folder, "one")
    wait_for(lambda: len(inbox.refusals) >= 2, "refusals")
    assert {reason for reason, _ in inbox.refusals} == {"unreadable", "not-a-file"} and inbox.offers == []


def test_ten_thousand_at_once(folder: Path, inbox: Seen) -> None:
    inbox.at_once = True
    for number in range(10_000):
        (folder / f"apps%2Fn{number}").write_text(f"apps/n{number}\n")
    wait_for(lambda: len(inbox.offers) >= 10_000, "all offers", 60)
    wait_for(lambda: not list(folder.iterdir()), "an empty folder", 60)
    assert len(inbox.offers) == 10_000 and len({next(iter(names)) for names in inbox.names}) == 10_000


def test_more_than_is_dealt_with_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST", 10)
    folder.mkdir(parents=True)
    for number in range(35):
        drop(folder, f"n{number}", f"apps/n{number}\n")
    seen = Seen()
    with watching(folder, seen) as origin:
        seen.wait(10)
        quiet()
        assert len(seen.offers) == 10 and len(origin._taken) == 10
        seen.at_once = True
        for _, done in seen.offers[:10]:
            done()
        seen.wait(35)
    assert {name for names in seen.names for name in names} == {f"apps/n{number}" for number in range(35)}


def test_a_folder_that_is_removed_is_watched_again_when_it_is_back(folder: Path, inbox: Seen) -> None:
    wait_for(lambda: len(inbox.states) == 1, "a state")
    folder.rename(folder.with_name("away"))
    wait_for(lambda: len(inbox.states) == 2, "another state")
    quiet(0.4)
    assert inbox.states[1:] == [f"{folder}: No such file or directory"]  # once
    folder.mkdir()
    drop(folder, "one")
    inbox.wait(1)
    assert inbox.states[2:] == [f"watching {folder}"]


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "spool"):
        with pytest.raises(FlatdexError, match=r"the spool folder .*/file.* can't be used"):
            Spool(path, Seen()).start()
    Spool(tmp_path / "never", Seen()).stop()


_AS_NOBODY = """\
import encodings.utf_8_sig, os, sys, threading
from pathlib import Path
from sync.events.kept.spool import Spool
os.setgroups([])
os.setgid(65534)
os.setuid(65534)  # only now: the interpreter may be where only root reads
class Inbox:
    def offer(self, origin, hint, done):
        print("offer", *sorted(hint.repositories), flush=True)
        done()
    def refused(self, origin, reason, detail=""):
        print("refused", reason, detail, flush=True)
    def state(self, origin, state, up):
        print("state", state, flush=True)
origin = Spool(Path(sys.argv[1]), Inbox())
try:
    origin.start()
except Exception as error:
    sys.exit(str(error))
threading.Event().wait(2)
origin.stop()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of several users")
def test_files_of_others_in_a_folder_for_all(real_tmp: Path) -> None:
    folder = real_tmp / "spool"
    folder.mkdir()
    folder.chmod(0o1777)
    theirs, secret = drop(folder, "theirs"), drop(folder, "secret")
    secret.chmod(0o600)

    def as_nobody(where: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", _AS_NOBODY, str(where)], capture_output=True, text=True)

    said = as_nobody(folder).stdout.splitlines()
    assert said[0] == f"state watching {folder}"
    assert sorted(said[1:]) == [
        "offer apps/hello",
        f"refused not-removable {theirs}: Operation not permitted",
        f"refused unreadable {secret}: Permission denied",
    ]
    closed = real_tmp / "closed"
    closed.mkdir()
    assert f"the spool folder {closed} can't be used: Permission denied" in as_nobody(closed).stderr


def test_nothing_to_do_costs_next_to_nothing(folder: Path, inbox: Seen) -> None:
    for number in range(100):
        drop(folder, f"n{number}")
    inbox.wait(100)
    quiet(0.5)
    before = time.process_time()
    quiet(2)
    assert time.process_time() - before < 0.1
