"""Work in threads of its own, so many at a time, any of which can be left behind: nobody waits for one that hangs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import Thread

Work = Callable[[], None]


@dataclass(eq=False)
class _Job:
    name: str
    lane: str
    work: Work
    thread: Thread | None = None


class Workers:
    """Runs what it is given, at most `number` at a time in each lane. A name has one piece of work at a time.

    Its methods are for one thread; what the work raises is handed to that one.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: list[_Job] = []
        self._running: dict[str, _Job] = {}
        self._left: list[_Job] = []
        self._ended: queue.SimpleQueue[tuple[_Job, BaseException | None]] = queue.SimpleQueue()

    def give(self, lane: str, name: str, work: Work) -> None:
        """Begins it as soon as there is room in its lane."""
        self._waiting.append(_Job(name, lane, work))
        self._fill()

    @property
    def busy(self) -> bool:
        """Whether anything runs, or waits for room."""
        return bool(self._running or self._waiting)

    @property
    def working(self) -> Collection[str]:
        """The names of what runs."""
        return self._running.keys()

    def done(self, seconds: float) -> list[tuple[str, BaseException | None]]:
        """What has ended, and how; waits up to so many seconds for something."""
        found = []
        try:
            found.append(self._ended.get(timeout=seconds))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        found = [(job, error) for job, error in found if self._running.get(job.name) is job]
        for job, _ in found:
            del self._running[job.name]
        self._fill()
        return [(job.name, error) for job, error in found]

    def leave(self, name: str) -> None:
        """Forgets what runs under this name: what comes of it isn't told, and another takes its room."""
        self._left.append(self._running.pop(name))
        self._fill()

    def wait(self, seconds: float) -> bool:
        """Gives those so long that were left, or are left now, and tells whether all have ended."""
        deadline = time.monotonic() + seconds
        self._waiting.clear()
        for job in (*self._left, *self._running.values()):
            if job.thread:
                job.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(job.thread and job.thread.is_alive() for job in (*self._left, *self._running.values()))

    def _fill(self) -> None:
        for job in list(self._waiting):
            if sum(each.lane == job.lane for each in self._running.values()) < self._number:
                self._waiting.remove(job)
                self._running[job.name] = job
                # At the end of the process nobody waits for a daemon.
                job.thread = Thread(target=self._run, args=(job,), name=f"{job.lane} {job.name}", daemon=True)
                job.thread.start()

    def _run(self, job: _Job) -> None:
        error: BaseException | None = None
        try:
            job.work()
        except BaseException as raised:
            error = raised
        self._ended.put((job, error))
