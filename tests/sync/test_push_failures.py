"""A target that fails is told in one clear line, and does not hold up the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.files import readable_folder
from tests.real.process import free_port, run
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd
from tests.sync.command import FLATDEX
from tests.sync.site import NEW, OLD, PARTLY, Settings, Site, one_line, served


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    """One that lets us in."""
    with readable_folder() as folder, Sshd(folder / "sshd") as server:
        yield server


def failure(site: Site, settings: Settings, path: str | None = None) -> str:
    """Push to a target that fails; gives the one line that is said of it."""
    site.configure({"bad": settings})
    site.promote(NEW)
    result = site.flatdex("push", code=PARTLY, env={"PATH": path} if path else None)
    line = one_line(result.stderr)
    assert line.startswith("bad: failed: ") and result.stdout == ""
    return line.removeprefix("bad: failed: ")


def test_a_target_that_fails_does_not_stop_the_others(site: Site) -> None:
    bad = {"rsync": f"rsync://127.0.0.1:{free_port()}/flatpaks"}
    site.configure(
        {"bad": bad, "good": {"rsync": "./good"}, "worse": {"rsync": bad["rsync"] + "/x"}, "fine": {"rsync": "./fine"}}
    )
    identifier = site.promote(NEW)
    result = site.flatdex("push", code=PARTLY)
    assert result.stdout == f"good: has {identifier}\nfine: has {identifier}\n"
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["bad", "worse"]
    assert served(site.folder / "good") == served(site.folder / "fine") == identifier


def test_ssh_refuses_the_connection(site: Site) -> None:
    port = free_port()
    line = failure(site, {"rsync": "127.0.0.1:/srv/x", "ssh": f"ssh -F /dev/null -o BatchMode=yes -p {port}"})
    assert f"connect to host 127.0.0.1 port {port}: Connection refused" in line


def test_ssh_does_not_know_the_host_key(site: Site, sshd: Sshd) -> None:
    command = sshd.command.replace(str(sshd.state / "known_hosts"), str(site.folder / "none"))
    line = failure(site, {"rsync": f"{sshd.host}:{site.folder}/x", "ssh": command})
    assert "host key" in line.lower()


@pytest.mark.parametrize("level", ["ERROR", "INFO"])
def test_ssh_finds_another_host_key(site: Site, sshd: Sshd, level: str) -> None:
    """ssh draws a box of at-signs around its first words: these tell nothing."""
    other = (sshd.state / "client_key.pub").read_text().split()
    known = site.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {other[0]} {other[1]}\n")
    command = sshd.command.replace(str(sshd.state / "known_hosts"), str(known)).replace("ERROR", level)
    line = failure(site, {"rsync": f"{sshd.host}:{site.folder}/x", "ssh": command})
    assert "@@@@" not in line and "host" in line.lower() and "changed" in line.lower()


def test_a_warning_of_ssh_is_not_taken_for_the_failure(site: Site, sshd: Sshd) -> None:
    command = sshd.command.replace(str(sshd.state / "known_hosts"), "/dev/null").replace("ERROR", "INFO")
    command = command.replace("StrictHostKeyChecking=yes", "StrictHostKeyChecking=no")
    line = failure(site, {"rsync": f"{sshd.host}:/proc/nothing", "ssh": command})
    assert "Permanently added" not in line and "/proc/nothing" in line


def test_ssh_has_no_key_that_is_let_in(site: Site, sshd: Sshd) -> None:
    key = site.folder / "stranger"
    run([shutil.which("ssh-keygen") or "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    command = sshd.command.replace(str(sshd.state / "client_key"), str(key))
    line = failure(site, {"rsync": f"{sshd.host}:{site.folder}/x", "ssh": command})
    assert "Permission denied" in line


def test_the_other_side_has_no_rsync(site: Site) -> None:
    script = site.folder / "bare-ssh"
    script.write_text('#!/bin/sh\nshift\nPATH=/nowhere\neval "$*"\n')
    script.chmod(0o755)
    line = failure(site, {"rsync": "host:/srv/x", "ssh": "./bare-ssh"})
    assert "not found" in line and "rsync" in line


def test_the_ssh_program_is_not_there(site: Site) -> None:
    line = failure(site, {"rsync": "host:/srv/x", "ssh": "./no-such-ssh"})
    assert "./no-such-ssh: No such file or directory" in line


def test_the_other_side_talks_before_rsync_does(site: Site) -> None:
    """A login script that prints something is a mistake often made."""
    script = site.folder / "noisy-ssh"
    script.write_text('#!/bin/sh\nshift\necho "Welcome to this host, have a nice day"\neval "$*"\n')
    script.chmod(0o755)
    line = failure(site, {"rsync": f"host:{site.folder}/x", "ssh": "./noisy-ssh"})
    assert "shell clean" in line


def test_a_daemon_that_does_not_answer(site: Site) -> None:
    port = free_port()
    line = failure(site, {"rsync": f"rsync://127.0.0.1:{port}/flatpaks"})
    assert "127.0.0.1" in line and "Connection refused" in line


def daemon(site: Site) -> Rsyncd:
    return Rsyncd(site.folder / "rsyncd", site.folder / "web", user="pusher", password="a secret", munge=False)  # noqa: S106


def test_a_wrong_password(site: Site) -> None:
    with daemon(site) as server:
        password = site.folder / "wrong"
        password.touch(mode=0o600)
        password.write_text("a guess\n")
        line = failure(site, {"rsync": server.url(), "password_file": "./wrong"})
    assert "auth failed on module flatpaks" in line


def test_no_password(site: Site) -> None:
    with daemon(site) as server:
        line = failure(site, {"rsync": server.url()})
    assert "password" in line.lower() or "auth" in line.lower()


def test_a_password_file_that_others_can_read(site: Site) -> None:
    with daemon(site) as server:
        (site.folder / "rsyncd" / "password").chmod(0o644)
        line = failure(site, {"rsync": server.url(), "password_file": "./rsyncd/password"})
    assert "password file must not be other-accessible" in line


def test_a_password_file_that_is_not_there(site: Site) -> None:
    with daemon(site) as server:
        line = failure(site, {"rsync": server.url(), "password_file": "./nothing"})
    assert "password" in line and "nothing" in line and "No such file" in line


def test_a_module_that_is_not_there(site: Site) -> None:
    with daemon(site) as server:
        line = failure(site, {"rsync": f"rsync://127.0.0.1:{server.port}/other/place"})
    assert "Unknown module 'other'" in line


def test_a_module_that_is_read_only(site: Site) -> None:
    with daemon(site) as server:
        config = site.folder / "rsyncd" / "rsyncd.conf"
        config.write_text(config.read_text().replace("read only = no", "read only = yes"))
        line = failure(site, {"rsync": server.url(), "password_file": "./rsyncd/password"})
    assert "read only" in line or "read-only" in line


def test_a_folder_below_a_file(site: Site) -> None:
    (site.folder / "file").write_text("kept")
    line = failure(site, {"rsync": "./file/target"})
    assert f"{site.folder}/file/target" in line and "Not a directory" in line
    assert (site.folder / "file").read_text() == "kept"


def test_a_folder_that_cannot_be_made(site: Site) -> None:
    line = failure(site, {"rsync": "/proc/flatdex/target"})
    assert "/proc/flatdex/target" in line


def test_a_full_disk_on_the_target(site: Site) -> None:
    """Until there is room again, the old site is served."""
    site.configure({"web": {"rsync": "./full"}})
    (site.folder / "full").mkdir()
    old = site.promote(OLD)
    new = site.snapshot(NEW).name
    # The runtime and one version of the application fit in, another version does not.
    used = sum(path.stat().st_size for path in site.snapshot(OLD).rglob("*") if path.is_file())
    script = f"""
