"""The files with which an application is installed."""

from __future__ import annotations

from builder.config import Remote
from builder.site import flatpakref, flatpakrepo

REMOTE = Remote(
    "example", "Example", "https://example.org/sub", "id", runtime_repo="https://runtimes.example/x.flatpakrepo"
)


def lines(
    tag: str = "latest", main_tag: str = "latest", title: str = "Hello", runtime_in: str | None = None
) -> list[str]:
    """The file, line by line."""
    content = flatpakref.render(REMOTE, tag, main_tag, "org.flatdex.Hello", "stable", title, runtime_in or tag)
    return content.data.decode().splitlines()


def test_all_that_a_client_needs_is_there() -> None:
    assert lines() == [
        "[Flatpak Ref]",
        "Title=Hello",
        "Name=org.flatdex.Hello",
        "Branch=stable",
        "Url=oci+https://example.org/sub",
        "SuggestRemoteName=example",
        "IsRuntime=false",
    ]


def test_the_url_is_that_of_the_flatpakrepo_file_to_the_byte() -> None:
    for tag, main_tag in (("latest", "latest"), ("testing", "latest"), ("stable", "stable")):
        of_remote = flatpakrepo.render(REMOTE, tag, main_tag).data.decode().splitlines()
        (url,) = [line for line in of_remote if line.startswith("Url=")]
        assert url in lines(tag, main_tag)


def test_another_tag_is_another_remote() -> None:
    assert "SuggestRemoteName=example-testing" in lines("testing")


def test_where_the_runtime_is_missing_the_file_says_where_it_is() -> None:
    nowhere = flatpakref.render(REMOTE, "latest", "latest", "org.flatdex.Hello", "stable", "Hello", None)
    assert b"\nRuntimeRepo=https://runtimes.example/x.flatpakrepo\n" in nowhere.data


def test_where_another_tag_has_the_runtime_the_file_names_that_tags_remote() -> None:
    assert "RuntimeRepo=https://example.org/sub/example.flatpakrepo" in lines("testing", runtime_in="latest")
    assert "RuntimeRepo=https://example.org/sub/example-testing.flatpakrepo" in lines(runtime_in="testing")


def test_a_title_stays_in_its_line() -> None:
    assert "Title=a Url=oci+http://evil" in lines(title="a\nUrl=oci+http://evil")


def test_each_channel_has_a_file_of_its_own() -> None:
    assert flatpakref.path("a.b.C", "latest", "stable", main=True) == "refs/a.b.C.flatpakref"
    assert flatpakref.path("a.b.C", "latest", "beta", main=False) == "refs/latest/beta/a.b.C.flatpakref"
