"""Hints outlive what keeps them: a kill at any point, damage, floods, threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sync.events.kept import journal
from sync.events.kept.journal import Journal
from sync.events.model import Hint

APPS = Hint(frozenset({"apps/hello", "apps/other"}), frozenset({"last"}), about="push")
ALL = Hint(everything=True, about="tag")

_KEEPS = """\
import sys
from pathlib import Path
from sync.events.kept.journal import Journal
from sync.events.model import Hint
journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    journal.keep(Hint(frozenset({f"apps/n{number}"})))
    print(number, flush=True)
"""


def test_what_is_kept_is_there_in_the_next_run_in_its_order_until_it_is_dropped(tmp_path: Path) -> None:
    first = Journal(tmp_path / "store" / "events")
    paths = [first.keep(hint) for hint in (APPS, ALL, APPS)]
    assert len(set(paths)) == 3
    assert first.hints() == []  # they are this run's own business
    second = Journal(first.folder)
    assert second.hints() == list(zip(paths, (APPS, ALL, APPS), strict=True))
    second.drop(paths[0])
    second.drop(paths[0])
    assert Journal(first.folder).hints() == [(paths[1], ALL), (paths[2], APPS)]
    own = second.keep(ALL)
    assert [path for path, _ in Journal(first.folder).hints()] == [*paths[1:], own]


def test_no_two_have_one_name_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    journals = [Journal(tmp_path), Journal(tmp_path)]
    assert len({each.keep(APPS) for each in journals for _ in range(3)}) == 6
    assert len(list(tmp_path.iterdir())) == 6


def test_the_folder_is_made_when_it_is_needed_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "store" / "events")
    assert kept.hints() == [] and not (tmp_path / "store").exists()
    path = kept.keep(APPS)
    modes = [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o755]
    path.unlink()
    path.parent.rmdir()
    assert kept.keep(APPS).is_file()  # also if somebody has removed it meanwhile


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"repositories": 1}', b"[" * 100_000, b"\xff", b"x" * 70_000])
def test_what_was_damaged_stands_for_everything(tmp_path: Path, data: bytes) -> None:
    path = Journal(tmp_path).keep(APPS)
    path.write_bytes(data)
    told: list[str] = []
    kept = Journal(tmp_path)
    ((found, hint),) = kept.hints(told.append)
    assert (found, hint.everything, hint.repositories) == (path, True, frozenset())
    assert len(told) == 1 and str(path) in told[0]
    kept.drop(found)
    assert list(tmp_path.iterdir()) == []


def test_what_a_cut_off_write_has_left_is_removed_but_nothing_of_others(tmp_path: Path) -> None:
    path = Journal(tmp_path).keep(APPS)
    left = path.rename(path.with_name(f".{path.name}.new"))
    (tmp_path / ".everything.json.new").touch()
    (tmp_path / "README").touch()
    running = Journal(tmp_path)
    own = tmp_path / f".{running.keep(APPS).name}.new"
    own.touch()  # as if another thread were writing it
    assert running.hints() == []
    assert not left.exists() and not (tmp_path / ".everything.json.new").exists()
    assert own.exists() and (tmp_path / "README").exists()


def test_a_pipe_is_not_waited_for_and_a_folder_not_removed(tmp_path: Path) -> None:
    path = Journal(tmp_path).keep(APPS)
    path.unlink()
    os.mkfifo(path)
    folder = Journal(tmp_path).keep(APPS)
    folder.unlink()
    folder.mkdir()
    kept = Journal(tmp_path)
    found = kept.hints()
    assert [hint.everything for _, hint in found] == [True, True]
    for each, _ in found:
        kept.drop(each)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_flood_becomes_one_hint_which_stays_until_all_of_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST", 3)
    kept = Journal(tmp_path)
    paths = [kept.keep(APPS) for _ in range(3)]
    beyond = [kept.keep(APPS) for _ in range(5)]
    assert len(set(beyond)) == 5
    assert len(list(tmp_path.iterdir())) == 4
    later = Journal(tmp_path)
    assert [hint.everything for _, hint in later.hints()] == [False, False, False, True]
    for path in beyond[:4]:
        kept.drop(path)
        kept.drop(path)
    assert len(list(tmp_path.iterdir())) == 4
    kept.drop(beyond[4])
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    kept.drop(paths[0])
    assert kept.keep(APPS).is_file()  # there is room again


def test_a_flood_after_a_restart_does_not_take_the_earlier_one_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST", 0)
    Journal(tmp_path).keep(APPS)
    kept = Journal(tmp_path)
    kept.drop(kept.keep(APPS))  # before anybody has asked what was left
    ((path, hint),) = kept.hints()
    assert hint.everything and path.is_file()
    kept.drop(path)
    assert Journal(tmp_path).hints() == []


def test_a_hint_that_names_too_much_becomes_everything(tmp_path: Path) -> None:
    names = frozenset(f"apps/{'n' * 100}{number}" for number in range(1000))
    path = Journal(tmp_path).keep(Hint(names, about="x" * 100_000))
    assert path.stat().st_size < 1000
    ((_, hint),) = Journal(tmp_path).hints()
    assert hint.everything and not hint.repositories


def test_threads_keep_and_drop_at_once(tmp_path: Path) -> None:
    kept = Journal(tmp_path)
    left: list[Path] = []

    def work() -> None:
        for number in range(30):
            path = kept.keep(APPS)
            if number % 2:
                kept.drop(path)
            else:
                left.append(path)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left) == len(set(left)) == 120
    assert sorted(path for path, _ in Journal(tmp_path).hints()) == sorted(left)


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.02])
def test_a_kill_loses_nothing_that_was_promised(tmp_path: Path, seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", _KEEPS, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        threading.Event().wait(seconds)
        process.send_signal(signal.SIGKILL)
        promised = process.stdout.read().count(b"\n") + 1
    found = Journal(tmp_path).hints(pytest.fail)
    numbers = [int(next(iter(hint.repositories)).removeprefix("apps/n")) for _, hint in found]
    assert numbers == list(range(len(numbers))) and promised <= len(numbers) <= promised + 1
    assert len(list(tmp_path.iterdir())) == len(found)  # nothing unfinished is left


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST", 1)
    kept = Journal(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        for _ in range(2):  # what failed takes no room
            with pytest.raises(OSError, match="No space"):
                kept.keep(APPS)
    assert list(tmp_path.iterdir()) == []
    assert kept.keep(APPS).is_file()
