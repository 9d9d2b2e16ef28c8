"""What systemd shuts a service off from, by other means: for commands that are to work under a unit's restrictions.

The values come from the unit itself. What needs systemd (its own users, who sees which process) is left out.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import os
import re
import shlex
import sys
from pathlib import Path

from tests.real.process import find, located, run, unavailable

_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
_ALLOW, _EPERM, _EQUAL = 0x7FFF0000, 0x00050001, 4
# What MemoryDenyWriteExecute= does, for this process and all that it starts.
_NO_NEW_CODE = """\
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit("this kernel can't deny memory that is written to and run")
os.execv(sys.argv[1], sys.argv[1:])
"""
_OWN_PROC = 'mount -n -t proc -o subset=pid,hidepid=noaccess proc "$0" && exec "$@"'


def values(unit: str, key: str) -> list[str]:
    """The words of all lines of a unit that set a key."""
    lines = re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)
    return [word.replace("%%", "%") for line in lines for word in shlex.split(line)]


def restricted(unit: str, state: Path) -> list[str]:
    """The start of a command line that runs a program as the unit would; `state` is a folder of its own."""
    folders = [word.removeprefix("-") for word in values(unit, "ReadWritePaths")]
    assert values(unit, "ProtectSystem") == ["strict"] and values(unit, "CapabilityBoundingSet") == []
    (state / "proc").mkdir(parents=True)
    calls = state / "seccomp"
    with calls.open("wb") as opened:
        _write_filter(unit, opened.fileno())
    proc = _own_proc(state / "proc")
    return [
        *proc,
        *("sh", "-c", 'exec "$@" 9<"$0"', str(calls)),
        *(located("bwrap"), "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev"),
        *(word for folder in folders for word in ("--bind-try", folder, folder)),
        *(("--bind", str(state / "proc"), "/proc") if proc else ()),
        *("--unshare-ipc", "--cap-drop", "ALL", "--seccomp", "9", "--"),
        *(sys.executable, "-I", "-S", "-c", _NO_NEW_CODE),
    ]


def _own_proc(folder: Path) -> list[str]:
    """With a /proc in this folder that shows processes alone, where that can be made."""
    unshare = find("unshare")
    command = [unshare, "--mount", "sh", "-c", _OWN_PROC, str(folder)] if unshare and os.geteuid() == 0 else []
    return command if command and not run([*command, "true"], check=False).returncode else []


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def _write_filter(unit: str, descriptor: int) -> None:
    """Writes a filter of system calls, as the kernel takes it."""
    name = ctypes.util.find_library("seccomp")
    if name is None:
        unavailable("libseccomp is not installed")
    library = ctypes.CDLL(name)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_EPERM)))
    allow = ctypes.c_uint32(_ALLOW)
    for call in sorted(_allowed(unit) - {"socket"}):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            assert library.seccomp_rule_add(context, allow, ctypes.c_int(number), ctypes.c_uint(0)) == 0, call
    socket = ctypes.c_int(library.seccomp_syscall_resolve_name(b"socket"))
    for family in values(unit, "RestrictAddressFamilies"):
        which = _Comparison(0, _EQUAL, _FAMILIES[family], 0)
        assert library.seccomp_rule_add_array(context, allow, socket, ctypes.c_uint(1), ctypes.byref(which)) == 0
    assert library.seccomp_export_bpf(context, ctypes.c_int(descriptor)) == 0
    library.seccomp_release(context)


def _allowed(unit: str) -> set[str]:
    """The system calls that a unit allows, by name."""
    found = set(_group("@default"))
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        calls = {call for name in line.removeprefix("~").split() for call in _group(name)}
        found = found - calls if line.startswith("~") else found | calls
    return found


@functools.cache
def _group(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset({name})
    lines = run([located("systemd-analyze"), "syscall-filter", name]).stdout.splitlines()[1:]
    words = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return frozenset(call for word in words for call in _group(word))
