"""The store's lock: one writer at a time. Who holds it can be told, and one that defers lets those go first who wait.

Who waits holds the file `waiting` in shared mode for as long as it does. Both end with their process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from builder.errors import LockedError

LOCK = "lock"
WAITING = "waiting"
WATCH = "watch"
"""The verb whose turns are short, so that whoever meets it waits by itself."""

_OWN_WAIT = 30.0  # seconds, for a turn of a watch
_MOST_DEFERENCE = 60.0  # seconds, after which a stream of others has been let go first for long enough
_SHORTEST, _LONGEST = 0.005, 0.1  # seconds between two tries
_MOMENT = 0.01  # seconds, in which a new holder says who it is
_ADVICE = "Try again when it is done, or with `--wait SECONDS`; reading (list, show, status) never waits."


def take(root: Path, descriptor: int, wait: float | None = None, defer: bool = False) -> float:
    """Takes the lock of the store at `root`, which `descriptor` has open; gives for how many seconds it waited.

    Raises LockedError if that would take longer than `wait` seconds; None is as long as a watch's turn takes, if it is
    one that holds it, and else not at all. With `defer`, whoever waits goes first, for a minute.
    """
    began = time.monotonic()
    pause = _SHORTEST
    with contextlib.ExitStack() as stack:
        while True:
            waited = time.monotonic() - began
            deferring = defer and waited < _MOST_DEFERENCE
            others = deferring and _somebody_waits(root)
            if not others and _taken(descriptor, root if deferring else None):
                return waited
            if wait is None:
                wait = _OWN_WAIT if _is_watch(descriptor) else 0
            if waited >= wait:
                raise LockedError(f"others wait to write to {root}", _ADVICE) if others else _refusal(root, descriptor)
            if not defer and pause == _SHORTEST:
                stack.enter_context(_announced(root))
            time.sleep(min(pause, wait - waited))
            pause = min(2 * pause, _LONGEST)


def _taken(descriptor: int, deferring_at: Path | None) -> bool:
    """Whether it could be taken; it is given back if somebody has come to wait for it meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if deferring_at is not None and _somebody_waits(deferring_at):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False
    return True


@contextlib.contextmanager
def _announced(root: Path) -> Iterator[None]:
    """Says that somebody waits. Where that can't be said, they wait all the same."""
    descriptor = None
    try:
        with contextlib.suppress(OSError):
            descriptor = os.open(root / WAITING, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # nobody has it in any other mode for longer than a look takes
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _somebody_waits(root: Path) -> bool:
    try:
        descriptor = os.open(root / WAITING, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody ever did
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that lets only writers look
        return False
    finally:
        os.close(descriptor)
    return False


def say_who(descriptor: int, verb: str) -> None:
    """For those who meet the lock. On a full disk they are told less: room must be made there somehow."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"`flatdex {verb}` (process {os.getpid()}) since {since}\n".encode(), 0)


def _holder(descriptor: int) -> tuple[str, bool]:
    """Who holds the lock, by its own words, and whether that process has ended and left it to its programs."""
    for last in (False, False, True):
        said = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        process = re.search(r"\(process ([0-9]+)\)", said)
        ended = bool(process and not Path(f"/proc/{process[1]}").exists() and Path("/proc/self").exists())
        if last or (process and not ended):
            break
        time.sleep(_MOMENT)  # it may have taken it just now: these are the words of whoever was before it
    return said, ended


def _is_watch(descriptor: int) -> bool:
    said, ended = _holder(descriptor)
    return said.startswith(f"`flatdex {WATCH}`") and not ended


def _refusal(root: Path, descriptor: int) -> LockedError:
    holder, orphaned = _holder(descriptor)
    if orphaned:
        holder = f"what {holder} has left running"
    return LockedError(f"{root} is being written to by {holder or 'another process'}", _ADVICE, orphaned)
