"""Rounds: each is a process of its own, forked from one that has everything imported, so that nothing of it stays."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from builder.errors import FlatdexError, LockedError
from sync.events.model import Order, Result

Work = Callable[[Any, Order], Result]
"""Does a round, in its own process: a function of a module, with what the configuration made for it."""

_BUG = "this is a bug in flatdex; please report it with these lines:\n"


class Round:
    """One that runs, or has ended."""

    def __init__(self, order: Order, process: BaseProcess, receiving: Connection) -> None:
        self.order = order
        self._process = process
        self._receiving = receiving

    @property
    def wakes(self) -> tuple[Connection | int, ...]:
        """What becomes readable when it has ended."""
        return (self._receiving, self._process.sentinel)

    def result(self) -> Result | None:
        """What it came to, once it has ended."""
        if self._receiving.poll():
            try:
                found: Result = self._receiving.recv()
            except (EOFError, OSError):
                return self._ended()
            self._close()
            return found
        return self._ended() if self._process.exitcode is not None else None

    def _ended(self) -> Result:
        self._close()
        code = self._process.exitcode or 0
        how = f"by signal {-code}" if code < 0 else f"with {code}"
        return Result(error=f"the round's process ended {how}, before it was done")

    def _close(self) -> None:
        self._process.join(5)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(1)  # one that hangs in the kernel is left behind
        self._receiving.close()

    def interrupt(self) -> None:
        """Lets it end, as Ctrl-C does: every site stays whole."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()


class Rounds:
    """Begins rounds. `preload` are the modules that they need."""

    def __init__(self, work: Work, preload: Sequence[str]) -> None:
        self._work = work
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))

    def begin(self, context: Any, order: Order) -> Round:
        """Begins one."""
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(self._work, context, order, sending), daemon=False)
        process.start()
        sending.close()
        return Round(order, process, receiving)


def _run(work: Work, context: Any, order: Order, sending: Connection) -> None:
    """The process's own main. The watch decides what a Ctrl-C means, which reaches both."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)
    gc.disable()  # what there is soon goes with the process
    result = _result(work, context, order)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sending.send(result)
    sending.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that was given up may hang for ever


def _result(work: Work, context: Any, order: Order) -> Result:
    try:
        return work(context, order)
    except KeyboardInterrupt:
        return Result(interrupted=True)
    except LockedError as error:
        return Result(locked=True, error=error.what)
    except FlatdexError as error:
        return Result(error=str(error))
    except OSError as error:
        return Result(error=f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except Exception:
        return Result(error=_BUG + traceback.format_exc())
