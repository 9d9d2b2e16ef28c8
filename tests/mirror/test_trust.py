"""What a mirror believes: the keys that it trusts, and no step back, through the command and a real web server."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import signing
from builder.description import time_text
from tests.mirror.site import LAYOUTS, Copy, Origin, origin
from tests.real.process import run

SIGNED = LAYOUTS + "sign: {{key: {key}}}\n"


def key(folder: Path, name: str) -> Path:
    """A fresh pair of keys; the public one lies beside it as NAME.pub."""
    folder.mkdir(parents=True, exist_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name])
    return folder / name


@pytest.fixture
def ours(real_tmp: Path) -> Path:
    """The key of the remote."""
    return key(real_tmp / "keys", "ours")


@pytest.fixture
def remote(real_tmp: Path, ours: Path, tmp_path: Path) -> Iterator[Origin]:
    """A remote that signs, published once."""
    with origin(real_tmp / "origin", SIGNED.replace("{key}", str(ours))) as found:
        found.publish("1.0", tmp_path)
        yield found


@pytest.fixture
def copy(real_tmp: Path) -> Copy:
    """A copy with nothing in it yet."""
    return Copy(real_tmp / "copy")


def public(private: Path) -> Path:
    """Its public key."""
    return private.with_name(private.name + ".pub")


def seal_again(remote: Origin, private: Path, *changes: tuple[str, str]) -> None:
    """Changes what the live list says, and signs it with a key."""
    file = remote.flatdex.root / "snapshot.json"
    text = signing.unsealed(file.read_bytes())[0].decode()
    for pattern, new in changes:
        text, number = re.subn(pattern, new, text, count=1)
        assert number == 1, pattern
    file.write_bytes(signing.sealed(text.encode(), [private]))


def test_what_a_trusted_key_signed_is_mirrored(remote: Origin, copy: Copy, ours: Path) -> None:
    found = copy.json("--from", remote.url, "--trusted-key", public(ours))
    assert found["mirror"]["sources"][0]["has"]["signed_by"] == " ".join(public(ours).read_text().split()[:2])
    theirs = (remote.flatdex.root / "snapshot.json").read_bytes()
    assert (copy.root / "upstream/snapshot.json").read_bytes() == theirs
    assert b"BEGIN SSH SIGNATURE" in theirs


def test_what_another_key_signed_is_refused_and_what_is_here_stays(
    remote: Origin, copy: Copy, ours: Path, real_tmp: Path, tmp_path: Path
) -> None:
    first = copy.json("--from", remote.url, "--trusted-key", public(ours))
    remote.publish("1.1", tmp_path)
    seal_again(remote, key(real_tmp / "keys", "theirs"))
    done = copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False)
    assert done.returncode == 1
    assert "signed" in done.stderr and remote.url in done.stderr
    assert copy.document()["id"] == first["snapshot"]


def test_a_list_without_a_signature_is_refused(remote: Origin, copy: Copy, ours: Path) -> None:
    file = remote.flatdex.root / "snapshot.json"
    file.write_bytes(signing.unsealed(file.read_bytes())[0])
    done = copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False)
    assert (done.returncode, copy.root.exists()) == (1, False)
    assert "sign" in done.stderr


def test_a_word_changed_after_signing_is_refused(remote: Origin, copy: Copy, ours: Path) -> None:
    file = remote.flatdex.root / "snapshot.json"
    file.write_bytes(file.read_bytes().replace(b"Example Flatpaks", b"Example Flatpakz"))
    assert copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False).returncode == 1


def test_an_expired_list_is_refused(remote: Origin, copy: Copy, ours: Path) -> None:
    past = time_text(int(time.time()) - 60)
    seal_again(remote, ours, (r'"expires": "[^"]+"', f'"expires": "{past}"'))
    done = copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False)
    assert done.returncode == 1
    assert "expired" in done.stderr


def test_keys_are_rotated_with_two_at_once(
    remote: Origin, copy: Copy, ours: Path, real_tmp: Path, tmp_path: Path
) -> None:
    copy.mirror("--from", remote.url, "--trusted-key", public(ours))
    new = key(real_tmp / "keys", "new")
    config = remote.flatdex.config
    config.write_text(config.read_text().replace(f"key: {ours}", f"key: [{ours}, {new}]"))
    remote.publish("1.1", tmp_path)
    for trusted in (ours, new):
        other = Copy(real_tmp / f"copy-{trusted.name}")
        other.mirror("--from", remote.url, "--trusted-key", public(trusted))
    config.write_text(config.read_text().replace(f"key: [{ours}, {new}]", f"key: {new}"))
    remote.publish("1.2", tmp_path)
    assert copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False).returncode == 1
    copy.mirror("--from", remote.url, "--trusted-key", public(ours), "--trusted-key", public(new))


def test_an_older_version_of_the_remote_is_refused_though_it_is_signed(
    remote: Origin, copy: Copy, ours: Path, real_tmp: Path, tmp_path: Path
) -> None:
    shutil.copytree(remote.flatdex.root, real_tmp / "old")
    remote.publish("1.1", tmp_path)
    now = copy.json("--from", remote.url, "--trusted-key", public(ours))
    done = copy.mirror("--from", real_tmp / "old", "--trusted-key", public(ours), check=False)
    assert done.returncode == 1
    assert "below" in done.stderr
    assert copy.document()["id"] == now["snapshot"]


def test_another_remote_is_refused_though_its_key_is_trusted(
    remote: Origin, copy: Copy, ours: Path, real_tmp: Path, tmp_path: Path
) -> None:
    copy.mirror("--from", remote.url, "--trusted-key", public(ours))
    config = SIGNED.replace("{key}", str(ours)).replace("name: example,", 'name: example, id: "urn:another",')
    with origin(real_tmp / "another", config) as another:
        another.publish("7.0", tmp_path / "another")
        done = copy.mirror("--from", another.url, "--trusted-key", public(ours), check=False)
    assert done.returncode == 1
    assert "urn:another" in done.stderr


def test_a_good_list_with_another_versions_index_is_refused(
    remote: Origin, copy: Copy, ours: Path, tmp_path: Path
) -> None:
    """Mix and match: each file is the remote's own, but they don't belong together."""
    old = {file.name: file.read_bytes() for file in (remote.flatdex.root / "index").glob("latest.json*")}
    first = copy.json("--from", remote.url, "--trusted-key", public(ours))
    remote.publish("1.1", tmp_path)
    for file in (
        *(remote.flatdex.root / "index").glob("latest.json*"),
        *(remote.flatdex.root / "index/sha256/latest").glob("*"),
    ):
        file.write_bytes(old["latest.json.gz" if file.name.endswith(".gz") else "latest.json"])
    done = copy.mirror("--from", remote.url, "--trusted-key", public(ours), check=False)
    assert done.returncode == 1
    assert "digest" in done.stderr or "bytes" in done.stderr
    assert copy.document()["id"] == first["snapshot"]


def test_a_rebuilt_list_that_only_says_that_it_still_holds_is_taken(
    remote: Origin, copy: Copy, ours: Path, tmp_path: Path
) -> None:
    """A freeze would show as a list that expires: so a build renews it, and a mirror takes that over."""
    copy.mirror("--from", remote.url, "--trusted-key", public(ours))
    store = remote.flatdex.store
    newest = sorted(path.name for path in (store / "snapshots").iterdir())[-1]
    soon = time_text(int(time.time()) + 60)
    seal_again(remote, ours, (r'"expires": "[^"]+"', f'"expires": "{soon}"'))
    shutil.rmtree(store / "cache")  # which notes until when there is nothing to do
    remote.flatdex.run("publish")
    document = json.loads((remote.flatdex.root / "snapshot.json").read_bytes())
    assert document["previous"] == newest
    assert document["version"] == 2
    copy.mirror("--from", remote.url, "--trusted-key", public(ours))
    assert copy.document("upstream/snapshot.json")["version"] == 2
