"""In ssh's place: runs the command here, and lets each byte wait on its way, in both directions, as a long line does.

What is on its way does not hold up what comes after it: the line is long, not narrow.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque

ONE_WAY = 0.02
"""Seconds."""
_PIECE = 256 * 1024


class _Line:
    """One direction: a thread takes pieces from a descriptor, another one hands them on when they are due."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._filled = threading.Semaphore(0)
        self.ended = threading.Thread(target=self._give, daemon=True)
        self.ended.start()
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        piece = b"?"
        while piece:
            try:
                piece = os.read(self._source, _PIECE)
            except OSError:
                piece = b""
            self._pieces.append((time.monotonic() + ONE_WAY, piece))
            self._filled.release()

    def _give(self) -> None:
        try:
            while True:
                self._filled.acquire()
                due, piece = self._pieces.popleft()
                time.sleep(max(0, due - time.monotonic()))
                if not piece:
                    break
                while piece:
                    piece = piece[os.write(self._sink, piece) :]
        except OSError:  # the other side has ended
            pass
        os.close(self._sink)


def main() -> int:
    """Runs what follows the host's name, by a shell, as sshd does. Gives its exit code."""
    (their_input, our_output), (our_input, their_output) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.dup2(their_input, 0)
        os.dup2(their_output, 1)
        os.execv("/bin/sh", ["sh", "-c", " ".join(sys.argv[2:])])  # noqa: S606
    os.close(their_input)
    os.close(their_output)
    _Line(0, our_output)
    answers = _Line(our_input, 1)
    answers.ended.join()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    os._exit(main() & 255)
