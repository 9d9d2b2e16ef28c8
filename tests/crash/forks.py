"""A process that runs the command in forks of itself, one after the other, under strace if that is asked for.

Each run starts as a copy of one interpreter that has imported everything, so its system calls are its own, and the
same ones in each run. For strace counts the calls of each thread by itself, it works in one thread.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, NoReturn, ParamSpec, TypeVar

import builder.notes
import builder.parallel
import builder.snapshot
import builder.writing
import flatdex
import sync.errand
import sync.export.write
import sync.promote
import sync.prune
import sync.workers
from builder.stick import Export
from builder.store import SNAPSHOTS, Store
from sync.export.items import Item

_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Inline(Executor):
    """Does at once, in the thread that asks for it, what a pool would do some time."""

    def __init__(self, number: int) -> None:
        self.number = number

    def submit(
        self, function: Callable[_Arguments, _Result], /, *args: _Arguments.args, **more: _Arguments.kwargs
    ) -> Future[_Result]:
        """Gives a future that is done."""
        future: Future[_Result] = Future()
        try:
            future.set_result(function(*args, **more))
        except Exception as error:
            future.set_exception(error)
        return future


class InlineThread(Thread):
    """Does at its start, in the thread that starts it, what another one would do."""

    def start(self) -> None:
        self.run()

    def is_alive(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None:
        pass


def _flip_in_two_steps(store: Store, identifier: str) -> None:
    store.current_link.unlink(missing_ok=True)
    store.current_link.symlink_to(f"{SNAPSHOTS}/{identifier}")


def _remove_in_place(store: Store, gone: Iterable[str]) -> None:
    for identifier in gone:
        shutil.rmtree(store.snapshots / identifier)


def _export_in_place(folder: Path, items: Iterable[Item], progress: object) -> list[tuple[Item, Path]]:
    for item in items:
        place = folder / item.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(item.content if isinstance(item.content, bytes) else item.content.read_bytes())
    return []


def _without_note(note: Callable[[Path, Export], None]) -> Callable[[Path, Export], None]:
    return lambda folder, export: note(folder, Export(export.snapshot, export.since))


def _replace(module: ModuleType | type, name: str, new: object) -> None:
    getattr(module, name)  # what has got another name is not there to be replaced
    setattr(module, name, new)


def _break(part: str) -> None:
    """Takes from the command what makes it safe, so that a test can see whether the others would notice."""
    if part == "flip":
        _replace(sync.promote, "_flip", _flip_in_two_steps)
    elif part == "name":
        _replace(builder.writing, "UNFINISHED", "")
        _replace(builder.store.Store, "remove_leftovers", lambda store: store.snapshots.mkdir(exist_ok=True))
    elif part == "removal":
        _replace(sync.prune, "remove", _remove_in_place)
    elif part == "stage":
        _replace(sync.export.write, "_written", _export_in_place)
    elif part == "note":
        _replace(sync.export.write, "_replace", _without_note(sync.export.write._replace))


def _simplify() -> None:
    """One thread, nothing to wait for, and nothing made anew for each run that is always the same."""
    _replace(sync.promote, "_wait_for_mtimes", lambda snapshot: None)
    _replace(builder.parallel, "ThreadPoolExecutor", Inline)
    _replace(sync.workers, "Thread", InlineThread)
    _replace(sync.errand, "_PAUSES", ())
    _replace(flatdex, "_parser", functools.cache(flatdex._parser))
    flatdex._parser()
    builder.notes.program()
    gc.disable()
    gc.freeze()


Work = Callable[[list[str]], int]
"""What is done in a fork, by its arguments; gives the exit code."""


def _command(args: list[str]) -> int:
    return flatdex.main(["-q", *args])


def _work(request: dict[str, Any], work: Work) -> int:
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
        os.dup2(file, descriptor)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    os.umask(0o077)  # what is cut off half-way must not stay closed to web servers
    moment = request["moment"]
    time.time = lambda: moment
    _break(request["broken"])
    return work(request["args"])


def _child(request: dict[str, Any], gate: int, work: Work) -> NoReturn:
    code = 1
    try:
        if os.read(gate, 1):
            code = _work(request, work)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(request: dict[str, Any], work: Work) -> int:
    gate, opener = os.pipe()
    child = os.fork()
    if not child:
        os.close(opener)
        # Where only a process's parents may trace it, it has to allow that to others.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
        _child(request, gate, work)
    os.close(gate)
    strace = _attached(request["strace"], child) if request["strace"] else None
    os.write(opener, b"x")
    os.close(opener)
    status = os.waitpid(child, 0)[1]
    if strace:
        strace.communicate()
    return os.waitstatus_to_exitcode(status)


def _attached(words: list[str], child: int) -> subprocess.Popen[bytes]:
    strace = subprocess.Popen([*words, "-p", str(child)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert strace.stderr
    said = strace.stderr.readline()
    if b"attached" not in said:
        raise RuntimeError(f"{words}: {said!r}")
    return strace


def main(work: Work = _command) -> None:
    """Answers each line, a request in JSON, by a line: the exit code, or a signal's number below zero."""
    _simplify()
    replies = os.dup(1)
    for line in sys.stdin:
        os.write(replies, f"{_run(json.loads(line), work)}\n".encode())


if __name__ == "__main__":
    main()
