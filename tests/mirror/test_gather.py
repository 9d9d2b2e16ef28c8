"""Where sources come from: what is configured, and what others drop in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import Exit, UsageError
from sync.mirror import gather
from sync.mirror.gather import dropped_in, url
from sync.mirror.model import Found, Source
from sync.mirror.mounts import MountRule
from tests.mirror.lists import described


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://example.org", "https://example.org/"),
        ("https://example.org/", "https://example.org/"),
        (" HTTPS://Example.ORG:443/Apps ", "https://example.org/Apps/"),
        ("http://example.org:80/a/b//", "http://example.org/a/b/"),
        ("http://example.org:8080/a", "http://example.org:8080/a/"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a/"),
        ("oci+https://example.org/apps", "https://example.org/apps/"),
        ("https://example.org/apps/snapshot.json", "https://example.org/apps/"),
        ("https://example.org/a%20b/ü", "https://example.org/a%20b/%C3%BC/"),
        ("/media/stick", "file:///media/stick/"),
        ("/media/a stick/", "file:///media/a%20stick/"),
        ("/media/../srv/./x", "file:///srv/x/"),
        ("/media/stick/snapshot.json", "file:///media/stick/"),
        ("file:///media/a%20stick", "file:///media/a%20stick/"),
        ("file://localhost/media/stick/", "file:///media/stick/"),
        ("file:/media/stick", "file:///media/stick/"),
        ("FILE:///media/100%25", "file:///media/100%25/"),
        ("/", "file:///"),
    ],
)
def test_one_form(text: str, found: str) -> None:
    assert url(text) == found
    assert url(found) == found


def test_paths_are_those_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert url("stick:1") == f"{tmp_path.as_uri()}/stick%3A1/"
    assert url("./http:/x") == f"{tmp_path.as_uri()}/http%3A/x/"
    monkeypatch.setenv("HOME", "/home/somebody")
    assert url("~/stick") == "file:///home/somebody/stick/"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no source"),
        ("/media/a\nb", "is no source"),
        ("ftp://example.org/", "ftp:// is not known"),
        ("https://", "names no host"),
        ("http:/example.org/", "names no host"),
        ("http:example.org", "names no host"),
        ("https://exa mple.org/", "names no host"),
        ("https://example.org:port/", "is no URL"),
        ("https://[::1/", "is no URL"),
        ("https://me:secret@example.org/", "there is a login in this URL"),
        ("https://example.org/?tag=latest", "has a query or a fragment"),
        ("https://example.org/#latest", "has a query or a fragment"),
        ("https://example.org/example.flatpakrepo", "is a file for clients"),
        ("file://media/stick", "is no folder of this machine"),
        ("file:media/stick", "is no folder of this machine"),
        ("file:///media/%0a", "is no folder's name"),
    ],
)
def test_what_is_no_source_is_told_with_a_fix(text: str, why: str) -> None:
    with pytest.raises(UsageError) as raised:
        url(text)
    assert why in raised.value.what and raised.value.fix
    assert raised.value.exit_code is Exit.USAGE
    assert "secret" not in str(raised.value)


@given(st.text() | st.text("htps:/.@?#[]%file\\ 0aü"))
def test_any_text_is_a_source_or_told_to_be_none(text: str) -> None:
    try:
        found = url(text)
    except UsageError:
        return
    assert found.endswith("/") and found.isascii() and found.isprintable()
    assert found.startswith(("https://", "http://", "file:///"))
    assert url(found) == found


def test_each_once_and_the_configured_one_counts(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    drop = tmp_path / "sources.d"
    drop.mkdir()
    (drop / "web.url").write_text("https://a.example/\nhttps://c.example/\n")
    (drop / "stick").symlink_to(tmp_path / "stick")
    found, warnings = gather.sources(
        ["https://a.example", "https://b.example/", "https://A.example:443/", str(tmp_path / "stick")], drop
    )
    assert [(each.url, each.found) for each in found] == [
        ("https://a.example/", Found.CONFIGURED),
        ("https://b.example/", Found.CONFIGURED),
        (f"{tmp_path.as_uri()}/stick/", Found.CONFIGURED),
        ("https://c.example/", Found.DROPPED_IN),
    ]
    assert warnings == ()
    assert found[2].folder == tmp_path / "stick"


def test_nothing_but_what_is_configured() -> None:
    assert gather.sources(["/srv"]) == ((Source("file:///srv/"),), ())
    with pytest.raises(UsageError):
        gather.sources(["gopher://x/"])


def test_mounts_are_among_them(tmp_path: Path) -> None:
    (tmp_path / "stick/.flatdex").mkdir(parents=True)
    (tmp_path / "stick/.flatdex/snapshot.json").write_bytes(described(1))
    info = tmp_path / "mountinfo"
    info.write_text(f"1 2 8:1 / {tmp_path}/stick rw - vfat /dev/sda1 rw\n")
    found, _ = gather.sources([], None, MountRule(mountinfo=info))
    assert [(each.url, each.found) for each in found] == [(f"{tmp_path.as_uri()}/stick/.flatdex/", Found.MOUNTED)]


# ---- Dropped in


def test_no_folder_is_fine(tmp_path: Path) -> None:
    assert dropped_in(tmp_path / "nowhere") == ((), ())


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found, [warning] = dropped_in(tmp_path / "file")
    assert found == () and "is not looked at: Not a directory" in warning


def test_folders_and_links_to_folders(tmp_path: Path) -> None:
    drop, place = tmp_path / "sources.d", tmp_path / "media" / "a stick"
    place.mkdir(parents=True)
    drop.mkdir()
    (drop / "b").mkdir()
    (drop / "a").symlink_to(place)
    (drop / "c").symlink_to("a")
    found, warnings = dropped_in(drop)
    there = f"{place.as_uri()}/"
    assert [each.url for each in found] == [there, f"{(drop / 'b').as_uri()}/", there]
    assert {each.found for each in found} == {Found.DROPPED_IN} and warnings == ()


def test_url_files(tmp_path: Path) -> None:
    (tmp_path / "10-near.url").write_text("# the school's\nhttps://near.example/apps\n\n  http://10.0.0.7:8080/  \n")
    (tmp_path / "20-stick.url").write_text("/media/stick\nfile:///media/other\n")
    found, warnings = dropped_in(tmp_path)
    assert [each.url for each in found] == [
        "https://near.example/apps/",
        "http://10.0.0.7:8080/",
        "file:///media/stick/",
        "file:///media/other/",
    ]
    assert warnings == ()


def test_what_is_broken_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.url").write_text("near.example\nhttps://good.example/\nhttps://x:y@z.example/\n")
    (tmp_path / "b.url").write_bytes(b"\xff\xfe")
    (tmp_path / "c.url").write_bytes(b"x" * 70_000)
    os.mkfifo(tmp_path / "d.url")
    (tmp_path / "e").symlink_to("nowhere")
    (tmp_path / "f.txt").write_text("https://f.example/")
    (tmp_path / "g").symlink_to("g")
    found, warnings = dropped_in(tmp_path)
    assert [each.url for each in found] == ["https://good.example/"]
    expected = [
        "a.url:1: 'near.example' is no source: write a URL, or an absolute path",
        "a.url:3: https://z.example/: there is a login in this URL",
        "b.url can't be read: it is no text in UTF-8",
        "c.url can't be read: larger than it should be",
        "d.url can't be read: not a plain file",
        "e names no source: it is a link that leads nowhere",
        "f.txt names no source: it is neither a folder nor a *.url file",
        "g names no source: it is a link that leads nowhere",
    ]
    assert len(warnings) == len(expected)
    for warning, text in zip(warnings, expected, strict=True):
        assert warning.startswith(f"{tmp_path}/{text}")


def test_what_editors_leave_is_ignored(tmp_path: Path) -> None:
    for name in (".hidden.url", "a.url~", "a.url.bak", ".a.url.swp", "b.bak"):
        (tmp_path / name).write_text("https://a.example/")
    (tmp_path / ".stick").mkdir()
    assert dropped_in(tmp_path) == ((), ())


def test_so_many_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "a.url").write_text("".join(f"https://h{number}.example/\n" for number in range(100)))
    found, warnings = dropped_in(tmp_path)
    assert len(found) == 64 and "names 100 sources: only the first 64" in warnings[0]


def test_what_never_answers_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    (tmp_path / "dead").mkdir()
    (tmp_path / "good").mkdir()
    ended, is_dir = threading.Event(), Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: ended.wait(20) if path.name == "dead" else is_dir(path))
    monkeypatch.setattr(gather, "_SECONDS", 0.3)
    found, warnings = dropped_in(tmp_path)
    ended.set()
    assert [each.url for each in found] == [f"{tmp_path.as_uri()}/good/"]
    assert warnings == (f"{tmp_path}/dead gave no answer in 0.3 seconds, and is left out",)
