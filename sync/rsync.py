"""The real rsync, with its failures told in one line."""

from __future__ import annotations

import re

from builder.errors import FlatdexError
from sync.programs import ProgramError, Programs
from sync.shared import Shared
from sync.targets import Kind, Target

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
_NOT_ALL = 23
_AGAIN = (10, 12, 30, 35, 255)
_NOISE = re.compile(r"^(rsync error:|rsync: connection unexpectedly closed|Warning: |@+\s*$|\*\*\* |\s*$)")
_MISSING = re.compile(r"rrsync error:.*No such file or directory")
_TELLING = re.compile(r"IDENTIFICATION HAS CHANGED|Host key verification failed")
_HOPELESS = re.compile(
    r"Permission denied|Host key verification failed|IDENTIFICATION HAS CHANGED|is your shell clean|rrsync error"
    r"|No space left|not found|usage:|Could not resolve hostname|[Bb]ad configuration"
)


class RsyncError(FlatdexError):
    """rsync did not do what it was asked to; the message is one line. `again` is whether another try may help."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"rsync: {_MEANING.get(code, 'failed')} ({code}): {_cause(stderr)}", _advice(stderr))
        self.code = code
        self.missing = code == _NOT_ALL or bool(_MISSING.search(stderr))
        """Whether it may only be that what was asked for is not there."""
        self.again = code in _AGAIN and not _HOPELESS.search(stderr)


def _cause(stderr: str) -> str:
    """The line that tells most: the first, but for ssh's warnings and boxes and rsync's own last words."""
    lines = [line.strip().strip("@ ") for line in stderr.splitlines() if not _NOISE.match(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return next(iter([*telling, *lines, *stderr.strip().splitlines()[-1:]]), "no message")


def _advice(stderr: str) -> str:
    if "make way for new symlink: current" in stderr:
        return "`current` there is a folder, not flatdex's link: move it away."
    if re.search(r"untrusted user|Too many levels of symbolic links", stderr):
        return "A symbolic link on the way there is another user's: name the real folder, or `chown -h` the link."
    return ""


def rsync(programs: Programs, target: Target, *arguments: str) -> str:
    """Runs rsync with the options that `target` needs, and gives what it printed. Raises RsyncError."""
    options = [f"--timeout={target.timeout}"]
    shared = Shared(programs.connections, target)
    if target.bwlimit:
        options.append(f"--bwlimit={target.bwlimit}")
    if target.kind is Kind.SSH:
        options.append(f"--rsh={shared.command}")
    if target.kind is Kind.DAEMON:
        # Its small messages would else wait for each other, some 40 ms each.
        options += [f"--contimeout={target.timeout}", "--sockopts=TCP_NODELAY"]
    if target.password_file:
        options.append(f"--password-file={target.password_file}")
    try:
        return programs.run("rsync", *options, *arguments)
    except ProgramError as error:
        if error.code != _NOT_ALL:
            shared.leave()
        raise RsyncError(error.code, error.stderr) from error
