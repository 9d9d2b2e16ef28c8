"""The rsync daemon with one writable module."""

from __future__ import annotations

import os
from pathlib import Path

from tests.real.process import Child, Service, free_port, located

_MODULE = "flatpaks"
_GLOBAL = """\
address = 127.0.0.1
port = {port}
pid file = {state}/rsyncd.pid
lock file = {state}/rsyncd.lock
log file = {state}/rsyncd.log
reverse lookup = no
socket options = TCP_NODELAY

[{module}]
path = {root}
read only = no
hosts allow = 127.0.0.1
use chroot = {chroot}
"""


class Rsyncd(Service):
    """`rsync --daemon` that takes pushes into the folder `root` as module "flatpaks". Use it with `with`.

    With `user` and `password` only they are let in; `password_file` is then a file for rsync's --password-file.
    `munge=None` leaves "munge symlinks" at rsync's default, which is on exactly when `chroot` is off. Only root can
    use `chroot`.
    """

    def __init__(
        self,
        state: Path,
        root: Path,
        *,
        user: str | None = None,
        password: str | None = None,
        chroot: bool = False,
        munge: bool | None = None,
    ) -> None:
        if (user is None) != (password is None):
            raise ValueError("a user and a password come together")
        self._program = located("rsync")
        self.state, self.root, self.user = state, root, user
        self.port = free_port()
        state.mkdir(parents=True, exist_ok=True)
        root.mkdir(parents=True, exist_ok=True)
        self.password_file: Path | None = None
        lines = [_GLOBAL.format(port=self.port, state=state, module=_MODULE, root=root, chroot=_yes(chroot))]
        if munge is not None:
            lines.append(f"munge symlinks = {_yes(munge)}\n")
        if os.geteuid() == 0:
            # Root's daemon would write as nobody, and would not be let into the test's folder.
            lines.append("uid = root\ngid = root\n")
        if user is not None and password is not None:
            self.password_file = _secret(state / "password", f"{password}\n")
            secrets = _secret(state / "secrets", f"{user}:{password}\n")
            lines.append(f"auth users = {user}\nsecrets file = {secrets}\n")
        (state / "rsyncd.conf").write_text("".join(lines))

    def url(self, path: str = "") -> str:
        """rsync://[USER@]127.0.0.1:PORT/flatpaks, or a path inside the module."""
        who = f"{self.user}@" if self.user else ""
        return f"rsync://{who}127.0.0.1:{self.port}/{_MODULE}" + (f"/{path.lstrip('/')}" if path else "")

    def _launch(self) -> Child:
        return Child(
            [self._program, "--daemon", "--no-detach", f"--config={self.state}/rsyncd.conf"],
            log=self.state / "rsyncd.out",
            cwd=self.state,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def log(self) -> str:
        """What the daemon has logged so far."""
        path = self.state / "rsyncd.log"
        return path.read_text(errors="replace") if path.exists() else ""


def _secret(path: Path, text: str) -> Path:
    """Write a file that nobody else could read at any moment; rsync refuses others."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
    return path


def _yes(value: bool) -> str:
    return "yes" if value else "no"
