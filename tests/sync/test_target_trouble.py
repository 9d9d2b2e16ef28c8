"""Trouble with targets: one that hangs, breaks off, is far behind, is full, is another's; and two pushes at a time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.real.process import Service, free_port, located, require, run, wait_for
from tests.real.rclone import Webdav
from tests.real.rsyncd import Rsyncd
from tests.sync.command import FLATDEX
from tests.sync.site import (
    DONE,
    FAILED,
    LOCKED,
    MIDDLE,
    NEW,
    OLD,
    PARTLY,
    Result,
    Site,
    new_version,
    one_line,
    served,
    tree,
    with_images,
)

# In ssh's place: runs the command here. What matches `held` waits for the file `go`; what matches `failing` does what
# `failure` says, as often as the file `failures` has lines.
_SSH = """\
#!/bin/sh
shift
printf '%s\\n' "$*" >> "{folder}/calls"
case "$* " in
*{held}*) touch "{folder}/held"; while [ -d "{folder}" ] && [ ! -e "{folder}/go" ]; do sleep 0.02; done ;;
*{failing}*) if [ -s "{folder}/failures" ]; then sed -i 1d "{folder}/failures"; {failure}; fi ;;
esac
eval "exec $*"
"""
COPY, FLIP = "/{}/snapshots/", "/{}/' '"
RESET = "echo 'Connection reset by peer' >&2; exit 255"
CUT = 'exec 3<&0; (eval "exec $*") <&3 & sleep 0.5; kill -9 $!; exit 255'


@dataclass(frozen=True)
class Ssh:
    """The scripted ssh, and targets behind it."""

    site: Site

    def target(self, name: str) -> dict[str, str]:
        return {"rsync": f"host:{self.site.folder / name}", "ssh": "./ssh"}

    def let(self, held: str = "nothing", failing: str = "nothing", failure: str = RESET, times: int = 0) -> None:
        """What to hold up, and what is to fail so many times, from now on; the list of calls starts anew."""
        folder = self.site.folder
        for name in ("calls", "go", "held"):
            (folder / name).unlink(missing_ok=True)
        (folder / "failures").write_text("x\n" * times)
        (folder / "ssh").write_text(_SSH.format(folder=folder, held=held, failing=failing, failure=failure))
        (folder / "ssh").chmod(0o755)

    def calls(self, part: str) -> int:
        """How many commands had this part."""
        return sum(part in line for line in (self.site.folder / "calls").read_text().splitlines())

    def go(self) -> None:
        (self.site.folder / "go").touch()

    def wait_until_held(self) -> None:
        wait_for(lambda: (self.site.folder / "held").exists(), "the transfer")


@pytest.fixture
def ssh(site: Site) -> Ssh:
    """Targets "one" and "two" behind a scripted ssh, and a snapshot that is promoted."""
    script = Ssh(site)
    site.configure({"one": script.target("one"), "two": script.target("two")})
    script.let()
    site.promote(OLD)
    return script


def shown(site: Site, *names: str) -> list[str | None]:
    """What targets in folders of these names show."""
    return [served(site.folder / name) for name in names]


def row(site: Site, name: str, code: int) -> dict[str, Any]:
    """What status tells of a target."""
    [found] = [each for each in site.json("status", code=code)["targets"] if each["target"] == name]
    assert isinstance(found, dict)
    return found


def more_config(site: Site, text: str) -> None:
    file = site.folder / "flatdex.yaml"
    file.write_text(file.read_text() + text)


# One that hangs, or does not answer.


@contextmanager
def stopped(server: Service) -> Iterator[None]:
    """A server that takes connections, and then says nothing."""
    assert server.child
    server.child.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.child.signal(signal.SIGCONT)


def test_a_daemon_that_hangs_is_told_and_holds_up_nobody(site: Site) -> None:
    with Rsyncd(site.folder / "rsyncd", site.folder / "web", munge=False) as daemon:
        site.configure({"bad": {"rsync": daemon.url(), "timeout": "1s"}, "good": {"rsync": "./good"}})
        site.promote(NEW)
        with stopped(daemon), background(site, "push") as process:
            wait_for(lambda: shown(site, "good") == [site.current], "the good one", seconds=15)
            assert process.poll() is None, "the bad one is still tried"
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (PARTLY, f"good: has {site.current}\n")
        line = one_line(err)
        assert line.startswith("bad: failed: rsync: ") and re.search("time|too long|did not answer", line)
        site.flatdex("push", code=DONE)
    assert shown(site, "web") == [site.current]


def test_an_ssh_that_hangs_is_told_and_holds_up_nobody(ssh: Ssh) -> None:
    site = ssh.site
    site.configure({"one": {**ssh.target("one"), "timeout": "1s"}, "two": {"rsync": "./two"}})
    ssh.let(held="/one/")
    with background(site, "push") as process:
        wait_for(lambda: shown(site, "two") == [site.current], "the good one", seconds=15)
        assert process.poll() is None
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (PARTLY, f"two: has {site.current}\n")
        assert one_line(err).startswith("one: failed: rsync: nothing came for too long")
        assert not is_locked(site), "nobody is left who holds the lock"


def test_a_storage_that_hangs_is_told_soon(site: Site) -> None:
    with Webdav(site.folder / "dav", site.folder / "bucket") as dav:
        site.configure({"bad": {"rclone": dav.remote, "timeout": "1s"}})
        site.promote(NEW)
        started = time.monotonic()
        with stopped(dav):
            line = site.flatdex("push", code=PARTLY, timeout=100).stderr.splitlines()[-1]
    assert line.startswith("bad: failed: rclone: ") and "time" in line.lower()
    assert time.monotonic() - started < 20


def test_a_storage_that_refuses_is_told_soon(site: Site) -> None:
    require("rclone")
    site.configure({"bad": {"rclone": f":webdav,url='http://127.0.0.1:{free_port()}/':"}, "good": {"rsync": "./good"}})
    site.promote(NEW)
    started = time.monotonic()
    result = site.flatdex("push", code=PARTLY, timeout=100)
    assert time.monotonic() - started < 30
    assert one_line(result.stderr).startswith("bad: failed: rclone: ") and "connection refused" in result.stderr
    assert result.stdout == f"good: has {site.current}\n"


# One that breaks off, and comes back.


@pytest.mark.parametrize("failing", ["/current/", COPY, FLIP], ids=["look", "copy", "flip"])
@pytest.mark.parametrize("times", [1, 2])
def test_what_breaks_off_is_tried_again_in_the_same_run(ssh: Ssh, failing: str, times: int) -> None:
    site = ssh.site
    site.flatdex("push", code=DONE)
    new = site.promote(NEW)
    ssh.let(failing=failing.format("one") if "{" in failing else f"/one{failing}", times=times)
    result = site.flatdex("-v", "push", "one", code=DONE)
    assert result.stdout == f"one: has {new}\n"
    assert result.stderr.count("one: rsync: ") == times and result.stderr.count("trying again") == times
    assert shown(site, "one") == [new] and row(site, "one", PARTLY)["last_error"] == ""
    assert tree(site.folder / "one" / "snapshots" / new) == tree(site.snapshot(NEW))


def test_a_copy_that_is_cut_in_the_middle_is_completed(ssh: Ssh) -> None:
    site = ssh.site
    site.configure({"one": {**ssh.target("one"), "bwlimit": "500k"}})  # or it would be done too soon
    ssh.let(failing=COPY.format("one"), failure=CUT, times=1)
    result = site.flatdex("-v", "push", code=DONE)
    assert "trying again" in result.stderr and ssh.calls(COPY.format("one")) == 2
    assert tree(site.folder / "one" / "snapshots" / str(site.current)) == tree(site.snapshot(OLD))


def test_one_that_is_tried_again_holds_up_nobody(ssh: Ssh) -> None:
    """The others flip meanwhile."""
    site = ssh.site
    ssh.let(failing=COPY.format("one"), times=3)
    with background(site, "push") as process:
        wait_for(lambda: shown(site, "two") == [site.current], "the good one", seconds=15)
        assert process.poll() is None
        _, err = process.communicate(timeout=30)
    assert process.returncode == PARTLY and "Connection reset by peer" in one_line(err)
    assert ssh.calls(COPY.format("one")) == 3, "three tries, not more"
    ssh.let()
    site.flatdex("push", code=DONE)


@pytest.mark.parametrize(
    "said",
    [
        "user@host: Permission denied (publickey).",
        "Host key verification failed.",
        "rsync: write failed: No space left on device (28)",
        "bash: line 1: rsync: command not found",
        "ssh: Could not resolve hostname nowhere: Name or service not known",
    ],
)
def test_what_will_not_get_better_is_not_tried_again(ssh: Ssh, said: str) -> None:
    site = ssh.site
    ssh.let(failing="/one/", failure=f"echo '{said}' >&2; exit 255", times=9)
    started = time.monotonic()
    line = one_line(site.flatdex("push", "one", code=PARTLY).stderr)
    assert said.strip(".") in line and ssh.calls("/one/") == 1
    assert time.monotonic() - started < 5


# How much at once.


def recorded(site: Site, program: str, before: str = "", after: str = "") -> dict[str, str]:
    """A PATH on which a program first notes its arguments in `calls`, and does more before and after its work."""
    folder = site.folder / "bin"
    folder.mkdir(exist_ok=True)
    real = f'{located(program)} "$@"'
    text = f'#!/bin/sh\necho "$*" >> "{site.folder}/calls"\n{before}\n{real}\ncode=$?\n{after}\nexit $code\n'
    (folder / program).write_text(text)
    (folder / program).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def noted(site: Site) -> list[str]:
    return (site.folder / "calls").read_text().splitlines()


def test_limits_reach_rsync(site: Site) -> None:
    site.configure({"web": {"rsync": "./web", "bwlimit": "40m", "timeout": "7s"}, "free": {"rsync": "./free"}})
    site.promote(NEW)
    site.flatdex("push", code=DONE, env=recorded(site, "rsync"))
    limited = [call.split() for call in noted(site) if f"{site.folder}/web/" in call]
    assert limited and all({"--bwlimit=40m", "--timeout=7"} <= set(words) for words in limited)
    free = [call.split() for call in noted(site) if f"{site.folder}/free/" in call]
    assert free and not any("bwlimit" in word for words in free for word in words)
    assert all("--timeout=60" in words for words in free)


def test_limits_reach_rclone(site: Site) -> None:
    with Webdav(site.folder / "dav", site.folder / "bucket") as dav:
        site.configure({"web": {"rclone": dav.remote, "bwlimit": "40m", "timeout": "7s"}})
        site.promote(NEW)
        site.flatdex("push", code=DONE, env=recorded(site, "rclone"))
    assert all({"--bwlimit=40m", "--timeout=7s"} <= set(call.split()) for call in noted(site))


def test_a_bandwidth_limit_is_kept(site: Site) -> None:
    """Whatever the real rsync's bursts are, it can't be done in a third of the time."""
    site.configure({"web": {"rsync": "./web", "bwlimit": "500k"}})
    site.promote(NEW)
    size = sum(entry.stat().st_size for entry in site.snapshot(NEW).rglob("*") if entry.is_file())
    started = time.monotonic()
    site.flatdex("push", code=DONE)
    assert time.monotonic() - started > size / 500_000 / 3


def test_twenty_targets_three_at_a_time(site: Site) -> None:
    names = [f"t{number}" for number in range(20)]
    site.configure({name: {"rsync": f"./targets/{name}"} for name in names})
    more_config(site, "parallel: 3\n")
    site.promote(NEW)
    running = site.folder / "running"
    running.mkdir()
    mine = f'"{running}/$$"'
    before = f'mkdir {mine}; ls "{running}" | wc -l >> "{site.folder}/counts"; sleep 0.05'
    result = site.flatdex("push", code=DONE, env=recorded(site, "rsync", before, f"rmdir {mine}"))
    assert result.stdout == "".join(f"{name}: has {site.current}\n" for name in names), "in the configuration's order"
    assert {served(site.folder / "targets" / name) for name in names} == {site.current}
    assert max(map(int, (site.folder / "counts").read_text().split())) == 3


# Two at a time.


@contextmanager
def background(site: Site, *args: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command, while the test goes on. Afterwards nothing of it is left."""
    with subprocess.Popen(
        [FLATDEX, *args],
        cwd=site.folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            (site.folder / "go").touch()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=20)
            process.kill()


