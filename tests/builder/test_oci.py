"""Wire types: what is well formed comes through, everything else is Malformed and nothing worse."""

from __future__ import annotations

import hashlib
import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import oci
from builder.oci import Descriptor, ImageIndex, Malformed, Manifest, Platform
from tests.builder.helpers import Blobs

HEX = "0123456789abcdef" * 4
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("mediaType", "schemaVersion", "config", "layers", "manifests", "annotations", "digest", "size", "platform")
WILD = st.dictionaries(
    st.sampled_from(KEYS), JSON | st.just(2) | st.fixed_dictionaries({"digest": st.just(f"sha256:{HEX}")})
)


@given(st.binary())
def test_a_digest_is_the_sha256_of_the_bytes(data: bytes) -> None:
    assert oci.digest_of(data) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert oci.is_digest(oci.digest_of(data))


@given(
    st.text(alphabet="0123456789abcdefABCDEFg", min_size=60, max_size=66), st.sampled_from(["sha256:", "sha512:", ""])
)
def test_only_64_small_hexadecimal_digits_are_a_digest(digits: str, algorithm: str) -> None:
    fits = algorithm == "sha256:" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
    assert oci.is_digest(algorithm + digits) == fits


@pytest.mark.parametrize("text", [f"sha256:{HEX}\n", f" sha256:{HEX}", f"sha256:{HEX.upper()}", "sha256:", HEX, ""])
def test_what_is_nearly_a_digest_is_none(text: str) -> None:
    assert not oci.is_digest(text)


TAG_LETTERS = string.ascii_letters + string.digits + "._-"


@given(st.text(alphabet=TAG_LETTERS + "/: \néß", max_size=12))
def test_a_tag_has_letters_digits_and_three_signs(text: str) -> None:
    fits = bool(text) and set(text) <= set(TAG_LETTERS) and text[0] not in ".-"
    assert oci.is_tag(text) == fits


def test_a_tag_has_at_most_128_characters() -> None:
    assert oci.is_tag("x" * 128)
    assert not oci.is_tag("x" * 129)


def naive_repository(text: str) -> bool:
    """The grammar of names, read letter by letter: runs of letters and digits, and single separators between them."""

    def good(component: str) -> bool:
        for separator in ("__", "_", ".", *("-" * count for count in range(len(component), 0, -1))):
            head, found, tail = component.partition(separator)
            if found:
                return good(head) and good(tail)
        return bool(component) and all(c in string.ascii_lowercase + string.digits for c in component)

    return len(text) <= 255 and all(good(component) for component in text.split("/"))


@settings(max_examples=300)
@given(st.text(alphabet="ab1._-/A\n", max_size=9))
def test_a_repository_name_follows_the_grammar(text: str) -> None:
    assert oci.is_repository(text) == naive_repository(text)


@pytest.mark.parametrize("text", ["a", "a/b", "a.b/c_d/e__f/g---h", "0", "x" * 255])
def test_repository_names(text: str) -> None:
    assert oci.is_repository(text)


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a___b", "a._b", "-a", "a\n", "x" * 256]
)
def test_what_is_no_repository_name(text: str) -> None:
    assert not oci.is_repository(text)


# Manifests


def manifest(**changes: Any) -> bytes:
    """A good manifest with changes; None leaves a key out."""
    blobs = Blobs()
    value = json.loads(blobs.data[blobs.image()["digest"]])
    return json.dumps({key: item for key, item in {**value, **changes}.items() if item is not None}).encode()


def test_a_manifest_is_read() -> None:
    read = oci.parse_manifest(manifest(annotations={"a": "b"}))
    assert isinstance(read, Manifest)
    assert read.media_type == oci.MANIFEST
    assert read.config.media_type == "application/vnd.oci.image.config.v1+json"
    assert len(read.layers) == 1
    assert read.annotations == {"a": "b"}


@pytest.mark.parametrize("media_type", oci.INDEX_TYPES)
def test_an_index_is_read(media_type: str) -> None:
    entry = {
        "digest": f"sha256:{HEX}",
        "size": 3,
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
    }
    read = oci.parse_manifest(json.dumps({"mediaType": media_type, "manifests": [entry]}).encode())
    assert read == ImageIndex(media_type, (Descriptor("", f"sha256:{HEX}", 3, Platform("linux", "arm64"), {}),))


