"""A stick as an OCI layout, read by an independent program, and by the client where it can."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from demo.images import APPLICATION, RUNTIME
from tests.export.looks import layout, platforms
from tests.real.flatpak import Flatpak
from tests.real.images import APP, app_layout, runtime_layout
from tests.real.process import located, run
from tests.sync.site import DONE, NEW, Site

_SIDELOAD = (1, 17)
"""The first version of the client that takes images from a layout."""


def _skopeo(*args: str) -> str:
    return run([located("skopeo"), "--insecure-policy", *args]).stdout


def test_skopeo_finds_every_image_under_its_ref(site: Site) -> None:
    site.promote(NEW)
    site.flatdex("export", "stick", code=DONE)
    stick = site.folder / "stick"
    found = layout(stick)
    assert sorted(ref.split("/")[1] for ref in found) == [APPLICATION, RUNTIME]
    assert all(told == own for told, own in platforms(stick))
    for ref, digest in found.items():
        described = json.loads(_skopeo("inspect", f"oci:{stick}:{ref}"))
        assert described["Digest"] == digest
        assert described["Labels"]["org.flatpak.ref"] == ref
        copy = site.folder / f"copy-{ref.split('/')[1]}"
        _skopeo("copy", "--quiet", "--preserve-digests", f"oci:{stick}:{ref}", f"oci:{copy}:{ref}")
        assert layout(copy) == {ref: digest}


def test_a_client_imports_an_image_of_flatpaks_own_making_from_the_layout(images: Site, tmp_path: Path) -> None:
    """The way that clients without sideloading have: what they read is the layout's index, under the ref."""
    client = Flatpak(images.folder / "client")
    for made in (runtime_layout(tmp_path), app_layout(tmp_path, version="1.0")):
        made.rename(images.folder / "images" / made.name)
    images.flatdex("build", code=DONE)
    images.flatdex("promote", code=DONE)
    images.flatdex("export", "stick", code=DONE)
    stick = images.folder / "stick"
    [ref] = (ref for ref in layout(stick) if ref.startswith(f"app/{APP}/"))
    repo = images.folder / "repo"
    run([located("ostree"), f"--repo={repo}", "init", "--mode=archive"])
    words = ["build-import-bundle", "--oci", f"--ref={ref}", str(repo), str(stick)]
    run([located("flatpak"), *words], env=client.env, cwd=images.folder)
    refs = run([located("ostree"), f"--repo={repo}", "refs"]).stdout.split()
    assert refs == [ref]


def test_the_client_installs_from_the_layout_without_any_network(site: Site) -> None:
    version = run([located("flatpak"), "--version"]).stdout
    if tuple(map(int, re.findall(r"[0-9]+", version)[:2])) < _SIDELOAD:
        pytest.skip(f"{version.strip()} can't sideload from an OCI layout; 1.17 and later do")
    site.promote(NEW)
    site.flatdex("export", "stick", code=DONE)
    stick = site.folder / "stick"
    client = Flatpak(site.folder / "client")
    client.run("remote-add", "--if-not-exists", "--from", "example", str(stick / "example.flatpakrepo"))
    client.run("install", "--noninteractive", f"--sideload-repo=oci:{stick}", "example", APPLICATION)
    installed = client.run("list", "--columns=application").stdout.split()
    assert sorted(installed) == [APPLICATION, RUNTIME]
