"""From a registry, or from layouts alone, to an installed application and its update: nothing here is played."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.site import Flatdex, get
from tests.real.apache import Apache
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.registry import DockerRegistry

REGISTRY = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}"}}
sources:
  main: {{registry: "{registry}", exclude: ["scratch/*"], token: none}}
indexes:
  defaults: {{architectures: [amd64, arm64]}}
  stable: {{tags: [latest]}}
  testing: {{tags: [testing]}}
targets:
  web: {{rsync: ./web, url: "{url}"}}
"""

LAYOUTS = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}"}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  defaults: {{architectures: [amd64, arm64]}}
  stable: {{tags: [latest]}}
targets:
  web: {{rsync: ./web, url: "{url}"}}
"""


@dataclass
class Remote:
    """A whole installation: where images are put, the command, and Apache serving the target of its push."""

    flatdex: Flatdex
    apache: Apache
    client: Flatpak
    registry: DockerRegistry | None

    def offer(self, layout: Path, name: str) -> None:
        """Makes the image in `layout` what NAME:latest is."""
        if self.registry:
            self.registry.copy(layout, f"{name}:latest")
            return
        place = self.flatdex.folder / "images" / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(layout, place)


@pytest.fixture(params=["registry", "layouts"])
def remote(request: pytest.FixtureRequest, real_tmp: Path) -> Iterator[Remote]:
    """Both kinds of source; with layouts there is no registry at all, at no time."""
    web = real_tmp / "flatdex" / "web" / "current"
    web.parent.mkdir(parents=True)
    apache = Apache(real_tmp / "apache", web, mount="/deep/flatpaks/")
    client = Flatpak(real_tmp / "client")
    if request.param == "layouts":
        with apache:
            flatdex = Flatdex(real_tmp / "flatdex", LAYOUTS.format(url=apache.url))
            yield Remote(flatdex, apache, client, None)
        return
    with apache, DockerRegistry(real_tmp / "registry") as registry:
        flatdex = Flatdex(real_tmp / "flatdex", REGISTRY.format(url=apache.url, registry=registry.url))
        yield Remote(flatdex, apache, client, registry)


def test_an_application_is_found_installed_run_and_updated(remote: Remote, tmp_path: Path) -> None:
    remote.offer(runtime_layout(tmp_path), "org.flatdex.platform")
    remote.offer(app_layout(tmp_path, version="1.0"), "apps/hello" if remote.registry else "hello")
    first = remote.flatdex.json("publish")
    assert first["changed"] and first["promoted"]["changed"]
    assert [target["error"] for target in first["targets"]] == [""]

    client = remote.client
    client.from_file(f"{remote.apache.url}example.flatpakrepo", "example")
    assert client.run("remotes", "--columns=name,title").stdout.split("\t") == ["example", "Example Flatpaks\n"]
    refs = client.run("remote-ls", "example", "--columns=ref").stdout.split()
    arch = client.run("remote-info", "example", APP, "--show-ref").stdout.strip().split("/")[2]
    assert refs == [f"app/{APP}/{arch}/stable", f"runtime/{RUNTIME}/{arch}/stable"]
    client.run("update", "--appstream", "example")
    assert APP in client.run("search", "hello", "--columns=application").stdout
    shown = client.run("remote-info", "example", APP).stdout
    assert f"Ref: app/{APP}/{arch}/stable" in shown
    client.run("install", "--noninteractive", "example", APP)
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    assert says(client, "hello 1.0")

    remote.offer(app_layout(tmp_path, version="1.1"), "apps/hello" if remote.registry else "hello")
    second = remote.flatdex.json("publish")
    assert second["snapshot"] > first["snapshot"]
    client.run("update", "--noninteractive")
    client.run("update", "--appstream", "example")
    assert installed(client) == {(APP, "1.1"), (RUNTIME, "")}
    assert says(client, "hello 1.1")


def test_a_client_fetches_icons_once_and_revalidates_the_index(remote: Remote, tmp_path: Path) -> None:
    remote.offer(runtime_layout(tmp_path), "org.flatdex.platform")
    remote.offer(app_layout(tmp_path), "hello")
    remote.flatdex.run("publish")
    remote.client.remote_add("example", remote.apache.url)
    for _ in range(3):
        remote.client.run("update", "--appstream", "example")
        remote.client.run("remote-ls", "example")
    lines = remote.apache.access_log(at_least=4)
    icons = [line.path for line in lines if "/icons/" in line.path]
    assert len(icons) == 2 and len(set(icons)) == 2
    index = [line.status for line in lines if "/index/static" in line.path and line.user_agent != "flatdex"]
    assert index[0] == 200
    assert set(index[1:]) == {304}


def test_the_static_form_of_a_tag_needs_no_query(remote: Remote, tmp_path: Path) -> None:
    """What hosts without rewriting serve: the same remote below /TAG/."""
    remote.offer(runtime_layout(tmp_path), "org.flatdex.platform")
    remote.offer(app_layout(tmp_path), "hello")
    remote.flatdex.run("publish")
    remote.client.remote_add("example", f"{remote.apache.url}latest/")
    remote.client.run("update", "--appstream", "example")
    remote.client.run("install", "--noninteractive", "example", APP)
    assert (APP, "1.0") in installed(remote.client)
    icons = [line.status for line in remote.apache.access_log() if "/icons/" in line.path]
    assert icons == [200, 200]


def test_an_empty_index_is_served_as_such(remote: Remote, tmp_path: Path) -> None:
    remote.offer(runtime_layout(tmp_path), "org.flatdex.platform")
    remote.flatdex.run("publish")
    found = {
        architecture: get(f"{remote.apache.url}index/static?architecture={architecture}&tag=latest").json
        for architecture in ("amd64", "arm64")
    }
    assert sorted(len(index["Results"]) for index in found.values()) == [0, 1]
    assert all(index["Registry"] for index in found.values())


def installed(client: Flatpak) -> set[tuple[str, str]]:
    """The installed applications and runtimes, with their versions."""
    lines = client.run("list", "--columns=application,version").stdout.splitlines()
    return {(name, version) for name, _, version in (line.partition("\t") for line in lines)}


def says(client: Flatpak, text: str) -> bool:
    """Whether the application prints `text`; true without a run where no sandbox can be made."""
    return not client.can_run or client.run("run", APP).stdout.strip() == text
