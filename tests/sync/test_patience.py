"""A push that waits for no slow target for ever: it gives it up, ends what runs for it, and counts the others."""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.store import Store
from sync import notes
from sync.order import late
from sync.outcome import How, Outcome
from sync.push import promoted, push
from sync.settings import Quorum, Settings
from sync.targets import target
from tests.real.process import Service, children_of, is_running, run, wait_for
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd
from tests.sync.site import NEW, OLD, Site, served

Targets = Mapping[str, Mapping[str, Any]]

_HANGING = """\
#!/bin/sh
echo $$ >> "{folder}/calls"
{trap}
while [ -d "{folder}" ]; do sleep 0.1; done
"""


def push_here(
    site: Site,
    targets: Targets,
    patience: Mapping[str, float] | None = None,
    *,
    parallel: int = 8,
    quorum: Quorum | None = None,
) -> dict[str, Outcome]:
    """Pushes without a process of its own, to a store that another writer can have at once afterwards."""
    store = Store(site.store)
    all_targets = tuple(target(name, settings, site.folder) for name, settings in targets.items())
    how = How(thorough=False, patience=patience or {})
    with store.locked("watch"):
        settings = Settings(site.folder, all_targets, parallel, quorum)
        outcomes = push(store, promoted(store), settings, all_targets, how)
    assert run(["flock", "--nonblock", site.store / "lock", "true"], check=False).returncode == 0, "the lock is kept"
    return {outcome.target: outcome for outcome in outcomes}


def hanging(site: Site, name: str = "hanging", trap: str = "") -> dict[str, str]:
    """A target behind an ssh that never says a word."""
    script = site.folder / f"ssh-{name}"
    script.write_text(_HANGING.format(folder=site.folder, trap=trap))
    script.chmod(0o755)
    return {"rsync": f"host:{site.folder / name}", "ssh": f"./{script.name}"}


def calls(site: Site) -> int:
    """How often the silent ssh was started."""
    file = site.folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


@contextmanager
def stopped(server: Service) -> Iterator[None]:
    """Connections are taken, and then nothing is said."""
    assert server.child
    server.child.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.child.signal(signal.SIGCONT)


@contextmanager
def within(least: float, most: float) -> Iterator[None]:
    """What is done inside takes at least and at most so many seconds."""
    started = time.monotonic()
    yield
    assert least <= time.monotonic() - started <= most


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No program outlives its push."""
    before = set(children_of(os.getpid()))
    yield
    wait_for(lambda: set(children_of(os.getpid())) <= before, "programs to end", seconds=5)


def but(targets: Targets, **seconds: float) -> dict[str, float]:
    """Much patience with all but these."""
    return {**dict.fromkeys(targets, 20.0), **seconds}


def given_up(outcome: Outcome, seconds: float) -> bool:
    return outcome.error == f"not done {seconds:g} s after all the others: the next try is given more time"


# Who hangs


def test_a_daemon_that_hangs_is_given_up_and_has_all_at_the_next_push(site: Site) -> None:
    new = site.promote(NEW)
    with Rsyncd(site.folder / "rsyncd", site.folder / "web", munge=False) as daemon:
        targets = {"bad": {"rsync": daemon.url()}, "good": {"rsync": "./good"}}
        with stopped(daemon), within(1, 20):
            outcomes = push_here(site, targets, {"bad": 1, "good": 20})
        assert given_up(outcomes["bad"], 1) and not outcomes["good"].error
        assert served(site.folder / "good") == new
        note = notes.of_target(Store(site.store), "bad")
        assert note.failing and note.error == outcomes["bad"].error
        again = push_here(site, targets, {"bad": 20, "good": 20})
    assert not again["bad"].error and served(site.folder / "web") == new
    assert not notes.of_target(Store(site.store), "bad").failing


def test_an_sshd_that_hangs_is_given_up(site: Site) -> None:
    site.promote(NEW)
    with Sshd(site.folder / "sshd") as sshd:
        bad = {"rsync": f"{sshd.host}:{site.folder / 'web'}", "ssh": sshd.command}
        with stopped(sshd), within(1, 20):
            outcomes = push_here(site, {"bad": bad, "good": {"rsync": "./good"}}, {"bad": 1, "good": 20})
    assert given_up(outcomes["bad"], 1) and not outcomes["good"].error


def test_what_ignores_that_it_is_to_end_is_killed(site: Site) -> None:
    site.promote(NEW)
    with within(0.5, 20):
        outcomes = push_here(site, {"bad": hanging(site, trap="trap '' HUP INT TERM USR1 PIPE")}, {"bad": 0.5})
    assert given_up(outcomes["bad"], 0.5)
    assert calls(site) and not any(is_running(int(pid)) for pid in (site.folder / "calls").read_text().split())


class _Dripping(http.server.BaseHTTPRequestHandler):
    """An answer that never ends, a byte at a time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _ in range(200):
            try:
                self.wfile.write(b" ")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def test_a_url_that_drips_is_left_behind(site: Site) -> None:
    """Readers see the new snapshot already, and that is what is noted."""
    new = site.promote(NEW)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bad = {"rsync": "./bad", "url": f"http://127.0.0.1:{server.server_port}/"}
        with within(1, 20):
            outcomes = push_here(site, {"bad": bad, "good": {"rsync": "./good"}}, {"bad": 1, "good": 20})
        server.shutdown()
    assert given_up(outcomes["bad"], 1) and not outcomes["good"].error
    note = notes.of_target(Store(site.store), "bad")
    assert (note.live, bool(note.failing)) == (new, True)


