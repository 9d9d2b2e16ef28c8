"""What holds for every test: no way out of temporary folders, nothing left running."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.files import readable_folder, remove
from tests.real.process import stop_all

_FOLDERS = ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
# Each of these would lead a program under test to something outside: a proxy, an agent, the desktop's bus, a login.
_REMOVED = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "RSYNC_PROXY", "RSYNC_PASSWORD", "RSYNC_RSH"),
    *("DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "DISPLAY"),
    *("WAYLAND_DISPLAY", "DOCKER_CONFIG", "NETRC"),
}
_session = pytest.StashKey[tuple[Path, dict[str, str], int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Point everything that programs keep for a user into a folder of this session, before any test is imported."""
    # A shell's background jobs ignore Ctrl-C, and so would all that they start: tests of Ctrl-C need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, by children too
    tempfile.gettempdir()  # Remembered now, so TMPDIR below is for child processes; pytest's own folders stay put.
    folder = Path(tempfile.mkdtemp(prefix="flatdex-session-"))
    folder.chmod(0o755)  # Worker processes of the test runner make `real_tmp` below it.
    # A strict umask would make what tests publish unreadable to the servers' own user.
    config.stash[_session] = (folder, dict(os.environ), os.umask(0o022))
    for name in [name for name in os.environ if name.upper() in _REMOVED]:
        del os.environ[name]
    for name in _FOLDERS:
        path = folder / name.lower()
        path.mkdir(mode=0o755 if name == "TMPDIR" else 0o700)
        os.environ[name] = str(path)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    os.environ["_CONTAINERS_ROOTLESS_UID"] = "1"  # Or root's skopeo keeps a cache in /var/lib.
    os.environ["REGISTRY_AUTH_FILE"] = str(folder / "auth.json")
    os.environ["DOCKER_CONFIG"] = str(folder / "docker")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what still runs and put the environment back."""
    stop_all()
    folder, environment, umask = config.stash[_session]
    os.environ.clear()
    os.environ.update(environment)
    os.umask(umask)
    remove(folder)


def _is_loopback(host: object) -> bool:
    """Whether a host names this machine; names other than localhost do not, so that nothing asks a name server."""
    if not host or host in ("localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _stay_on_loopback(event: str, args: tuple[object, ...]) -> None:
    """Let tests meet a machine without any network but loopback, with the errors that such a machine gives."""
    if event == "socket.getaddrinfo" and not _is_loopback(args[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"tests resolve no name but localhost: {args[0]!r}")
    if event == "socket.connect" and isinstance(args[1], tuple) and not _is_loopback(args[1][0]):
        raise OSError(errno.ENETUNREACH, f"tests connect to nothing but loopback: {args[1]!r}")


sys.addaudithook(_stay_on_loopback)


@pytest.fixture
def real_tmp() -> Iterator[Path]:
    """A temporary folder that servers running as another user can read, removed afterwards."""
    with readable_folder() as folder:
        yield folder
