"""Units as systemd reads them: whole, shut off, with any path; and the command works under what they shut off."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import UsageError
from demo.images import write_application, write_runtime
from sync.events import units
from sync.events.units import Service
from tests.events.sandbox import restricted, values
from tests.real.process import Child, located, run
from tests.real.sshd import Sshd
from tests.sync.command import FLATDEX, flatdex
from tests.sync.site import CONFIG, DONE, FAILED, USAGE

PLAIN = Service(Path("/opt/flatdex/bin/flatdex"), Path("/etc/flatdex/flatdex.yaml"), Path("/srv/flatdex"))
HOSTILE = "a \"b\" 'c' %n%% $HOME ${X} \\x41 \\ ü;#=-"
RUNNABLE = "p %n $HOME ;ü"
KINDS = ("watch.service", "publish.service", "publish.timer")
SITE = """\
store: ./store
remote: {name: example, title: Example, url: "http://127.0.0.1:8080/"}
sources: {local: {layouts: ["./images/*"], tag: latest}}
indexes: {stable: {tags: [latest], architectures: [amd64, arm64]}}
"""


def watch(service: Service) -> str:
    return units.units(service)[f"{service.unit}-watch.service"]


def written(tmp_path: Path, service: Service) -> list[Path]:
    """The units as files, for a program that is there."""
    program = tmp_path / RUNNABLE / "flatdex"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = tmp_path / "units"
    folder.mkdir(exist_ok=True)
    files = []
    for name, text in units.units(replace(service, program=program)).items():
        (folder / name).write_text(text)
        files.append(folder / name)
    return files


def analyze(*args: str | Path, level: str = "info") -> subprocess.CompletedProcess[str]:
    return run([located("systemd-analyze"), *args], env={**os.environ, "SYSTEMD_LOG_LEVEL": level}, check=False)


@pytest.mark.parametrize(
    "service",
    [
        PLAIN,
        replace(PLAIN, name="second", user="www-data", netlink=True, own_store=True),
        replace(PLAIN, sockets=(Path("/run/flatdex/hook.sock"), Path("/run/other/deep/m.sock"), Path("/srv/x/s.sock"))),
        replace(PLAIN, store=Path("/", HOSTILE, "store"), written=(Path("/srv", HOSTILE),)),
    ],
)
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path, service: Service) -> None:
    files = written(tmp_path, service)
    found = analyze("verify", "--man=no", *files)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    for file in files[:2]:
        judged = analyze("security", "--offline=true", "--threshold=15", "--no-pager", file)
        assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_plain_service_is_exposed_no_more_than_the_network_asks_for(tmp_path: Path, kind: str) -> None:
    text = units.units(PLAIN)[f"flatdex-{kind}"]
    file = tmp_path / f"flatdex-{kind}"
    for without in ("", "NoNewPrivileges=yes\n", "PrivateUsers=yes\n", "ProtectHome=yes\n", "RestrictSUIDSGID=yes\n"):
        file.write_text(text.replace(without, "", 1))
        judged = analyze("security", "--offline=true", "--threshold=12", "--no-pager", file)
        assert (judged.returncode == 0) == (not without), (without, judged.stdout)


def test_systemd_finds_what_is_wrong(tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN)[0]
    text = file.read_text()
    file.write_text(text.replace("Restart=", "Restrat="))
    assert "Restrat" in analyze("verify", "--man=no", file).stderr
    file.write_text(text.replace("NoNewPrivileges=yes", "NoNewPrivileges=no").replace("ProtectSystem=strict", ""))
    assert analyze("security", "--offline=true", "--threshold=15", "--no-pager", file).returncode != 0


def test_systemd_reads_every_path_as_it_is(tmp_path: Path) -> None:
    config, store, target = (Path("/etc", HOSTILE), Path("/srv", HOSTILE, "store"), Path("/mnt", f"-{HOSTILE}"))
    files = written(tmp_path, replace(PLAIN, config=config, store=store, own_store=True, written=(target,)))
    said = analyze("verify", "--man=no", files[0], level="debug")
    dump = said.stdout + said.stderr
    assert f"ReadWritePaths: -{store} -{target}" in dump
    assert f"RequiresMountsFor: {store} (" in dump
    # A command line is shown with escapes of its own; $$ is a dollar there, but not in the program's own path.
    assert f'"{tmp_path}/{RUNNABLE.replace("$", chr(92) + "$")}/flatdex" -c "/etc/a \\"b\\"' in dump
    assert "%n%% \\$\\$HOME \\$\\${X} \\\\x41 \\\\ ü;#=-" in dump


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("/srv/x", '"/srv/x"'),
        ("a b", '"a b"'),
        ("50%", '"50%%"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ("$X", '"$X"'),
    ],
)
def test_a_word(text: str, word: str) -> None:
    assert units.quoted(text) == word


def test_an_argument() -> None:
    assert units.argument("/etc/flatdex/a-b_c.yaml") == "/etc/flatdex/a-b_c.yaml"
    assert units.argument("$X 5%") == '"$$X 5%%"'
    assert units.argument("") == '""'


def test_only_what_is_named_is_written_to() -> None:
    service = replace(PLAIN, written=(Path("/srv/web"), Path("/srv/flatdex"), units.STATE / "spool"))
    assert values(watch(service), "ReadWritePaths") == ["-/srv/flatdex", "-/srv/web"]
    assert values(watch(replace(PLAIN, store=units.STATE / "store")), "ReadWritePaths") == []


def test_folders_of_sockets() -> None:
    sockets = [
        Path(path) for path in ("/run/flatdex/a", "/run/x/b", "/var/run/y/c", "/srv/s/d", "/run/u v/e", "/run/f")
    ]
    text = watch(replace(PLAIN, sockets=tuple(sockets)))
    assert values(text, "RuntimeDirectory") == ["flatdex", "x", "y"]
    assert values(text, "ReadWritePaths") == ["-/srv/flatdex", "-/srv/s", "-/run/u v", "-/run"]
    assert [note for note in units.notes(replace(PLAIN, sockets=tuple(sockets))) if note.startswith("/run/f:")]
    assert "RuntimeDirectoryPreserve=yes" in text


@pytest.mark.parametrize(
    ("path", "home", "temporary"),
    [
        ("/srv/x", "yes", "yes"),
        ("/home/x/y", "read-only", "yes"),
        ("/root/y", "read-only", "yes"),
        ("/tmp/y", "yes", "no"),  # noqa: S108
    ],
)
@pytest.mark.parametrize("where", ["program", "config", "store", "written", "read", "sockets"])
def test_homes_and_temporary_folders_are_hidden_unless_something_lies_there(
    where: str, path: str, home: str, temporary: str
) -> None:
    several = where in ("written", "read", "sockets")
    changes = {where: (Path(path),) if several else Path(path)}
    service = replace(PLAIN, **changes)  # type: ignore[arg-type]
    text = watch(service)
    assert (values(text, "ProtectHome"), values(text, "PrivateTmp")) == ([home], [temporary])
    assert any(path in note for note in units.notes(service)) == (path != "/srv/x")
    # What is not private would be read-only.
    assert ("-/tmp" in values(text, "ReadWritePaths")) == (temporary == "no")


def test_names_and_users() -> None:
    service = replace(PLAIN, name="second", user="www-data")
    assert list(units.units(service)) == [f"flatdex-second-{kind}" for kind in KINDS]
    assert list(units.units(PLAIN)) == [f"flatdex-{kind}" for kind in KINDS]
    text = watch(service)
    assert values(text, "User") == values(text, "Group") == ["www-data"]
    assert values(text, "EnvironmentFile") == ["-/etc/flatdex/second.environment"]
    assert units.sysusers(service)[0] == "flatdex-www-data.conf"
    for wrong in ("", "a/b", "-x", "a b", "../x", "x" * 70):
        if wrong:
            with pytest.raises(UsageError):
                units.units(replace(PLAIN, name=wrong))
        with pytest.raises(UsageError):
            units.units(replace(PLAIN, user=wrong))


@pytest.mark.parametrize("program", ['/opt/a"b', "/opt/a'b", "/opt/a\\b", "/opt/a\nb", "/opt/../b"])
def test_a_program_that_systemd_does_not_run(program: str) -> None:
    with pytest.raises(UsageError, match="--program"):
        units.units(replace(PLAIN, program=Path(program)))


@pytest.mark.parametrize("character", ["\udcff", "\n", "\t", "\x7f"])
def test_a_path_that_no_unit_can_name(character: str) -> None:
    for changes in ({"store": Path("/srv", character)}, {"read": (Path("/srv", character),)}):
        with pytest.raises(UsageError, match="Rename it"):
            units.units(replace(PLAIN, **changes))


@pytest.mark.parametrize(("version", "lines"), [(0, 0), (252, 0), (254, 2), (257, 2)])
def test_longer_and_longer_pauses_where_systemd_knows_them(version: int, lines: int) -> None:
    text = watch(replace(PLAIN, version=version))
    assert len(re.findall("^(?:RestartSteps|RestartMaxDelaySec)=", text, re.MULTILINE)) == lines


def test_the_user_is_made(tmp_path: Path) -> None:
    name, text = units.sysusers(PLAIN)
    (tmp_path / name).write_text(text)
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    run([located("systemd-sysusers"), f"--root={root}", tmp_path / name])
    fields = (root / "etc" / "passwd").read_text().strip().split(":")
    assert (fields[0], fields[5]) == ("flatdex", "/var/lib/flatdex")


def site(folder: Path, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "flatdex.yaml").write_text(SITE + more)
    return folder


EVENTS = """\
targets: {web: {rsync: ./web}, far: {rsync: "host:/srv/x", ssh: "ssh -i /root/key"}}
events: {webhook: {listen: "unix:./hook/h.sock", secret_file: ./secret}, spool: ./spool}
metrics: {textfile: ./node/flatdex.prom}
"""


def test_the_verb_writes_what_the_configuration_needs(tmp_path: Path) -> None:
    folder = site(tmp_path / "a site", EVENTS)
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    done = flatdex("units", "out", "--sysusers", "users", "--json", cwd=folder)
    assert done.returncode == DONE, done.stderr
    said = json.loads(done.stdout)
    names = [folder / "out" / f"flatdex-{kind}" for kind in KINDS] + [folder / "users" / "flatdex.conf"]
    assert said["written"] == [str(name) for name in names] and said["unchanged"] == []
    assert all(name.stat().st_mode & 0o777 == 0o644 for name in names)
    text = names[0].read_text()
    folders = [f"-{folder}/{name}" for name in ("store", "web", "spool", "node", "hook")]
    assert values(text, "ReadWritePaths")[:5] == folders
    assert values(text, "ExecStart") == [str(FLATDEX), "-c", f"{folder}/flatdex.yaml", "watch"]
    assert values(names[1].read_text(), "ExecStart")[3:] == ["publish", "--wait", "600"]
    assert analyze("verify", "--man=no", *names[:3]).returncode == 0
    assert any(note.startswith("/root/key ") for note in said["notes"])
    if os.geteuid() == 0:
        assert any(note.startswith(f"{folder}/secret belongs to root") for note in said["notes"])
    assert said["next"][0] == f"systemd-sysusers '{folder}/users/flatdex.conf'"
    assert f"install -d -o flatdex -g flatdex '{folder}/web'" in said["next"]
    assert said["next"][-1] == "systemctl daemon-reload"


def identity(file: Path) -> tuple[int, int]:
    return file.stat().st_ino, file.stat().st_mtime_ns


def test_the_verb_leaves_alone_what_is_right_and_what_is_not_its_own(tmp_path: Path) -> None:
    folder = site(tmp_path)
    assert flatdex("units", "out", cwd=folder).returncode == DONE
    file = folder / "out" / "flatdex-watch.service"
    before = identity(file)
    again = flatdex("units", "out", cwd=folder)
    assert again.returncode == DONE and f"unchanged: {file}" in again.stdout and "wrote" not in again.stdout
    assert identity(file) == before
    timer = folder / "out" / "flatdex-publish.timer"
    timer.write_text(timer.read_text() + "# more\n")
    assert f"wrote {timer}" in flatdex("units", "out", cwd=folder).stdout
    assert "# more" not in timer.read_text() and identity(file) == before
    file.write_text("[Service]\nExecStart=/bin/true\n")
    refused = flatdex("units", "out", cwd=folder)
    assert refused.returncode == USAGE and f"{file} is there, and was not made by" in refused.stderr
    assert file.read_text().startswith("[Service]")
    assert flatdex("units", "out", "--name", "second", cwd=folder).returncode == DONE


def test_the_verb_with_a_dry_run_and_in_words(tmp_path: Path) -> None:
    folder = site(tmp_path)
    shown = flatdex("units", "out", "--dry-run", cwd=folder)
    assert shown.returncode == DONE and not (folder / "out").exists()
    assert shown.stdout.count("# ---- ") == 4 and "\nType=notify\n" in shown.stdout
    said = flatdex("units", "out", "--name", "second", cwd=folder).stdout
    assert "not both" in said
    for unit in ("flatdex-second-watch.service", "flatdex-second-publish.timer"):
        assert f"    systemctl enable --now {unit}\n" in said


def test_the_verb_is_told_what_is_not_there(tmp_path: Path) -> None:
    folder = site(tmp_path)
    assert flatdex("units", "out", "--program", "nowhere", cwd=folder).returncode == FAILED
    assert flatdex("units", "out", "--user", "No One", cwd=folder).returncode == USAGE
    assert flatdex("units", "out", "-c", "nowhere.yaml", cwd=folder).returncode == CONFIG
    assert not (folder / "out").exists()
    stored = flatdex("units", "out", "--store", "other", "--json", cwd=folder)
    text = next(iter(json.loads(stored.stdout)["files"].values()))
    assert values(text, "ExecStart")[3:] == ["--store", f"{folder}/other", "watch"]


def test_make_install_units(tmp_path: Path) -> None:
    checkout = Path(__file__).parent.parent.parent
    folder = site(tmp_path)
    where = (f"CONFIG={folder}/flatdex.yaml", f"UNITS={folder}/units", f"SYSUSERS={folder}/users")
    # The environment is there: --assume-old keeps make from looking at it.
    said = run([located("make"), "-C", checkout, "--assume-old=.venv/.flatdex", "install-units", *where]).stdout
    assert "systemctl daemon-reload" in said
    assert sorted(path.name for path in (folder / "units").iterdir()) == sorted(f"flatdex-{kind}" for kind in KINDS)
    assert (folder / "users" / "flatdex.conf").is_file()


def restricted_site(folder: Path, more: str) -> str:
    """A site with images whose folders are there; and the text of its watch's unit."""
    site(folder, more)
    (folder / "images").mkdir()
    write_runtime(folder / "images")
    write_application(folder / "images", version="1.0", created="2026-01-01T10:00:00Z")
    for name in ("store", "web", "far", "spool"):
        (folder / name).mkdir()
    said = json.loads(flatdex("units", "out", "--dry-run", "--json", cwd=folder).stdout)
    text: str = next(iter(said["files"].values()))
    return text


