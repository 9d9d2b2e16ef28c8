"""The `mirror:` section of a configuration: a site that is a copy of another one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from builder.config import Config, Mirror
from builder.dispatch import Dispatch
from builder.document import Document
from builder.errors import FlatdexError, Problem
from builder.flatpak import OCI_ARCHITECTURES
from builder.spans import seconds
from builder.sshkeys import BadKeyError, public_key

SOURCES_FOLDER = Path("/run/flatdex/sources.d")
"""Where a mount unit or a udev rule may name sources."""
MOUNTED_FOLDER = ".flatdex"
"""Where a mounted file system may hold a copy of a remote."""
DISCOVER = 3
"""For how many seconds to listen on the LAN."""

_KEY = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+ ")
_UNKNOWN_SOURCES = {"mirror": {"layouts": ["mirror"]}}
_UNKNOWN_INDEXES = {"mirror": {"tags": ["latest"]}}


def recognised(data: object) -> bool:
    """Whether this is the configuration of a copy."""
    return isinstance(data, dict) and "mirror" in data


def filled(read: Document) -> Document:
    """With something in place of what only the other site's list will tell, so that one schema fits all."""
    data: Any = read.data
    remote = data.get("remote", {})
    if isinstance(remote, dict):
        remote = {"name": "mirror", "url": "https://example.org/", **remote}
    return replace(read, data={**data, "remote": remote, "sources": _UNKNOWN_SOURCES, "indexes": _UNKNOWN_INDEXES})


def problems(read: Document) -> Iterator[Problem]:
    """What a copy can't have of its own."""
    data: Any = read.data
    for key in ("sources", "indexes"):
        if key in data:
            what = f"a mirror has no `{key}` of its own: it has those of the remote that it is a copy of"
            yield read.problem((key,), what, "Take it out; `only`, `tags` and `architectures` choose what is copied.")
    if isinstance(data.get("remote"), dict) and "id" in data["remote"]:
        what = "a mirror has the identity of the remote that it is a copy of"
        yield read.problem(("remote", "id"), what, "Take it out. To insist on an identity: `mirror: {remote_id: ..}`.")
    given = data["mirror"].get("architectures") if isinstance(data["mirror"], dict) else None
    for number, name in enumerate(given if isinstance(given, list) else ()):
        ours = OCI_ARCHITECTURES.get(name, name) if isinstance(name, str) else name
        if ours != name:
            what = f"{name} is Flatpak's name of an architecture; indexes use OCI's"
            yield read.problem(("mirror", "architectures", number), what, f"Did you mean `{ours}`?")


def settings(read: Document) -> tuple[Mirror, list[Problem]]:
    """The values of a section that the schema finds nothing wrong with, and what it could not know."""
    data: Any = read.data
    folder, given = read.file.parent, data["mirror"]
    keys, wrong = _trusted_keys(read, given.get("trusted_keys", []))
    named = given.get("sources_folder")
    found = Mirror(
        sources=tuple(source_place(folder, each) for each in given.get("from", [])),
        only=tuple(given.get("only", ())),
        architectures=tuple(given.get("architectures", ())),
        tags=tuple(given.get("tags", ())),
        dependencies=given.get("dependencies", True),
        trusted_keys=keys,
        remote_id=given.get("remote_id", ""),
        sources_folder=_absolute(folder, named) if named else SOURCES_FOLDER,
        mounts=_mounts(given.get("mounts", False)),
        discover=_listening(given.get("discover", False)),
        parallel=given.get("parallel", Mirror.parallel),
        own={key: value for key, value in data.items() if key not in ("mirror", "store")},
    )
    if not found.sources and not found.mounts and not found.discover and not named:
        fix = "Add `from: [URL]`, or one of `mounts`, `discover` and `sources_folder`."
        wrong.append(read.problem(("mirror",), "no source is named", fix))
    return found, wrong


def config(settings: Mirror, store: Path, file: Path, publishing: Mapping[str, Any] = MappingProxyType({})) -> Config:
    """The configuration of a copy before anything is known of what it is a copy of."""
    return Config(
        file=file,
        store=store,
        remote=None,
        sources=(),
        indexes=(),
        variants=(),
        dispatch=Dispatch((), "latest"),
        tag_folders={},
        publishing=publishing,
        mirror=settings,
    )


def source_place(folder: Path, source: str) -> str:
    """A URL as it is; a folder as an absolute path."""
    return source if "://" in source or source.startswith("file:") else str(_absolute(folder, source))


def _absolute(folder: Path, path: str) -> Path:
    return (folder / Path(path).expanduser()).absolute()


def _mounts(given: bool | str) -> str:
    return given if isinstance(given, str) else MOUNTED_FOLDER if given else ""


def _listening(given: bool | str) -> int:
    return seconds(given) if isinstance(given, str) else DISCOVER if given else 0


def _trusted_keys(read: Document, given: list[str]) -> tuple[tuple[str, ...], list[Problem]]:
    """Keys as lines: each is one, or a file that holds some."""
    lines: list[str] = []
    wrong: list[Problem] = []
    for number, each in enumerate(given):
        try:
            lines += trusted_keys(each, read.file.parent)
        except FlatdexError as error:
            wrong.append(read.problem(("mirror", "trusted_keys", number), error.what, error.fix))
    return tuple(dict.fromkeys(lines)), wrong


def trusted_keys(given: str, folder: Path) -> list[str]:
    """The keys of a line such as `ssh-ed25519 AAAA..`, or of a file with such lines. Raises FlatdexError."""
    fix = "A public key is a line such as `ssh-ed25519 AAAA..`, as a `.pub` file has it."
    lines = [given] if _KEY.match(given) else _lines(_absolute(folder, given), fix)
    try:
        found = [public_key(line).text for line in lines if line.strip() and not line.startswith("#")]
    except BadKeyError as error:
        raise FlatdexError(f"{given[:80]}: {error}", fix) from error
    if not found:
        raise FlatdexError(f"{given[:80]}: there is no key in it", fix)
    return found


def _lines(file: Path, fix: str) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else "it is not text"
        raise FlatdexError(f"{file}: {why}", fix) from error