# What hangs in the kernel can't be killed: a disk that is frozen stands for a mount whose server has gone.
_FROZEN = """
mkdir disk && truncate -s 16M image && mkfs.ext4 -q image && mount -o loop image disk || exit 99
{python} push.py OLD || exit 98
fsfreeze -f disk || exit 99
timeout -s KILL 40 {python} push.py NEW; echo "code $?"
flock --nonblock store/lock true && echo free
ps -o stat= -C rsync | grep -q D && echo hanging
fsfreeze -u disk
{python} push.py NEW
umount disk
"""
_PUSH = """
import os, sys, time
from pathlib import Path
from sync.outcome import How
from tests.sync.site import Site
import tests.sync.site as names
from tests.sync.test_patience import Quorum, Settings, Store, promoted, push, target
site = Site(Path.cwd())
site.promote(getattr(names, sys.argv[1]))
store, started = Store(site.store), time.monotonic()
targets = (target("good", {"rsync": "./good"}, site.folder), target("disk", {"rsync": "./disk"}, site.folder))
with store.locked("watch"):
    how = How(patience={"disk": 3, "good": 20})
    outcomes = push(store, promoted(store), Settings(site.folder, targets), targets, how)
print([outcome.error for outcome in outcomes], time.monotonic() - started < 25, flush=True)
os._exit(0)
"""


def test_what_hangs_in_the_kernel_is_left_behind_and_keeps_no_lock(site: Site) -> None:
    (site.folder / "push.py").write_text(_PUSH)
    root = Path(__file__).parents[2]
    script = _FROZEN.replace("{python}", sys.executable)
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    result = run(words, check=False, cwd=site.folder, env={**os.environ, "PYTHONPATH": str(root), "PATH": path})
    if result.returncode == 99 or "unshare" in result.stderr:
        pytest.skip(f"no disk can be mounted and frozen here: {result.stderr}")  # a kernel may not let us
    late_error = "not done 3 s after all the others: the next try is given more time"
    assert result.stdout.splitlines() == [
        "['', ''] True",
        f"['', '{late_error}'] True",
        "code 0",
        "free",
        "hanging",
        "['', ''] True",
    ], result.stderr


# What was sent is of use


def test_a_push_goes_on_where_one_that_was_given_up_ended(site: Site) -> None:
    new = site.promote(NEW)
    snapshot = site.snapshot(NEW)
    with Sshd(site.folder / "sshd") as sshd:
        slow = {"rsync": f"{sshd.host}:{site.folder / 'web'}", "ssh": sshd.command, "bwlimit": "10k"}
        kept: list[Path] = []
        for seconds in (2, 4, 8, 16):  # until it has begun to send, which may take a moment
            if not kept:
                outcomes = push_here(site, {"slow": slow}, {"slow": seconds})
                assert given_up(outcomes["slow"], seconds) and served(site.folder / "web") is None
                there = [each for each in (site.folder / "web/snapshots" / new).rglob("*") if each.is_file()]
                kept = [each for each in there if not each.name.startswith(".") or each.name == ".htaccess"]
        assert kept, "nothing of it was kept"
        again = push_here(site, {"slow": {**slow, "bwlimit": "100m"}}, {"slow": 60})
    every = [each for each in snapshot.rglob("*") if each.is_file()]
    assert not again["slow"].error and again["slow"].sent <= len(every) - len(kept) + 1 < len(every)


