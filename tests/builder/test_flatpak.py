"""Refs, and what labels carry."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import flatpak
from builder.flatpak import Ref
from builder.oci import Malformed

LETTERS = string.ascii_letters + "_"
ELEMENT = st.text(LETTERS + string.digits, min_size=1, max_size=6).filter(lambda text: text[0] in LETTERS)
LAST = st.text(LETTERS + string.digits + "-", min_size=1, max_size=6).filter(lambda text: text[0] not in string.digits)
IDS = st.builds(lambda start, last: ".".join([*start, last]), st.lists(ELEMENT, min_size=2, max_size=4), LAST)
ARCHES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=8)
BRANCHES = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=8).filter(lambda t: t[0] != ".")


@settings(max_examples=200)
@given(st.sampled_from(["app", "runtime"]), IDS, ARCHES, BRANCHES)
def test_every_good_ref_comes_back_as_it_was(kind: str, identifier: str, arch: str, branch: str) -> None:
    text = f"{kind}/{identifier}/{arch}/{branch}"
    ref = flatpak.parse_ref(text)
    assert ref == Ref(kind, identifier, arch, branch)
    assert str(ref) == text


@settings(max_examples=300)
@given(st.text(alphabet="ap/runtimeo.-_9é \n", max_size=24) | st.text())
def test_any_other_text_is_malformed_or_comes_back_as_it_was(text: str) -> None:
    try:
        assert str(flatpak.parse_ref(text)) == text
    except Malformed as error:
        assert "not a" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        *("", "app", "app/org.a.B/x86_64", "app/org.a.B/x86_64/stable/x", "appstream/org.a.B/x86_64/stable"),
        *("app/org.B/x86_64/stable", "app/org..B/x86_64/stable", "app/.org.a.B/x86_64/stable", "app/org.a.B./x86_64/s"),
        *("app/9org.a.B/x86_64/stable", "app/org.9a.B/x86_64/stable", "app/org.a.9B/x86_64/stable"),
        *("app/org.a.B/x86-64/stable", "app/org.a.B//stable", "app/org.a.B/x86_64/", "app/org.a.B/x86_64/.x"),
        *("app/org.a.B/x86_64/stable\n", " app/org.a.B/x86_64/stable", "app/org.é.B/x86_64/stable"),
        *("app/org.a.B/x86_64/a b", "app/../x86_64/stable", f"app/org.a.{'B' * 250}/x86_64/stable"),
        # Only the last part of an id may hold a dash.
        *("app/org.a-b.C/x86_64/stable", "app/-org.a.B/x86_64/stable", "app/or-g.a.B/x86_64/stable"),
    ],
)
def test_what_is_no_ref_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        flatpak.parse_ref(text)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_text_in_a_variant_is_read(text: str) -> None:
    label = base64.b64encode(text.encode() + b"\0\0s").decode()
    assert flatpak.commit_metadata_text(label) == text


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"text\0\0i", b"text\0s", b"\xff\0\0s", b"s"],
    ids=["empty", "raw", "int", "short", "bytes", "s"],
)
def test_another_variant_is_no_text(data: bytes) -> None:
    assert flatpak.commit_metadata_text(base64.b64encode(data).decode()) is None


@pytest.mark.parametrize("label", ["*", "a", "YQ", "é", "YQAAcw==\n", "\ud800"])
def test_what_is_no_base64_is_no_text(label: str) -> None:
    assert flatpak.commit_metadata_text(label) is None


def test_token_labels_are_int32_variants() -> None:
    assert base64.b64decode(flatpak.TOKEN_NONE) == b"\0\0\0\0\0i"
    assert base64.b64decode(flatpak.TOKEN_REQUIRED) == b"\1\0\0\0\0i"


def test_an_index_keeps_the_labels_that_clients_read() -> None:
    assert len(flatpak.INDEX_LABELS) == 11
    assert "org.flatpak.metadata" in flatpak.INDEX_LABELS
    assert "org.flatpak.commit-metadata.xa.metadata" not in flatpak.INDEX_LABELS