def test_what_a_unit_shuts_off_is_off(real_tmp: Path) -> None:
    start = restricted(restricted_site(real_tmp, ""), real_tmp / "state")
    for program, works in (
        (f"touch {real_tmp}/store/x", True),
        ("test -w /etc", False),
        (f"chown 1:1 {real_tmp}/store/x", False),
        ("python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=2)'", True),
        ("python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=6)'", False),
        ("python3 -c 'import socket; socket.socket(socket.AF_INET6)'", True),
        ("python3 -c 'import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)'", False),
        ("test $(nice -n 1 nice) = 1", False),
        ("mount -t tmpfs none /mnt", False),
        ("test -e /dev/kmsg", False),
    ):
        done = run([*start, "/bin/sh", "-c", program], check=False)
        assert (done.returncode == 0) == works, (program, done)


def test_publish_works_under_the_units_restrictions(real_tmp: Path) -> None:
    with Sshd(real_tmp / "sshd") as server:
        far = f'far: {{rsync: "{server.host}:{real_tmp}/far", ssh: "{server.command}"}}'
        text = restricted_site(real_tmp, f"targets: {{web: {{rsync: ./web}}, {far}}}\nlanguages: [en, de]\n")
        start = restricted(text, real_tmp / "state")
        for version in ("1.0", "1.1"):
            write_application(real_tmp / "images", version=version, created="2026-01-01T10:00:00Z")
            done = run([*start, FLATDEX, "-v", "-c", real_tmp / "flatdex.yaml", "publish"], check=False)
            assert done.returncode == DONE, done.stdout + done.stderr
    current = (real_tmp / "store" / "current").readlink()
    assert (real_tmp / "web" / "current").readlink() == (real_tmp / "far" / "current").readlink() == current
    assert list((real_tmp / "web" / "current" / "icons").rglob("*.png"))


