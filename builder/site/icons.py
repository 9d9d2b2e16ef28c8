"""Icons: taken out of labels, decoded within bounds, and named by the sha256 of their bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import warnings
from collections.abc import Container

from PIL import Image, UnidentifiedImageError

_PREFIX = "data:image/png;base64,"
_LARGEST = 1024 * 1024  # bytes
_WIDEST = 512  # pixels: clients ask for 64 and 128


class Rejected(ValueError):
    """Not an icon that a client would show; the message says why."""


def decoded(value: str, checked: Container[str] = ()) -> bytes:
    """The PNG in a `data:` URI, checked by decoding it, unless its sha256 is among those `checked`. Raises Rejected."""
    if not value.startswith(_PREFIX):
        raise Rejected(f"not a {_PREFIX} URI: {value[:40]!r}")
    if len(value) > _LARGEST * 4 // 3 + len(_PREFIX) + 4:
        raise Rejected(f"more than {_LARGEST} bytes")
    try:
        data = base64.b64decode(value.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected("broken base64") from error
    if hashlib.sha256(data).hexdigest() not in checked:
        check(data)
    return data


def check(data: bytes) -> None:
    """Decodes a PNG. Raises Rejected if a client would not show it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of what looks like a bomb
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if max(image.size) > _WIDEST:
                    raise Rejected(f"{image.width} x {image.height} pixels: larger than {_WIDEST}")
                image.load()
    except Rejected:
        raise
    except UnidentifiedImageError as error:
        raise Rejected("not a PNG") from error
    except Exception as error:  # Pillow raises nearly everything for a hostile file
        raise Rejected(f"a broken PNG: {error}") from error


def path(sha256: str) -> str:
    """Where an icon lies within the folder of icons: `ab/cdef...png`."""
    return f"{sha256[:2]}/{sha256[2:]}.png"
