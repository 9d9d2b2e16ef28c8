"""The real flatpak client, shut in a folder of its own."""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.real.process import Child, find, located, require, run

_AUTHENTICATOR = "org.flatpak.Authenticator.Oci"
# No service folders: nothing can be activated on this bus, so nothing outlives it.
_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def environment(folder: Path) -> dict[str, str]:
    """A whole environment in which flatpak and ostree keep everything inside `folder`; makes the folders."""
    places = {
        "HOME": "home",
        "XDG_DATA_HOME": "data",
        "XDG_CACHE_HOME": "cache",
        "XDG_CONFIG_HOME": "config",
        "XDG_STATE_HOME": "state",
        "XDG_RUNTIME_DIR": "runtime",
        "TMPDIR": "tmp",
        "FLATPAK_SYSTEM_DIR": "system",
        "FLATPAK_USER_DIR": "user",
        "FLATPAK_SYSTEM_CACHE_DIR": "system-cache",
        "FLATPAK_CONFIG_DIR": "flatpak-config",
        "FLATPAK_RUN_DIR": "flatpak-run",
    }
    variables = {name: str(folder / place) for name, place in places.items()}
    for path in map(Path, variables.values()):
        path.mkdir(parents=True, exist_ok=True)
    Path(variables["XDG_RUNTIME_DIR"]).chmod(0o700)
    # Nothing is inherited: a proxy, a display or the desktop's bus would lead out of the folder.
    return variables | {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "GIO_USE_VFS": "local",
        "GSETTINGS_BACKEND": "memory",
        "FLATPAK_FANCY_OUTPUT": "0",
        # flatpak's own tests set this. Without it an ordinary user's installation asks the system's bus about parental
        # controls, and fails where there is no such bus.
        "FLATPAK_SYSTEM_HELPER_ON_SESSION": "1",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
        "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent",
    }


class Flatpak:
    """The flatpak client with installations, caches and configuration below `folder`.

    The "user" installation works for everybody. The "system" one works for root alone: others would need flatpak's
    system helper on the system's bus.
    """

    def __init__(self, folder: Path, *, installation: Literal["user", "system"] = "user") -> None:
        require("flatpak", "bwrap")
        if installation == "system" and os.geteuid() != 0:
            raise ValueError("only root can use a system-wide installation without flatpak's system helper")
        self.folder = folder
        self.env = environment(folder)
        self.scope = f"--{installation}"
        self._program = located("flatpak")

    def run(self, *args: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`flatpak VERB --user ..` (or --system); `run("install", "--noninteractive", "remote", "ID")`."""
        verb, *rest = args
        return run(
            [self._program, verb, self.scope, *rest], check=check, timeout=timeout, env=self.env, cwd=self.folder
        )

    def remote_add(self, name: str, url: str) -> None:
        """Add a remote by the URL above /index/static, without the prefix oci+ (added here) and without any key."""
        self.run("remote-add", "--no-gpg-verify", name, url if url.startswith("oci+") else f"oci+{url}")

    def from_file(self, path_or_url: Path | str, name: str = "flatdex") -> None:
        """Add a remote from a .flatpakrepo file, on disk or by URL."""
        self.run("remote-add", "--from", name, str(path_or_url))

    @property
    def can_run(self) -> bool:
        """Whether bubblewrap can make flatpak's sandbox here, so that `flatpak run` can be tested."""
        return _sandbox_works()

    @contextmanager
    def authenticator(self) -> Iterator[None]:
        """Run a private D-Bus and flatpak's OCI authenticator, which images need whose index has no token-type."""
        require("dbus-daemon", "dbus-send", "flatpak-oci-authenticator")
        # An abstract name, as a socket's path may have 107 characters only.
        address = f"unix:abstract=flatdex-tests-{secrets.token_hex(8)}"
        config = self.folder / "bus.conf"
        config.write_text(_BUS.format(address=address))
        before = self.env
        self.env = before | {"DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": address}
        try:
            with self._child("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}") as bus:
                bus.wait_until(lambda: self._owned("org.freedesktop.DBus"), "D-Bus")
                with self._child("flatpak-oci-authenticator", "--no-idle-exit") as helper:
                    helper.wait_until(lambda: self._owned(_AUTHENTICATOR), "name on the bus")
                    yield
        finally:
            self.env = before

    def _child(self, program: str, *args: str) -> Child:
        return Child([located(program), *args], log=self.folder / f"{program}.log", env=self.env, cwd=self.folder)

    def _owned(self, name: str) -> bool:
        bus = f"--bus={self.env['DBUS_SESSION_BUS_ADDRESS']}"
        call = ["--dest=org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner"]
        words = [located("dbus-send"), bus, "--print-reply=literal", *call, f"string:{name}"]
        return "true" in run(words, check=False, env=self.env).stdout


@functools.cache
def _sandbox_works() -> bool:
    bwrap = find("bwrap")
    if bwrap is None:
        return False
    options = ["--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--new-session"]
    mounts = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]
    return run([bwrap, *options, *mounts, "true"], check=False).returncode == 0
