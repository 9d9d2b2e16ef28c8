"""Work shared out among forks: in processes of their own here, since a test runner has threads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_BEFORE = """
import json, os, signal, sys, threading, time
from functools import partial
from builder import processes
from builder.errors import FlatdexError
processes._processors = lambda: 3
parent = os.getpid()

def ended():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False

def told(**values):
    print(json.dumps({**values, "ended": ended()}))
"""


def _run(script: str) -> dict[str, Any]:
    """What a script tells as JSON; nothing may be said beside it."""
    done = subprocess.run([sys.executable, "-c", _BEFORE + script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("ended")
    return found


def test_results_come_in_order_from_several_processes() -> None:
    found = _run("""
work = [partial(lambda number: (number, os.getpid()), number) for number in range(10)]
numbers, pids = zip(*processes.shared_out(work, 2))
told(numbers=numbers, pids=len(set(pids)), own=pids.count(parent))
""")
    assert found == {"numbers": list(range(10)), "pids": 3, "own": 4}


def test_little_work_is_done_here() -> None:
    found = _run("told(pids=processes.shared_out([os.getpid] * 10, 11), parent=parent)")
    assert set(found["pids"]) == {found["parent"]}


def test_nothing_forks_beside_another_thread() -> None:
    found = _run("""
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
pids = processes.shared_out([os.getpid] * 10, 1)
done.set()
thread.join()
told(pids=pids, parent=parent)
""")
    assert set(found["pids"]) == {found["parent"]}


def test_no_work_has_no_results() -> None:
    assert _run("told(found=processes.shared_out([]))") == {"found": []}


def test_an_error_in_a_fork_is_raised_here() -> None:
    found = _run("""
def piece(number):
    if number == 5:
        raise FlatdexError("number 5 is bad", "Leave it out.")
try:
    processes.shared_out([partial(piece, number) for number in range(9)], 1)
except FlatdexError as error:
    told(what=error.what, fix=error.fix)
""")
    assert found == {"what": "number 5 is bad", "fix": "Leave it out."}


def test_what_a_killed_fork_owes_is_done_here() -> None:
    found = _run("""
def piece(number):
    if number == 4 and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
told(numbers=processes.shared_out([partial(piece, number) for number in range(9)], 1))
""")
    assert found == {"numbers": list(range(9))}


def test_what_cannot_be_sent_is_done_here() -> None:
    found = _run("told(found=[each() for each in processes.shared_out([lambda: lambda: 7] * 6, 1)])")
    assert found == {"found": [7] * 6}


def test_forks_end_with_what_ends_their_parent() -> None:
    found = _run("""
def piece():
    if os.getpid() == parent:
        os.killpg(0, signal.SIGINT)
    time.sleep(30)
os.setpgid(0, 0)
begun = time.monotonic()
try:
    processes.shared_out([piece] * 3, 1)
except KeyboardInterrupt:
    told(soon=time.monotonic() - begun < 20)
""")
    assert found == {"soon": True}
