"""The real flatpak client installs, runs and updates the examples from nothing but files behind Apache."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from demo.host import shell
from demo.images import APPLICATION, RUNTIME, write_application, write_runtime
from tests.demo.layouts import Layout
from tests.real.apache import Apache
from tests.real.flatpak import Flatpak

RULES = 'Header set Cache-Control no-cache\n<Files "static">\nForceType application/json\n</Files>\n'
NO_TOKEN = {"org.flatpak.commit-metadata.xa.token-type": "AAAAAABp"}


def publish(site: Path, *layouts: Layout) -> None:
    """Write the index by hand, and the registry as files."""
    site.mkdir(exist_ok=True)
    (site / ".htaccess").write_text(RULES)
    (site / "index").mkdir(exist_ok=True)
    for layout in layouts:
        publish_blobs(site / "v2" / repository(layout), layout)
    index = {"Registry": "/", "Results": [result(layout) for layout in layouts]}
    (site / "index" / "static").write_text(json.dumps(index))


def publish_blobs(folder: Path, layout: Layout) -> None:
    manifest, *others = layout.descriptors
    for kind, descriptors in {"manifests": [manifest], "blobs": others}.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for descriptor in descriptors:
            shutil.copyfile(layout.path(descriptor), folder / kind / descriptor["digest"])


def repository(layout: Layout) -> str:
    return layout.folder.name.lower()


def result(layout: Layout) -> dict[str, Any]:
    image = {
        "Digest": layout.descriptor["digest"],
        "MediaType": layout.descriptor["mediaType"],
        "OS": layout.config["os"],
        "Architecture": layout.config["architecture"],
        "Tags": ["latest"],
        "Labels": layout.labels | NO_TOKEN,
        "Annotations": {},
    }
    return {"Name": repository(layout), "Images": [image], "Lists": []}


def application(folder: Path, version: str, created: str) -> Layout:
    return Layout(write_application(folder, version=version, created=created))


def assert_says_hello(flatpak: Flatpak, version: str) -> None:
    if flatpak.can_run and shell():
        assert flatpak.run("run", APPLICATION).stdout == f"Hello from flatdex, version {version}\n"


@pytest.fixture
def flatpak(real_tmp: Path) -> Flatpak:
    return Flatpak(real_tmp / "client")


def test_client_installs_runs_and_updates_the_examples(real_tmp: Path, flatpak: Flatpak) -> None:
    site, layouts = real_tmp / "site", real_tmp / "layouts"
    runtime = Layout(write_runtime(layouts))
    publish(site, runtime, application(layouts, "1.0", "2026-02-01T10:00:00Z"))
    with Apache(real_tmp / "apache", site) as apache:
        flatpak.remote_add("demo", apache.url)
        flatpak.run("install", "--noninteractive", "demo", APPLICATION)
        listed = flatpak.run("list", "--columns=application,version").stdout.splitlines()
        assert sorted(line.split() for line in listed) == [[APPLICATION, "1.0"], [RUNTIME, "1.0"]]
        assert_says_hello(flatpak, "1.0")
        publish(site, runtime, application(layouts, "1.1", "2026-03-01T10:00:00Z"))
        flatpak.run("update", "--noninteractive")
    info = flatpak.run("info", APPLICATION).stdout
    assert "Subject: Flatdex Demo 1.1\n" in info and "Date: 2026-03-01 10:00:00 +0000\n" in info
    assert_says_hello(flatpak, "1.1")


def test_client_shows_the_examples_to_people(real_tmp: Path, flatpak: Flatpak) -> None:
    site = real_tmp / "site"
    publish(site, application(real_tmp / "layouts", "1.0", "2026-02-01T10:00:00Z"))
    with Apache(real_tmp / "apache", site) as apache:
        flatpak.remote_add("demo", apache.url)
        flatpak.run("update", "--appstream", "demo")
        found = flatpak.run("search", "--columns=application,name,version,description", "hello").stdout
    assert found == f"{APPLICATION}\tFlatdex Demo\t1.0\tSay hello from a static Flatpak remote\n"
    icons = {path.parent.name for path in flatpak.folder.rglob(f"icons/*/{APPLICATION}.png")}
    assert icons == {"64x64", "128x128"}


def test_desktop_sees_launcher_and_icons(real_tmp: Path, flatpak: Flatpak) -> None:
    site, layouts = real_tmp / "site", real_tmp / "layouts"
    publish(site, Layout(write_runtime(layouts)), application(layouts, "1.0", "2026-02-01T10:00:00Z"))
    with Apache(real_tmp / "apache", site) as apache:
        flatpak.remote_add("demo", apache.url)
        flatpak.run("install", "--noninteractive", "demo", APPLICATION)
    exports = flatpak.folder / "user" / "exports" / "share"
    launcher = (exports / "applications" / f"{APPLICATION}.desktop").read_text()
    assert f"--command=flatdex-demo {APPLICATION}\n" in launcher
    for size in (64, 128):
        assert (exports / "icons" / "hicolor" / f"{size}x{size}" / "apps" / f"{APPLICATION}.png").is_file()
