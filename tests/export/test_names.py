"""Which names a stick can't have, and what a file system is told by."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.export import names
from sync.export.items import Item, Rank
from sync.export.place import file_system
from sync.export.plan import FAT_LIMIT, plan, too_large

_GOOD = (
    "index.html",
    ".htaccess",
    "v1.0-b_2",
    "contact",
    "com10.json",
    "auxiliary",
    "lpt",
    "console.js",
    "a" * 255,
    "ü",
)
_BAD = (
    "a" * 256,
    "😀" * 128,
    "sha256:ab",
    "a*",
    "a?",
    "a<b",
    "a>b",
    "a|b",
    'a"b',
    "a\\b",
    "a\tb",
    "a\x7f",
    "end.",
    "end ",
)
_DEVICES = ("con", "NUL.txt", "Aux.tar.gz", "com1", "LPT9.json", "com¹", "prn ", "COM1 .txt")


@pytest.mark.parametrize("name", _GOOD)
def test_names_that_every_system_has(name: str) -> None:
    assert list(names.faults([name, f"folder/{name}", f"folder/in/{name}/file"])) == []


@pytest.mark.parametrize("name", (*_BAD, *_DEVICES))
def test_names_that_some_refuse(name: str) -> None:
    assert [fault.partition(": ")[0] for fault in names.faults([f"apps/{name}"])] == [f"apps/{name}"]
    assert [fault.partition(": ")[0] for fault in names.faults([f"apps/{name}/a", f"apps/{name}/b"])] == [
        f"apps/{name}"
    ]


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        (["apps/org.a.B/x", "apps/org.a.b/y"], "FAT takes it for apps/org.a.B"),
        (["Straße", "STRASSE"], "FAT takes it for"),
        (["a/b", "a"], "is a file, and the folder of a/b"),
        (["a/b/c", "a/B"], "FAT takes it for"),
    ],
)
def test_names_that_get_in_each_others_way(paths: list[str], told: str) -> None:
    for order in (paths, paths[::-1]):
        assert any(told in fault for fault in names.faults(order))


@given(st.lists(st.text(min_size=1, max_size=12).filter(lambda text: "/" not in text), max_size=6))
def test_what_is_let_through_is_safe(found: list[str]) -> None:
    paths = list(dict.fromkeys(found))
    if not list(names.faults(paths)):
        assert len({path.casefold() for path in paths}) == len(paths)
        for path in paths:
            assert not re.search(r'[\x00-\x1f"*:<>?\\|]|[. ]$', path)


def test_long_paths_are_told_of() -> None:
    assert names.long_ones(["a" * 240, "b" * 241]) == ["b" * 241]


_MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 8:17 / /media/you/MY\040STICK rw,nosuid shared:2 - vfat /dev/sdb1 rw,uid=1000
41 22 0:40 / /media/you rw - tmpfs tmpfs rw
42 22 8:33 / /mnt rw - exfat /dev/sdc1 rw
43 22 8:49 / /mnt rw master:1 - msdos /dev/sdd1 rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/media/you/MY STICK", "vfat"),
        ("/media/you/MY STICK/flatpaks/deep", "vfat"),
        ("/media/you/MY STICKER", "tmpfs"),
        ("/media/you", "tmpfs"),
        ("/mnt/x", "msdos"),
        ("/mntx", "ext4"),
        ("/", "ext4"),
    ],
)
def test_a_file_system_is_the_one_that_is_mounted_last_and_nearest(path: str, kind: str) -> None:
    assert file_system(_MOUNTS, path) == kind
    assert file_system("", path) == ""


def test_what_fat_is_too_small_for() -> None:
    def item(size: int) -> Item:
        return Item(f"blobs/sha256/{size}", size, f"{size}", 0, b"", Rank.OBJECT)

    assert too_large([item(0), item(FAT_LIMIT)]) == []
    assert too_large([item(FAT_LIMIT + 1)]) == ["blobs/sha256/4294967296: 4.3 GB"]


def test_room_is_counted_in_clusters() -> None:
    items = [Item(f"a/{size}", size, f"{size}", 0, b"", Rank.OBJECT) for size in (0, 1, 32768, 32769)]
    planned = plan(items, (), (), (), ())
    assert planned.room(32768) == (0 + 1 + 1 + 2 + 1) * 32768
