"""Prints a table, and writes it to build/bench.json: each figure, the floor that was measured beside it, the target."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from bench import building, exporting, mirroring, pages, publishing, searching, serving, watching
from bench.measure import Row

_PARTS = ("registry", "publishing", "pages", "search", "serving", "export", "mirroring", "watching")


def main() -> int:
    """Measures all rows."""
    args = _parser().parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="flatdex-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # web servers that root starts work as somebody else
        for row in _rows(folder, args):
            print(row.text, flush=True)
            rows.append(row)
    place = Path("build/bench.json")
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    text = "Measures builds, promotions and pushes against their floors."
    parser = argparse.ArgumentParser(prog="make bench", description=text)
    parser.add_argument("--only", choices=_PARTS, help="one part alone (default: all)")
    text = "how many, each with 2 tags x 2 architectures; the middle one is measured in full (default: 100 300 1000)"
    parser.add_argument("--repositories", type=int, nargs=3, default=[100, 300, 1000], help=text)
    parser.add_argument("--runs", type=int, default=3, help="of each pair of builds; medians are shown")
    parser.add_argument("--pairs", type=int, default=5, help="of each pair in publishing; medians are shown")
    text = "icons in the snapshot that is published (default: 10000); targets are for the default"
    parser.add_argument("--icons", type=int, default=10_000, help=text)
    text = "applications that have pages, and to search in (default: 5000)"
    parser.add_argument("--applications", type=int, default=5_000, help=text)
    parser.add_argument("--megabytes", type=int, default=2_000, help="of what is exported (default: 2000)")
    text = "objects that are mirrored, and their megabytes together (default: 400 2000)"
    parser.add_argument("--objects", type=int, nargs=2, default=[400, 2000], help=text)
    parser.add_argument("--pushes", type=int, default=50, help="that a watch publishes (default: 50)")
    text = "for which a watch is given a steady stream of events; 0: not at all (default: 600)"
    parser.add_argument("--soak", type=int, metavar="SECONDS", default=600, help=text)
    return parser


def _rows(folder: Path, args: argparse.Namespace) -> Iterator[Row]:
    if args.only in (None, "registry"):
        yield from building.rows(folder, args.repositories, args.runs)
    if args.only in (None, "publishing"):
        yield from publishing.rows(folder / "publishing", args.icons, args.pairs)
    if args.only in (None, "pages"):
        yield from pages.rows(folder / "pages", args.applications)
    if args.only in (None, "search"):
        yield from searching.rows(folder / "search", args.applications)
    if args.only in (None, "serving"):
        yield from serving.rows(folder / "serving", args.pairs)
    if args.only in (None, "export"):
        yield from exporting.rows(folder / "export", args.megabytes, args.pairs)
    if args.only in (None, "mirroring"):
        yield from mirroring.rows(folder / "mirroring", args.objects[0], args.objects[1], args.pairs)
    if args.only in (None, "watching"):
        yield from watching.rows(folder / "watching", args.repositories[1], args.pushes, args.soak)


if __name__ == "__main__":
    sys.exit(main())
