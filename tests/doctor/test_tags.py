"""Each tag is a remote of its own: files are held against the index of the tag that they name, and so are runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.doctor.findings import Finding
from tests.doctor.site import PUBLIC, Copy, codes, found
from tests.e2e.site import Flatdex
from tests.real.apache import Apache
from tests.real.files import readable_folder

BETA = "refs/beta/stable/org.flatdex.Demo.flatpakref"
RUNTIME_REPO = f"RuntimeRepo={PUBLIC}example.flatpakrepo\n"
# Of each of these nothing is wrong.
VIEWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    ("#beta", {}),
    ("", {"tags": ("beta",)}),
    ("", {"architectures": ("arm64",)}),
    ("#beta", {"architectures": ("amd64",)}),
)


def served(copy: Copy, url: str = "", *, allow_override: str = "FileInfo Indexes", **wish: Any) -> list[Finding]:
    """What is found where Apache serves the copy."""
    with (
        readable_folder() as folder,
        Apache(folder / "apache", copy.root, allow_override=allow_override) as apache,
    ):
        return list(found(f"{apache.url}{url}", **wish))


@pytest.mark.parametrize("sample", [0, 1, 5])
@pytest.mark.parametrize(("url", "wish"), VIEWS, ids=["all", "url", "tag", "architecture", "url and architecture"])
def test_one_tag_of_a_good_site(two_tags: Copy, url: str, wish: dict[str, Any], sample: int) -> None:
    (only,) = served(two_tags, url, sample=sample, **wish)
    assert only.code == "runtime-elsewhere" and only.where.startswith("tag beta")
    assert f"comes from {PUBLIC}example.flatpakrepo" in only.what


@pytest.mark.parametrize("sample", [0, 5])
def test_a_runtime_of_another_tag_that_nobody_is_told_of(two_tags: Copy, sample: int) -> None:
    two_tags.edit(BETA, RUNTIME_REPO, "")
    (only,) = served(two_tags, sample=sample)
    assert only.code == "runtime-missing" and only.where.startswith("tag beta") and "only tag latest" in only.what
    (only,) = served(two_tags, "#beta", sample=sample)
    assert only.code == "runtime-missing"
    assert not served(two_tags, tags=("latest",), sample=sample)


def test_a_runtime_that_is_not_where_clients_are_sent(two_tags: Copy) -> None:
    two_tags.edit(BETA, "example.flatpakrepo", "example-beta.flatpakrepo")
    (only,) = served(two_tags)
    assert only.code == "runtime-missing" and f"nor in tag beta, which {PUBLIC}example-beta.flatpakrepo" in only.what


def test_a_runtime_of_another_remote(two_tags: Copy) -> None:
    two_tags.edit(BETA, f"{PUBLIC}example.flatpakrepo", "https://dl.example.net/x.flatpakrepo")
    (only,) = served(two_tags)
    assert only.code == "runtime-elsewhere" and "https://dl.example.net/x.flatpakrepo" in only.what


@pytest.mark.parametrize(
    ("file", "tag", "other"), [(BETA, "beta", "latest"), ("refs/org.flatdex.Demo.flatpakref", "latest", "beta")]
)
def test_an_install_file_of_nothing(two_tags: Copy, file: str, tag: str, other: str) -> None:
    """It is wrong only in the tag that it names, whether or not another tag has such an application."""
    two_tags.edit(file, "Branch=stable", "Branch=testing")
    for tags in ((), (tag,)):
        told = [each for each in served(two_tags, tags=tags) if each.code == "file-unknown-ref"]
        assert [each.what for each in told] == [f"app/org.flatdex.Demo//testing is not in tag {tag}"]
    for chosen in (served(two_tags, tags=(other,)), served(two_tags, architectures=("amd64",))):
        assert "file-unknown-ref" not in {each.code for each in chosen}


def test_an_install_file_of_what_another_tag_has(two_tags: Copy) -> None:
    two_tags.edit(BETA, "org.flatdex.Demo", "org.flatdex.Platform")
    two_tags.edit(BETA, "IsRuntime=false", "IsRuntime=true")
    assert "file-unknown-ref" in {each.code for each in served(two_tags)}


@pytest.mark.parametrize("url", ["", "#beta"])
def test_a_server_that_ignores_the_tags_that_files_name(two_tags: Copy, url: str) -> None:
    told = served(two_tags, url, allow_override="None", sample=0)
    (error,) = (each for each in told if each.weight.value == "error")
    assert error.code == "other-tag" and error.where == "tag beta" and "that of latest" in error.what
    assert told[0] == error


def test_a_tag_that_is_not_there(real_tmp: Path, two_tags: Copy, two_tags_built: Flatdex) -> None:
    with Apache(real_tmp / "apache", two_tags.root) as apache:
        for url, wish in ((f"{apache.url}#nope", ()), (apache.url, ("nope",))):
            (only,) = found(url, tags=wish)
            assert only.code == "tag-unknown" and only.what == "tags here: latest, beta"
        assert "tags here: latest, beta" in two_tags_built.run("doctor", f"{apache.url}#nope", check=False).stdout
        two_tags.forget_snapshot()
        assert codes(f"{apache.url}#nope") == {"index-missing"}
