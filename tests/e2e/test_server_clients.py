"""The real client adds, searches, installs and updates from each kind of web server, where all is files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder import configfile
from tests.e2e.site import Flatdex, get
from tests.e2e.test_main_job import installed, says
from tests.real.apache import Apache
from tests.real.caddy import Caddy
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.nginx import Nginx
from tests.real.plain import PlainHost

CONFIG = """
store: ./store
remote: {{name: example, title: Example Flatpaks, url: "{url}"{more}}}
sources:
  local: {{layouts: ["./images/*"]}}
  new: {{layouts: ["./images-testing/*"], tag: testing}}
indexes:
  stable: {{tags: [latest], sources: [local], architectures: [amd64, arm64]}}
  testing: {{tags: [testing], sources: [new], architectures: [amd64, arm64]}}
"""
Server = Apache | Caddy | Nginx | PlainHost


@dataclass
class Remote:
    """A web server, the command that makes what it serves, and a client."""

    flatdex: Flatdex
    url: str
    client: Flatpak

    def publish(self, tmp_path: Path, version: str) -> None:
        """Offers the application in this version, and what follows it as testing."""
        if not (self.flatdex.folder / "images").exists():
            runtime = runtime_layout(tmp_path)
            for folder in ("images", "images-testing"):
                shutil.copytree(runtime, self.flatdex.folder / folder / f"runtime-{folder}")
        for folder, each in (("images", version), ("images-testing", f"{version}.99")):
            place = self.flatdex.folder / folder / f"hello-{folder}"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(app_layout(tmp_path / each, version=each), place)
        self.flatdex.run("publish")


def _started(folder: Path, server: Server, mount: str, more: str = "", rules: str = "") -> Remote:
    """Writes the configuration for where the server will be, gives the server its rules, and starts it."""
    url = server.url if isinstance(server, Apache) else server.url.rstrip("/") + mount
    flatdex = Flatdex(folder / "flatdex", CONFIG.format(url=url, more=more))
    if rules and not isinstance(server, PlainHost):
        server.extra = flatdex.run("rules", rules).stdout
    server.start()
    return Remote(flatdex, url, Flatpak(folder / "client"))


@pytest.fixture(params=["apache", "nginx", "caddy"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kinds of server that have rules."""
    return str(request.param)


@pytest.fixture(params=["/", "/deep/flatpaks/"], ids=["top", "below"])
def remote(request: pytest.FixtureRequest, real_tmp: Path, kind: str) -> Iterator[Remote]:
    """Each of them with rules in its own configuration, for the top of a site and for a place below."""
    mount, state, root = str(request.param), real_tmp / "server", real_tmp / "flatdex/store/current"
    server: Server
    if kind == "apache":
        server = Apache(state, root, mount=mount, allow_override="None")
    else:
        server = Nginx(state, state / "empty") if kind == "nginx" else Caddy(state)
    try:
        yield _started(real_tmp, server, mount, rules=kind)
    finally:
        server.stop()


def test_an_application_is_found_installed_and_updated(remote: Remote, tmp_path: Path) -> None:
    remote.publish(tmp_path, "1.0")
    client = remote.client
    client.from_file(f"{remote.url}example.flatpakrepo", "example")
    client.run("update", "--appstream", "example")
    assert APP in client.run("search", "hello", "--columns=application").stdout
    client.run("install", "--noninteractive", "example", APP)
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    assert says(client, "hello 1.0")
    remote.publish(tmp_path, "1.1")
    client.run("update", "--noninteractive")
    client.run("update", "--appstream", "example")
    assert installed(client) == {(APP, "1.1"), (RUNTIME, "")}


def test_a_second_tag_is_a_remote_of_its_own(remote: Remote, tmp_path: Path) -> None:
    remote.publish(tmp_path, "1.0")
    remote.client.from_file(f"{remote.url}example-testing.flatpakrepo", "testing")
    remote.client.run("update", "--appstream", "testing")
    remote.client.run("install", "--noninteractive", "testing", APP)
    assert (APP, "1.0.99") in installed(remote.client)


@pytest.fixture(params=["python", "nginx"])
def plain(request: pytest.FixtureRequest, real_tmp: Path) -> Iterator[Remote]:
    """Hosts without any rules, which ignore what stands behind a question mark."""
    state, root = real_tmp / "server", real_tmp / "flatdex/store/current"
    server: Server = PlainHost(state, root) if request.param == "python" else Nginx(state, root)
    try:
        yield _started(real_tmp, server, "/", more=", plain_host: true")
    finally:
        server.stop()


