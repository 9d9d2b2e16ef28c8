"""The icons of the examples, drawn large and scaled down so that their edges are smooth."""

import io
import math

from PIL import Image, ImageDraw

SIZES = (64, 128)
_LARGE = 1024
_CORNER = 230

_Colour = tuple[int, int, int, int]
_WHITE: _Colour = (255, 255, 255, 255)


def application_icon(size: int) -> bytes:
    """Index cards in a stack, the front one with an arrow that says "install"."""
    icon = _tile(top="#7b5cff", bottom="#1c6ef2")
    for offset, opacity in ((-130, 90), (-65, 160), (0, 255)):
        icon = Image.alpha_composite(icon, _card(offset, opacity))
    _arrow(ImageDraw.Draw(icon))
    return _png(icon, size)


def runtime_icon(size: int) -> bytes:
    """A cube: the ground that applications stand on."""
    icon = _tile(top="#2fc6a6", bottom="#0b6e8a")
    draw = ImageDraw.Draw(icon)
    centre, radius = _LARGE / 2, 340.0
    corners = [_corner(centre, radius, 60 * step - 90) for step in range(6)]
    faces: tuple[tuple[int, _Colour], ...] = ((5, _WHITE), (1, (166, 224, 226, 255)), (3, (205, 240, 240, 255)))
    for first, colour in faces:
        draw.polygon([(centre, centre), *(corners[(first + step) % 6] for step in range(3))], fill=colour)
    return _png(icon, size)


def _tile(top: str, bottom: str) -> Image.Image:
    """A rounded square that shades from one colour to the other."""
    extent = (_LARGE, _LARGE)
    shade = Image.linear_gradient("L").resize(extent)
    ground = Image.composite(Image.new("RGBA", extent, bottom), Image.new("RGBA", extent, top), shade)
    outline = Image.new("L", extent, 0)
    ImageDraw.Draw(outline).rounded_rectangle((32, 32, _LARGE - 33, _LARGE - 33), _CORNER, fill=255)
    ground.putalpha(outline)
    return ground


def _card(offset: int, opacity: int) -> Image.Image:
    """One card with its tab; cards further back lie higher, are narrower and let more of the ground through."""
    layer = Image.new("RGBA", (_LARGE, _LARGE), (255, 255, 255, 0))
    draw = ImageDraw.Draw(layer)
    inset = 180 - offset // 3
    colour = (255, 255, 255, opacity)
    tab = inset + 60 - offset * 2
    draw.rounded_rectangle((tab, 290 + offset, tab + 190, 420 + offset), 36, fill=colour)
    draw.rounded_rectangle((inset, 350 + offset, _LARGE - inset, 810 + offset), 56, fill=colour)
    return layer


def _arrow(draw: ImageDraw.ImageDraw) -> None:
    """An arrow that points down to a line."""
    colour, middle = "#1c6ef2", _LARGE // 2
    draw.rounded_rectangle((middle - 38, 420, middle + 38, 590), 20, fill=colour)
    draw.polygon([(middle - 130, 555), (middle + 130, 555), (middle, 680)], fill=colour)
    draw.rounded_rectangle((middle - 170, 710, middle + 170, 750), 20, fill=colour)


def _corner(centre: float, radius: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees)
    return centre + radius * math.cos(angle), centre + radius * math.sin(angle)


def _png(icon: Image.Image, size: int) -> bytes:
    target = io.BytesIO()
    icon.resize((size, size), Image.Resampling.LANCZOS).save(target, "PNG", optimize=True)
    return target.getvalue()
