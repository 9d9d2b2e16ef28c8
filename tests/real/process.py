"""Programs that tests run: looked for, started, waited for and ended, so that none of them outlives its test."""

from __future__ import annotations

import atexit
import collections
import contextlib
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import pytest

_EXTRA_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec", "/usr/local/libexec")
# Below Linux's range for outgoing connections (32768-60999), so that no client's own port is ever in the way.
_PORTS = range(20000, 32000)
_TERM_SECONDS = 5.0
# A few abstract sockets stand for the ports handed out; the oldest is let go when its server has long been started.
_reserved: collections.deque[socket.socket] = collections.deque()
_RESERVED_AT_ONCE = 200
_running: set[Child] = set()


class ServerFailedError(RuntimeError):
    """A server ended, or did not listen in time. The text holds the end of its log."""


class CommandFailedError(subprocess.CalledProcessError):
    """A command's exit code was not 0. Unlike its parent's, the text shows what the command said."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def find(program: str) -> str | None:
    """The absolute path of a program, looked for in PATH and where Linux keeps servers and helpers, or None."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_PATHS]))


def located(program: str) -> str:
    """The absolute path of a program; ends the test as `require` does when it is missing."""
    require(program)
    path = find(program)
    assert path is not None
    return path


def require(*programs: str) -> None:
    """Skip the test, naming what is missing, unless all programs are installed. With CI=true, fail it instead."""
    missing = [program for program in programs if find(program) is None]
    if missing:
        unavailable(f"not installed: {', '.join(missing)}")


def unavailable(reason: str) -> NoReturn:
    """Skip the test for something that this machine lacks; with CI=true that is a failure, as CI has to have all."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on and that no other test process of this machine is given.

    Asking the kernel for port 0 is not enough: between closing that socket and the server's bind another test run
    may be given the same number, and would then talk to the wrong server without noticing.
    """
    chooser = random.SystemRandom()  # Plugins seed the shared generator: parallel runs would choose alike.
    for _ in range(1000):
        port = chooser.choice(_PORTS)
        reservation = _reserve(port)
        if reservation is None:
            continue
        if _can_bind(port):
            _reserved.append(reservation)
            if len(_reserved) > _RESERVED_AT_ONCE:
                _reserved.popleft().close()
            return port
        reservation.close()
    raise RuntimeError("no free port on 127.0.0.1")


def _reserve(port: int) -> socket.socket | None:
    # Abstract names leave no file behind, and the kernel drops them with the process however it ends.
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reservation.bind(f"\0flatdex-tests-port-{port}")
    except OSError as error:
        reservation.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return reservation


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Poll until the condition holds; TimeoutError names what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what} after {seconds:g} s")
        time.sleep(0.01)


def settled(path: Path, seconds: float = 0.05) -> str:
    """The text of a log once nothing has been added for a moment: servers write a line after the answer is sent."""
    text = _text(path)
    while True:
        time.sleep(seconds)
        newer = _text(path)
        if newer == text:
            return text
        text = newer


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Child:
    """A started server: its standard input is empty, everything it says goes to the log file.

    Use it as a context manager, or call `stop`. It is also ended when the interpreter exits, and by the kernel when
    the test process is killed.
    """

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        self.name = Path(args[0]).name
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_dies_with_us(), *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                process_group=0,
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        """The process id, which is its process group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the server itself is still running."""
        return self._process.poll() is None

    @property
    def code(self) -> int:
        """The exit code of a server that has ended; minus the number of the signal that ended it."""
        return self._process.wait(_TERM_SECONDS)

    def text(self) -> str:
        """All that the server has written so far to standard output and standard error."""
        return _text(self.log)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Poll until the condition holds; ServerFailedError with the end of the log when the server dies or is slow."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._check_alive()
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.name}: no {what} after {seconds:g} s\n{self._tail()}")
            time.sleep(0.01)
        # When the port was already somebody else's, the answer came from there and ours is about to die.
        self._check_alive()

    def wait_until_listening(self, port: int, seconds: float = 20) -> None:
        """Return once 127.0.0.1:port accepts connections; ServerFailedError early when the server has died."""
        self.wait_until(lambda: is_listening(port), f"listener on port {port}", seconds)

    def _check_alive(self) -> None:
        if not self.alive:
            raise ServerFailedError(f"{self.name} ended with {self._process.returncode}\n{self._tail()}")

    def _tail(self, lines: int = 30) -> str:
        return "\n".join(self.text().splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server itself, not to its group."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End the server and all that it started: SIGTERM, after 5 s SIGKILL. Calling it again does nothing."""
        if self not in _running:
            return
        family = list(_descendants(self.pid))
        if self.alive:
            _signal_group(self.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERM_SECONDS)
        # Workers that ignored the signal, and those in sessions of their own (sshd's), which no group reaches.
        _signal_group(self.pid, signal.SIGKILL)
        self._process.wait()
        _kill_all(family)
        _running.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Service:
    """What all servers of this package share: `start`, `stop`, both repeatable, and `with`. The port stays the same."""

    child: Child | None = None

    def start(self) -> None:
        """Start the server and return when it answers. Does nothing while it is running."""
        if self.child is not None:
            return
        child = self._launch()
        try:
            self._wait(child)
        except BaseException:
            child.stop()
            raise
        self.child = child

    def stop(self) -> None:
        """End the server. Its files stay."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def _launch(self) -> Child:
        raise NotImplementedError

    def _wait(self, child: Child) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_all() -> None:
    """End every server that is still running."""
    for child in list(_running):
        child.stop()


atexit.register(stop_all)


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    check: bool = True,
    timeout: float = 120,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; CommandFailedError shows its output. What it leaves behind in its group is killed.

    Output goes through files: with pipes, a helper that the command leaves behind would keep us waiting for it.
    After `timeout` seconds it is killed with all that it started, and subprocess.TimeoutExpired is raised.
    """
    words = [os.fspath(arg) for arg in args]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, process_group=0
        ) as process:
            try:
                code = process.wait(timeout)
            except BaseException:
                _kill_all(list(_descendants(process.pid)))
                raise
            finally:
                _signal_group(process.pid, signal.SIGKILL)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    if check and code:
        raise CommandFailedError(code, words, *texts)
    return subprocess.CompletedProcess(words, code, *texts)


def _dies_with_us() -> list[str]:
    # The kernel sends this signal when the *thread* that started the child ends, so only the main one may ask for it.
    setpriv = find("setpriv") if threading.current_thread() is threading.main_thread() else None
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _descendants(pid: int) -> Iterable[tuple[int, str]]:
    """Process id and start time of all that came from this process; the pair can't mean a later process."""
    for child in children_of(pid):
        started = _start_time(child)
        if started is not None:
            yield child, started
            yield from _descendants(child)


def children_of(pid: int) -> list[int]:
    """The process ids of a process's children."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # The thread has just ended.
            found += map(int, path.read_text().split())
    return found


def is_running(pid: int) -> bool:
    """Whether such a process runs; one that has ended and waits for its parent to notice does not."""
    return _start_time(pid) is not None


def _start_time(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _kill_all(identities: Sequence[tuple[int, str]]) -> None:
    """SIGKILL these processes, and return when all have ended."""
    for pid, started in identities:
        if _start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(_start_time(pid) != started for pid, started in identities), "killed processes to end")