def test_the_content_type_helps_where_the_json_is_silent() -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    assert isinstance(oci.parse_manifest(data, f"{oci.IMAGE_INDEX}; charset=utf-8"), ImageIndex)
    assert isinstance(oci.parse_manifest(data), ImageIndex)
    assert isinstance(oci.parse_manifest(manifest(mediaType=None), oci.MANIFEST), Manifest)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"null", b"[]", b"{", b'"a"', b"\xff", b'{"a": 1}', b"[" * 100_000, b"9" * 5000),
        *(manifest(schemaVersion=1), manifest(schemaVersion=None), manifest(config=None), manifest(config=[])),
        *(manifest(layers={}), manifest(layers=["a"]), manifest(mediaType=5), manifest(annotations=["a"])),
        *(manifest(annotations={"a": 1}), manifest(annotations={"a": None}), manifest(annotations={"a": "\ud800"})),
        *(manifest(config={"digest": f"sha256:{HEX}"}), manifest(config={"digest": "sha256:1", "size": 1})),
        *(manifest(config={"digest": f"sha256:{HEX}", "size": size}) for size in (-1, 1.5, True, "3", None)),
        manifest(config={"digest": f"sha512:{HEX}{HEX}", "size": 3}),
        manifest(mediaType="application/vnd.docker.distribution.manifest.v1+json", schemaVersion=1),
    ],
)
def test_what_is_no_manifest_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        oci.parse_manifest(data)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.manifest.v1+json]\nRewriteRule . /etc [L]\n#",
        "application/vnd.oci.image.manifest.v1+json\ud800",
        "application/vnd.oci.artifact.manifest.v1+json",
        "text/html",
    ],
)
def test_a_manifest_of_an_unknown_type_is_malformed(media_type: str) -> None:
    """Its type is written into an index, and into a server's rules."""
    with pytest.raises(Malformed):
        oci.parse_manifest(manifest(mediaType=media_type))


@settings(max_examples=300)
@given(WILD, st.sampled_from(["", *oci.MANIFEST_TYPES]))
def test_wild_json_is_read_or_malformed(value: dict[str, Any], media_type: str) -> None:
    try:
        read = oci.parse_manifest(json.dumps(value).encode(), media_type)
    except Malformed:
        return
    assert isinstance(read, Manifest | ImageIndex)


def test_a_platform_that_is_no_object_says_nothing() -> None:
    descriptor = oci.parse_descriptor({"digest": f"sha256:{HEX}", "size": 1, "platform": "linux"})
    assert descriptor.platform == Platform()
    assert descriptor.hex == HEX


# Image configs


def test_a_config_is_read() -> None:
    value = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Labels": {"a": "é"}},
    }
    read = oci.parse_config(json.dumps(value).encode())
    assert (read.os, read.architecture, read.created, read.labels) == ("linux", "amd64", value["created"], {"a": "é"})


@pytest.mark.parametrize("inner", [{}, {"config": None}, {"config": {}}, {"config": {"Labels": None}}])
def test_a_config_may_have_no_labels_and_no_date(inner: dict[str, Any]) -> None:
    read = oci.parse_config(json.dumps({"os": "linux", "architecture": "amd64", **inner}).encode())
    assert (read.labels, read.created) == ({}, "")


@pytest.mark.parametrize(
    "changes",
    [
        *({"os": 1}, {"architecture": []}, {"created": 5}, {"config": []}, {"config": {"Labels": []}}),
        *({"config": {"Labels": {"a": 1}}}, {"config": {"Labels": {"a": None}}}, {"config": {"Labels": {"a": "b\0"}}}),
        *({"config": {"Labels": {"a": "\udc80"}}}, {"config": {"Labels": {"\ud800": "a"}}}),
        *({"os": "\ud800"}, {"architecture": "amd64\ud800"}, {"os": "lin\0ux"}),
    ],
)
def test_a_config_that_could_break_an_index_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        oci.parse_config(json.dumps({"os": "linux", "architecture": "amd64", **changes}).encode())


def test_a_time_that_is_none_by_its_length_is_left_out() -> None:
    assert oci.parse_config(json.dumps({"created": "2026" * 1000}).encode()).created == ""