mount -t tmpfs -o size={(used // 4096 + 40) * 4096} tmpfs full || exit 99
flatdex -q push || exit 98
flatdex -q promote || exit 97
head -c 100000000 /dev/zero > full/ballast 2>/dev/null
flatdex -q push
echo "$? $(readlink full/current)"
rm full/ballast
mount -o remount,size=50m full
flatdex -q push
echo "$? $(readlink full/current)"
"""
    path = f"{Path(shutil.which('unshare') or '/usr/bin/unshare').parent}:{venv()}:{os.environ['PATH']}"
    result = run(
        ["unshare", "--mount", "sh", "-c", script], check=False, env={**os.environ, "PATH": path}, cwd=site.folder
    )
    if result.returncode == 99 or "unshare" in result.stderr:
        pytest.skip("no mount namespace is allowed here")
    assert result.stdout == f"4 snapshots/{old}\n0 snapshots/{new}\n", result.stderr
    assert one_line(result.stderr).startswith("web: failed: rsync: ") and "No space left on device" in result.stderr


def venv() -> str:
    return str(FLATDEX.parent)


def test_rsync_is_not_installed(site: Site) -> None:
    line = failure(site, {"rsync": "./target"}, path=venv())
    assert "rsync is not installed" in line


@pytest.mark.parametrize("content", ["precious", None])
def test_a_current_on_the_target_that_is_a_folder(site: Site, content: str | None) -> None:
    folder = site.folder / "target" / "current"
    folder.mkdir(parents=True)
    if content:
        (folder / content).write_text("kept")
        line = failure(site, {"rsync": "./target"})
        assert "current" in line
        assert (folder / content).read_text() == "kept"
    else:
        site.configure({"bad": {"rsync": "./target"}})
        identifier = site.promote(NEW)
        result = site.flatdex("push")
        assert result.returncode == PARTLY or served(site.folder / "target") == identifier


def test_status_tells_of_a_target_that_cannot_be_reached(site: Site) -> None:
    site.configure({"bad": {"rsync": f"rsync://127.0.0.1:{free_port()}/x"}, "good": {"rsync": "./good"}})
    site.promote(NEW)
    site.flatdex("push", code=PARTLY)
    bad, good = site.json("status", code=PARTLY)["targets"]
    assert (bad["live"], bad["up_to_date"]) == (None, False) and "Connection refused" in bad["error"]
    assert {"target": "good", "live": site.current, "up_to_date": True, "error": ""}.items() <= good.items()
    assert "Connection refused" in bad["last_error"] and bad["failing_since"]
    said = site.flatdex("status", code=PARTLY)
    assert f"target   bad: {bad['error']}\n" in said.stdout and said.stderr == ""


def test_a_failure_is_also_in_the_json(site: Site) -> None:
    site.configure({"bad": {"rsync": f"rsync://127.0.0.1:{free_port()}/x"}})
    site.promote(NEW)
    [outcome] = site.json("push", code=PARTLY)
    assert outcome["target"] == "bad" and outcome["snapshot"] == site.current
    assert "Connection refused" in outcome["error"] and "\n" not in outcome["error"]
