"""OCI images as flatpak itself makes them, small and quick."""

from __future__ import annotations

import gzip
import re
import shutil
import struct
import tempfile
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

from tests.real.files import remove
from tests.real.flatpak import environment
from tests.real.process import located, require, run

RUNTIME = "org.flatdex.Platform"
APP = "org.flatdex.Hello"

Colour = tuple[int, int, int]


def runtime_layout(
    folder: Path,
    *,
    id: str = RUNTIME,  # noqa: A002
    branch: str = "stable",
    arch: str | None = None,
) -> Path:
    """Make a runtime that can run shell scripts, as an OCI layout at `folder`/ID-BRANCH-ARCH, and return its path.

    It has no appdata and no icons. The shell is this machine's, whatever `arch` claims.
    """
    with _Workshop(folder, arch) as workshop:
        tree = workshop.tree
        files = tree / "usr"
        (tree / "files").mkdir()
        _install_shell(files)
        platform = f"{id}/{workshop.arch}/{branch}"
        (tree / "metadata").write_text(f"[Runtime]\nname={id}\nruntime={platform}\nsdk={platform}\n")
        return workshop.export(id, branch, folder / f"{id}-{branch}-{workshop.arch}", "--runtime")


def app_layout(
    folder: Path,
    *,
    id: str = APP,  # noqa: A002
    version: str = "1.0",
    runtime: str = RUNTIME,
    branch: str = "stable",
    icon_colour: Colour = (53, 132, 228),
    arch: str | None = None,
    runtime_branch: str = "stable",
) -> Path:
    """Make an application whose command prints "hello VERSION", at `folder`/ID-VERSION-BRANCH-ARCH; return the path.

    Its labels carry appdata (name, summary, description, the release) and icons of 64x64 and 128x128 pixels.
    """
    with _Workshop(folder, arch) as workshop:
        tree = workshop.tree
        platform = f"{runtime}/{workshop.arch}/{runtime_branch}"
        (tree / "metadata").write_text(f"[Application]\nname={id}\nruntime={platform}\nsdk={platform}\n")
        command = _write(tree / "files/bin/hello", f"#!/bin/sh\necho 'hello {version}'\n".encode())
        command.chmod(0o755)
        _write_appdata(tree / "files/share", id, version)
        for size in (64, 128):
            icon = png(size, icon_colour)
            _write(tree / f"files/share/app-info/icons/flatpak/{size}x{size}/{id}.png", icon)
            _write(tree / f"files/share/icons/hicolor/{size}x{size}/apps/{id}.png", icon)
        workshop.flatpak("build-finish", "--command=hello", str(tree))
        return workshop.export(id, branch, folder / f"{id}-{version}-{branch}-{workshop.arch}")


def png(size: int, colour: Colour) -> bytes:
    """A square PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes(colour) * size) * size
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class _Workshop:
    """A temporary folder where one image is built, with flatpak's environment in it."""

    def __init__(self, folder: Path, arch: str | None) -> None:
        require("flatpak", "ostree")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".build-", dir=folder))
        self._env = environment(self._folder / "env")
        self.tree = self._folder / "tree"
        self.tree.mkdir()
        self.arch = arch or self.flatpak("--default-arch").strip()

    def flatpak(self, *args: str) -> str:
        return run([located("flatpak"), *args], env=self._env, cwd=self._folder).stdout

    def export(self, app_id: str, branch: str, layout: Path, *kind: str) -> Path:
        if layout.exists():
            raise FileExistsError(f"{layout} has been made before")
        repo = str(self._folder / "repo")
        arch = f"--arch={self.arch}"
        # Without the sandbox: there is nothing to protect from our own icons, and builders often allow none.
        self.flatpak(
            "build-export", "--no-update-summary", "--disable-sandbox", arch, *kind, repo, str(self.tree), branch
        )
        self.flatpak("build-bundle", "--oci", arch, *kind, repo, str(layout), app_id, branch)
        return layout

    def __enter__(self) -> _Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        remove(self._folder)


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _write_appdata(share: Path, app_id: str, version: str) -> None:
    name = escape(app_id.rpartition(".")[2])
    component = f"""\
<component type="desktop-application">
  <id>{escape(app_id)}</id>
  <metadata_license>CC0-1.0</metadata_license>
  <project_license>MIT</project_license>
  <name>{name}</name>
  <summary>Greets whoever starts {name}</summary>
  <description><p>{name} prints a greeting and its version. It exists for tests.</p></description>
  <icon type="cached" width="64" height="64">{escape(app_id)}.png</icon>
  <icon type="cached" width="128" height="128">{escape(app_id)}.png</icon>
  <launchable type="desktop-id">{escape(app_id)}.desktop</launchable>
  <releases><release version="{escape(version)}" timestamp="1700000000"/></releases>
</component>
"""
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<components version="0.8">{component}</components>\n'
    # flatpak takes the labels from here alone; a metainfo file would not get into them.
    _write(share / f"app-info/xmls/{app_id}.xml.gz", gzip.compress(document.encode(), mtime=0))
    entry = f"[Desktop Entry]\nType=Application\nName={name}\nExec=hello\nIcon={app_id}\nTerminal=true\n"
    _write(share / f"applications/{app_id}.desktop", entry.encode())


def _install_shell(files: Path) -> None:
    """Copy this machine's smallest shell as the runtime's /usr/bin/sh, with its loader and libraries."""
    shell = Path(located("dash" if shutil.which("dash") else "sh")).resolve()
    (files / "bin").mkdir(parents=True)
    shutil.copy(shell, files / "bin/sh")
    output = run([located("ldd"), shell], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}).stdout
    for library in map(Path, re.findall(r"(/\S+) \(0x", output)):
        # /lib.. and /usr/lib.. are one in a runtime: flatpak mounts the tree as /usr and links /lib, /lib64 into it.
        place = files.joinpath(*(part for part in library.parts[1:] if part != "usr"))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
