"""The example layouts: well-formed, alike each time, and replaced without a gap."""

import base64
import gzip
import hashlib
import io
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from demo.images import APPLICATION, RUNTIME, DemoError, write_application, write_runtime
from tests.demo.layouts import Layout, content, files_below

CREATED = "2026-02-01T10:00:00Z"
COMMIT_METADATA = "org.flatpak.commit-metadata"
LABELS = {
    "org.flatpak.ref",
    "org.flatpak.metadata",
    "org.flatpak.commit",
    "org.flatpak.timestamp",
    "org.flatpak.subject",
    "org.flatpak.body",
    "org.flatpak.installed-size",
    "org.flatpak.download-size",
    f"{COMMIT_METADATA}.ostree.collection-binding",
    f"{COMMIT_METADATA}.ostree.ref-binding",
    f"{COMMIT_METADATA}.xa.download-size",
    f"{COMMIT_METADATA}.xa.installed-size",
    f"{COMMIT_METADATA}.xa.metadata",
    f"{COMMIT_METADATA}.xa.ref",
    "org.freedesktop.appstream.appdata",
    "org.freedesktop.appstream.icon-64",
    "org.freedesktop.appstream.icon-128",
}


@pytest.fixture(autouse=True)
def on_a_common_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture
def application(tmp_path: Path) -> Layout:
    return Layout(write_application(tmp_path, version="1.0", created=CREATED))


@pytest.fixture
def runtime(tmp_path: Path) -> Layout:
    return Layout(write_runtime(tmp_path))


@pytest.fixture(params=["application", "runtime"])
def layout(request: pytest.FixtureRequest) -> Layout:
    layout = request.getfixturevalue(request.param)
    assert isinstance(layout, Layout)
    return layout


def variant(layout: Layout, label: str) -> bytes:
    return base64.b64decode(layout.labels[f"{COMMIT_METADATA}.{label}"], validate=True)


def appdata(layout: Layout) -> ElementTree.Element:
    root = ElementTree.fromstring(layout.labels["org.freedesktop.appstream.appdata"])  # noqa: S314 (our own text)
    assert root.tag == "components"
    (component,) = root
    return component


def test_layouts_lie_side_by_side(tmp_path: Path) -> None:
    assert write_runtime(tmp_path) == tmp_path / "org.flatdex.Platform"
    assert write_application(tmp_path, version="1.0", created=CREATED) == tmp_path / "org.flatdex.Demo"


def test_layout_holds_its_image_and_nothing_else(layout: Layout) -> None:
    layout.check_blobs()
    names = {path.split("/")[0] for path in files_below(layout.folder)}
    assert names == {"oci-layout", "index.json", "blobs"}


def test_index_names_the_ref_as_flatpak_does(layout: Layout) -> None:
    assert layout.descriptor["annotations"] == {"org.opencontainers.image.ref.name": layout.labels["org.flatpak.ref"]}
    assert layout.manifest["mediaType"] == layout.descriptor["mediaType"]


def test_config_describes_the_layer(layout: Layout) -> None:
    archive = gzip.decompress(layout.blob(layout.manifest["layers"][0]))
    assert layout.config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(archive).hexdigest()}"]
    assert layout.config["os"] == "linux"


def test_config_carries_every_label(layout: Layout) -> None:
    assert set(layout.labels) == LABELS
    assert all(isinstance(value, str) for value in layout.labels.values())


def test_metadata_is_the_same_wherever_it_is_told(layout: Layout) -> None:
    metadata = layout.labels["org.flatpak.metadata"].encode()
    assert variant(layout, "xa.metadata") == metadata + b"\0\0s"
    with layout.layer() as archive:
        assert content(archive, "metadata") == metadata


def test_ref_is_the_same_wherever_it_is_told(layout: Layout) -> None:
    ref = layout.labels["org.flatpak.ref"]
    assert variant(layout, "xa.ref") == ref.encode() + b"\0\0s"
    assert variant(layout, "ostree.ref-binding") == ref.encode() + b"\0" + bytes([len(ref) + 1]) + b"\0as"
    assert appdata(layout).findtext("bundle") == ref


def test_sizes_are_true(layout: Layout) -> None:
    download, installed = (int(layout.labels[f"org.flatpak.{kind}-size"]) for kind in ("download", "installed"))
    assert download == layout.manifest["layers"][0]["size"]
    assert variant(layout, "xa.download-size") == download.to_bytes(8, "big") + b"\0t"
    assert variant(layout, "xa.installed-size") == installed.to_bytes(8, "big") + b"\0t"
    with layout.layer() as archive:
        assert installed >= sum(entry.size for entry in archive)


def test_application_needs_the_runtime(application: Layout, runtime: Layout) -> None:
    ref = runtime.labels["org.flatpak.ref"].removeprefix("runtime/")
    assert f"\nruntime={ref}\n" in application.labels["org.flatpak.metadata"]


def test_time_of_creation_is_told_once_in_every_form(application: Layout) -> None:
    moment = datetime(2026, 2, 1, 10, tzinfo=UTC)
    assert application.labels["org.flatpak.timestamp"] == str(int(moment.timestamp()))
    assert application.config["created"] == application.config["history"][0]["created"] == CREATED
    release = appdata(application).find("releases/release")
    assert release is not None
    assert release.attrib == {"version": "1.0", "date": "2026-02-01"}


@pytest.mark.parametrize("created", ["2026-02-01T11:00:00+01:00", "2026-02-01 10:00"])
def test_time_of_creation_is_kept_in_utc(tmp_path: Path, created: str) -> None:
    layout = Layout(write_application(tmp_path, version="1.0", created=created))
    assert layout.config["created"] == CREATED


