"""A stick behind real web servers, and the preview: the real client installs from it, without any registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.description import Snapshot
from builder.stick import placed
from demo.images import APPLICATION, RUNTIME
from tests.e2e.served import Answer, Served
from tests.export.looks import shown
from tests.preview.server import preview
from tests.real.apache import Apache
from tests.real.caddy import Caddy
from tests.real.flatpak import Flatpak
from tests.real.nginx import Nginx
from tests.sync.site import FAILED, NEW, OLD, USAGE, Site, with_images

KINDS = ("serve", *(name + how for name in ("htaccess", "apache", "nginx", "caddy") for how in ("", "-mounted")))
MOUNT = "/school/flatpaks/"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


@contextmanager
def served(site: Site, kind: str) -> Iterator[Served]:
    """The folder `stick`, shown by a server of this kind."""
    stick, state = site.folder / "stick", site.folder / f"state-{kind}"
    snapshot = shown(stick)
    assert snapshot
    if kind == "serve":
        with preview(site, stick) as running:
            yield Served(kind, running.url, stick, snapshot)
        return
    name, _, how = kind.partition("-")
    mount = MOUNT if how else "/"
    with _server(site, name, stick, state, mount) as server:
        yield Served(
            kind, server.url if name in ("apache", "htaccess") else server.url.rstrip("/") + mount, stick, snapshot
        )


def _server(site: Site, name: str, stick: Path, state: Path, mount: str) -> Apache | Nginx | Caddy:
    if name == "htaccess":
        return Apache(state, stick, mount=mount)
    away = site.folder / "away"  # a stick's finder has no configuration
    away.mkdir()
    rules = Site(away).flatdex("rules", name, "--stick", stick, "--prefix", mount, code=0).stdout
    if name == "apache":
        return Apache(state, stick, allow_override="None", extra=rules, mount=mount)
    return Nginx(state, state / "empty", extra=rules) if name == "nginx" else Caddy(state, extra=rules)


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_client_installs_from_a_stick_and_updates_from_the_next_one(site: Site, kind: str) -> None:
    flatpak = Flatpak(site.folder / "client")
    site.promote(OLD)
    site.flatdex("export", "stick", code=0)
    with served(site, kind) as server:
        flatpak.remote_add("stick", server.url)
        listed = flatpak.run("remote-ls", "--columns=application", "stick").stdout.split()
        assert sorted(listed) == [APPLICATION, RUNTIME]
        flatpak.run("install", "--noninteractive", "stick", APPLICATION)
        assert _versions(flatpak) == {APPLICATION: "1.0", RUNTIME: "1.0"}
        site.promote(NEW)
        site.flatdex("export", "stick", code=0)
        flatpak.run("update", "--noninteractive")
        assert _versions(flatpak) == {APPLICATION: "1.2", RUNTIME: "1.0"}


def _versions(flatpak: Flatpak) -> dict[str, str]:
    lines = flatpak.run("list", "--columns=application,version").stdout.splitlines()
    return {words[0]: words[1] for words in map(str.split, lines)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_file_is_what_the_site_says(site: Site, kind: str) -> None:
    _with_a_docker_manifest(site)
    with served(site, kind) as server:
        for entry in server.snapshot.files:
            if entry.path.rpartition("/")[2].startswith(".ht") or entry.path.endswith(".gz"):
                continue
            answer = server.get(entry.path.replace(":", "%3A") if "blobs" in entry.path else entry.path)
            assert answer.status == 200, f"{entry.path}: {answer.status}"
            assert answer.body == (server.root / placed(entry.path)).read_bytes(), entry.path
            if entry.path.startswith("v2/"):
                _check_object(entry.path, answer)
        assert server.get("v2/no/such/manifests/sha256:" + "0" * 64).status == 404
        assert server.get("v2/no/such/blobs/sha256:" + "0" * 64).status == 404
        assert server.get("index/static?tag=latest&architecture=amd64").status == 200


def _check_object(path: str, answer: Answer) -> None:
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", path
    assert "content-encoding" not in answer.headers, path
    wanted = json.loads(answer.body).get("mediaType", OCI) if "/manifests/" in path else "application/octet-stream"
    assert answer.headers["content-type"] == wanted, path


def _with_a_docker_manifest(site: Site) -> None:
    """A stick where one image has a manifest of Docker's kind."""
    folder = site.folder / "docker"
    folder.mkdir()
    images = with_images(folder)
    _make_docker(folder / "images" / APPLICATION)
    images.flatdex("build", code=0)
    images.flatdex("promote", code=0)
    images.flatdex("export", site.folder / "stick", code=0)
    found = shown(site.folder / "stick")
    assert found and _types(found, site.folder / "stick") == {OCI, DOCKER}


def _make_docker(layout: Path) -> None:
    """Gives the layout's manifest Docker's media type."""
    index = json.loads((layout / "index.json").read_text())
    [entry] = index["manifests"]
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    data = json.dumps({**manifest, "mediaType": DOCKER}).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    entry.update(digest=f"sha256:{digest}", size=len(data), mediaType=DOCKER)
    (layout / "index.json").write_text(json.dumps(index))


def _types(snapshot: Snapshot, stick: Path) -> set[str]:
    paths = (entry.path for entry in snapshot.files if "/manifests/" in entry.path)
    return {json.loads((stick / placed(path)).read_bytes())["mediaType"] for path in paths}


@pytest.mark.parametrize("name", ["apache", "nginx", "caddy"])
def test_rules_for_what_is_no_stick_are_refused(site: Site, name: str) -> None:
    current = site.promote(OLD)
    for folder, code in (
        ("store", USAGE),
        (f"store/snapshots/{current}", USAGE),
        ("stick", FAILED),
        ("nowhere", FAILED),
    ):
        result = site.flatdex("rules", name, "--stick", folder, code=code)
        assert not result.stdout and folder in result.stderr, result


def test_rules_name_the_folder_there_and_the_path_of_the_remote(site: Site) -> None:
    text = (site.folder / "flatdex.yaml").read_text()
    site.promote(OLD)
    site.flatdex("export", "stick", code=0)
    assert "127.0.0.1:8080/" in text
    rules = site.flatdex("rules", "nginx", "--stick", "stick").stdout
    assert f'alias "{site.folder}/stick/blobs/sha256/$1";' in rules and "location ^~ /v2/ {" in rules
    rules = site.flatdex("rules", "nginx", "--stick", "stick", "--root", "/srv/stick", "--prefix", "/a/").stdout
    assert 'alias "/srv/stick/blobs/sha256/$1";' in rules and "location ^~ /a/v2/ {" in rules
    assert str(site.folder) not in rules