def is_locked(site: Site) -> bool:
    return subprocess.run(["flock", "--nonblock", site.store / "lock", "true"], check=False).returncode != 0


def finished(process: subprocess.Popen[str], code: int = DONE) -> tuple[str, str]:
    out, err = process.communicate(timeout=20)
    assert process.returncode == code, (out, err)
    return out, err


def test_a_push_that_comes_in_between_is_done_by_the_one_that_runs(ssh: Ssh) -> None:
    site = ssh.site
    ssh.let(held=COPY.format("one"))
    with background(site, "push", "one") as first:
        ssh.wait_until_held()
        refused = site.flatdex("push", "two", code=LOCKED)
        told, more = refused.stderr.splitlines()
        assert re.fullmatch(
            rf"flatdex: {site.store} is being written to by `flatdex push` \(process {first.pid}\)"
            r" since [0-9-]{10} [0-9:]{8} UTC",
            told,
        )
        assert more.strip() == "Word was left: it will push once more before it is done, or else the next one will."
        assert refused.stdout == "" and shown(site, "one", "two") == [None, None]
        ssh.go()
        out, err = finished(first)
    assert (out, err) == (f"one: has {site.current}\ntwo: has {site.current}\n", "")
    assert shown(site, "one", "two") == [site.current] * 2
    assert not list((site.store / "wanted").glob("*")), "nothing is left to be done"


