"""Pages for 5,000 applications in two languages, from a known catalog: all anew, and after a change."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import measure
from bench.measure import Row
from bench.shop import BORN, catalog
from bench.turns import seconds
from builder import changes, configfile, snapshot
from builder.catalog import Catalog, choose
from builder.config import Config
from builder.description import Snapshot
from builder.site.labels import Labels
from builder.site.pages import items as making
from builder.site.pages import offer
from builder.site.pages.memory import Memory
from builder.site.pages.write import pages
from builder.site.tree import Site
from builder.store import Store

CHANGED = 10
_CONFIG = """\
store: ./store
remote: {name: bench, title: Bench, url: "http://127.0.0.1/"}
sources:
  main: {registry: "http://127.0.0.1:5000"}
indexes:
  stable: {tags: [latest], architectures: [amd64, arm64]}
languages: [en, de]
"""


def rows(folder: Path, applications: int) -> Iterator[Row]:
    """The lines of the table; all of it is done in a process of its own."""
    folder.mkdir(parents=True)
    (folder / "flatdex.yaml").write_text(_CONFIG)
    run = measure.run([sys.executable, "-m", "bench.pages", str(folder), str(applications)])
    found = json.loads((folder / "measured.json").read_text())
    target = 10 * applications / 5000
    detail = (
        f"{found['pages']} pages; appdata read, pages made and written; {run.megabytes:.0f} MB, the catalog included"
    )
    yield Row("pages, all anew", found["first"], "s", target, detail)
    detail = f"{found['rewritten']} of {found['pages']} pages rewritten"
    yield Row(f"pages, {CHANGED} applications changed", found["next"], "s", None, detail)
    detail = "HTML, style sheet, script and icon, uncompressed, without the applications' icons"
    yield Row("front page", found["front"] / 1000, "kB", 100, detail)


def _measure(folder: Path, applications: int) -> dict[str, float]:
    config = configfile.load(folder / "flatdex.yaml", {})
    store = Store(config.store)
    first, changed = catalog(applications), catalog(applications, frozenset(range(CHANGED)))
    found: dict[str, float] = {}
    notes: list[dict[str, object]] = []
    with store.locked("build", create=True):
        found["first"] = seconds(lambda: notes.append(_build(config, store, first, BORN, {})))
        older = store.newest()
        found["next"] = seconds(lambda: notes.append(_build(config, store, changed, BORN + 10, notes[0])))
    newer = store.newest()
    if older is None or newer is None:
        raise SystemExit("nothing was built")
    paths = [path for path in newer.by_path if path.endswith(".html")]
    found["pages"] = len(paths)
    found["rewritten"] = sum(not _same(older, newer, path) for path in paths)
    sizes = {path: entry.size for path, entry in newer.by_path.items()}
    found["front"] = sizes["index.html"] + sum(size for path, size in sizes.items() if path.startswith("assets/"))
    return found


def _build(config: Config, store: Store, found: Catalog, now: int, note: dict[str, object]) -> dict[str, object]:
    """What pages take of a build, from the chosen images to a snapshot that holds the pages; what it remembers."""
    previous = store.newest()
    memory = Memory("bench", previous, note)
    images = {index.name: choose(found, index).images for index in config.indexes}
    labels = Labels(config, frozenset(entry.sha256 for entry in previous.files) if previous else ())
    items = making.items(config, images, labels)
    changed = partial(changes.changes, previous, now=now)(tuple(offer.offered(items, images)))
    files = {**dict(pages(config, items, changed, {}, memory)), **labels.files}
    made = Site(files, images, (), offered=tuple(offer.offered(items, images)), changes=changed)
    return memory.note(snapshot.write(store, made, config, now).id)


def _same(older: Snapshot, newer: Snapshot, path: str) -> bool:
    """Whether both have one file, not a copy."""
    try:
        return (older.folder / path).samefile(newer.folder / path)
    except OSError:
        return False


def main() -> None:
    """Measures one site: `python -m bench.pages FOLDER APPLICATIONS`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("applications", type=int)
    args = parser.parse_args()
    gc.disable()  # as the command does
    (args.folder / "measured.json").write_text(json.dumps(_measure(args.folder, args.applications)))


if __name__ == "__main__":
    main()
