"""Folders that servers running as another user can read, and that can always be removed."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A temporary folder that every user can read, with a short path, removed afterwards whatever is in it.

    Servers started as root work as an unprivileged user, as they do in production, where a page that only its
    builder can read is a bug worth finding. pytest's `tmp_path` lies below folders with mode 0700, and pytest of a
    parallel run takes away any right that is given to them; so a folder beside it is used.
    """
    folder = Path(tempfile.mkdtemp(prefix="flatdex-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder, also when parts of it are read-only. A symlink's target is left alone."""

    def make_writable(_function: Callable[..., object], name: str, _info: object) -> None:
        path = Path(name)
        path.parent.chmod(stat.S_IRWXU)
        if path.is_dir() and not path.is_symlink():
            path.chmod(stat.S_IRWXU)
            shutil.rmtree(path)
        else:
            path.unlink()

    if folder.exists():
        shutil.rmtree(folder, onerror=make_writable)


def servers_user() -> tuple[str, str] | None:
    """User and group that servers started by root become: they refuse, or ought not, to work as root. Else None."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_name, grp.getgrgid(nobody.pw_gid).gr_name


def check_readable(path: Path) -> None:
    """Raise PermissionError when a server that root starts as another user can't reach this path.

    Without this the test would see a puzzling 403. What does not exist yet is not looked at.
    """
    if servers_user() is None:
        return
    for parent in [path, *path.parents]:
        if parent.is_dir() and not parent.stat().st_mode & stat.S_IXOTH:
            raise PermissionError(f"{parent} is closed to other users: use the fixture real_tmp for {path}")
