"""Two example Flatpaks as OCI layouts: a runtime, and an application that says hello.

They are made of Python's standard library and Pillow alone, and the flatpak client installs them like any other. The
same arguments give the same bytes on one machine.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from demo.appdata import application_appdata, runtime_appdata
from demo.host import Architecture, DemoError, architecture, shell
from demo.icon import SIZES, application_icon, runtime_icon
from demo.labels import Flatpak, labels
from demo.layer import File, compress, pack
from demo.oci_layout import Image, write_layout

__all__ = ["APPLICATION", "BRANCH", "RUNTIME", "DemoError", "write_application", "write_runtime"]

APPLICATION = "org.flatdex.Demo"
RUNTIME = "org.flatdex.Platform"
BRANCH = "stable"

_COMMAND = "flatdex-demo"
_RUNTIME_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~-]*")


def write_runtime(folder: Path, *, version: str = "1.0") -> Path:
    """Write the runtime to `folder/org.flatdex.Platform`, replacing an earlier one, and say where it is."""
    _check_version(version)
    host = architecture()
    runtime = f"{RUNTIME}/{host.flatpak}/{BRANCH}"
    date = f"{_RUNTIME_CREATED:%Y-%m-%d}"
    flatpak = Flatpak(
        ref=f"runtime/{runtime}",
        metadata=f"[Runtime]\nname={RUNTIME}\nruntime={runtime}\nsdk={runtime}\n",
        subject=f"Flatdex Platform {version}",
        created=_RUNTIME_CREATED,
        appdata=runtime_appdata(version=version, date=date, ref=f"runtime/{runtime}", runtime=runtime),
        icons={size: runtime_icon(size) for size in SIZES},
    )
    return _write(folder / RUNTIME, flatpak, host, {"files/lib/os-release": _os_release(version), **shell()})


def write_application(folder: Path, *, version: str, created: str) -> Path:
    """Write the application to `folder/org.flatdex.Demo`, replacing an earlier one, and say where it is.

    `created` is a time in ISO 8601, UTC if it names no other zone.
    """
    _check_version(version)
    moment = _moment(created)
    host = architecture()
    runtime, ref = f"{RUNTIME}/{host.flatpak}/{BRANCH}", f"app/{APPLICATION}/{host.flatpak}/{BRANCH}"
    flatpak = Flatpak(
        ref=ref,
        metadata=f"[Application]\nname={APPLICATION}\nruntime={runtime}\nsdk={runtime}\ncommand={_COMMAND}\n",
        subject=f"Flatdex Demo {version}",
        created=moment,
        appdata=application_appdata(version=version, date=f"{moment:%Y-%m-%d}", ref=ref, runtime=runtime),
        icons={size: application_icon(size) for size in SIZES},
    )
    return _write(folder / APPLICATION, flatpak, host, _application_files(version, flatpak))


def _write(folder: Path, flatpak: Flatpak, host: Architecture, files: dict[str, File]) -> Path:
    layer = pack({"metadata": File(flatpak.metadata.encode()), **files, **_appstream_files(flatpak)})
    created = f"{flatpak.created:%Y-%m-%dT%H:%M:%SZ}"
    write_layout(folder, Image(flatpak.ref, host.oci, created, labels(flatpak, layer), layer))
    return folder


def _application_files(version: str, flatpak: Flatpak) -> dict[str, File]:
    """The program, and its launcher and icons both where the application has them and where the desktop sees them."""
    shared = {f"share/applications/{APPLICATION}.desktop": _launcher()}
    for size, png in flatpak.icons.items():
        shared[f"share/icons/hicolor/{size}x{size}/apps/{APPLICATION}.png"] = File(png)
    both = {f"{root}/{path}": file for root in ("export", "files") for path, file in shared.items()}
    return {f"files/bin/{_COMMAND}": _program(version), **both}


def _appstream_files(flatpak: Flatpak) -> dict[str, File]:
    """The appdata and icons once more, where flatpak looks for them when it imports the image."""
    name = flatpak.ref.split("/")[1]
    icons = {f"icons/flatpak/{size}x{size}/{name}.png": File(png) for size, png in flatpak.icons.items()}
    appdata = File(compress(flatpak.appdata.encode()))
    return {f"files/share/app-info/{path}": file for path, file in {f"xmls/{name}.xml.gz": appdata, **icons}.items()}


def _program(version: str) -> File:
    script = f'#!/bin/sh\necho "Hello from flatdex, version {version}"\n'
    return File(script.encode(), executable=True)


def _launcher() -> File:
    return _lines(
        "[Desktop Entry]",
        "Type=Application",
        "Name=Flatdex Demo",
        "Comment=Say hello from a static Flatpak remote",
        "Comment[de]=Grüßt aus einer statischen Flatpak-Quelle",
        f"Exec={_COMMAND}",
        f"Icon={APPLICATION}",
        "Terminal=true",
        "Categories=Utility;ConsoleOnly;",
    )


def _os_release(version: str) -> File:
    name = "Flatdex Platform"
    return _lines(f'NAME="{name}"', "ID=flatdex", f'VERSION_ID="{version}"', f'PRETTY_NAME="{name} {version}"')


def _lines(*lines: str) -> File:
    return File("".join(f"{line}\n" for line in lines).encode())


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise DemoError(f"A version is made of letters, digits and the signs . + ~ - only, and {version!r} is not.")


def _moment(created: str) -> datetime:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        raise DemoError(f"A time looks like 2026-01-31T12:00:00Z, and {created!r} does not.") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
