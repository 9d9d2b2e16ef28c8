"""A shop with all that pages have to cope with: texts that want to be markup, two directions, no icon, ..."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw

from tests.builder.helpers import Blobs, Json, flatpak_labels, tagged

RUNTIME = "org.example.Platform"
HOSTILE_NAME = "<script>alert(1)</script> & \"quotes\" <b>'bold'</b>"
SKETCH = "org.example.Sketchbook"
OLD = "org.example.OldPaint"
BARE = "org.example.Bare"
ARABIC = "org.example.Muharrir"
HEBREW = "org.example.Yoman"
CHINESE = "org.example.Huaban"
EMOJI = "org.example.Dice"
LONG = "org.example.VeryLong"
HOSTILE = "org.example.Hostile"


@dataclass(frozen=True)
class App:
    """One application, in the channels and for the architectures in which it is offered; `appdata` is its component."""

    id: str
    appdata: str = ""
    hue: float | None = None
    """Of its icon; None: it has none."""
    places: tuple[tuple[str, str, str], ...] = (("latest", "stable", "x86_64"),)
    """Tag, branch, architecture."""
    metadata: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = "2026-06-01T12:00:00Z"
    size: int = 48_000_000
    kind: str = "app"


def component(
    identifier: str,
    name: str,
    summary: str,
    *more: str,
    categories: Iterable[str] = ("Utility",),
    developer: str = "",
    version: str = "1.0",
    date: str = "2026-05-20",
) -> str:
    """A component as XML; texts are plain, `more` is XML."""
    named = f"<developer><name>{escape(developer)}</name></developer>" if developer else ""
    shelves = "".join(f"<category>{each}</category>" for each in categories)
    releases = "" if any("<releases>" in part for part in more) or not version else _releases((version, date, ""))
    return (
        f'<component type="desktop-application"><id>{identifier}</id><name>{escape(name)}</name>'
        f"<summary>{escape(summary)}</summary>{named}<categories>{shelves}</categories>{''.join(more)}{releases}</component>"
    )


def _releases(*releases: tuple[str, str, str]) -> str:
    """Version, date, notes as XML."""
    each = "".join(
        f"<release version={quoteattr(version)} date={quoteattr(date)}><description>{notes}</description></release>"
        for version, date, notes in releases
    )
    return f"<releases>{each}</releases>"


def _shots(base: str) -> str:
    captions = ("A drawing with twelve layers", "Brushes can be made of <anything> & everything", "")
    each = "".join(
        f'<screenshot><caption>{escape(caption)}</caption><image type="source" width="1600" height="900">'
        f"{base}shot{number}.png</image></screenshot>"
        for number, caption in enumerate(captions)
    )
    return f"<screenshots>{each}</screenshots>"


def _rich(pictures: str) -> str:
    description = """<description>
<p>Sketchbook is a place for quick drawings: open it, draw, close it. What you drew is there again tomorrow.</p>
<p>It knows layers, blending, and brushes that feel like chalk, ink and watercolour:</p>
<ul><li>Pressure and tilt of pens from <em>all</em> well-known makers</li>
<li>Files that other programs can open: <code>.ora</code>, <code>.png</code>, <code>.svg</code></li>
<li>A dark surface for late hours</li></ul>
<p xml:lang="de">Sketchbook ist ein Ort für schnelle Zeichnungen: öffnen, zeichnen, schließen.</p></description>"""
    notes = (
        "<p>Undo reaches further back.</p><ul><li>New: chalk brushes</li><li>Mended: a crash with two pens</li></ul>"
    )
    releases = _releases(*((f"4.{8 - back}.0", f"2026-0{6 - back // 2}-{20 - back}", notes) for back in range(8)))
    more = """<summary xml:lang="de">Zeichnen, ohne lange zu überlegen</summary>
<keywords><keyword>draw</keyword><keyword>paint</keyword><keyword>illustration</keyword></keywords>
<project_license>GPL-3.0-or-later</project_license><url type="homepage">https://example.org/sketchbook</url>
<url type="bugtracker">https://example.org/sketchbook/issues</url><url type="donation">https://example.org/give</url>
<url type="help">https://example.org/help</url><url type="vcs-browser">https://example.org/code</url>
<content_rating type="oars-1.1"><content_attribute id="social-chat">moderate</content_attribute></content_rating>"""
    shelves = ("Graphics", "2DGraphics")
    parts = (description, more, _shots(pictures), releases)
    return component(
        SKETCH,
        "Sketchbook",
        "Draw without thinking twice",
        *parts,
        categories=shelves,
        developer="The Sketchbook makers",
    )


def _hostile(pictures: str) -> str:
    outside = pictures.replace("http://", "http://elsewhere.")
    description = """<description><p>&lt;/p&gt;&lt;script&gt;window.hacked = 1&lt;/script&gt;</p>