def test_appdata_has_what_people_want_to_know(application: Layout) -> None:
    component = appdata(application)
    assert component.findtext("id") == APPLICATION
    for path in ("name", "summary", "developer/name", "metadata_license", "project_license", "categories/category"):
        assert component.findtext(path)
    assert len(component.findall("description/p")) > 1
    language = "{http://www.w3.org/XML/1998/namespace}lang"
    assert {element.get(language) for element in component.iter()} == {None, "de"}


def test_runtime_has_appdata_too(runtime: Layout) -> None:
    assert appdata(runtime).findtext("id") == RUNTIME


@pytest.mark.parametrize("size", [64, 128])
def test_icons_are_pictures_of_the_size_they_claim(layout: Layout, size: int) -> None:
    uri = layout.labels[f"org.freedesktop.appstream.icon-{size}"]
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True)
    with Image.open(io.BytesIO(png)) as icon:
        icon.load()
        assert (icon.format, icon.size, icon.mode) == ("PNG", (size, size), "RGBA")
    with layout.layer() as archive:
        name = appdata(layout).findtext("id")
        assert content(archive, f"files/share/app-info/icons/flatpak/{size}x{size}/{name}.png") == png


def test_application_brings_its_launcher(application: Layout) -> None:
    with application.layer() as archive:
        names = archive.getnames()
        launcher = content(archive, f"export/share/applications/{APPLICATION}.desktop").decode()
        command = launcher.split("\nExec=")[1].splitlines()[0]
        assert f"\ncommand={command}\n" in application.labels["org.flatpak.metadata"]
        assert archive.getmember(f"files/bin/{command}").mode == 0o755
        assert b"version 1.0" in content(archive, f"files/bin/{command}")
    assert f"export/share/icons/hicolor/64x64/apps/{APPLICATION}.png" in names


def test_layer_tells_nothing_of_who_wrote_it_and_when(layout: Layout) -> None:
    with layout.layer() as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {(0, 0, "", "", 0)}
    folders = {entry.name for entry in entries if entry.isdir()}
    assert {str(Path(entry.name).parent) for entry in entries} <= folders


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for folder, mask in ((tmp_path / "one", 0o022), (tmp_path / "two", 0o077)):
        before = os.umask(mask)
        write_runtime(folder)
        write_application(folder, version="1.0", created=CREATED)
        os.umask(before)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")


@pytest.mark.parametrize(("version", "created"), [("1.1", CREATED), ("1.0", "2026-03-01T10:00:00Z")])
def test_other_arguments_give_another_image(application: Layout, tmp_path: Path, version: str, created: str) -> None:
    other = Layout(write_application(tmp_path / "other", version=version, created=created))
    assert other.descriptor["digest"] != application.descriptor["digest"]
    assert other.labels["org.flatpak.commit"] != application.labels["org.flatpak.commit"]


def test_runtimes_of_two_versions_differ(runtime: Layout, tmp_path: Path) -> None:
    other = Layout(write_runtime(tmp_path / "other", version="2.0"))
    assert other.manifest["layers"] != runtime.manifest["layers"]


def test_new_version_leaves_no_blob_of_the_old_one(application: Layout, runtime: Layout, tmp_path: Path) -> None:
    neighbour = files_below(runtime.folder)
    (application.folder / "blobs" / "sha256" / "half.new").write_bytes(b"left by a run that was cut off")
    old = application.descriptor["digest"]
    replaced = Layout(write_application(tmp_path, version="1.1", created=CREATED))
    replaced.check_blobs()
    assert replaced.descriptor["digest"] != old
    assert files_below(runtime.folder) == neighbour


def test_same_version_touches_no_file(application: Layout, tmp_path: Path) -> None:
    def inodes() -> dict[str, int]:
        return {str(path): path.stat().st_ino for path in application.folder.rglob("*")}

    before = inodes()
    write_application(tmp_path, version="1.0", created=CREATED)
    assert inodes() == before


def test_old_image_is_whole_until_the_index_names_the_new_one(
    application: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def cut_off_before_the_index(path: Path, target: Path) -> Path:
        if target.name == "index.json":
            raise KeyboardInterrupt
        return replace(path, target)

    before = files_below(application.folder)
    monkeypatch.setattr(Path, "replace", cut_off_before_the_index)
    with pytest.raises(KeyboardInterrupt):
        write_application(tmp_path, version="1.1", created=CREATED)
    assert before.items() <= files_below(application.folder).items()

    monkeypatch.undo()
    write_application(tmp_path, version="1.1", created=CREATED)
    Layout(application.folder).check_blobs()


@pytest.mark.parametrize(
    ("machine", "flatpak", "oci"),
    [("x86_64", "x86_64", "amd64"), ("aarch64", "aarch64", "arm64"), ("i686", "i386", "386")],
)
def test_architecture_has_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, flatpak: str, oci: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    layout = Layout(write_application(tmp_path, version="1.0", created=CREATED))
    assert layout.labels["org.flatpak.ref"] == f"app/{APPLICATION}/{flatpak}/stable"
    assert layout.config["architecture"] == oci


def test_other_machines_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(DemoError, match=r"x86_64, aarch64 and i686.*'s390x'"):
        write_runtime(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["", "1.0\n", '1"; rm', "<b>", "-1", "1 0"])
def test_version_is_checked(tmp_path: Path, version: str) -> None:
    with pytest.raises(DemoError, match="A version is made of"):
        write_application(tmp_path, version=version, created=CREATED)
    with pytest.raises(DemoError, match="A version is made of"):
        write_runtime(tmp_path, version=version)


def test_time_is_checked(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="'yesterday'"):
        write_application(tmp_path, version="1.0", created="yesterday")
