"""Pictures that nobody vouches for, decoded within bounds and made anew: as WebP, in two sizes, and nothing else."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from PIL import ExifTags, Image, UnidentifiedImageError

LARGEST = 10 * 1024 * 1024  # bytes
_MOST_PIXELS = 24_000_000  # a screen of 6K has 20; decoding takes some 20 bytes for each
_FULL = (1600, 3200)  # pixels, width and height, that a picture is made to fit
_SMALL = (640, 1280)
_QUALITY = 85
_EFFORT = 2  # WebP's `method`: 3 and more take twice the time for 3 per cent

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Rejected(ValueError):
    """Not a picture that can be shown; the message says why."""


@dataclass(frozen=True)
class Webp:
    """A picture as the bytes of a WebP file, with its size in pixels."""

    data: bytes
    width: int
    height: int


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """To be held while pictures are made, by one thread for all: what looks like a bomb to Pillow is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def made(data: bytes) -> tuple[Webp, Webp]:
    """The first frame of a picture, large and small; they are the same if it is small already. Raises Rejected."""
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise Rejected(f"{image.width} x {image.height} pixels: more than {_MOST_PIXELS // 10**6} megapixels")
            image.load()
            full = _fitted(_plain(_upright(image)), _FULL)
        small = _fitted(full, _SMALL)
        large = _encoded(full)
        return large, large if small is full else _encoded(small)
    except Rejected:
        raise
    except UnidentifiedImageError as error:
        raise Rejected(_what_it_is(data)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Rejected(f"more than {_MOST_PIXELS // 10**6} megapixels") from error
    except Exception as error:  # Pillow raises nearly everything for a hostile file
        raise Rejected(f"a broken picture: {error}") from error


@cache
def _formats() -> list[str]:
    """Those that are known here: not every Pillow can read AVIF."""
    Image.init()
    return [name for name in ("PNG", "JPEG", "WEBP", "GIF", "AVIF") if name in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. ImageOps.exif_transpose would write all of that anew, and so fail if any of it is broken."""
    orientation = None
    with contextlib.suppress(Exception):  # a picture with a broken note on how it was held is a picture
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _plain(image: Image.Image) -> Image.Image:
    """As RGB, or RGBA where something can be seen through it."""
    if image.mode.startswith("I"):  # 16 bits of grey, which a conversion would cut off, not scale
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            return image
    return image.convert("RGB")


def _fitted(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    scale = min(box[0] / image.width, box[1] / image.height)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _encoded(image: Image.Image) -> Webp:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
    return Webp(file.getvalue(), image.width, image.height)


def _what_it_is(data: bytes) -> str:
    """What came in place of a picture."""
    start = data[:1024].lower()
    if not data:
        return "an empty file"
    if b"<!doctype html" in start or b"<html" in start:
        return "a web page, not a picture"
    if b"<svg" in start:
        return "an SVG, which is not taken: it can hold scripts"
    return "not a picture in PNG, JPEG, WebP, GIF or AVIF, or a broken one"
