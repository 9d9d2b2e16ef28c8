"""A good site, built by flatdex, of which each test has a copy to plant a fault in; and the looking at it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.doctor.checks import findings
from builder.doctor.findings import Finding
from builder.doctor.look import look
from builder.doctor.place import understood
from builder.doctor.seen import Site
from builder.doctor.wish import Wish
from builder.report import Report
from demo.images import write_application, write_runtime
from tests.e2e.site import Flatdex
from tests.real.apache import Apache

PUBLIC = "https://flatpaks.example.org/"
CONFIG = f"""
store: ./store
remote: {{name: example, title: Example, url: "{PUBLIC}"}}
sources:
  local: {{layouts: ["./images/*"]}}
indexes:
  defaults: {{architectures: [amd64], annotations: true}}
  stable: {{tags: [latest]}}
"""
TWO_TAGS = f"""
store: ./store
remote: {{name: example, title: Example, url: "{PUBLIC}", runtime_repo: "https://dl.example.net/x.flatpakrepo"}}
sources:
  one: {{layouts: ["./images/*"]}}
  two: {{layouts: ["./beta/*"], tag: beta}}
indexes:
  defaults: {{annotations: true}}
  stable: {{tags: [latest], sources: [one]}}
  beta: {{tags: [beta], sources: [two]}}
"""
"""The application is in both tags, its runtime in the first one only."""
NGINX = """
location = /index/static {
    default_type application/json;
    types { }
    gzip_static on;
    gzip_vary on;
    add_header Cache-Control no-cache;
    if ($args ~ "^annotation") { rewrite ^ /index/latest.annotations.json break; }
    rewrite ^ /index/latest.json break;
}
location /icons/ { add_header Cache-Control "public, max-age=31536000, immutable"; }
location / { add_header Cache-Control no-cache; add_header Content-Security-Policy "default-src 'self'"; }
"""
"""What an operator might write for nginx by hand."""

_PAST = 1_700_000_000
"""When files were written: Apache calls the ETags of new ones weak."""

Index = dict[str, Any]


def build(folder: Path, config: str = CONFIG) -> Flatdex:
    """A store in `folder` with one snapshot of two images, which is current."""
    write_runtime(folder / "images")
    write_application(folder / "images", version="1.0", created="2026-01-02T03:04:05Z")
    flatdex = Flatdex(folder, config)
    flatdex.run("build")
    flatdex.run("promote")
    return flatdex


def build_two_tags(folder: Path, config: str = TWO_TAGS) -> Flatdex:
    """The same with another version of the application in a tag of its own."""
    made = write_application(folder / "beta", version="2.0", created="2026-01-03T03:04:05Z")
    made.rename(made.with_name("demo-beta"))
    return build(folder, config)


@dataclass(frozen=True)
class Copy:
    """A site to plant faults in, at `root`."""

    root: Path

    def forget_snapshot(self) -> None:
        """Makes it one that flatdex knows nothing of."""
        (self.root / "snapshot.json").unlink()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replaces text in a file, wherever it stands there."""
        file = self.root / path
        text = file.read_text()
        assert old in text, text
        file.unlink()  # hard-linked to other snapshots
        file.write_text(text.replace(old, new))

    def add(self, path: str, text: str, *, first: bool = False) -> None:
        """Adds lines to a file, at its end: in Apache's rules the last word counts, of rewriting the first."""
        before = (self.root / path).read_text()
        self.write(path, (f"{text}\n{before}" if first else f"{before}\n{text}\n").encode())

    def edit_indexes(self, change: Callable[[Index], object], *, packed: bool = True) -> None:
        """Changes all indexes, packed and plain, as if somebody else had made the site."""
        for file in (self.root / "index").rglob("*"):
            if file.is_file() and file.name != ".htaccess" and not file.name.endswith(".gz"):
                self.write_index(file, change, packed=packed)
        (self.root / "snapshot.json").unlink(missing_ok=True)

    def write_index(self, file: Path, change: Callable[[Index], object], *, packed: bool) -> None:
        """Changes one index; its packed twins, which hold the same, go along."""
        before = file.read_bytes()
        value = json.loads(before)
        change(value)
        data = json.dumps(value).encode()
        for twin in (self.root / "index").rglob("*.gz"):
            if packed and twin.stat().st_size and gzip.decompress(twin.read_bytes()) == before:
                self.write(str(twin.relative_to(self.root)), gzip.compress(data, mtime=0))
        self.write(str(file.relative_to(self.root)), data)

    def write(self, path: str, data: bytes) -> None:
        """A file, in the place of another one."""
        file = self.root / path
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (_PAST, _PAST))

    def blobs(self, kind: str = "blobs") -> list[Path]:
        """The files below /v2/, the largest last."""
        found = [file for file in (self.root / "v2").rglob("sha256:*") if file.parent.name == kind]
        return sorted(found, key=lambda file: (file.stat().st_size, file.name))

    def replace_manifest(self, change: Callable[[Index], object]) -> None:
        """Changes the application's manifest, and names it by its new digest in all indexes."""
        old = next(file for file in self.blobs("manifests") if "demo" in str(file))
        value = json.loads(old.read_bytes())
        change(value)
        data = json.dumps(value).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.write(f"{old.parent.relative_to(self.root)}/{digest}", data)

        def renamed(index: Index) -> None:
            for image in images(index):
                if image["Digest"] == old.name:
                    image["Digest"] = digest

        self.edit_indexes(renamed)
        old.unlink()


def images(index: Index) -> list[Index]:
    """All images in an index."""
    return [image for result in index["Results"] for image in result["Images"]]


def labels(index: Index) -> list[dict[str, Any]]:
    """The application's labels and annotations, where they stand."""
    found = []
    for image in images(index):
        for key in ("Labels", "Annotations"):
            if image[key].get("org.flatpak.ref", "").startswith("app/"):
                found.append(image[key])
    return found


def without_runtime(index: Index) -> None:
    """What only has the application."""
    index["Results"] = [result for result in index["Results"] if "platform" not in result["Name"]]


def copied(built: Flatdex, folder: Path) -> Copy:
    """A copy whose files can be changed."""
    root = folder / "site"
    shutil.copytree(built.root.resolve(), root)
    return Copy(root)


def seen(url: str, **wish: Any) -> Site:
    """What is to be seen at `url`."""
    given = {"public": PUBLIC, "seconds": 20.0, **wish}
    return look(Wish(understood(url), **given), Report(-1).progress)


def found(url: str, **wish: Any) -> tuple[Finding, ...]:
    """What doctor finds at `url`."""
    return findings(seen(url, **wish))


def codes(url: str, **wish: Any) -> set[str]:
    """The kinds of what it finds."""
    return {each.code for each in found(url, **wish)}


def by_apache(real_tmp: Path, copy: Copy, extra: str = "", modules: tuple[str, ...] = (), **wish: Any) -> set[str]:
    """What is found where Apache serves the copy."""
    with Apache(real_tmp / "apache", copy.root, extra=extra, modules=modules) as apache:
        return codes(apache.url, **wish)
