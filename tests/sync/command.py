"""The command, many times over: its script runs in forks of one process that has imported it already.

Starting an interpreter and importing everything takes longer than most of what the command then does. A fork has its
own folder, environment, umask, process group, standard input and outputs, as a new process would.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.real.process import find

FLATDEX = Path(sys.executable).with_name("flatdex")

_SERVER = """\
import json, os, runpy, sys, traceback
import flatdex

def work(request):
    os.setpgid(0, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in ((1, request["out"]), (2, request["err"])):
        os.dup2(os.open(file, os.O_WRONLY), number)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["args"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

replies = os.dup(1)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.close(replies)
        code = work(json.loads(line))
        sys.stdout.flush()
        os._exit(code)
    os.write(replies, f"{child}\\n".encode())
    status = os.waitpid(child, 0)[1]
    os.write(replies, f"{os.waitstatus_to_exitcode(status)}\\n".encode())
"""


def flatdex(
    *args: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, with `env` beside the environment. subprocess.TimeoutExpired after `timeout` s."""
    words = [str(FLATDEX), *map(str, args)]
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        mask = os.umask(0)
        os.umask(mask)
        request = {"args": words, "cwd": str(cwd), "umask": mask, "env": {**os.environ, **(env or {})}}
        server = _server()
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps({**request, "out": out.name, "err": err.name}).encode() + b"\n")
        server.stdin.flush()
        child = int(server.stdout.readline())
        if not select.select([server.stdout], [], [], timeout)[0]:
            os.killpg(child, signal.SIGKILL)
            server.stdout.readline()
            raise subprocess.TimeoutExpired(words, timeout)
        code = int(server.stdout.readline())
        texts = [Path(file.name).read_text(encoding="utf-8", errors="replace") for file in (out, err)]
    return subprocess.CompletedProcess(words, code, *texts)


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    setpriv = find("setpriv")
    dies_with_us = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    server = subprocess.Popen(
        [*dies_with_us, sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )

    def end() -> None:
        server.kill()
        server.communicate()

    atexit.register(end)
    return server