def test_forks_share_work_under_the_units_restrictions(real_tmp: Path) -> None:
    start = restricted(restricted_site(real_tmp, ""), real_tmp / "state")
    program = """\
import multiprocessing, sys
from builder.processes import shared_out
if __name__ == "__main__":
    assert shared_out([lambda: 1] * 4, worth=1) == [1] * 4
    context = multiprocessing.get_context("forkserver")
    context.Semaphore(1).acquire()
    child = context.Process(target=print, args=("a child",))
    child.start()
    child.join(30)
    sys.exit(child.exitcode)
"""
    (real_tmp / "program.py").write_text(program)
    checkout = str(Path(__file__).parent.parent.parent)
    done = run([*start, sys.executable, real_tmp / "program.py"], env={**os.environ, "PYTHONPATH": checkout})
    assert done.stdout == "a child\n"


def test_watch_works_under_the_units_restrictions(real_tmp: Path) -> None:
    text = restricted_site(real_tmp, "targets: {web: {rsync: ./web}}\nevents: {spool: ./spool}\n")
    start = restricted(text, real_tmp / "state")
    current, spool = real_tmp / "web" / "current", real_tmp / "spool"
    name = f"flatdex-tests-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(f"\0{name}")
        told.settimeout(30)
        command = [*start, FLATDEX, "-c", real_tmp / "flatdex.yaml", "watch"]
        environment = {**os.environ, "NOTIFY_SOCKET": f"@{name}"}
        with Child(list(map(str, command)), log=real_tmp / "watch.log", env=environment, cwd=real_tmp) as child:
            while b"READY=1" not in told.recv(4096).split(b"\n"):
                pass
            child.wait_until(current.is_symlink, "first round", 60)
            before = current.readlink()
            write_application(real_tmp / "images", version="2.0", created="2026-01-02T10:00:00Z")
            (spool / "all").write_text("*\n")
            child.wait_until(lambda: current.readlink() != before, "round by an event", 60)
            child.wait_until(lambda: not list(spool.iterdir()), "end of the file", 30)