def test_what_comes_in_between_fails_in_the_one_that_runs(ssh: Ssh) -> None:
    site = ssh.site
    ssh.let(held=COPY.format("one"), failing="/two/", failure="echo 'Permission denied' >&2; exit 255", times=9)
    with background(site, "push", "one") as first:
        ssh.wait_until_held()
        site.flatdex("push", "two", code=LOCKED)
        ssh.go()
        out, err = finished(first, PARTLY)
    assert out == f"one: has {site.current}\n" and one_line(err).startswith("two: failed: ")


def test_many_that_come_in_between_are_one(ssh: Ssh) -> None:
    site = ssh.site
    ssh.let(held=COPY.format("one"))
    with background(site, "push", "one") as first:
        ssh.wait_until_held()
        for _ in range(3):
            site.flatdex("push", code=LOCKED)
        site.flatdex("push", "two", code=LOCKED)
        ssh.go()
        out, _ = finished(first)
    assert out.splitlines() == [
        f"one: has {site.current}",
        f"one: already has {site.current}",
        f"two: has {site.current}",
    ]


def test_force_is_not_lent_to_what_comes_in_between(ssh: Ssh) -> None:
    """A target that is somebody else's is not overwritten since somebody forced another one."""
    site = ssh.site
    foreign = another_store(site, url="http://127.0.0.1:9/")
    foreign.flatdex("push", code=DONE)
    before = shown(site, "two")
    site.configure({"one": ssh.target("one"), "two": ssh.target("two")})
    ssh.let(held=COPY.format("one"))
    with background(site, "push", "--force", "one") as first:
        ssh.wait_until_held()
        site.flatdex("push", "two", code=LOCKED)
        ssh.go()
        out, err = finished(first, PARTLY)
    assert out == f"one: has {site.current}\n" and "it shows another remote" in one_line(err)
    assert shown(site, "two") == before


