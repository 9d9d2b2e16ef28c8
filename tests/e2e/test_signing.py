"""Signed snapshots with the installed command, as an admin and a mirror see them; signatures are checked by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.builder.helpers import Blobs, flatpak_labels, ref_of, tagged
from tests.e2e.site import Flatdex
from tests.real.keys import agent, key, public
from tests.real.process import CommandFailedError, located, require, run
from tests.sync.command import flatdex
from tests.sync.site import CONFIG as BAD_CONFIG
from tests.sync.site import DONE, FAILED, PARTLY, USAGE, tree

CONFIG = """\
store: ./store
pages: false
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest]}
"""
DAY = 86400
_AT = """\
import sys, time
moment = int(sys.argv[1])
time.time = lambda: moment
import flatdex
sys.exit(flatdex.main(sys.argv[2:]))
"""


class Signed(Flatdex):
    """A site whose configuration may name keys."""

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command, quickly: the timer's turns are many."""
        found = flatdex(*args, "-c", self.config, cwd=self.folder)
        assert not check or found.returncode == DONE, found.stdout + found.stderr
        return found

    def offer(self, name: str) -> None:
        """One more application."""
        blobs = Blobs()
        image = tagged(blobs.image(flatpak_labels(ref_of(name))), "latest")
        blobs.layout(self.folder / "images" / name.lower(), image)

    def sign(self, *names: str, more: str = "") -> None:
        """Lets these keys sign; none: none does."""
        keys = ", ".join(names)
        self.config.write_text(CONFIG + (f"sign: {{key: [{keys}]{more}}}\n" if names else ""))

    def code(self, *args: str, code: int) -> str:
        """All that the command says, after a look at its exit code."""
        found = self.run(*args, check=False)
        assert found.returncode == code, found.stdout + found.stderr
        assert "Traceback" not in found.stderr
        return found.stdout + found.stderr

    def at(self, moment: int, *args: str) -> subprocess.CompletedProcess[str]:
        """The same as if it were then, in seconds."""
        return run([sys.executable, "-c", _AT, str(moment), *args, "-c", self.config], cwd=self.folder)

    @property
    def snapshots(self) -> list[Path]:
        """The folders of all snapshots, the oldest first."""
        return sorted((self.store / "snapshots").iterdir())

    @property
    def all_files(self) -> dict[str, tuple[int, int]]:
        """Inode and mtime of what is served, but for the list itself."""
        found = {path: path.stat() for path in self.root.resolve().rglob("*") if path.is_file()}
        root = self.root.resolve()
        return {
            str(path.relative_to(root)): (each.st_ino, each.st_mtime_ns)
            for path, each in found.items()
            if path.name != "snapshot.json"
        }


@pytest.fixture
def site(real_tmp: Path) -> Signed:
    """A layout, and the keys `one`, `two` and `three` beside the configuration."""
    require("ssh-keygen")
    for name in ("one", "two", "three"):
        key(real_tmp, name)
    found = Signed(real_tmp, CONFIG)
    found.offer("Hello")
    found.sign("one")
    return found


def document(folder: Path) -> Any:
    """The description of a snapshot."""
    return json.loads((folder / "snapshot.json").read_bytes())


def good(folder: Path, line: str, tmp_path: Path) -> bool:
    """Whether a description holds by a public key, found out as somebody would who has never seen flatdex."""
    data = (folder / "snapshot.json").read_bytes()
    payload, found, _ = data.partition(b',\n"signatures": [')
    (tmp_path / "payload").write_bytes(payload + b"\n}\n")
    (tmp_path / "allowed").write_text(f"admin {line}\n")
    for signature in json.loads(data)["signatures"] if found else ():
        (tmp_path / "signature").write_text(signature)
        command = "-Y verify -f allowed -I admin -n snapshot@flatdex -s signature < payload"
        if not run(["sh", "-c", f"{located('ssh-keygen')} {command}"], cwd=tmp_path, check=False).returncode:
            return True
    return False


def test_a_build_is_signed(site: Signed, tmp_path: Path) -> None:
    built = site.json("build")
    assert (built["changed"], built["renewed"]) == (True, "")
    [folder] = site.snapshots
    found = document(folder)
    assert list(found)[-1] == "signatures"
    assert len(found["signatures"]) == 1
    assert good(folder, public(site.folder / "one"), tmp_path)
    assert not good(folder, public(site.folder / "two"), tmp_path)
    span = time.mktime(time.strptime(found["expires"], "%Y-%m-%dT%H:%M:%SZ"))
    assert span - time.mktime(time.strptime(found["created"], "%Y-%m-%dT%H:%M:%SZ")) == 14 * DAY
    assert site.json("build")["changed"] is False
    assert site.snapshots == [folder]


