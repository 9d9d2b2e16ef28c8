"""An OpenSSH server with keys made on the spot."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tests.real.process import Child, Service, find, free_port, located, require, run, unavailable

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {state}/host_key
PidFile {state}/sshd.pid
AuthorizedKeysFile {state}/authorized_keys
AllowUsers {user}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PermitUserRC no
PrintMotd no
PrintLastLog no
X11Forwarding no
MaxStartups 100
SetEnv HOME={state}/home
LogLevel INFO
"""
_PRIVILEGE_SEPARATION_FOLDER = Path("/run/sshd")
# sshd, started by root, insists on this folder, which only the distribution's service makes. Instead of making it for
# the whole system, give this one process a /run of its own.
_OWN_RUN = 'mount -n -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && exec "$@"'


class Sshd(Service):
    """sshd that lets the current user in with a key made at run time. Use it with `with`.

    `command` is the ssh command line for `rsync -e`; the host part of the address is `host` ("USER@127.0.0.1").
    `key_options` comes before the key in authorized_keys, such as `restrict,command="rrsync /folder"`. Commands start
    in the user's home folder as the system knows it: name absolute paths.
    """

    def __init__(self, state: Path, *, key_options: str = "") -> None:
        require("ssh", "sshd", "ssh-keygen")
        self.state = state
        self.port = free_port()
        self.user = _current_user()
        self.host = f"{self.user}@127.0.0.1"
        (state / "home").mkdir(parents=True, exist_ok=True)
        for name in ("host_key", "client_key"):
            run([located("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "flatdex tests", "-f", state / name])
        public = (state / "client_key.pub").read_text()
        (state / "authorized_keys").write_text(f"{key_options} {public}".lstrip())
        host_key = " ".join((state / "host_key.pub").read_text().split()[:2])
        (state / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        (state / "sshd_config").write_text(_CONFIG.format(port=self.port, state=state, user=self.user))

    @property
    def command(self) -> str:
        """`ssh` with all options: its own key and known host only, no agent, no file of the user's, no questions."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.state / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        words = [located("ssh"), "-F", "/dev/null", "-p", str(self.port), "-i", str(self.state / "client_key")]
        return " ".join([*words, *(f"-o {name}={value}" for name, value in options.items())])

    def _launch(self) -> Child:
        # sshd starts itself again for each connection and needs its own absolute path for that.
        server = [located("sshd"), "-D", "-e", "-f", str(self.state / "sshd_config")]
        return Child([*_own_run(), *server], log=self.state / "sshd.log", cwd=self.state)

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def log(self) -> str:
        """What sshd has logged so far."""
        path = self.state / "sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""


def _current_user() -> str:
    entry = pwd.getpwuid(os.geteuid())
    if Path(entry.pw_shell).name in ("nologin", "false"):
        unavailable(f"sshd can't run commands for {entry.pw_name}, whose shell is {entry.pw_shell}")
    return entry.pw_name


def _own_run() -> list[str]:
    if os.geteuid() != 0 or _PRIVILEGE_SEPARATION_FOLDER.is_dir():
        return []
    unshare = find("unshare")
    if unshare is None or run([unshare, "--mount", "true"], check=False).returncode:
        # In a container without that right there is no other way; the folder is where sshd's own package makes it.
        _PRIVILEGE_SEPARATION_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        return []
    return [unshare, "--mount", "sh", "-c", _OWN_RUN, "sh"]
