"""A folder into which a file is dropped to have a repository looked at: by mv, ssh, rsync or make."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import NamedTuple

from builder.errors import FlatdexError
from builder.files import create_folder
from sync.events.kept import dropped
from sync.events.model import Inbox

ORIGIN = "spool"
LARGEST = 64 * 1024
MOST = 20_000
"""How many files are dealt with at once; more wait until some of them are gone."""

_POLL = 0.1  # seconds between two looks: a file that is the same at both is taken for complete
_UNFINISHED = 1.0  # seconds to wait if it is empty, or its last line has no end: more may be on its way
_LOOK = 5.0  # seconds after which a folder is looked through that seems unchanged
_BUSY = 0.3  # seconds for which a folder that changed is looked through again: clocks of file systems are coarse
_REMOVED = re.compile(r"\.flatdex-[0-9a-f]{8}-(.+)", re.DOTALL)
"""The name of a file that is about to be removed."""


class _Stamp(NamedTuple):
    """What tells a file from what it was."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int


class _Seen(NamedTuple):
    stamp: _Stamp
    since: float


class Spool:
    """The origin of these events. A file goes when what it has caused is live; until then it would be read again."""

    def __init__(self, folder: Path, inbox: Inbox) -> None:
        self.folder = folder
        self._inbox = inbox
        self._thread = threading.Thread(target=self._run, name=ORIGIN, daemon=True)
        self._ending = threading.Event()
        self._guard = threading.RLock()  # who is offered something may be done with it at once
        self._done: deque[tuple[str, _Stamp]] = deque()
        # All by name, and only of files that are there.
        self._fresh: dict[str, _Seen] = {}
        self._taken: dict[str, _Stamp] = {}
        self._refused: dict[str, _Stamp] = {}

    def start(self) -> None:
        """As `Origin` says; makes the folder if it is not there."""
        try:
            create_folder(self.folder)
            os.close(_opened(self.folder))
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            fix = "It has to be a folder that this user may read and write: look at `events.spool`."
            raise FlatdexError(f"the spool folder {self.folder} can't be used: {error.strerror}", fix) from error
        self._thread.start()

    def stop(self) -> None:
        """As `Origin` says."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(2)

    def _run(self) -> None:
        changed, looked, until, state = -1, 0.0, 0.0, ""
        while not self._ending.wait(_POLL):
            said, up = f"watching {self.folder}", True
            try:
                self._remove_done()
                now, modified = time.monotonic(), self.folder.stat().st_mtime_ns
                if modified != changed:
                    changed, until = modified, now + _BUSY
                if self._fresh or now < until or now >= looked + _LOOK:
                    looked = now
                    with self._guard:
                        self._look()
            except OSError as error:
                changed, said, up = -1, f"{self.folder}: {error.strerror}", False
            except Exception as error:  # a bug must not make this deaf for what comes later
                said, up = f"{self.folder}: {error!r}", False
            if said != state:
                state = said
                self._inbox.state(ORIGIN, state, up)
        with contextlib.suppress(OSError):
            self._remove_done()

    def _look(self) -> None:
        """Takes what is complete, and remembers what may become so."""
        folder = _opened(self.folder)
        try:
            found = _listed(folder)
            for known in (self._fresh, self._taken, self._refused):
                for name in known.keys() - found.keys():
                    del known[name]
            for name, status in found.items():
                self._meet(folder, name, status)
        finally:
            os.close(folder)

    def _meet(self, folder: int, name: str, status: os.stat_result) -> None:
        stamp, now = _stamp(status), time.monotonic()
        if self._refused.get(name) == stamp or name in self._taken:  # one that changed meanwhile is met when it is done
            return
        if not stat.S_ISREG(status.st_mode):
            self._refuse(name, stamp, "not-a-file", "only plain files are read")
        elif stamp.size > LARGEST:
            self._refuse(name, stamp, "too-large", f"of more than {LARGEST // 1024} kB nothing is read")
        elif name not in self._fresh or self._fresh[name].stamp != stamp:
            self._fresh[name] = _Seen(stamp, now)
        else:  # seen like this at an earlier look
            self._take(folder, name, now - self._fresh[name].since)

    def _take(self, folder: int, name: str, quiet: float) -> None:
        stamp = self._fresh[name].stamp
        try:
            data, read = _read(folder, name)
        except FileNotFoundError:
            return
        except OSError as error:
            self._refuse(name, stamp, "unreadable", error.strerror or "")
            return
        if read != stamp or (quiet < _UNFINISHED and not data.endswith(b"\n")):
            return
        try:
            hint, unclear = dropped.hint(_called(name), data)
        except dropped.UnclearError as error:
            self._refuse(name, stamp, "malformed", str(error))
            return
        for number in unclear[:1]:
            self._inbox.refused(ORIGIN, "malformed", f"{self.folder / name}:{number}: this is no repository's name")
        del self._fresh[name]
        self._taken[name] = stamp
        self._inbox.offer(ORIGIN, hint, partial(self._on_done, name, stamp))

    def _refuse(self, name: str, stamp: _Stamp, reason: str, why: str) -> None:
        """Tells of a file, once, and leaves it where it is."""
        self._fresh.pop(name, None)
        self._refused[name] = stamp
        self._inbox.refused(ORIGIN, reason, f"{self.folder / name}: {why}")

    def _on_done(self, name: str, stamp: _Stamp) -> None:
        """Called from any thread; the thread here does the work, as long as it runs."""
        self._done.append((name, stamp))
        if self._ending.is_set():
            with contextlib.suppress(OSError):
                self._remove_done()

    def _remove_done(self) -> None:
        with self._guard:
            if not self._done:
                return
            folder = _opened(self.folder)
            try:
                while self._done:
                    name, stamp = self._done.popleft()
                    self._taken.pop(name, None)
                    try:
                        _remove(folder, name, stamp)
                    except OSError as error:
                        self._refuse(name, stamp, "not-removable", error.strerror or "")
            finally:
                os.close(folder)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _listed(folder: int) -> dict[str, os.stat_result]:
    """What is in the folder, but for what is being written."""
    found: dict[str, os.stat_result] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(found) >= MOST:
                break
            if dropped.is_temporary(entry.name) and not _REMOVED.fullmatch(entry.name):
                continue
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = entry.stat(follow_symlinks=False)
    return found


def _read(folder: int, name: str) -> tuple[bytes, _Stamp]:
    """A file's bytes, and what it was like then. A link is not followed, and a pipe not waited for."""
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with os.fdopen(os.open(name, how, dir_fd=folder), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a plain file")
        data = opened.read(LARGEST + 1)
        return data, _stamp(os.fstat(opened.fileno()))


def _remove(folder: int, name: str, stamp: _Stamp) -> None:
    """Removes a file, unless it is another one by now, which is news: nothing may come in between a look and that.

    So it gets another name first, by which nobody else knows it; under that it is found again if it is not the one.
    """
    try:
        if _stamp(os.stat(name, dir_fd=folder, follow_symlinks=False)) != stamp:
            return
        aside = f".flatdex-{secrets.token_hex(4)}-{_called(name)}"
        try:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            aside = name
        status = os.stat(aside, dir_fd=folder, follow_symlinks=False)
        if _stamp(status)[:4] == stamp[:4]:  # renaming has changed the last
            os.unlink(aside, dir_fd=folder)
    except FileNotFoundError:  # somebody else has removed it
        return


def _called(name: str) -> str:
    """A file's name, as it was dropped."""
    aside = _REMOVED.fullmatch(name)
    return aside[1] if aside else name


def _stamp(status: os.stat_result) -> _Stamp:
    if not stat.S_ISREG(status.st_mode):  # a folder changes with what is in it, which is of no interest
        return _Stamp(status.st_dev, status.st_ino, 0, 0, 0)
    return _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
