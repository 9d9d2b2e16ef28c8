"""Faults of what stands in an index are found, each alone."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.description import time_text
from tests.doctor.site import Copy, Index, by_apache, images, labels, without_runtime


def without_registry(index: Index) -> None:
    del index["Registry"]


def with_empty_registry(index: Index) -> None:
    index["Registry"] = ""


def without_os(index: Index) -> None:
    del images(index)[0]["OS"]


def without_name(index: Index) -> None:
    del index["Results"][0]["Name"]


def with_a_number(index: Index) -> None:
    for own in labels(index):
        own["org.flatpak.installed-size"] = 12345


def with_a_short_digest(index: Index) -> None:
    images(index)[0]["Digest"] = "sha256:abc"


def with_sha512(index: Index) -> None:
    images(index)[0]["Digest"] = "sha512:" + 128 * "0"


def with_a_ref_twice(index: Index) -> None:
    for result in index["Results"]:
        result["Images"] = result["Images"] * 2


def without_metadata(index: Index) -> None:
    for own in labels(index):
        del own["org.flatpak.metadata"]


def without_ref(index: Index) -> None:
    for own in labels(index):
        del own["org.flatpak.ref"]


def with_an_odd_ref(index: Index) -> None:
    for own in labels(index):
        own["org.flatpak.ref"] = "app/Demo"


def with_another_architecture(index: Index) -> None:
    for image in images(index):
        image["Architecture"] = "s390x" if "demo" in str(image["Labels"] or image["Annotations"]) else "amd64"


def with_broken_appdata(index: Index) -> None:
    for own in labels(index):
        own["org.freedesktop.appstream.appdata"] = "<components><component>&nbsp;</component></components>"


def without_appdata(index: Index) -> None:
    for own in labels(index):
        del own["org.freedesktop.appstream.appdata"]


def with_wrong_metadata(index: Index) -> None:
    for own in labels(index):
        own["org.flatpak.metadata"] += "\n[Context]\nshared=network;\n"


def with_odd_sizes(index: Index) -> None:
    for own in labels(index):
        own["org.flatpak.download-size"] = "12 MB"


def with_an_odd_token(index: Index) -> None:
    for own in labels(index):
        own["org.flatpak.commit-metadata.xa.token-type"] = "0"


def with_other_tags(index: Index) -> None:
    for image in images(index):
        image["Tags"] = ["testing"]


def with_a_text_for_an_image(index: Index) -> None:
    index["Results"][0]["Images"].append("org.flatdex.Other")


def with_nothing(index: Index) -> None:
    index["Results"] = []


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("registry-missing", without_registry),
        ("registry-useless", with_empty_registry),
        ("key-missing", without_os),
        ("key-missing", without_name),
        ("label-not-text", with_a_number),
        ("digest-malformed", with_a_short_digest),
        ("digest-unknown", with_sha512),
        ("ref-twice", with_a_ref_twice),
        ("ref-missing", without_ref),
        ("ref-malformed", with_an_odd_ref),
        ("ref-architecture", with_another_architecture),
        ("metadata-missing", without_metadata),
        ("metadata-differs", with_wrong_metadata),
        ("size-malformed", with_odd_sizes),
        ("token-malformed", with_an_odd_token),
        ("other-tag", with_other_tags),
        ("part-malformed", with_a_text_for_an_image),
        ("runtime-missing", without_runtime),
        ("appdata-broken", with_broken_appdata),
        ("appdata-missing", without_appdata),
        ("index-empty", with_nothing),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_stands_in_the_index(real_tmp: Path, copy: Copy, code: str, change: Callable[[Index], None]) -> None:
    copy.edit_indexes(change)
    aside = {"file-none", "head-failing"}
    if code in ("ref-missing", "ref-malformed"):
        aside |= {"metadata-differs"}  # the config has the right one
    assert by_apache(real_tmp, copy) - aside == {code}


def test_an_index_that_was_cut(real_tmp: Path, copy: Copy) -> None:
    for file in (copy.root / "index").rglob("*.json.gz"):
        whole = gzip.decompress(file.read_bytes())
        copy.write(str(file.relative_to(copy.root)), gzip.compress(whole[:-10]))
    assert by_apache(real_tmp, copy) == {"index-unreadable"}


def test_no_annotations_for_the_oldest_clients(real_tmp: Path, copy: Copy) -> None:
    def without(index: Index) -> None:
        for image in images(index):
            image["Labels"], image["Annotations"] = image["Labels"] or image["Annotations"], {}

    copy.edit_indexes(without)
    assert by_apache(real_tmp, copy) - {"file-none"} == {"annotations-missing"}


def test_an_index_of_another_snapshot(real_tmp: Path, copy: Copy) -> None:
    description = (copy.root / "snapshot.json").read_bytes()
    copy.edit_indexes(lambda index: index["Results"].pop())
    copy.write("snapshot.json", description)
    assert "snapshot-differs" in by_apache(real_tmp, copy)


def test_a_description_that_is_none(real_tmp: Path, copy: Copy) -> None:
    copy.write("snapshot.json", b'{"format": 1}')
    assert by_apache(real_tmp, copy) - {"file-none"} == {"snapshot-malformed"}


@pytest.mark.parametrize(
    ("begun", "left", "code"),
    [(10, -1, "signature-expired"), (10, 3, "signature-soon"), (10, 4, ""), (1, 13, "")],
)
def test_a_signature_that_ends(begun: int, left: int, code: str, real_tmp: Path, copy: Copy) -> None:
    now, file = int(time.time()), copy.root / "snapshot.json"
    created = json.loads(file.read_bytes())["created"]
    text = f'"created": "{time_text(now - begun * 86400)}",\n"expires": "{time_text(now + left * 86400)}",'
    copy.edit("snapshot.json", f'"created": "{created}",\n"previous"', f'{text}\n"previous"')
    assert by_apache(real_tmp, copy) - {"file-none"} == {code} - {""}
