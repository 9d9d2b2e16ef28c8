"""Icons are decoded within bounds, and named by their bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from builder.site import icons
from builder.site.icons import Rejected
from tests.real.images import png

PREFIX = "data:image/png;base64,"


def uri(data: bytes) -> str:
    """Data as a label holds it."""
    return PREFIX + base64.b64encode(data).decode()


def drawn(kind: str, size: int = 16) -> bytes:
    """An image of some kind."""
    file = io.BytesIO()
    Image.new("RGB", (size, size)).save(file, kind)
    return file.getvalue()


def with_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png(1, (0, 0, 0))[:12] + data + struct.pack(">I", zlib.crc32(data)) + png(1, (0, 0, 0))[33:]


@pytest.mark.parametrize("size", [1, 64, 128, 512])
def test_a_png_comes_out_as_it_was(size: int) -> None:
    assert icons.decoded(uri(png(size, (1, 2, 3)))) == png(size, (1, 2, 3))


def test_an_icon_is_named_by_its_bytes() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert icons.path(digest) == f"{digest[:2]}/{digest[2:]}.png"


def test_an_icon_that_was_found_good_before_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    good, other = png(8, (1, 2, 3)), png(8, (3, 2, 1))
    decoded: list[bytes] = []
    monkeypatch.setattr(icons, "check", decoded.append)
    for data in (good, other):
        assert icons.decoded(uri(data), frozenset({hashlib.sha256(good).hexdigest()})) == data
    assert decoded == [other]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "not a data:image/png"),
        ("https://example.org/icon.png", "not a data:image/png"),
        ("data:image/svg+xml;base64,AAAA", "not a data:image/png"),
        (PREFIX, "not a PNG"),
        (PREFIX + "*", "broken base64"),
        (PREFIX + "AAA", "broken base64"),
        (PREFIX + "é", "broken base64"),
        (uri(b"<svg/>"), "not a PNG"),
        (uri(drawn("JPEG")), "not a PNG"),
        (uri(drawn("GIF")), "not a PNG"),
        (uri(png(513, (0, 0, 0))), "513 x 513 pixels: larger than 512"),
        (uri(with_size(10_000, 1)), "10000 x 1 pixels: larger than 512"),
        (uri(png(64, (0, 0, 0))[:-30]), "a broken PNG"),
        (uri(with_size(64, 64)), "a broken PNG"),
        (PREFIX + "A" * 1_400_000, "more than 1048576 bytes"),
    ],
)
def test_what_is_no_icon_is_rejected_with_its_reason(value: str, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        icons.decoded(value)


def test_a_bomb_is_rejected_before_it_is_unpacked() -> None:
    with pytest.raises(Rejected):
        icons.decoded(uri(with_size(30_000, 30_000)))


@settings(max_examples=150, deadline=None)
@given(st.integers(8, 300), st.binary(min_size=1, max_size=4))
def test_a_damaged_png_is_an_icon_or_rejected(place: int, damage: bytes) -> None:
    good = png(32, (9, 8, 7))
    broken = good[:place] + damage + good[place + len(damage) :]
    try:
        assert icons.decoded(uri(broken)) == broken
    except Rejected as error:
        assert "PNG" in str(error) or "pixels" in str(error)
