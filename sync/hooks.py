"""Commands of the operator's, run after a promotion or a push, with what changed as JSON on their standard input."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LONGEST = 60  # seconds


def run(commands: Iterable[str], summary: Mapping[str, Any], folder: Path) -> list[str]:
    """Runs shell commands in `folder`, one after the other, and gives a line for each that failed."""
    failed = []
    for command in commands:
        error = _run(command, json.dumps(summary) + "\n", folder)
        if error:
            failed.append(f"the hook {command!r} {error}")
    return failed


def _run(command: str, text: str, folder: Path) -> str:
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(text, timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the shell's children, too: they hold its pipe open
            process.wait()
            return f"took more than {_LONGEST} s and was ended"
        except BaseException:  # it is interrupted, and so is what it has started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    last = said.strip().splitlines()[-1:]
    return f"failed ({process.returncode})" + (f": {last[0]:.300}" if last else "") if process.returncode else ""
