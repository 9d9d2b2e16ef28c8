"""Programs that copy: started by `sh`, ended with us, and holders of the store's lock for as long as they live."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import sh

from builder.errors import FlatdexError


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
    """Runs programs in `folder`; may be shared by threads.

    They get the descriptor that is held, the store's lock: if this process is killed, no other writer comes in before
    they have ended, too.
    """

    def __init__(self, folder: Path, lock: int | None = None) -> None:
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
        """Ends what runs, and lets nothing more be started."""
        self._ending.set()
        with self._guard:
            for running in list(self._running.values()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    running.signal_group(signal.SIGTERM)
        for running in list(self._running.values()):
            with contextlib.suppress(sh.ErrorReturnCode):
                running.wait()

    @property
    def ending(self) -> bool:
        """Whether nothing more is to be started."""
        return self._ending.is_set()

    def pause(self, seconds: float) -> None:
        """Waits. Raises EndedError as soon as all is to end."""
        if self._ending.wait(seconds):
            raise EndedError