def test_keys_are_rotated_while_files_stay(site: Signed, tmp_path: Path) -> None:
    site.run("publish")
    one, two = (public(site.folder / name) for name in ("one", "two"))
    before, [folder] = site.all_files, site.snapshots
    site.sign("one", "two")
    said = site.code("publish", code=DONE)
    assert f"renewed (signed by other keys): {site.root.resolve().name}: 1 ref in 1 index" in said
    assert site.root.resolve() == site.snapshots[1]
    assert good(site.root, one, tmp_path)
    assert good(site.root, two, tmp_path)
    site.sign("two")
    assert site.json("publish")["renewed"] == "signed by other keys"
    assert good(site.root, two, tmp_path)
    assert not good(site.root, one, tmp_path)
    assert site.all_files == before
    versions = [(document(each)["version"], document(each)["previous"]) for each in site.snapshots]
    assert versions == [(1, None), (2, folder.name), (3, site.snapshots[1].name)]
    site.sign()
    assert site.json("publish")["renewed"] == "not signed any more"
    assert {"signatures", "expires"}.isdisjoint(document(site.root))
    assert site.all_files == before
    assert site.json("publish")["changed"] is False


def test_a_timer_renews_it(site: Signed) -> None:
    start = int(time.time()) - 20 * DAY
    site.at(start, "publish")
    before = site.all_files
    for days, snapshots in ((3, 1), (6, 1), (7, 2), (8, 2), (13, 2), (15, 3), (19, 3)):
        said = site.at(start + days * DAY + 60, "publish").stdout
        assert len(site.snapshots) == snapshots, (days, said)
        assert said.startswith("renewed (the one before is valid until 20" if days in (7, 15) else "unchanged: ")
        assert site.all_files == before
        assert site.root.resolve() == site.snapshots[-1]


def test_an_unsigned_site_is_as_ever(site: Signed) -> None:
    site.sign()
    site.run("publish")
    assert {"signatures", "expires"}.isdisjoint(document(site.root))
    assert "signed" not in site.run("show").stdout
    assert site.json("status")["expires"] is None
    assert site.json("list")[0]["expires"] is None
    assert not any("renewed" in site.run("publish").stdout for _ in range(2))


def test_it_is_shown_by_whom_and_until_when(site: Signed) -> None:
    site.sign("one", "two")
    site.run("publish")
    shown = [run([located("ssh-keygen"), "-l", "-f", site.folder / name]).stdout.split()[1] for name in ("one", "two")]
    until = document(site.root)["expires"]
    line = f"signed    by {shown[0]}, {shown[1]}, valid until {until}"
    assert line in site.run("show").stdout.splitlines()
    assert site.json("list")[0]["expires"] == until
    status = site.json("status")
    assert (status["expires"], status["ending"]) == (until, "")


@pytest.mark.parametrize(
    ("age", "said", "code"), [(10, "", DONE), (11, "ends soon: ", DONE), (15, "expired: ", FAILED)]
)
def test_status_warns_before_it_ends(age: int, said: str, code: int, site: Signed) -> None:
    site.at(int(time.time()) - age * DAY, "publish")
    lines = site.code("status", code=code).splitlines()
    warned = [line for line in lines if line.startswith(("ends soon", "expired"))]
    assert len(warned) == bool(said)
    assert all(line.startswith(f"{said}{site.snapshots[0].name} ") for line in warned)


def test_a_forged_list_is_found_and_never_promoted(site: Signed) -> None:
    site.run("build")
    assert "all as written" in site.code("verify", code=DONE)
    file = site.snapshots[0] / "snapshot.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"name": "example"', b'"name": "exampl3"'))
    assert "snapshot.json: a signature does not fit" in site.code("verify", code=FAILED)
    assert "a signature does not fit" in site.code("show", code=DONE)
    assert "a signature does not fit" in site.code("promote", code=FAILED)
    assert not site.root.is_symlink()
    file.write_bytes(whole[:-2] + b', "format": 1}\n')
    assert "snapshot.json: its signatures are not" in site.code("verify", code=FAILED)
    file.write_bytes(whole)
    site.code("promote", code=DONE)


def two_versions(site: Signed) -> Path:
    """Publishes one, then another one; the first one's folder."""
    site.run("publish")
    site.offer("More")
    site.run("publish")
    assert len(site.snapshots) == 2
    return site.snapshots[0]


