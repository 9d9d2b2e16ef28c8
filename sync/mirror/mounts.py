"""Sources on mounted file systems: a folder of a well-known name at the root of any of them, such as a stick."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder import files
from builder.description import DESCRIPTION
from builder.errors import UsageError
from sync.mirror import bounded
from sync.mirror.model import Found, Source

FOLDER = ".flatdex"
_PSEUDO = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
        *("fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs"),
        *("sysfs", "tmpfs", "tracefs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse"),
    )
)
_ESCAPE = re.compile(r"\\([0-7]{3})")
_LARGEST = 16 * 1024 * 1024
_MOST = 64  # sources


@dataclass(frozen=True)
class MountRule:
    """Look for `folder` in the root of what `mountinfo` names, for so many `seconds` at most."""

    folder: str = FOLDER
    mountinfo: Path = Path("/proc/self/mountinfo")
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.folder.isprintable() or "/" in self.folder or self.folder in ("", ".", ".."):
            fix = f"Give the plain name of a folder, such as {FOLDER}"
            raise UsageError(f"no folder at the root of a file system can be called {self.folder!r:.80}", fix)


def points(mountinfo: str) -> tuple[Path, ...]:
    """Where file systems are mounted that can hold files of somebody, by the text of `/proc/self/mountinfo`.

    The kernel writes spaces, line breaks and backslashes as octal numbers, and all else as its bytes are.
    """

    def found() -> Iterator[Path]:
        for line in mountinfo.split("\n"):
            left, dash, right = line.partition(" - ")
            fields, kind = left.split(" "), right.partition(" ")[0]
            if dash and len(fields) > 4 and kind not in _PSEUDO:
                yield Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))

    return tuple(dict.fromkeys(found()))


def sources(rule: MountRule) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """The sources on mounted file systems, by their paths, and warnings."""
    try:
        text = files.read(rule.mountinfo, _LARGEST).decode("utf-8", "surrogateescape")
    except OSError as error:
        return (), (f"mounted file systems are not looked at: {rule.mountinfo}: {error.strerror}",)
    mounted = points(text)
    # A stick's label becomes a name here, and whoever made the stick has chosen it.
    looks = {point: partial(_identity, point / rule.folder) for point in mounted if str(point).isprintable()}
    done = bounded.each(rule.seconds, looks)
    late = [point for point in looks if point not in done]
    warnings = [
        f"the file system on {point} gave no answer in {rule.seconds:g} seconds, and is left out" for point in late
    ]
    # The same file system may be mounted in several places.
    places = {inode: point for point, inode in sorted(done.items(), reverse=True) if inode is not None}
    chosen = sorted(places.values())
    if len(chosen) > _MOST:
        warnings.append(
            f"{len(chosen)} mounted file systems have a folder {rule.folder}: only {_MOST} of them are used"
        )
    return tuple(Source(url_of(point / rule.folder), Found.MOUNTED) for point in chosen[:_MOST]), tuple(warnings)


def url_of(folder: Path) -> str:
    """The URL of an absolute path of a folder, which ends with a slash."""
    found = folder.as_uri()
    return found if found.endswith("/") else f"{found}/"


def _identity(folder: Path) -> tuple[int, int] | None:
    """What the kernel knows the folder by, if it holds a remote. An error is an answer, too: there is none."""
    try:
        if not (folder / DESCRIPTION).is_file():
            return None
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
