"""The verbs that publish snapshots, put together."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from sync.verbs import exporting, pushing, reading, releasing
from sync.verbs.common import Run

Parsers = Callable[..., argparse.ArgumentParser]


def add_verbs(add: Parsers) -> None:
    """Adds this package's verbs; each sets `publish(args, place, report) -> exit code`."""

    def verb(name: str, text: str, run: Run) -> argparse.ArgumentParser:
        parser = add(name, help=text)
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.set_defaults(publish=run)
        return parser

    for group in (reading, releasing, pushing, exporting):
        group.add(verb)