<p><script>window.hacked = 2</script><a href="javascript:window.hacked=3" onclick="window.hacked=4">a link</a>
<img src="http://elsewhere.example.org/pixel.png"/><style>body { display: none }</style>
<iframe src="http://elsewhere.example.org/"/></p></description>"""
    more = f"""<keywords><keyword>&lt;img src=x onerror=window.hacked=5&gt;</keyword></keywords>
<project_license>"&gt;&lt;script&gt;window.hacked=6&lt;/script&gt;</project_license>
<url type="homepage">javascript:window.hacked=7</url><url type="help">https://example.org/"onmouseover="window.hacked=8</url>
<screenshots><screenshot><caption>&lt;img src=x onerror=window.hacked=9&gt;</caption>
<image type="source">{outside}&quot;onerror=&quot;window.hacked=10</image></screenshot></screenshots>"""
    summary = "</p><img src=x onerror=window.hacked=11><style>*{display:none}</style>"
    return component(
        HOSTILE, HOSTILE_NAME, summary, description, more, developer="</p><script>window.hacked=12</script>"
    )


_PERMISSIONS = """
[Context]
shared=network;ipc;
sockets=x11;wayland;pulseaudio;
devices=dri;
filesystems=xdg-pictures;home:ro;
"""
_EVERY_PLACE = tuple(
    (tag, branch, arch) for tag, branch in (("latest", "stable"), ("beta", "beta")) for arch in ("x86_64", "aarch64")
)


def apps(pictures: str) -> tuple[App, ...]:
    """All of it; `pictures` is the URL, with a slash at its end, where screenshots lie."""
    long_word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    arabic = component(
        ARABIC,
        "محرر النصوص",
        "يكتب الملاحظات بسرعة, then saves them (v2)!",
        categories=("Office",),
        developer="فريق المحرر",
    )
    old = component(OLD, "Old Paint", "Drawing as it was", categories=("Graphics",), version="0.9", date="2019-02-03")
    end = {
        "ostree.endoflife": "Nobody looks after it any more; <b>Sketchbook</b> does the same.",
        "ostree.endoflife-rebase": f"app/{SKETCH}/x86_64/stable",
    }
    plain = [
        ("Weather", "See whether it will rain", "Utility", 0.56, "2026-06-20"),
        ("Maps", "Find your way without a network", "Utility", 0.35, "2026-06-18"),
        ("Chess", "Play against the machine or a friend", "Game", 0.08, "2026-03-01"),
        ("Mines", "Clear a field of hidden mines", "Game", 0.0, "2026-02-01"),
        ("Solitaire", "Cards for a quiet minute", "Game", 0.42, "2026-02-11"),
        ("Musicbox", "Play the songs that you have", "AudioVideo", 0.83, "2026-06-21"),
        ("Podcasts", "Listen to shows, on any train", "AudioVideo", 0.75, "2026-04-02"),
        ("Codewright", "An editor for programs", "Development", 0.62, "2026-06-15"),
        ("Database", "Look into databases and change them", "Development", 0.52, "2026-01-05"),
        ("Letters", "Write letters and books", "Office", 0.6, "2026-05-05"),
        ("Sheets", "Tables that calculate", "Office", 0.38, "2026-05-06"),
        ("Mailbox", "Mail from all of your accounts", "Network", 0.57, "2026-06-02"),
        ("Telescope", "The sky above you, by day and night", "Science", 0.7, "2026-03-12"),
    ]
    return (
        App(
            SKETCH, _rich(pictures), 0.93, _EVERY_PLACE, _PERMISSIONS, created="2026-06-25T08:00:00Z", size=123_456_789
        ),
        App(HOSTILE, _hostile(pictures), 0.1, created="2026-06-24T08:00:00Z"),
        App(ARABIC, arabic, 0.3),
        App(HEBREW, component(HEBREW, "יומן (Diary)", "יומן אישי עם 3 תצוגות", categories=("Office",)), 0.2),
        App(CHINESE, component(CHINESE, "画板", "简单的绘画程序", categories=("Graphics",)), 0.97),
        App(EMOJI, component(EMOJI, "🎲 Dice 🦊", "Roll 🎲🎲 for your game night 👩‍👩‍👧", categories=("Game",))),
        App(LONG, component(LONG, long_word, f"{long_word} {long_word}", version="1.0+" + "9" * 60), 0.48),
        App(OLD, old, 0.15, labels=end, created="2019-02-03T00:00:00Z"),
        App(BARE),
        *(
            App(
                f"org.example.{name}",
                component(f"org.example.{name}", name, summary, categories=(shelf,), date=date),
                hue,
                created=f"{date}T00:00:00Z",
                size=3_400_000,
            )
            for name, summary, shelf, hue, date in plain
        ),
        App(
            RUNTIME,
            component(RUNTIME, "Example Platform", "What the example applications stand on", categories=()),
            0.45,
            _EVERY_PLACE,
            kind="runtime",
            size=612_000_000,
        ),
        App(
            f"{RUNTIME}.Codecs",
            labels={"ostree.endoflife": "The platform has them now"},
            kind="runtime",
            metadata=f"\n[ExtensionOf]\nref=runtime/{RUNTIME}/x86_64/stable\n",
        ),
    )


def write(folder: Path, offered: Iterable[App]) -> None:
    """One OCI layout for each application, below `folder`."""
    for app in offered:
        blobs = Blobs()
        entries = [_image(app, blobs, *place) for place in app.places]
        blobs.layout(folder / app.id.lower(), *entries)


def _image(app: App, blobs: Blobs, tag: str, branch: str, arch: str) -> Json:
    group = "Application" if app.kind == "app" else "Runtime"
    runtime = f"{RUNTIME}/{arch}/{branch}"
    metadata = f"[{group}]\nname={app.id}\nruntime={runtime}\nsdk={runtime}\n{app.metadata}"
    labels = {
        "org.flatpak.metadata": metadata,
        "org.flatpak.commit-metadata.xa.metadata": _variant(metadata),
        "org.flatpak.download-size": str(app.size),
        "org.flatpak.installed-size": str(app.size * 5 // 2),
    }
    labels |= {f"org.flatpak.commit-metadata.{key}": _variant(text) for key, text in app.labels.items()}
    if app.appdata:
        labels["org.freedesktop.appstream.appdata"] = f'<components version="0.8">{app.appdata}</components>'
    if app.hue is not None:
        for size in (64, 128):
            labels[f"org.freedesktop.appstream.icon-{size}"] = _icon(app.hue, size)
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[arch]
    inner = {"Labels": {**flatpak_labels(f"{app.kind}/{app.id}/{arch}/{branch}"), **labels}}
    config = {"architecture": architecture, "os": "linux", "created": app.created, "config": inner}
    return tagged(blobs.image(config=config), tag)


def _variant(text: str) -> str:
    return base64.b64encode(text.encode() + b"\0\0s").decode()


def _icon(hue: float, size: int) -> str:
    """A rounded square with a shape on it, as a label has it."""
    large = 4 * size
    icon = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(icon)
    margin, shades = large // 16, [_shade(hue, lightness) for lightness in (0.45, 0.6, 0.9)]
    draw.rounded_rectangle((margin, margin, large - margin, large - margin), large // 5, fill=shades[0])
    draw.pieslice(
        (margin * 3, margin * 3, large - margin * 3, large - margin * 3),
        int(hue * 360),
        int(hue * 360) + 250,
        fill=shades[1],
    )
    draw.ellipse((large * 3 // 8, large * 3 // 8, large * 5 // 8, large * 5 // 8), fill=shades[2])
    return f"data:image/png;base64,{base64.b64encode(_png(icon.resize((size, size)))).decode()}"


def picture(number: int) -> bytes:
    """A screenshot: a window with a few shapes."""
    image = Image.new("RGB", (1600, 900), _shade(0.6 + number / 9, 0.92))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1600, 70), fill=_shade(0.6 + number / 9, 0.8))
    for step in range(9):
        left, top = 120 + 160 * step, 180 + 60 * ((step * (number + 2)) % 7)
        draw.ellipse((left, top, left + 240, top + 240), fill=_shade((step / 9 + number / 5) % 1, 0.6))
    return _png(image)


def _shade(hue: float, lightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, lightness, 0.6)
    return int(red * 255), int(green * 255), int(blue * 255)


def _png(image: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()