def publishing(site: Site) -> tuple[Site, Ssh]:
    """A site with images that was published once."""
    (site.folder / "other").mkdir()
    images = with_images(site.folder / "other")
    script = Ssh(images)
    images.configure({"one": script.target("one"), "two": script.target("two")})
    script.let()
    images.flatdex("publish", code=DONE)
    return images, script


def test_a_publish_that_comes_in_between_is_done_by_the_one_that_runs(real_tmp: Path) -> None:
    images, script = publishing(Site(real_tmp))
    new_version(images, "2.0")
    script.let(held=COPY.format("one"))
    with background(images, "publish") as first:
        script.wait_until_held()
        second = images.current
        new_version(images, "3.0")
        refused = images.flatdex("publish", code=LOCKED)
        assert f"`flatdex publish` (process {first.pid}) since 2" in refused.stderr
        assert (
            "Word was left: it will publish once more before it is done, or else the next one will." in refused.stderr
        )
        assert images.current == second
        script.go()
        finished(first)
    assert len(images.ids) == 3 and images.current == images.ids[-1] != second
    assert shown(images, "one", "two") == [images.current] * 2


def test_a_whole_publish_that_meets_a_partial_one_reaches_all_targets(real_tmp: Path) -> None:
    """Cron's, while somebody tries a new version on one target."""
    images, script = publishing(Site(real_tmp))
    new_version(images, "2.0")
    script.let(held=COPY.format("one"))
    with background(images, "publish", "--only", "one") as first:
        script.wait_until_held()
        refused = images.flatdex("publish", code=LOCKED)
        promised = "Word was left" in refused.stderr
        script.go()
        finished(first)
    assert shown(images, "one") == [images.current]
    assert not promised or shown(images, "two") == [images.current]


