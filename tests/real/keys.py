"""OpenSSH keys that are made when tests run, and an agent that holds some of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.process import Child, located, run


def key(folder: Path, name: str = "key", kind: str = "ed25519", bits: int = 0, passphrase: str = "") -> Path:
    """A new private key's file; the public one lies beside it, as NAME.pub."""
    size = ["-b", str(bits)] if bits else []
    where = ["-N", passphrase, "-C", name, "-f", str(folder / name)]
    run([located("ssh-keygen"), "-q", "-t", kind, *size, *where])
    return folder / name


def public(file: Path) -> str:
    """The line of a key's public part, without its comment."""
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[Path]:
    """An ssh-agent with these keys: the socket that SSH_AUTH_SOCK is to name."""
    socket = folder / "agent"
    with Child([located("ssh-agent"), "-D", "-a", socket], log=folder / "agent.log") as running:
        running.wait_until(socket.exists, "socket")
        for each in keys:
            run([located("ssh-add"), "-q", each], env={"SSH_AUTH_SOCK": str(socket)})
        yield socket