def test_what_is_rolled_back_to_is_signed(site: Signed, tmp_path: Path) -> None:
    first = two_versions(site)
    site.sign("two")
    site.run("rollback")
    found = document(site.root)
    assert (found["again"], found["version"]) == (first.name, 3)
    assert found["expires"] > document(first)["expires"]
    assert len(found["signatures"]) == 1
    assert good(site.root, public(site.folder / "two"), tmp_path)
    assert "all as written" in site.run("verify").stdout


def test_what_is_held_is_renewed_too(site: Signed) -> None:
    start = int(time.time()) - 20 * DAY
    site.at(start, "publish")
    site.offer("More")
    site.at(start + 60, "publish")
    site.at(start + 120, "rollback")
    held, before = document(site.root), site.all_files
    ids = [site.root.resolve().name]
    for days in (1, 6, 8, 9, 13, 16, 17):
        with pytest.raises(CommandFailedError) as caught:
            site.at(start + days * DAY, "publish")
        assert caught.value.returncode == PARTLY
        ids.append(site.root.resolve().name)
        assert site.all_files == before
    assert [left == right for left, right in pairwise(ids)] == [True, True, False, True, True, False, True]
    now = document(site.root)
    assert now["images"] == held["images"]
    assert now["version"] > held["version"]
    assert "HELD" in site.code("status", code=PARTLY)
    site.run("release")
    site.run("publish")
    assert len(document(site.root)["images"]) == 2


def test_a_hold_on_what_is_newest(site: Signed) -> None:
    start = int(time.time()) - 10 * DAY
    site.at(start, "publish")
    site.at(start + 60, "hold", "freeze")
    before = site.all_files
    with pytest.raises(CommandFailedError):
        site.at(start + 8 * DAY, "publish")
    assert [each.name for each in site.snapshots][1:] == [site.root.resolve().name]
    assert site.all_files == before


def test_a_rollback_without_its_key_changes_nothing(site: Signed) -> None:
    first = two_versions(site)
    (site.folder / "one").rename(site.folder / "gone")
    (site.store / "lock").write_bytes(b"")
    before, current = tree(site.store / "snapshots"), site.root.resolve()
    said = site.code("rollback", code=BAD_CONFIG)
    assert "is not there" in said
    assert "ssh-keygen -t ed25519" in said
    (site.folder / "elsewhere").mkdir()
    alone = flatdex("rollback", "--store", site.store, cwd=site.folder / "elsewhere")
    assert alone.returncode == USAGE
    assert "-c FILE" in alone.stderr
    assert tree(site.store / "snapshots") == before
    assert site.root.resolve() == current != first
    assert not (site.store / "hold").exists()


def test_check_tries_the_keys(site: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "good" in site.code("check", code=DONE)
    site.sign("one", "none")
    assert f"{site.folder}/none is not there" in site.code("check", code=BAD_CONFIG)
    site.sign("one", more=", valid_for: 1m")
    assert "flatdex.yaml:8: sign.valid_for: " in site.code("check", code=BAD_CONFIG)
    site.sign("one")
    path = site.folder / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    assert "apt-get install openssh-client" in site.code("check", code=FAILED)


def test_a_timer_is_never_asked_for_a_passphrase(site: Signed) -> None:
    key(site.folder, "locked", passphrase="secret")  # noqa: S106
    site.sign("locked")
    start = time.monotonic()
    terminal = shutil.which("script")
    command = f"{Path(sys.executable).with_name('flatdex')} publish -c {site.config}"
    words = ["script", "-qec", command, "/dev/null"] if terminal else ["sh", "-c", command]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert time.monotonic() - start < 30
    assert found.returncode == BAD_CONFIG
    assert "has a passphrase" in found.stdout + found.stderr
    assert "Enter" not in found.stdout + found.stderr
    assert not site.root.is_symlink()


def test_an_agent_signs(site: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.sign("one.pub")
    with agent(site.folder, site.folder / "one") as socket:
        (site.folder / "one").unlink()
        monkeypatch.setenv("SSH_AUTH_SOCK", os.fspath(socket))
        site.code("check", code=DONE)
        site.run("publish")
        assert good(site.root, " ".join((site.folder / "one.pub").read_text().split()[:2]), tmp_path)
    assert "unchanged" in site.code("publish", code=DONE)
    site.offer("More")
    before = site.root.resolve()
    assert "ssh-add" in site.code("publish", code=BAD_CONFIG)
    assert site.root.resolve() == before
    assert len(site.snapshots) == 1