# The order


def test_who_comes_after_one_that_was_given_up_is_barred(site: Site) -> None:
    site.promote(NEW)
    targets: Targets = {
        "staging": hanging(site),
        "east": {"rsync": "./east", "after": ["staging"]},
        "west": {"rsync": "./west"},
    }
    outcomes = push_here(site, targets, but(targets, staging=0.5))
    assert given_up(outcomes["staging"], 0.5) and not outcomes["west"].error
    assert outcomes["east"].error == "not flipped, since staging did not go live" and outcomes["east"].barred
    assert served(site.folder / "east") is None and not outcomes["staging"].barred


def test_a_quorum_that_was_given_up_flips_nobody(site: Site) -> None:
    site.promote(NEW)
    targets = {"bad": hanging(site), "one": {"rsync": "./one"}, "two": {"rsync": "./two"}}
    outcomes = push_here(site, targets, but(targets, bad=0.5), quorum=Quorum(frozenset(targets)))
    assert given_up(outcomes["bad"], 0.5) and outcomes["one"].barred and outcomes["two"].barred
    assert "bad can't flip together with it" in outcomes["one"].error
    assert [served(site.folder / name) for name in ("one", "two")] == [None, None]
    assert not push_here(site, targets, but(targets, bad=0.5))["one"].error


def test_who_is_given_up_makes_room_for_those_that_wait(site: Site) -> None:
    new = site.promote(NEW)
    targets = {"bad": hanging(site, "bad"), "worse": hanging(site, "worse"), "good": {"rsync": "./good"}}
    with within(1, 20):
        outcomes = push_here(site, targets, but(targets, bad=0.5, worse=0.5), parallel=1)
    assert [bool(each.error) for each in outcomes.values()] == [True, True, False]
    assert served(site.folder / "good") == new


def test_one_that_failed_the_last_time_holds_up_nobody(site: Site) -> None:
    site.promote(OLD)
    targets = {"bad": hanging(site), "good": {"rsync": "./good"}}
    push_here(site, targets, but(targets, bad=0.3))
    new = site.promote(NEW)
    pushing = threading.Thread(target=push_here, args=(site, targets, but(targets, bad=8)))
    pushing.start()
    wait_for(lambda: served(site.folder / "good") == new, "the good one", seconds=7)
    assert pushing.is_alive()
    pushing.join(30)


def test_one_without_patience_is_left_out_and_counts_as_failed(site: Site) -> None:
    old = site.promote(OLD)
    targets: Targets = {
        "bad": hanging(site),
        "good": {"rsync": "./good"},
        "after": {"rsync": "./after", "after": ["bad"]},
    }
    push_here(site, targets, but(targets, bad=0.3))
    before, called = notes.of_target(Store(site.store), "bad"), calls(site)
    site.promote(NEW)
    with within(0, 20):
        outcomes = push_here(site, targets, but(targets, bad=0))
    assert outcomes["bad"].left_out and outcomes["bad"].error == f"left out for now, since it failed: {before.error}"
    assert outcomes["after"].barred and served(site.folder / "after") is None
    assert not outcomes["good"].error and outcomes["good"].before == old
    assert calls(site) == called and notes.of_target(Store(site.store), "bad") == before


def test_one_that_is_not_named_has_no_limit(site: Site) -> None:
    site.promote(NEW)
    script = site.folder / "slow-ssh"
    script.write_text('#!/bin/sh\nshift\nsleep 0.7\neval "exec $*"\n')
    script.chmod(0o755)
    slow = {"rsync": f"host:{site.folder / 'web'}", "ssh": "./slow-ssh"}
    assert not push_here(site, {"slow": slow, "good": {"rsync": "./good"}}, {"good": 0.2})["slow"].error


NAMES = st.sampled_from("abcdef")


@given(st.sets(NAMES), st.dictionaries(NAMES, st.floats(0, 100)), st.floats(0, 100), st.floats(0, 100))
def test_who_is_late(working: set[str], patience: dict[str, float], quiet: float, more: float) -> None:
    found = late(working, quiet, patience)
    assert found <= working & patience.keys()
    assert all((quiet < patience[name]) == (name not in found) for name in working & patience.keys())
    assert found <= late(working, quiet + more, patience), "who is late stays late"
