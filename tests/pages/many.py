"""Pages of as many made-up applications as are wanted, without any build, and a server that knows nothing of rules."""

from __future__ import annotations

import functools
import gzip
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builder.appdata.components import Component
from builder.configfile import load
from builder.content import InMemory
from builder.flatpak import parse_ref
from builder.site.pages.memory import Memory
from builder.site.pages.offer import Channel, Image, Item
from builder.site.pages.write import pages
from tests.real.images import png

_CONFIG = """
store: ./store
remote: {name: many, title: Many, url: "http://127.0.0.1/", comment: More than fit on a page}
sources:
  main: {registry: "http://127.0.0.1:1"}
indexes:
  stable: {tags: [latest]}
"""
_SHELVES = ("AudioVideo", "Development", "Education", "Game", "Graphics", "Network", "Office", "Science", "Utility")
_WORDS = """photo editor music player terminal calendar notes network monitor chess spreadsheet translation dictionary
video camera map weather clock timer disk backup archive mail chat browser reader feed book paint draw
vector pixel sound mixer radio podcast game puzzle card board strategy adventure racing space star planet
chemistry physics algebra plot statistics table chart document letter scanner printer password key secret
firewall tunnel server database query code compiler debug profile diff merge branch font colour palette icon
theme window desktop panel launcher search index simple fast modern quiet small free open smart light dark
manage create edit view play learn share convert record sync"""
_ICON = "icon.png"


def items(number: int) -> Iterator[Item]:
    """Applications, the same at every call, with as many different words as real ones have."""
    chooser, words = random.Random(5), _WORDS.split()
    stems = [f"{one[: chooser.randint(3, 6)]}{other}" for one in words for other in chooser.sample(words, 40)]
    for place in range(number):
        name = f"{chooser.choice(stems)} {chooser.choice(words)}".title()
        identifier = f"org.{chooser.choice(stems)}.{name.replace(' ', '')}{place}"
        component = Component(
            identifier,
            name={"": name},
            summary={"": " ".join(chooser.choices(words, k=6)).capitalize()},
            developer={"": f"{chooser.choice(stems)} {chooser.choice(stems)}".title()},
            keywords={"": " ".join(chooser.choices([*words, *stems], k=5))},
            categories=(chooser.choice(_SHELVES),),
        )
        icon = f"icons/{place % 256:02x}/{chooser.getrandbits(248):062x}.png"
        channel, changed = _channel(identifier), f"2026-01-{place % 28 + 1:02}T00:00:00Z"
        given = ("app", component, (channel,), ((128, icon),), "[Application]\n")
        yield Item(identifier, identifier, *given, changed=changed)


def _channel(identifier: str) -> Channel:
    ref, digest, created = parse_ref(f"app/{identifier}/x86_64/stable"), f"sha256:{'0' * 64}", "2026-01-01T00:00:00Z"
    image = Image(ref, "amd64", "1.0", digest, identifier.lower(), 1_000_000, 2_000_000, created)
    return Channel("latest", "stable", "many", (image,), f"refs/{identifier}.flatpakref", main=True)


def write(folder: Path, offered: Iterable[Item], more: str = "") -> Path:
    """Writes the pages below `folder`, with `more` in the configuration; the folder that they are in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flatdex.yaml").write_text(_CONFIG + more)
    config, root = load(folder / "flatdex.yaml", {}, None), folder / "site"
    for path, content in pages(config, list(offered), (), {}, Memory()):
        assert isinstance(content, InMemory)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.data)
        if path.endswith("search.json"):
            (root / f"{path}.gz").write_bytes(gzip.compress(content.data, mtime=0))
    (root / _ICON).write_bytes(png(128, (53, 132, 228)))
    return root


class _Plain(SimpleHTTPRequestHandler):
    """Serves a folder in which all icons are one."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(_ICON if path.startswith("/icons/") else path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The URL at which `root` is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Plain, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