def test_a_host_that_ignores_queries_has_a_url_for_each_tag(plain: Remote, tmp_path: Path) -> None:
    plain.publish(tmp_path, "1.0")
    config = configfile.load(plain.flatdex.config, {})
    assert config.remote is not None
    addresses = {tag: config.remote.address(tag, config.dispatch.default_tag) for tag in config.dispatch.tags}
    assert addresses == {"latest": f"oci+{plain.url}", "testing": f"oci+{plain.url}testing/"}
    assert get(f"{plain.url}index/static?tag=testing").body == get(f"{plain.url}index/static").body
    client = plain.client
    for tag, address in addresses.items():
        client.remote_add(tag, address)
        client.run("update", "--appstream", tag)
    assert APP in client.run("search", "hello", "--columns=application").stdout
    client.run("install", "--noninteractive", "latest", APP)
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    client.run("uninstall", "--noninteractive", APP)
    client.run("install", "--noninteractive", "testing", APP)
    assert installed(client) == {(APP, "1.0.99"), (RUNTIME, "")}


def test_an_update_comes_from_a_host_without_rules(plain: Remote, tmp_path: Path) -> None:
    """Such a host says nothing of how long an index may be kept, so a client keeps it for half an hour."""
    plain.publish(tmp_path, "1.0")
    plain.client.remote_add("testing", f"{plain.url}testing/")
    plain.client.run("install", "--noninteractive", "testing", APP)
    plain.publish(tmp_path, "1.1")
    shutil.rmtree(plain.client.folder / "user/oci", ignore_errors=True)
    for kept in plain.client.folder.rglob("*.index*"):
        kept.unlink()
    plain.client.run("update", "--noninteractive")
    assert (APP, "1.1.99") in installed(plain.client)


def _fetched(url: str, folder: Path) -> str:
    """A file as a browser hands it to the client."""
    file = folder / url.rpartition("/")[2]
    file.write_bytes(get(url).body)
    return str(file)


def test_the_install_button_is_enough_for_a_client_that_knows_nothing(remote: Remote, tmp_path: Path) -> None:
    remote.publish(tmp_path, "1.0")
    client = remote.client
    client.run("install", "--noninteractive", "--from", _fetched(f"{remote.url}refs/{APP}.flatpakref", tmp_path))
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    assert says(client, "hello 1.0")
    (added,) = client.run("remotes", "--columns=name,url").stdout.splitlines()
    assert added.split() == ["example", f"oci+{remote.url}"]


def test_the_install_button_takes_a_remote_that_is_there(remote: Remote, tmp_path: Path) -> None:
    remote.publish(tmp_path, "1.0")
    client = remote.client
    client.from_file(f"{remote.url}example-testing.flatpakrepo", "mine")
    button = f"{remote.url}refs/testing/stable/{APP}.flatpakref"
    client.run("install", "--noninteractive", "--from", _fetched(button, tmp_path))
    assert (APP, "1.0.99") in installed(client)
    assert [line.split()[0] for line in client.run("remotes", "--columns=name").stdout.splitlines()] == ["mine"]


def test_install_buttons_work_on_a_host_without_rules(plain: Remote, tmp_path: Path) -> None:
    plain.publish(tmp_path, "1.0")
    client = plain.client
    button = f"{plain.url}refs/testing/stable/{APP}.flatpakref"
    client.run("install", "--noninteractive", "--from", _fetched(button, tmp_path))
    assert (APP, "1.0.99") in installed(client)
    client.from_file(f"{plain.url}example.flatpakrepo", "example")
    client.run("install", "--noninteractive", "--reinstall", "example", APP)
    assert (APP, "1.0") in installed(client)


def test_the_install_button_brings_the_remote_that_has_the_runtime(remote: Remote, tmp_path: Path) -> None:
    remote.publish(tmp_path, "1.0")
    shutil.rmtree(remote.flatdex.folder / "images-testing" / "runtime-images-testing")
    published = remote.flatdex.run("publish", "--allow-shrink")
    assert "runtime-in-other-index" in published.stderr
    client = remote.client
    client.run("install", "--noninteractive", "--from", f"{remote.url}refs/testing/stable/{APP}.flatpakref")
    assert installed(client) == {(APP, "1.0.99"), (RUNTIME, "")}
    names = {line.split()[0] for line in client.run("remotes", "--columns=url").stdout.splitlines()}
    assert names == {f"oci+{remote.url}", f"oci+{remote.url}#testing"}
