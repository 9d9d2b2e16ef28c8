"""Faults of icons, images and of the files that name a remote are found, each alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.doctor.site import NGINX, Copy, Index, by_apache, codes, images, labels, without_runtime
from tests.real.nginx import Nginx
from tests.real.registry import DockerRegistry


def an_icon(copy: Copy) -> str:
    """The path of an icon."""
    return str(next((copy.root / "icons").rglob("*.png")).relative_to(copy.root))


def test_an_icon_that_is_missing(real_tmp: Path, copy: Copy) -> None:
    (copy.root / an_icon(copy)).unlink()
    assert by_apache(real_tmp, copy) == {"icon-unreachable"}


def test_an_icon_that_is_none(real_tmp: Path, copy: Copy) -> None:
    copy.write(an_icon(copy), b'<svg xmlns="http://www.w3.org/2000/svg"/>')
    assert by_apache(real_tmp, copy) == {"icon-broken"}


def test_icons_under_another_type(real_tmp: Path, copy: Copy) -> None:
    copy.add("icons/.htaccess", "ForceType text/html")
    assert by_apache(real_tmp, copy) == {"icon-type"}


def test_icons_that_are_asked_for_again_and_again(real_tmp: Path, copy: Copy) -> None:
    copy.add("icons/.htaccess", '<FilesMatch ".">\nHeader set Cache-Control max-age=60\n</FilesMatch>')
    assert by_apache(real_tmp, copy) == {"icon-lifetime"}


def test_icons_in_the_index(real_tmp: Path, copy: Copy) -> None:
    from tests.builder.helpers import icon_uri

    def inline(index: Index) -> None:
        for each in labels(index):
            each["org.freedesktop.appstream.icon-64"] = icon_uri()

    copy.edit_indexes(inline)
    assert by_apache(real_tmp, copy) - {"file-none"} == {"icon-inline"}


def test_a_blob_that_is_missing(real_tmp: Path, copy: Copy) -> None:
    copy.blobs()[-1].unlink()
    assert by_apache(real_tmp, copy) == {"pull-missing"}


def test_a_manifest_that_is_missing(real_tmp: Path, copy: Copy) -> None:
    copy.blobs("manifests")[0].unlink()
    assert by_apache(real_tmp, copy) == {"pull-missing"}


def test_a_blob_with_other_bytes(real_tmp: Path, copy: Copy) -> None:
    blob = copy.blobs()[-1]
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write(str(blob.relative_to(copy.root)), bytes(data))
    assert by_apache(real_tmp, copy) == {"pull-digest"}


def test_a_manifest_with_other_bytes(real_tmp: Path, copy: Copy) -> None:
    manifest = copy.blobs("manifests")[0]
    copy.write(str(manifest.relative_to(copy.root)), manifest.read_bytes() + b" ")
    assert by_apache(real_tmp, copy) == {"pull-digest"}


@pytest.mark.parametrize("more", [b"", b"more"], ids=["cut", "longer"])
def test_a_blob_of_another_size(real_tmp: Path, copy: Copy, more: bytes) -> None:
    blob = copy.blobs()[-1]
    data = blob.read_bytes()
    copy.write(str(blob.relative_to(copy.root)), data + more if more else data[:-4])
    assert by_apache(real_tmp, copy) == {"pull-size"}


def test_blobs_with_an_encoding(real_tmp: Path, copy: Copy) -> None:
    copy.add("v2/.htaccess", "Header set Content-Encoding x-gzip")
    assert by_apache(real_tmp, copy) == {"pull-encoding"}


def test_blobs_that_are_compressed_on_the_way(real_tmp: Path, copy: Copy) -> None:
    copy.write("v2/.htaccess", b"ForceType application/octet-stream\nSetOutputFilter DEFLATE\n")
    assert by_apache(real_tmp, copy, modules=("filter", "deflate")) == {"pull-compressed"}


def without_type(manifest: Index) -> None:
    del manifest["mediaType"]


def test_a_manifest_without_media_type(real_tmp: Path, copy: Copy) -> None:
    copy.replace_manifest(without_type)
    assert by_apache(real_tmp, copy) - {"file-none"} == {"media-type-missing"}


def test_a_manifest_without_any_type(real_tmp: Path, copy: Copy) -> None:
    copy.replace_manifest(without_type)
    with Nginx(real_tmp / "nginx", copy.root, extra=NGINX) as nginx:
        assert codes(nginx.url) - {"file-none"} == {"manifest-type"}


def test_a_manifest_that_is_none(real_tmp: Path, copy: Copy) -> None:
    copy.replace_manifest(lambda manifest: manifest.update(layers="none"))
    assert by_apache(real_tmp, copy) - {"file-none"} == {"manifest-malformed"}


def test_a_config_that_is_none(real_tmp: Path, copy: Copy) -> None:
    data = b'["no config"]'
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

    def other(manifest: Index) -> None:
        manifest["config"] = {**manifest["config"], "digest": digest, "size": len(data)}

    place = next(file for file in copy.blobs("manifests") if "demo" in str(file)).parent.parent / "blobs" / digest
    copy.write(str(place.relative_to(copy.root)), data)
    copy.replace_manifest(other)
    assert by_apache(real_tmp, copy) - {"file-none"} == {"config-malformed"}


def test_a_registry_that_fails(real_tmp: Path, copy: Copy) -> None:
    with Nginx(real_tmp / "nginx", copy.root, extra=NGINX + "location /v2/ { return 502; }") as nginx:
        assert codes(nginx.url) == {"pull-failing"}


def test_no_head(real_tmp: Path, copy: Copy) -> None:
    def with_authenticator(index: Index) -> None:
        for image in images(index):
            for key in ("Labels", "Annotations"):
                image[key].pop("org.flatpak.commit-metadata.xa.token-type", None)

    rule = "location /v2/ { if ($request_method = HEAD) { return 405; } }"
    with Nginx(real_tmp / "nginx", copy.root, extra=NGINX + rule) as nginx:
        assert codes(nginx.url) == set()  # clients are told to ask for no token
        copy.edit_indexes(with_authenticator)
        assert codes(nginx.url) - {"file-none"} == {"head-failing"}


def test_a_registry_with_a_login(real_tmp: Path, copy: Copy) -> None:
    passwords = real_tmp / "htpasswd"
    passwords.write_text("somebody:$2y$05$" + 53 * "a" + "\n")
    auth = {"htpasswd": {"realm": "private", "path": str(passwords)}}
    with DockerRegistry(real_tmp / "registry", auth=auth) as registry:
        copy.edit_indexes(lambda index: index.update(Registry=f"{registry.url}/"))
        assert by_apache(real_tmp, copy) - {"file-none"} == {"pull-login"}


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        ("file-url", "example.org/", "example.org"),
        ("file-url", "oci+https", "https"),
        ("file-url", "flatpaks.example", "flatpak.example"),
        ("file-malformed", "[Flatpak Repo]", "[Flatpak]"),
        ("file-malformed", "Url=", "Uri="),
        ("file-malformed", "Title=", "Title"),
        ("file-key", "Title=", "CollectionID=org.example\nTitle="),
        ("file-key", "Title=", "GPGKey=AAAA\nTitle="),
    ],
)
def test_a_repo_file(real_tmp: Path, copy: Copy, code: str, old: str, new: str) -> None:
    copy.edit("example.flatpakrepo", old, new)
    assert by_apache(real_tmp, copy) == {code}


def test_a_repo_file_that_is_missing(real_tmp: Path, copy: Copy) -> None:
    (copy.root / "example.flatpakrepo").unlink()
    assert by_apache(real_tmp, copy) == {"file-unreachable"}


def test_no_repo_file_and_one_behind_a_link(real_tmp: Path, copy: Copy) -> None:
    copy.forget_snapshot()
    (copy.root / "index.html").unlink(missing_ok=True)
    assert by_apache(real_tmp, copy) == {"file-none"}
    copy.write("index.html", b'<a href="example.flatpakrepo">add</a>')
    index = "DirectoryIndex index.html"
    assert by_apache(real_tmp / "linked", copy, index) == set()
    copy.edit("example.flatpakrepo", "example.org/", "example.org")
    assert by_apache(real_tmp / "wrong", copy, index) == {"file-url"}


def ref_file(name: str = "org.flatdex.Demo", url: str = "oci+https://flatpaks.example.org/", more: str = "") -> bytes:
    """A `.flatpakref`."""
    return f"[Flatpak Ref]\nName={name}\nBranch=stable\nUrl={url}\nIsRuntime=false\n{more}".encode()


def with_ref_file(copy: Copy, data: bytes) -> None:
    """Puts it where the snapshot has it."""
    for file in (copy.root / "refs").glob("*") if (copy.root / "refs").is_dir() else ():
        if file.suffix == ".flatpakref":
            file.unlink()
    description = json.loads((copy.root / "snapshot.json").read_bytes())
    description["files"] = [each for each in description["files"] if not each["path"].endswith(".flatpakref")]
    description["files"].append({"path": "refs/one.flatpakref", "size": 1, "sha256": "0" * 64, "mtime": 1})
    copy.write("snapshot.json", json.dumps(description).encode())
    copy.write("refs/one.flatpakref", data)


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        (set(), ref_file()),
        ({"file-url"}, ref_file(url="oci+https://flatpaks.example.org")),
        ({"file-unknown-ref"}, ref_file("org.flatdex.Other")),
        ({"file-malformed"}, ref_file("")),
    ],
    ids=["good", "slash", "unknown", "nameless"],
)
def test_a_ref_file(real_tmp: Path, copy: Copy, expected: set[str], data: bytes) -> None:
    with_ref_file(copy, data)
    assert by_apache(real_tmp, copy) == expected


def test_a_runtime_of_another_remote(real_tmp: Path, copy: Copy) -> None:
    with_ref_file(copy, ref_file(more="RuntimeRepo=https://dl.example.org/x.flatpakrepo\n"))
    description = (copy.root / "snapshot.json").read_bytes()
    copy.edit_indexes(without_runtime)
    copy.write("snapshot.json", description)
    assert by_apache(real_tmp, copy) == {"runtime-elsewhere", "snapshot-differs"}


def test_pages_without_a_policy(real_tmp: Path, copy: Copy) -> None:
    copy.write("index.html", b"<!DOCTYPE html><title>Example</title>")
    unset = 'DirectoryIndex index.html\n<Location "/">\nHeader unset Content-Security-Policy\n</Location>'
    only = by_apache(real_tmp, copy, unset)
    assert only == {"page-policy"}
