"""Objects from a web server into a pool, against curl and sha256sum, which make nothing durable."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import measure
from bench.exporting import store_of
from bench.measure import Row
from builder.store import Store
from sync.mirror.fetch import fetch
from sync.mirror.model import Bearer, Source, Wanted
from sync.mirror.pool import Pool
from tests.real.nginx import Nginx

_AT_ONCE = 16
_FLATDEX = str(Path(sys.executable).with_name("flatdex"))


def rows(folder: Path, objects: int, megabytes: int, pairs: int) -> Iterator[Row]:
    """So many objects, of so many megabytes together."""
    site, store, copies = folder / "site", folder / "store", folder / "copies"
    print(f"making {objects} objects of {megabytes} MB", flush=True)
    folder.mkdir()
    _fill(site, objects, megabytes * 1_000_000 // objects)

    def before() -> None:
        for each in (store, copies):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        os.sync()  # what the turn before has left to do is not this one's work

    with Nginx(folder / "nginx", site) as server:
        ours = [sys.executable, "-m", "bench.mirroring", server.url, str(site), str(store)]
        found = measure.pairs(ours, ["sh", "-c", _floor(server.url, site, copies)], pairs, before)
    yield found.row("mirror: objects", "curl --parallel, sha256sum:", 1.25)
    yield Row("mirror: memory", found.megabytes, "MB", 150, f"{objects} objects, {_AT_ONCE} at once")
    shutil.rmtree(folder)
    yield from _command(folder, megabytes, pairs)


def _command(folder: Path, megabytes: int, pairs: int) -> Iterator[Row]:
    """The whole of `flatdex mirror`: from a site's first byte to a promoted copy, and once more when all is there."""
    folder.mkdir()
    site = store_of(folder, megabytes).root / "current"
    store, copies = folder / "copy", folder / "copies"
    blobs = sorted(path for path in site.glob("v2/**/sha256:*") if path.is_file())

    def before() -> None:
        for each in (store, copies):
            shutil.rmtree(each, ignore_errors=True)
        copies.mkdir()
        os.sync()

    with Nginx(folder / "nginx", site) as server:
        ours = [_FLATDEX, "-q", "mirror", "--from", server.url, "--store", str(store)]
        urls = {f"{server.url}{path.relative_to(site)}": path.name.removeprefix("sha256:") for path in blobs}
        found = measure.pairs(ours, ["sh", "-c", _fetched(urls, copies)], pairs, before)
        yield found.row(f"flatdex mirror, {megabytes} MB", "curl --parallel, sha256sum:", 1.25)
        yield Row("  the most memory", found.megabytes, "MB", 150, f"{len(blobs)} objects of images")
        measure.run(ours)
        asked = len(server.access_log())
        again = measure.pairs(ours, [_FLATDEX, "--version"], pairs)
        yield again.row("flatdex mirror, nothing changed", "flatdex --version:", None)
        requests = (len(server.access_log()) - asked) / pairs
        yield Row("  requests", requests, "", 1, "for each run, of the one source")
    shutil.rmtree(folder)


def _fill(site: Path, objects: int, size: int) -> None:
    site.mkdir()
    for number in range(objects):
        data = random.Random(number).randbytes(size)
        (site / hashlib.sha256(data).hexdigest()).write_bytes(data)


def _floor(url: str, site: Path, copies: Path) -> str:
    return _fetched({f"{url}{file.name}": file.name for file in site.iterdir()}, copies)


def _fetched(names: Mapping[str, str], copies: Path) -> str:
    """A command line that fetches all URLs to files of these names, then hashes all."""
    lines = [f'url = "{url}"\noutput = "{copies / name}"\n' for url, name in names.items()]
    config = copies.with_name("curl")
    config.write_text("".join(lines))
    curl = f"curl --no-progress-meter --fail --parallel --parallel-max {_AT_ONCE} --config {shlex.quote(str(config))}"
    return f"{curl} && cd {shlex.quote(str(copies))} && sha256sum *"


def main() -> int:
    """Fetches all that lies in a site, as one process."""
    url, site, store = sys.argv[1:]
    held = {file.name: file.name for file in Path(site).iterdir()}
    wanted = [Wanted(name, (Path(site) / name).stat().st_size) for name in held]
    found = fetch(wanted, [Bearer(Source(url), held)], Pool(Store(Path(store))), parallel=_AT_ONCE)
    return 1 if found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
