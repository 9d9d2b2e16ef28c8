"""Targets of each kind, reached by the real rsync, and an ssh that a test can hold up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd
from tests.sync.site import Settings, Site

KINDS = ("folder", "ssh", "daemon")

# In ssh's place: runs the command here. Holds up, or cuts off, the transfers whose command matches.
_SCRIPT = """\
#!/bin/sh
shift
printf '%s\\n' "$*" >> "{folder}/calls"
case "$* " in
*{held}*) touch "{folder}/held"; exec sleep 30 ;;
*{cut}*) ulimit -f 20 ;;  # kills whoever writes a file that is larger
esac
eval "exec $*"
"""
FLIP = "/target/' '"
COPY = "/snapshots/"


@dataclass(frozen=True)
class Place:
    """Where a target is, and how the configuration names it."""

    root: Path
    settings: Settings


@contextmanager
def place(kind: str, site: Site) -> Iterator[Place]:
    """A target that does not exist yet, below a folder that does; relative paths are relative to the configuration."""
    root = site.folder / "web" / "target"
    root.parent.mkdir()
    if kind == "folder":
        yield Place(root, {"rsync": "./web/target"})
    elif kind == "ssh":
        with Sshd(site.folder / "sshd") as sshd:
            command = sshd.command.replace(str(sshd.state / "client_key"), "./sshd/client_key")
            yield Place(root, {"rsync": f"{sshd.host}:{root}", "ssh": command})
    else:
        with Rsyncd(site.folder / "rsyncd", root.parent, user="pusher", password="a secret", munge=False) as daemon:  # noqa: S106
            yield Place(root, {"rsync": daemon.url("target"), "password_file": "./rsyncd/password"})


@dataclass(frozen=True)
class Script:
    """An ssh that is none. It runs rsync's other half here."""

    folder: Path

    @property
    def held(self) -> bool:
        """Whether a transfer hangs now."""
        return (self.folder / "held").exists()

    @property
    def calls(self) -> list[str]:
        """The commands that were run so far."""
        return (self.folder / "calls").read_text().splitlines()

    def write(self, held: str = "nothing", cut: str = "nothing") -> None:
        """What to hold up and to cut off from now on, as patterns of a shell."""
        (self.folder / "held").unlink(missing_ok=True)
        (self.folder / "calls").unlink(missing_ok=True)
        script = self.folder / "fake-ssh"
        script.write_text(_SCRIPT.format(folder=self.folder, held=held, cut=cut))
        script.chmod(0o755)


def scripted(site: Site) -> tuple[Script, Place]:
    """A target behind a scripted ssh."""
    script = Script(site.folder)
    script.write()
    root = site.folder / "target"
    return script, Place(root, {"rsync": f"host:{root}", "ssh": "./fake-ssh"})
