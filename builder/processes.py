"""Work that keeps a processor busy, shared out among the processors there are."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_WORTH = 200
"""How many pieces of some 0.3 ms make a process worth its start."""
_MOST = 4
"""How many processes at most, this one included: each may come to need memory of its own."""


def shared_out(work: Sequence[Callable[[], _Result]], worth: int = _WORTH) -> list[_Result]:
    """The results of all pieces of work, in their order, done by forks of this process beside it.

    A piece must not change anything, and its result must be picklable. Whatever a fork does not bring to an end, as it
    met an error or was killed, is done here, so that errors are raised here. With another thread about, which might
    hold a lock for ever in a fork, or with fewer than `worth` pieces for each, nothing is forked.
    """
    parts = max(1, min(_processors(), _MOST, len(work) // worth)) if threading.active_count() == 1 else 1
    found: list[Any] = [None] * len(work)
    with contextlib.ExitStack() as stack:
        forks = [stack.enter_context(_fork(work[part::parts])) for part in range(1, parts)]
        found[::parts] = [piece() for piece in work[::parts]]
        for part, pipe in enumerate(forks, 1):
            found[part::parts] = _received(pipe) or [piece() for piece in work[part::parts]]
    return found


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


@contextmanager
def _fork(work: Sequence[Callable[[], Any]]) -> Iterator[Connection]:
    """A process that does the work; its results come through the pipe. It ends with the block."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, here, there), daemon=True)
    # Ctrl-C in between would be told by a fork that does not know yet that it is none of its business.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()
        yield here
    finally:
        here.close()
        if process.pid is not None:
            process.kill()
            process.join()


def _child(work: Sequence[Callable[[], Any]], here: Connection, there: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to heed, which ends this
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    here.close()  # the parent's end: where only a parent that died held it, sending fails instead of waiting
    with contextlib.suppress(BaseException):  # what goes wrong here goes wrong there again, and is told there
        there.send([piece() for piece in work])


def _received(pipe: Connection) -> list[Any] | None:
    """A fork's results; none where it didn't get so far."""
    try:
        found: list[Any] = pipe.recv()
    except (EOFError, OSError):
        return None
    return found
