"""The real rsync, started by `sh`, with its failures told in one line."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

import sh

from builder.description import is_id
from builder.errors import FlatdexError
from builder.store import SNAPSHOTS
from sync.targets import Kind, Target

TIMEOUT = 60  # seconds without a byte

_MEANING = {
    5: "the daemon refused",
    10: "the connection failed",
    11: "a file could not be read or written",
    12: "the connection broke",
    23: "not everything was copied",
    24: "files vanished while they were copied",
    25: "more was to be deleted than is allowed",
    30: "nothing came for too long",
    35: "the daemon did not answer",
    127: "the program for the remote side was not found",
    255: "the connection broke",
}
_NOISE = re.compile(r"^(rsync error:|rsync: connection unexpectedly closed|Warning: |@+\s*$|\*\*\* |\s*$)")
_TELLING = re.compile(r"IDENTIFICATION HAS CHANGED|Host key verification failed")


class RsyncError(FlatdexError):
    """rsync did not do what it was asked to; the message is one line."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"rsync: {_MEANING.get(code, 'failed')} ({code}): {_cause(stderr)}", _advice(stderr))
        self.code = code


def _cause(stderr: str) -> str:
    """The line that tells most: the first, but for ssh's warnings and boxes and rsync's own last words."""
    lines = [line.strip().strip("@ ") for line in stderr.splitlines() if not _NOISE.match(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return next(iter([*telling, *lines, *stderr.strip().splitlines()[-1:]]), "no message")


def _advice(stderr: str) -> str:
    if "make way for new symlink: current" in stderr:
        return "`current` there is a folder, not flatdex's link: move it away."
    return ""


def rsync(target: Target, folder: Path, *arguments: str, holding: int | None = None) -> str:
    """Runs rsync for `target` in `folder` and gives what it printed. Raises RsyncError.

    The descriptor that it is `holding`, the store's lock, keeps other writers out for as long as rsync itself lives,
    also if this process is killed. If this process is interrupted, rsync is ended.
    """
    options = [f"--timeout={TIMEOUT}"]
    if target.kind is Kind.SSH:
        options.append(f"--rsh={target.ssh}")
    if target.password_file:
        options.append(f"--password-file={target.password_file}")
    try:
        command = sh.Command("rsync")
    except sh.CommandNotFound as error:
        raise FlatdexError("rsync is not installed", "Install it: `apt-get install rsync`.") from error
    held = set() if holding is None else {holding}
    for descriptor in held:
        os.set_inheritable(descriptor, True)
    running = command(
        *options,
        *arguments,
        _bg=True,
        _bg_exc=False,
        _cwd=str(folder),
        _encoding="utf-8",
        _new_session=True,
        _pass_fds=held,
        _tty_out=False,
    )
    try:
        return str(running.wait())
    except sh.ErrorReturnCode as error:
        raise RsyncError(error.exit_code, error.stderr.decode("utf-8", "replace")) from error
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            running.signal_group(signal.SIGTERM)
        with contextlib.suppress(sh.ErrorReturnCode):
            running.wait()
        raise


def live(target: Target, folder: Path) -> str | None:
    """The id of the snapshot that the target's `current` names; None if it has none yet. Raises RsyncError."""
    try:
        listed = rsync(target, folder, "--list-only", "--links", f"{target.destination}/current")
    except RsyncError as error:
        if error.code == 23:  # there is no such link, or no such folder
            return None
        raise
    match = re.search(rf" current -> {SNAPSHOTS}/(\S+)\s*$", listed)
    return match[1] if match and is_id(match[1]) else None
