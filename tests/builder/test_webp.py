"""Pictures that nobody vouches for come out as WebP in two sizes, without anything else, or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from builder.screenshots import webp
from builder.screenshots.webp import Rejected, Webp
from tests.builder.test_icons import with_size


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", **how: Any) -> bytes:
    """A picture: its left half is dark, its right half light."""
    image = Image.new("L", size, 220)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2 - 1, size[1]), 30)
    file = io.BytesIO()
    image.convert(mode, dither=Image.Dither.NONE).save(file, kind, **how)
    return file.getvalue()


def opened(made: Webp) -> Image.Image:
    """What a browser would see."""
    image = Image.open(io.BytesIO(made.data), formats=["WEBP"])
    image.load()
    assert image.size == (made.width, made.height)
    return image


def grey(made: Webp, x: int, y: int) -> float:
    """How light a pixel is."""
    value = opened(made).convert("L").getpixel((x, y))
    assert isinstance(value, int)
    return value


def chunks(made: Webp) -> list[bytes]:
    """The names of the chunks of a WebP file."""
    found, place = [], 12
    while place < len(made.data):
        found.append(made.data[place : place + 4])
        (size,) = struct.unpack("<I", made.data[place + 4 : place + 8])
        place += 8 + size + size % 2
    return found


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        *(("GIF", mode) for mode in ("1", "L", "P")),
    ],
)
def test_a_picture_of_any_kind_comes_out_as_it_was(kind: str, mode: str) -> None:
    if mode == "I;16":
        image = Image.frombytes("I;16", (40, 30), struct.pack("<40H", *[30 * 257] * 20, *[220 * 257] * 20) * 30)
        file = io.BytesIO()
        image.save(file, kind)
        data = file.getvalue()
    else:
        data = picture(kind, mode=mode)
    large, small = webp.made(data)
    assert small is large
    assert (large.width, large.height) == (40, 30)
    dark, light = (0, 255) if mode == "1" else (30, 220)
    assert abs(grey(large, 5, 15) - dark) < 12
    assert abs(grey(large, 35, 15) - light) < 12


def test_avif_is_read_where_pillow_can() -> None:
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow knows no AVIF")
    large, _ = webp.made(picture("AVIF"))
    assert grey(large, 5, 15) < 60 < 180 < grey(large, 35, 15)


@pytest.mark.parametrize(
    ("size", "large", "small"),
    [
        ((640, 480), (640, 480), (640, 480)),
        ((641, 480), (641, 480), (640, 479)),
        ((1600, 900), (1600, 900), (640, 360)),
        ((1920, 1080), (1600, 900), (640, 360)),
        ((1080, 2400), (1080, 2400), (576, 1280)),
        ((100, 6400), (50, 3200), (20, 1280)),
        ((16000, 3), (1600, 1), (640, 1)),
    ],
)
def test_two_sizes_are_made_of_it(size: tuple[int, int], large: tuple[int, int], small: tuple[int, int]) -> None:
    one, two = webp.made(picture(size=size))
    assert ((one.width, one.height), (two.width, two.height)) == (large, small)
    assert (one is two) == (large == small)
    assert opened(one).size == large
    assert opened(two).size == small


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert webp.made(picture(size=(1700, 1000))) == webp.made(picture(size=(1700, 1000)))


def test_what_can_be_seen_through_stays_so() -> None:
    image = Image.new("RGBA", (40, 30), (255, 0, 0, 255))
    ImageDraw.Draw(image).rectangle((0, 0, 19, 30), (0, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    large, _ = webp.made(file.getvalue())
    alpha = opened(large).getchannel("A")
    assert alpha.getpixel((5, 15)) == 0
    assert alpha.getpixel((35, 15)) == 255


def test_alpha_that_hides_nothing_is_left_out() -> None:
    large, _ = webp.made(picture(mode="RGBA"))
    assert opened(large).mode == "RGB"
    assert chunks(large) == [b"VP8 "]


def test_a_palette_may_have_a_hole() -> None:
    image = Image.new("P", (40, 30), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    ImageDraw.Draw(image).rectangle((0, 0, 19, 30), 0)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=0)
    large, _ = webp.made(file.getvalue())
    assert opened(large).getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_that_the_file_said_beside_the_picture_is_handed_on(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0)}
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "SECRET author")
    how: dict[str, Any] = {
        "exif": exif,
        "icc_profile": b"SECRET" * 100,
        "pnginfo": text,
        "comment": b"SECRET",
        "xmp": b"SECRET",
    }
    given = picture(kind, (700, 20), **how)
    assert b"SECRET" in given
    for made in webp.made(given):
        assert b"SECRET" not in made.data
        assert chunks(made) == [b"VP8 "]


@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_as_the_camera_was(orientation: int) -> None:
    image = Image.new("L", (40, 30), 220)
    ImageDraw.Draw(image).rectangle((0, 0, 10, 20), 30)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    large, _ = webp.made(file.getvalue())
    right = ImageOps.exif_transpose(Image.open(file))
    assert (large.width, large.height) == right.size
    for x, y in ((5, 5), (35, 5), (5, 35), (25, 25), (35, 25), (25, 35)):
        if x < large.width and y < large.height:
            value = right.getpixel((x, y))
            assert isinstance(value, int)
            assert abs(grey(large, x, y) - value) < 25


def test_it_is_turned_whatever_else_is_broken() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "a picture"
    broken = exif.tobytes().replace(b"\x01\x0e\x00\x02", b"\x01\x0e\x00\x0a")
    assert broken != exif.tobytes()
    with webp.strict():
        large, _ = webp.made(picture("JPEG", exif=broken))
    assert grey(large, 5, 15) > 200


@pytest.mark.parametrize("note", [b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0nothing of the kind"])
def test_a_broken_note_on_how_it_was_held_does_no_harm(note: bytes) -> None:
    with webp.strict():
        large, _ = webp.made(picture("JPEG", exif=note))
    assert grey(large, 5, 15) < 60


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    first, second = Image.new("RGB", (40, 30), (255, 0, 0)), Image.new("RGB", (40, 30), (0, 0, 255))
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=[second, first], duration=100)
    large, _ = webp.made(file.getvalue())
    red, _green, blue = opened(large).getpixel((20, 15))  # type: ignore[misc]
    assert red > 200 > 50 > blue


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE HTML>\n<title>x</title>", "a web page, not a picture"),
        (b"<html><body>Log in", "a web page, not a picture"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"hello", "not a picture in PNG"),
        (picture("BMP"), "not a picture in PNG"),
        (picture("TIFF"), "not a picture in PNG"),
        (picture("PNG")[:-30], "a broken picture"),
        (picture("JPEG", (400, 300))[:-400], "a broken picture: image file is truncated"),
        (picture("WEBP", (400, 300))[:-100], "broken"),
        (picture("GIF", (400, 300))[:-100], "a broken picture"),
        (with_size(64, 64), "a broken picture"),
        (with_size(6000, 4001), "6000 x 4001 pixels: more than 24 megapixels"),
        (with_size(12_000, 12_000), "more than 24 megapixels"),
        (with_size(60_000, 60_000), "more than 24 megapixels"),
    ],
)
def test_what_is_no_picture_is_rejected_with_its_reason(data: bytes, why: str) -> None:
    with webp.strict(), pytest.raises(Rejected, match=why):
        webp.made(data)


def test_a_bomb_is_rejected_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", loaded.append)
    with pytest.raises(Rejected):
        webp.made(with_size(9_000, 9_000))
    assert loaded == []


def test_text_that_unpacks_to_more_than_it_seems_is_rejected() -> None:
    good = picture()
    data = b"zTXtComment\0\0" + zlib.compress(bytes(100 * 1024 * 1024))
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    with webp.strict(), pytest.raises(Rejected):
        webp.made(good[:33] + chunk + good[33:])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.integers(8, 400), st.binary(min_size=1, max_size=4))
def test_a_damaged_picture_is_shown_or_rejected(kind: str, place: int, damage: bytes) -> None:
    good = picture(kind)
    with webp.strict():
        try:
            large, _ = webp.made(good[:place] + damage + good[place + len(damage) :])
        except Rejected as error:
            assert str(error)
        else:
            assert chunks(large)[0] in (b"VP8 ", b"VP8X")


def test_files_outside_of_memory_are_never_opened(tmp_path: Path) -> None:
    """Formats that run programs or read other files, such as EPS, are not among those tried."""
    assert set(webp._formats()) <= {"PNG", "JPEG", "WEBP", "GIF", "AVIF"}
    with pytest.raises(Rejected, match="not a picture"):
        webp.made(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
