"""The files with which a remote is added."""

from __future__ import annotations

import configparser

import pytest

from builder.config import Remote
from builder.content import InMemory
from builder.site import flatpakrepo

REMOTE = Remote("example", "Example", "https://example.org/", "https://example.org/")


def entries(data: bytes) -> dict[str, str]:
    """The entries of a key file."""
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(data.decode("utf-8"))
    assert parser.sections() == ["Flatpak Repo"]
    return dict(parser["Flatpak Repo"])


def test_a_file_with_only_what_is_known() -> None:
    assert flatpakrepo.render(REMOTE).data == b"[Flatpak Repo]\nTitle=Example\nUrl=oci+https://example.org/\n"


def test_all_that_the_remote_says_stands_in_the_file() -> None:
    remote = Remote("a", "Grüße", "https://e/", "id", "c", "d", "https://h/", "https://i/x.png")
    assert entries(flatpakrepo.render(remote).data) == {
        "Title": "Grüße",
        "Url": "oci+https://e/",
        "Comment": "c",
        "Description": "d",
        "Homepage": "https://h/",
        "Icon": "https://i/x.png",
    }


def test_a_tag_stands_behind_the_url_and_in_the_title() -> None:
    found = entries(flatpakrepo.render(REMOTE, "testing").data)
    assert (found["Url"], found["Title"]) == ("oci+https://example.org/#testing", "Example (testing)")


@pytest.mark.parametrize(("value", "written"), [("a\\b", "a\\\\b"), (" a", "\\sa"), ("a;b=c#d", "a;b=c#d")])
def test_values_are_written_as_key_files_hold_them(value: str, written: str) -> None:
    assert f"Comment={written}\n".encode() in flatpakrepo.render(Remote("a", "t", "https://e/", "i", value)).data


def urls(tags: tuple[str, ...], main: str) -> dict[str, str]:
    """The URL in each file."""
    files = flatpakrepo.files(REMOTE, tags, main)
    assert all(isinstance(content, InMemory) for content in files.values())
    return {name: entries(file.data)["Url"] for name, file in files.items() if isinstance(file, InMemory)}


def test_latest_is_what_the_main_file_is_for() -> None:
    assert urls(("latest", "testing"), "latest") == {
        "example.flatpakrepo": "oci+https://example.org/",
        "example-testing.flatpakrepo": "oci+https://example.org/#testing",
    }


def test_without_latest_the_main_file_names_its_tag() -> None:
    assert urls(("testing", "nightly"), "testing") == {
        "example.flatpakrepo": "oci+https://example.org/#testing",
        "example-nightly.flatpakrepo": "oci+https://example.org/#nightly",
    }


def test_on_a_host_that_ignores_queries_each_other_tag_has_a_folder() -> None:
    remote = Remote("a", "t", "https://example.org/sub/", "i", plain_host=True)
    assert remote.address("stable", "stable") == "oci+https://example.org/sub/"
    assert remote.address("testing", "stable") == "oci+https://example.org/sub/testing/"