def test_a_push_that_comes_in_during_a_publish_is_done_by_that(real_tmp: Path) -> None:
    images, script = publishing(Site(real_tmp))
    new_version(images, "2.0")
    script.let(held=COPY.format("one"))
    with background(images, "publish", "--only", "one") as first:
        script.wait_until_held()
        assert "Word was left: it will push once more" in images.flatdex("push", "two", code=LOCKED).stderr
        script.go()
        finished(first)
    assert shown(images, "one", "two") == [images.current] * 2


def test_a_publish_that_comes_in_during_a_push_is_not_promised(ssh: Ssh) -> None:
    """A push does not build."""
    ssh.let(held=COPY.format("one"))
    with background(ssh.site, "push", "one"):
        ssh.wait_until_held()
        refused = ssh.site.flatdex("publish", code=LOCKED)
    assert "was told" not in refused.stderr and "--wait SECONDS" in refused.stderr


def test_one_that_may_wait_waits(ssh: Ssh) -> None:
    site = ssh.site
    ssh.let(held=COPY.format("one"))
    with background(site, "push", "one") as first:
        ssh.wait_until_held()
        with background(site, "push", "--wait", "30", "two") as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.7)
            ssh.go()
            assert finished(first)[0] == f"one: has {site.current}\n"
            assert finished(second) == (f"two: has {site.current}\n", "")


def test_one_that_has_waited_long_enough_says_so(ssh: Ssh) -> None:
    ssh.let(held=COPY.format("one"))
    with background(ssh.site, "push", "one"):
        ssh.wait_until_held()
        started = time.monotonic()
        ssh.site.flatdex("promote", "--wait", "0.5", code=LOCKED)
        assert 0.5 <= time.monotonic() - started < 5


def test_an_orphaned_transfer_is_told_and_nothing_is_promised(ssh: Ssh) -> None:
    site = ssh.site
    ssh.let(held=COPY.format("one"))
    with background(site, "push", "one") as first:
        ssh.wait_until_held()
        first.kill()
        first.wait(10)
        refused = site.flatdex("push", "two", code=LOCKED)
        assert f"by what `flatdex push` (process {first.pid}) since 2" in refused.stderr
        assert "has left running" in refused.stderr
        assert "was told" not in refused.stderr and "--wait" in refused.stderr
        with background(site, "push", "--wait", "20") as second:
            time.sleep(0.3)
            assert second.poll() is None
            ssh.go()
            finished(second)
    assert shown(site, "one", "two") == [site.current] * 2


# Behind, damaged.


