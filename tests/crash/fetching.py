"""A process whose forks fetch objects: from a web server, and from a folder, into the pool of a store."""

from __future__ import annotations

import json
from pathlib import Path

from builder.store import Store
from sync.mirror import pool as pool_module
from sync.mirror.fetch import fetch
from sync.mirror.model import Bearer, Source, Wanted
from sync.mirror.pool import Pool
from tests.crash import forks

_BATCH = 1_000_000  # bytes: several batches


def _fetch(args: list[str]) -> int:
    """Takes the store and, as JSON, which URL has which objects; prints how many bytes came."""
    store, bearers = Path(args[0]), json.loads(args[1])
    pool_module._BATCH = _BATCH
    wanted = [Wanted(sha256, size) for held in bearers.values() for sha256, size in held.items()]
    holders = [Bearer(Source(url), {sha256: sha256 for sha256 in held}) for url, held in bearers.items()]
    found = fetch(wanted, holders, Pool(Store(store)), parallel=1)
    print(sum(number for _, number in found.taken.values()))
    return 1 if found.missing or found.dropped else 0


if __name__ == "__main__":
    forks.main(_fetch)
