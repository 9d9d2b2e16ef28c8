"""The real rsync, started by `sh`, with its failures told in one line."""

from __future__ import annotations

import re
from pathlib import Path

import sh

from builder.errors import FlatdexError
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
    255: "ssh failed",
}
_NOISE = re.compile(r"^(rsync error:|rsync: connection unexpectedly closed|\s*$|\*\*\* )")


class RsyncError(FlatdexError):
    """rsync did not do what it was asked to; the message is one line."""

    def __init__(self, code: int, stderr: str) -> None:
        lines = [line for line in stderr.splitlines() if not _NOISE.match(line)]
        cause = lines[0].strip() if lines else (stderr.strip().splitlines() or ["no message"])[-1]
        super().__init__(f"rsync: {_MEANING.get(code, 'failed')} ({code}): {cause}")
        self.code = code


def rsync(target: Target, folder: Path, *arguments: str) -> str:
    """Runs rsync for `target` in `folder` and gives what it printed. Raises RsyncError."""
    options = [f"--timeout={TIMEOUT}"]
    if target.kind is Kind.SSH:
        options.append(f"--rsh={target.ssh}")
    if target.password_file:
        options.append(f"--password-file={target.password_file}")
    try:
        command = sh.Command("rsync")
    except sh.CommandNotFound as error:
        raise FlatdexError("rsync is not installed", "Install it: `apt-get install rsync`.") from error
    try:
        return str(command(*options, *arguments, _cwd=str(folder), _tty_out=False, _encoding="utf-8"))
    except sh.ErrorReturnCode as error:
        raise RsyncError(error.exit_code, error.stderr.decode("utf-8", "replace")) from error


def live(target: Target, folder: Path) -> str | None:
    """The id of the snapshot that the target's `current` names; None if it has none yet. Raises RsyncError."""
    try:
        listed = rsync(target, folder, "--list-only", "--links", f"{target.destination}/current")
    except RsyncError as error:
        if error.code == 23:  # there is no such link, or no such folder
            return None
        raise
    match = re.search(r" current -> (?:.*/)?([^/\s]+)\s*$", listed)
    return match[1] if match else None
