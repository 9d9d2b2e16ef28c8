"""What this machine lends to the examples: its architecture and, where it can be copied, its shell."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from demo.layer import File

_LIBRARY = re.compile(r"(/\S+) \(0x[0-9a-f]+\)$")
_STATIC = re.compile(r"not a (?:valid )?dynamic|statically linked", re.IGNORECASE)
_USR_OR_ROOT = re.compile(r"/(?:usr/)?(lib[^/]*/.+)")
_LDD_SECONDS = 10


class DemoError(Exception):
    """The examples cannot be written; the message is a sentence for the person who asked."""


@dataclass(frozen=True)
class Architecture:
    """One architecture under its two names: Flatpak's and OCI's."""

    flatpak: str
    oci: str


_ARCHITECTURES = {
    "x86_64": Architecture("x86_64", "amd64"),
    "amd64": Architecture("x86_64", "amd64"),
    "aarch64": Architecture("aarch64", "arm64"),
    "arm64": Architecture("aarch64", "arm64"),
    "i686": Architecture("i386", "386"),
    "i386": Architecture("i386", "386"),
}


def architecture() -> Architecture:
    """The architecture of this machine."""
    machine = platform.machine()
    try:
        return _ARCHITECTURES[machine.lower()]
    except KeyError:
        raise DemoError(
            f"The example images can be written on x86_64, aarch64 and i686 machines only, and this one is {machine!r}."
        ) from None


def shell() -> dict[str, File]:
    """The host's `sh` and the libraries that it needs, as files of a runtime; nothing if they cannot be copied."""
    found = shutil.which("sh", path="/bin:/usr/bin")
    if found is None or not _is_elf(Path(found)):
        return {}
    places = _runtime_places(_libraries(Path(found)))
    if places is None:
        return {}
    libraries = {place: File(library.read_bytes(), executable=True) for place, library in places.items()}
    return {"files/bin/sh": File(Path(found).read_bytes(), executable=True), **libraries}


def _is_elf(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(program: Path) -> list[Path] | None:
    """The shared libraries and the loader that a program starts with; None if ldd is missing or knows no answer."""
    command = ["ldd", str(program)]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LDD_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = answer.stdout + answer.stderr
    if _STATIC.search(text):
        return []
    if answer.returncode != 0 or "not found" in text:
        return None
    return [Path(match[1]) for line in text.splitlines() if (match := _LIBRARY.search(line))]


def _runtime_places(libraries: list[Path] | None) -> dict[str, Path] | None:
    """Where each library goes in a runtime; None if one lives where no runtime can have it (outside /usr and /lib*).

    A sandbox sees the runtime's `files` as /usr and finds /lib* through symlinks into it, so the loader looks for
    every library in the folder that the host has it in.
    """
    if libraries is None:
        return None
    places: dict[str, Path] = {}
    for library in libraries:
        match = _USR_OR_ROOT.fullmatch(str(library))
        if match is None:
            return None
        places[f"files/{match[1]}"] = library
    return places
