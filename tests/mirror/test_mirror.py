"""The real client lives on a mirror while the remote that it is a copy of is gone."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import get
from tests.e2e.test_main_job import installed, says
from tests.mirror.site import OTHER, REGISTRY, Copy, Origin, origin
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.registry import DockerRegistry


@pytest.fixture
def remote(real_tmp: Path) -> Iterator[Origin]:
    """A remote, not published yet."""
    with origin(real_tmp / "origin") as found:
        yield found


@pytest.fixture
def copy(real_tmp: Path) -> Iterator[Copy]:
    """A copy, with nothing in it yet."""
    found = Copy(real_tmp / "copy")
    try:
        yield found
    finally:
        found.apache.stop()


def test_a_client_installs_and_updates_from_a_mirror_while_the_remote_is_down(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    remote.apache.stop()
    copy.apache.start()
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("update", "--appstream", "example")
    assert APP in client.run("search", "hello", "--columns=application").stdout
    client.run("install", "--noninteractive", "example", APP)
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    assert says(client, "hello 1.0")
    remote.apache.start()
    remote.publish("1.1", tmp_path)
    copy.mirror("--from", remote.url)
    remote.apache.stop()
    client.run("update", "--noninteractive")
    assert says(client, "hello 1.1")


def test_a_mirror_of_a_registry_needs_neither_registry_nor_site(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    with DockerRegistry(real_tmp / "registry") as registry:
        config = REGISTRY.replace("{registry}", registry.url)
        with origin(real_tmp / "origin", config) as remote:
            registry.copy(runtime_layout(tmp_path), "runtime:latest")
            registry.copy(app_layout(tmp_path, version="1.0"), "apps/hello:latest")
            remote.flatdex.run("publish")
            copy.mirror("--from", remote.url)
    copy.apache.start()
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("install", "--noninteractive", "example", APP)
    assert says(client, "hello 1.0")


def test_a_partial_mirror_has_what_was_asked_for_and_its_runtime_and_names_nothing_else(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    found = copy.json("--from", remote.url, "--only", "org.flatdex.Hell*")
    assert {ref.split("/")[1] for ref in found["refs"]} == {APP, RUNTIME}
    copy.apache.start()
    index = get(f"{copy.apache.url}index/static").json
    names = {image["Labels"]["org.flatpak.ref"].split("/")[1] for each in index["Results"] for image in each["Images"]}
    assert names == {APP, RUNTIME}
    assert OTHER not in (copy.root / "index.html").read_text()
    assert not (copy.root / "apps" / OTHER).exists()
    assert copy.document()["mirror"]["partial"]
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("install", "--noninteractive", "example", APP)
    assert says(client, "hello 1.0")


def test_without_dependencies_a_runtime_does_not_come_along(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    found = copy.json("--from", remote.url, "--only", APP, "--no-deps")
    assert [ref.split("/")[1] for ref in found["refs"]] == [APP]


def test_a_mirror_keeps_what_the_remote_said_and_looks_like_it(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    theirs = remote.flatdex.root
    assert (copy.root / "upstream/snapshot.json").read_bytes() == (theirs / "snapshot.json").read_bytes()
    packed = (copy.root / "upstream/index/latest.json.gz").read_bytes()
    assert packed == (theirs / "index/latest.json.gz").read_bytes()
    assert json.loads(gzip.decompress(packed))["Results"]
    ours = copy.document()
    assert ours["remote"] == json.loads((theirs / "snapshot.json").read_bytes())["remote"]
    assert ours["mirror"]["id"] == json.loads((theirs / "snapshot.json").read_bytes())["id"]
    assert json.loads((copy.root / "index/latest.json").read_bytes())["Registry"] == "../"
    for path in ("index.html", "de/index.html", f"apps/{APP}/index.html", "example.flatpakrepo"):
        assert (copy.root / path).read_bytes() == (theirs / path).read_bytes(), path
        assert int((copy.root / path).stat().st_mtime) == int((theirs / path).stat().st_mtime), path


def test_an_unchanged_mirror_asks_one_question_and_makes_nothing(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    first = copy.json("--from", remote.url)
    before = len(remote.apache.access_log())
    again = copy.json("--from", remote.url)
    assert (first["changed"], again["changed"]) == (True, False)
    assert again["snapshot"] == first["snapshot"]
    asked = remote.apache.access_log()[before:]
    assert [(each.path, each.status) for each in asked] == [("/snapshot.json", 304)]


def test_an_update_fetches_only_what_is_new(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    before = len(remote.apache.access_log())
    remote.publish("1.1", tmp_path)
    copy.mirror("--from", remote.url)
    blobs = [each.path for each in remote.apache.access_log()[before:] if each.path.startswith("/v2/")]
    assert len(blobs) == 3, blobs  # manifest, config, layer of one application
    assert not list((copy.store / "mirror/objects").iterdir())


def test_what_would_be_fetched_is_told_and_nothing_is_made(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    told = copy.mirror("--from", remote.url, "--only", APP, "--dry-run").stdout
    assert f"app/{APP}/" in told
    assert remote.url in told
    assert not copy.store.exists()


def test_a_mirror_of_a_mirror_gives_the_remotes_own_list(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    theirs = (remote.flatdex.root / "snapshot.json").read_bytes()
    remote.apache.stop()
    copy.apache.start()
    second = Copy(real_tmp / "second")
    second.mirror("--from", copy.apache.url)
    assert (second.root / "upstream/snapshot.json").read_bytes() == theirs
    third = Copy(real_tmp / "third")
    third.mirror("--from", copy.root)  # a folder
    assert (third.root / "upstream/snapshot.json").read_bytes() == theirs


def test_when_something_is_nowhere_nothing_changes(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    first = copy.json("--from", remote.url)
    remote.publish("1.1", tmp_path)
    manifest = json.loads((remote.flatdex.root / "snapshot.json").read_bytes())["images"]
    digest = next(each["digest"] for each in manifest if each["ref"].startswith(f"app/{APP}/"))
    blob = remote.flatdex.root / "v2/hello/manifests" / digest
    layer = json.loads(blob.read_bytes())["layers"][0]["digest"]
    (remote.flatdex.root / "v2/hello/blobs" / layer).unlink()
    done = copy.mirror("--from", remote.url, check=False)
    assert done.returncode == 1
    assert layer.removeprefix("sha256:")[:12] in done.stderr
    assert copy.document()["id"] == first["snapshot"]
