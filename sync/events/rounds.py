"""Rounds: each is a process of its own, forked from one that has everything imported, so that nothing of it stays.

The process for the next one is there before it is wanted, and has made what it can without knowing what it is for.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from builder.errors import FlatdexError, LockedError
from sync.events.model import Order, Result

Warm = Callable[[Any], Any]
"""Makes what a round can make without an order: of what the configuration gave, for `Work`. It may raise anything."""
Work = Callable[[Any, Order, Any], Result]
"""Does a round: with what the configuration gave, and what `Warm` has made, None if nothing. Both are functions of a
module, and called in the round's own process."""

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


@dataclass(frozen=True)
class _Ready:
    """A process that waits for its order."""

    process: BaseProcess
    orders: Connection
    results: Connection
    context: Any

    def end(self) -> None:
        """It is not wanted any more."""
        self.orders.close()
        self.results.close()
        self.process.terminate()
        self.process.join(5)


class Rounds:
    """Begins rounds. `preload` are the modules that they need."""

    def __init__(self, work: Work, warm: Warm | None, preload: Sequence[str]) -> None:
        self._work = work
        self._warm = warm
        self._multiprocessing = multiprocessing.get_context("forkserver")
        self._multiprocessing.set_forkserver_preload(list(preload))
        self._ready: _Ready | None = None

    def prepare(self, context: Any) -> None:
        """Has a process ready for the next round, if there is none. Raises OSError."""
        if self._ready and (self._ready.context is not context or self._ready.process.exitcode is not None):
            self.stop()
        if self._ready is None:
            self._ready = self._started(context, self._warm)

    def begin(self, context: Any, order: Order) -> Round:
        """Begins one. Raises OSError."""
        ready, self._ready = self._ready, None
        if ready and ready.context is context:
            try:
                return _sent(ready, order)
            except OSError:  # it was killed, or died of something
                ready.end()
        elif ready:
            ready.end()
        return _sent(self._started(context, None), order)

    def stop(self) -> None:
        """Ends the process that waits."""
        if self._ready:
            self._ready.end()
            self._ready = None

    def _started(self, context: Any, warm: Warm | None) -> _Ready:
        results, sending = self._multiprocessing.Pipe(duplex=False)
        receiving, orders = self._multiprocessing.Pipe(duplex=False)
        arguments = (self._work, warm, context, receiving, sending)
        process = self._multiprocessing.Process(target=_run, args=arguments, daemon=False)
        try:
            process.start()
        except EOFError as error:  # the server of forks could not fork
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        finally:
            sending.close()
            receiving.close()
        return _Ready(process, orders, results, context)


def _sent(ready: _Ready, order: Order) -> Round:
    ready.orders.send(order)
    ready.orders.close()
    return Round(order, ready.process, ready.results)


def _run(work: Work, warm: Warm | None, context: Any, receiving: Connection, sending: Connection) -> None:
    """The process's own main. The watch decides what a Ctrl-C means, which reaches both."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(0o022)
    gc.disable()  # what there is soon goes with the process
    made = None
    try:
        with contextlib.suppress(Exception):  # the round meets it, too, and tells of it
            made = warm(context) if warm else None
        order = receiving.recv()
    except (KeyboardInterrupt, EOFError):  # nobody wants it any more
        os._exit(0)
    result = _result(work, context, order, made)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sending.send(result)
    sending.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that was given up may hang for ever


def _result(work: Work, context: Any, order: Order, made: Any) -> Result:
    try:
        return work(context, order, made)
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
