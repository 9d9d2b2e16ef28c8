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
from builder.catalog import Catalog
from builder.config import Config
from builder.description import Snapshot
from builder.site.pages.memory import Memory
from builder.site.tree import Surroundings, site
from builder.store import Store

CHANGED = 10
_CONFIG = """\
store: ./store
remote: {{name: bench, title: Bench, url: "http://127.0.0.1/"}}
sources:
  main: {{registry: "http://127.0.0.1:5000"}}
indexes:
  stable: {{tags: [latest], architectures: [amd64, arm64]}}
pages: {pages}
languages: [en, de]
"""


def rows(folder: Path, applications: int) -> Iterator[Row]:
    """The lines of the table; each site is made in a process of its own."""
    folder.mkdir(parents=True)
    for name in ("plain", "pages"):
        place = folder / name
        place.mkdir()
        (place / "flatdex.yaml").write_text(_CONFIG.format(pages="true" if name == "pages" else "false"))
        run = measure.run([sys.executable, "-m", "bench.pages", str(place), str(applications)])
        (place / "memory").write_text(str(run.megabytes))
    plain, full = (json.loads((folder / name / "measured.json").read_text()) for name in ("plain", "pages"))
    megabytes = float((folder / "pages" / "memory").read_text())
    scale = applications / 5000
    detail = f"{full['pages']} pages; the site without pages {plain['first']:.1f} s; {megabytes:.0f} MB in all"
    yield Row("pages, all anew", full["first"] - plain["first"], "s", 10 * scale, detail)
    detail = f"{full['rewritten']} of {full['pages']} pages rewritten; the site without pages {plain['next']:.1f} s"
    yield Row(f"pages, {CHANGED} applications changed", full["next"] - plain["next"], "s", None, detail)
    detail = "HTML, style sheet and script, uncompressed, without icons"
    yield Row("front page", full["front"] / 1000, "kB", 100, detail)


def _measure(folder: Path, applications: int) -> dict[str, float]:
    config = configfile.load(folder / "flatdex.yaml", {})
    store = Store(config.store)
    first, changed = catalog(applications), catalog(applications, frozenset(range(CHANGED)))
    found: dict[str, float] = {}
    notes: list[dict[str, object]] = []
    with store.locked("build", create=True):
        found["first"] = seconds(lambda: notes.append(_build(config, store, first, BORN, {})))
        older = store.newest()
        found["next"] = seconds(lambda: _build(config, store, changed, BORN + 10, notes[0]))
    newer = store.newest()
    if older is None or newer is None:
        raise SystemExit("nothing was built")
    pages = [path for path in newer.by_path if path.endswith(".html")]
    found["pages"] = len(pages)
    found["rewritten"] = sum(not _same(older, newer, path) for path in pages)
    if pages:
        sizes = {path: entry.size for path, entry in newer.by_path.items()}
        assets = (size for path, size in sizes.items() if path.startswith("assets/"))
        found["front"] = sizes["index.html"] + sum(assets)
    return found


def _build(config: Config, store: Store, found: Catalog, now: int, note: dict[str, object]) -> dict[str, object]:
    """As `flatdex build` does, once the sources are read; what it remembers for the next one."""
    previous = store.newest()
    memory = Memory("bench", previous, note)
    surroundings = Surroundings(changes=partial(changes.changes, previous, now=now), memory=memory)
    icons = frozenset(entry.sha256 for entry in previous.files) if previous else frozenset()
    made = site(config, found, snapshot.carried_gzip(previous), icons, surroundings)
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
