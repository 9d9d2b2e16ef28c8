"""Programs that copy: started by `sh`, ended with us, and holders of the store's lock for as long as they live."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import sh

from builder.errors import FlatdexError

_ENDING = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 1.0))
"""What ends programs: a signal, and how many seconds it is given."""
_TICK, _MOMENT = 0.01, 0.5  # seconds


class ProgramError(Exception):
    """A program ended with a code that is not 0; `stderr` is all that it said there."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.stderr = stderr


class EndedError(FlatdexError):
    """Nothing more is started, since the command is being interrupted."""

    def __init__(self) -> None:
        super().__init__("interrupted")


class Programs:
    """Runs programs in `folder`; may be shared by threads. `connections` is where they may keep some for the next.

    They get the descriptor that is held, the store's lock: if this process is killed, no other writer comes in before
    they have ended, too.
    """

    def __init__(self, folder: Path, lock: int | None = None, connections: Path | None = None) -> None:
        self.connections = connections
        self._folder = folder
        self._lock = lock
        self._running: dict[int, sh.RunningCommand] = {}
        self._guard = threading.Lock()
        self._ending = threading.Event()

    def run(self, program: str, *arguments: str, install: str = "", **environment: str) -> str:
        """Runs a program to its end and gives what it printed. Raises ProgramError; FlatdexError if it is missing."""
        try:
            command = sh.Command(program)
        except sh.CommandNotFound as error:
            fix = f"Install it: `apt-get install {install or program}`."
            raise FlatdexError(f"{program} is not installed", fix) from error
        with self._guard:
            if self._ending.is_set():
                raise EndedError
            running = self._started(command, arguments, environment)
            self._running[running.pid] = running
        try:
            return str(running.wait())
        except sh.ErrorReturnCode as error:
            raise ProgramError(error.exit_code, error.stderr.decode("utf-8", "replace")) from error
        except BaseException:
            self.end()
            raise
        finally:
            self._running.pop(running.pid, None)

    def _started(
        self, command: sh.Command, arguments: tuple[str, ...], environment: dict[str, str]
    ) -> sh.RunningCommand:
        held = set() if self._lock is None else {self._lock}
        for descriptor in held:
            os.set_inheritable(descriptor, True)
        return command(
            *arguments,
            _bg=True,
            _bg_exc=False,
            _cwd=str(self._folder),
            _decode_errors="replace",
            _encoding="utf-8",
            _env={**os.environ, **environment},
            _new_session=True,
            _pass_fds=held,
            _tty_out=False,
        )

    def end(self) -> None:
        """Ends what runs, and lets nothing more be started.

        What has not ended then, hangs in the system's kernel; it was killed, and ends before it does anything else.
        """
        self._ending.set()
        with self._guard:
            left = groups = list(self._running.values())
        for number, seconds in _ENDING:
            _signal(left, number)
            left = _outliving(left, seconds)
        deadline = time.monotonic() + _MOMENT
        while any(map(_has_others, groups)) and time.monotonic() < deadline:
            time.sleep(_TICK)
        _signal(groups, signal.SIGKILL)  # an ssh, say, that did not care

    @property
    def ending(self) -> bool:
        """Whether nothing more is to be started."""
        return self._ending.is_set()

    def pause(self, seconds: float) -> None:
        """Waits. Raises EndedError as soon as all is to end."""
        if self._ending.wait(seconds):
            raise EndedError


def _signal(running: list[sh.RunningCommand], number: signal.Signals) -> None:
    for each in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(each.pid, number)


def _has_others(running: sh.RunningCommand) -> bool:
    """Whether what a program has started is still there."""
    try:
        os.killpg(running.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _outliving(running: list[sh.RunningCommand], seconds: float) -> list[sh.RunningCommand]:
    """Those that have not ended after so long."""
    deadline = time.monotonic() + seconds
    while (running := [each for each in running if each.is_alive()]) and time.monotonic() < deadline:
        time.sleep(_TICK)
    return running