def test_a_target_that_missed_several_gets_the_last_by_one_push(ssh: Ssh) -> None:
    site = ssh.site
    site.flatdex("push", code=DONE)
    ssh.let(failing="/one/", failure="echo 'Permission denied' >&2; exit 255", times=99)
    for start in (MIDDLE, NEW):
        site.flatdex("promote", start, code=DONE)
        site.flatdex("push", code=PARTLY)
    ssh.let()
    behind = row(site, "one", PARTLY)
    assert behind["behind"] == 2 and "Permission denied" in behind["last_error"]
    result = site.flatdex("push", code=DONE)
    assert result.stdout == f"one: has {site.current}\ntwo: already has {site.current}\n"
    assert shown(site, "one") == [site.current]
    root = site.folder / "one" / "snapshots"
    assert sorted(path.name for path in root.iterdir()) == [site.ids[0], site.ids[2]]
    assert tree(root / site.ids[2]) == tree(site.snapshot(NEW))


def test_damage_that_size_and_date_do_not_show_is_mended_also_in_a_hurry_once_a_day(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    site.promote(NEW)
    site.flatdex("push", code=DONE)
    file = next(path for path in (site.folder / "web" / "current").resolve().rglob("*") if path.name == "latest.json")
    state, good = file.stat(), file.read_bytes()
    file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert site.flatdex("push", "--quick", code=DONE).stdout == f"web: already has {site.current}\n"
    assert file.read_bytes() != good, "--quick trusts the description"
    note = site.store / "targets" / "web.json"
    known = json.loads(note.read_bytes())
    note.write_text(json.dumps({**known, "checked": "2024-01-01T00:00:00Z"}))
    assert site.flatdex("push", "--quick", code=DONE).stdout == f"web: has {site.current} (mended, 1 file sent)\n"
    assert file.read_bytes() == good and file.stat().st_mtime_ns == state.st_mtime_ns
    assert json.loads(note.read_bytes())["checked"] > "2025"


# What status knows.


def test_status_tells_since_when_and_why(ssh: Ssh) -> None:
    site = ssh.site
    site.flatdex("promote", OLD, code=DONE)
    old = site.current
    site.flatdex("push", code=DONE)
    good = row(site, "one", DONE)
    assert (good["live"], good["up_to_date"], good["behind"], good["behind_since"]) == (old, True, None, None)
    assert (good["last_error"], good["failing_since"]) == ("", None) and good["since"]
    promoted = site.json("promote", NEW)
    assert promoted["changed"]
    ssh.let(failing=COPY.format("one"), failure="echo 'Permission denied' >&2; exit 255", times=99)
    site.flatdex("push", code=PARTLY)
    first = row(site, "one", PARTLY)
    assert (first["live"], first["up_to_date"], first["behind"]) == (old, False, 2)
    assert first["behind_since"] == next(each["promoted"] for each in site.json("list") if each["current"])
    assert "Permission denied" in first["last_error"] and first["failing_since"] and first["since"] == good["since"]
    time.sleep(1.1)
    site.flatdex("push", code=PARTLY)
    assert row(site, "one", PARTLY)["failing_since"] == first["failing_since"], "since the first time, not the last"
    said = site.flatdex("status", code=PARTLY).stdout
    [line] = [line for line in said.splitlines() if line.startswith("target   one: ")]
    assert f"{old}, 2 behind since {first['behind_since']}" in line
    assert f"failing since {first['failing_since']}: rsync: " in line and "Permission denied" in line
    ssh.let()
    site.flatdex("push", code=DONE)
    mended = row(site, "one", DONE)
    assert (mended["last_error"], mended["failing_since"], mended["behind"]) == ("", None, None)


def test_status_fails_when_something_is_too_old(images: Site) -> None:
    script = Ssh(images)
    images.configure({"one": script.target("one")})
    script.let()
    images.flatdex("publish", code=DONE)
    for age in ("2h", "1d"):
        assert images.json("status", "--max-age", age)["too_old"] == []
    time.sleep(2.1)
    old = images.flatdex("status", "--max-age", "1s", code=FAILED)
    assert old.stderr.startswith("too old: the last build was done 2")
    new_version(images, "2.0")
    script.let(failing=COPY.format("one"), failure="echo 'Permission denied' >&2; exit 255", times=99)
    images.flatdex("publish", code=PARTLY)
    images.flatdex("status", code=PARTLY)
    images.flatdex("status", "--max-age", "2h", code=DONE)
    time.sleep(2.1)
    images.flatdex("build", code=DONE)
    found = images.json("status", "--max-age", "1s", code=FAILED)
    assert len(found["too_old"]) == 1 and found["too_old"][0].startswith("one is behind since 2")
    script.let()
    images.flatdex("push", code=DONE)
    images.flatdex("build", code=DONE)
    assert images.json("status", "--max-age", "2s")["too_old"] == []


@pytest.mark.parametrize("age", ["", "2", "h", "2 h", "-1h", "2h30m", "1.5h"])
def test_an_age_that_is_none(site: Site, age: str) -> None:
    assert site.flatdex("status", f"--max-age={age}", code=2).stdout == ""


# Another's.


def another_store(site: Site, url: str = "http://127.0.0.1:8080/") -> Site:
    """A second store, with one snapshot more, which pushes to the same targets, by their folders."""
    (site.folder / "other").mkdir()
    other = with_images(site.folder / "other")
    run(["cp", "-a", site.store, other.store])
    other.configure({name: {"rsync": f"../{name}"} for name in ("one", "two")})
    file = other.folder / "flatdex.yaml"
    file.write_text(file.read_text().replace("http://127.0.0.1:8080/", url))
    other.flatdex("build", "--allow-shrink", code=DONE)
    other.flatdex("promote", code=DONE)
    return other


def test_what_this_store_does_not_know_is_not_overwritten(ssh: Ssh) -> None:
    site = ssh.site
    site.flatdex("push", code=DONE)
    other = another_store(site)
    other.flatdex("push", code=DONE)
    theirs = other.current
    assert shown(site, "one", "two") == [theirs] * 2 and theirs not in site.ids
    site.promote(NEW)
    result = site.flatdex("push", "one", code=PARTLY)
    line = one_line(result.stderr)
    assert f"it shows {theirs}, version 4, which this store does not know" in line
    assert "flatdex adopt" in line and "flatdex push --force" in line
    assert shown(site, "one") == [theirs]
    behind = row(site, "one", PARTLY)
    assert (behind["live"], behind["up_to_date"]) == (theirs, False)
    site.flatdex("push", "--force", "one", code=DONE)
    assert shown(site, "one", "two") == [site.current, theirs]


def test_another_remotes_site_is_not_overwritten(ssh: Ssh) -> None:
    site = ssh.site
    other = another_store(site, url="http://127.0.0.1:9/")
    other.flatdex("push", code=DONE)
    theirs = other.current
    site.promote(NEW)
    line = one_line(site.flatdex("push", "one", code=PARTLY).stderr)
    assert "it shows another remote, http://127.0.0.1:9/" in line and "flatdex push --force" in line
    assert shown(site, "one") == [theirs]
    site.flatdex("push", "--force", "one", code=DONE)
    assert shown(site, "one", "two") == [site.current, theirs]


# Disks that fail, or are full.


def traced(site: Site, call: str, *args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, for which a system call fails with an input/output error; with a `path` the call for that."""
    require("strace")
    inject = f"inject={call}:error=EIO:when=1+"
    only = ["-P", str(path)] if path else []
    words = ["strace", "-f", "-qq", "-o", "/dev/null", *only, "-e", f"trace={call}", "-e", inject, str(FLATDEX), *args]
    return run(words, check=False, cwd=site.folder)


def test_a_disk_that_fails_is_told_by_promote_and_nothing_changes(site: Site) -> None:
    site.flatdex("promote", OLD, code=DONE)
    old = site.current
    result = traced(site, "syncfs", "promote")
    assert (result.returncode, result.stdout) == (FAILED, "")
    first, *more = result.stderr.splitlines()
    assert f"{site.store} could not be written durably" in first and "Input/output error" in first
    assert all(line.startswith("  ") for line in more)
    assert site.current == old
    site.flatdex("promote", code=DONE)
    assert site.current == site.snapshot(NEW).name


@pytest.mark.parametrize("flipped", [False, True], ids=["before the flip", "after the flip"])
def test_a_target_folder_whose_disk_fails_is_told(site: Site, flipped: bool) -> None:
    site.configure({"web": {"rsync": "./web"}})
    old = site.promote(OLD)
    site.flatdex("push", code=DONE)
    new = site.promote(NEW)
    site.flatdex("push", "--quick", code=DONE)  # so that the log has told of the promotion
    site.promote(OLD)
    site.flatdex("push", code=DONE)
    site.promote(NEW)
    inside = "." if flipped else f"snapshots/{new}"
    result = traced(site, "syncfs", "push", path=site.folder.resolve() / "web" / inside)
    assert result.returncode == PARTLY, result
    failed = [line for line in result.stderr.splitlines() if line.startswith("web: failed: ")]
    assert len(failed) == 1 and "could not be written durably: Input/output error" in failed[0]
    assert "Traceback" not in result.stderr
    assert shown(site, "web") == [new if flipped else old]
    assert "durably" in row(site, "web", DONE if flipped else PARTLY)["last_error"]
    site.flatdex("push", code=DONE)
    assert shown(site, "web") == [new]


def test_another_machine_whose_disk_fails_is_told(ssh: Ssh) -> None:
    require("strace")
    site = ssh.site
    old = site.current
    site.flatdex("push", code=DONE)
    site.promote(NEW)
    broken = 'eval "exec strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:error=EIO $*"'
    ssh.let(failing=COPY.format("one"), failure=broken, times=3)
    line = one_line(site.flatdex("push", code=PARTLY).stderr)
    assert line.startswith("one: failed: rsync: ") and "Input/output error" in line
    assert shown(site, "one", "two") == [old, site.current]


def on_a_small_disk(site: Site, folder: str, size: int, script: str) -> Result:
    """Runs a script while a folder is a file system of its own."""
    (site.folder / folder).mkdir(exist_ok=True)
    mounted = f"mount -t tmpfs -o size={size} tmpfs {folder} || exit 99\n{script}"
    env = {**os.environ, "PATH": f"{FLATDEX.parent}:{os.environ['PATH']}"}
    result = run(["unshare", "--mount", "sh", "-c", mounted], check=False, env=env, cwd=site.folder)
    if result.returncode == 99 or "unshare" in result.stderr:
        pytest.skip("no mount namespace is allowed here")
    assert "Traceback" not in result.stderr, result.stderr
    return result


FILL = "head -c 100000000 /dev/zero > {}/ballast 2>/dev/null"


def test_prune_makes_room_on_a_full_disk_of_the_store(site: Site) -> None:
    site.promote(NEW)
    more_config(site, "keep: {snapshots: 1, days: 0}\n")
    script = f"""
cp -a store/. full/
{FILL.format("full")}
flatdex -c flatdex.yaml --store ./full prune
echo "$?"
ls full/snapshots
flatdex -c flatdex.yaml --store ./full log
"""
    result = on_a_small_disk(site, "full", 8_000_000, script)
    old, middle, new = site.ids
    assert result.stdout.splitlines()[:4] == [f"removed {old}", f"removed {middle}", "0", new], result
    assert "prune" in result.stdout.splitlines()[4] and result.stderr == ""


def test_prune_makes_room_on_a_full_disk_of_a_target(site: Site) -> None:
    site.configure({"web": {"rsync": "./web"}})
    more_config(site, "keep: {snapshots: 1, days: 0}\n")
    old, _, new = site.ids
    site.promote(OLD)
    script = f"""
flatdex -q push || exit 98
flatdex -q promote && flatdex -q push || exit 97
{FILL.format("web")}
rm store/log.jsonl  # else the one before stays, for a rollback
flatdex prune
echo "$?"
ls web/snapshots
"""
    result = on_a_small_disk(site, "web", 8_000_000, script)
    assert result.stdout.splitlines()[-2:] == ["0", new], result
    assert f"removed {old} from web" in result.stdout and result.stderr == ""
