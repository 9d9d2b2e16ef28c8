"""Avahi in a network of its own: nothing that it says reaches this machine's network, or any other test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.real.process import Child, Service, located, require, run, unavailable

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
_CONFIG = """\
[server]
host-name=mirror
use-ipv4=yes
use-ipv6=no
allow-interfaces=lo
[publish]
publish-hinfo=no
publish-workstation=no
"""
# Avahi's folders have fixed names: in this process's mounts they are others.
_SCRIPT = """\
set -e
ip link set lo up multicast on
ip route add 224.0.0.0/4 dev lo
mount -t tmpfs none /run
mkdir /run/avahi-daemon
mount --bind services /etc/avahi/services
dbus-daemon --nofork --nopidfile --config-file=bus.conf &
while ! test -S bus; do sleep 0.05; done
exec avahi-daemon --no-drop-root --no-chroot --no-rlimits --file=avahi.conf
"""


class Avahi(Service):
    """Avahi that announces what lies in the folder `services`, on a loopback that is not this machine's. For root."""

    def __init__(self, state: Path) -> None:
        require("avahi-daemon", "avahi-browse", "dbus-daemon", "ip", "unshare", "nsenter")
        if os.geteuid() != 0:
            unavailable("only root can give Avahi a network of its own")
        self.state = state
        self.services = state / "services"
        self.services.mkdir(parents=True)
        (state / "bus.conf").write_text(_BUS.format(socket=state / "bus"))
        (state / "avahi.conf").write_text(_CONFIG)
        self._environment = {
            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={state / 'bus'}",
        }

    def _launch(self) -> Child:
        words = [located("unshare"), "--net", "--mount", "sh", "-c", _SCRIPT]
        return Child(words, log=self.state / "avahi.log", env=self._environment, cwd=self.state)

    def _wait(self, child: Child) -> None:
        child.wait_until(lambda: "Server startup complete" in child.text(), "word of its start")

    def log(self) -> str:
        """What the daemon said."""
        assert self.child
        return self.child.text()

    def inside(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in Avahi's network."""
        assert self.child
        enter = [located("nsenter"), f"--target={self.child.pid}", "--net", "--mount", "--wd", "--"]
        return run([*enter, *words], check=check, env=self._environment, timeout=30)

    def python(self, code: str, *arguments: str) -> str:
        """What a program in Avahi's network prints, run by the Python that runs the tests."""
        return self.inside(sys.executable, "-c", code, *arguments).stdout

    def found(self, kind: str) -> list[Sequence[str]]:
        """The services of a kind, as avahi-browse has found and resolved them, in fields."""
        lines = self.inside("avahi-browse", "--resolve", "--terminate", "--parsable", kind).stdout.splitlines()
        return [line.split(";", 9)[1:] for line in lines if line.startswith("=")]
