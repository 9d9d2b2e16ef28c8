"""What systemd would be told, by a socket of its kind."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.events.notify import Notifier
from tests.real.process import located


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@flatdex-tests-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        opened.settimeout(5)
        yield name, opened


def test_every_message(listening: tuple[str, socket.socket]) -> None:
    name, opened = listening
    notifier = Notifier({"NOTIFY_SOCKET": name})
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    for tell in (notifier.ready, notifier.reloading, notifier.alive, notifier.stopping):
        tell()
    notifier.status("two\nlines, \udcff and a word")
    said = [opened.recv(1000).decode() for _ in range(5)]
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    reloading, moment = said[1].split("\nMONOTONIC_USEC=")
    assert [said[0], reloading, *said[2:]] == [
        "READY=1",
        "RELOADING=1",
        "WATCHDOG=1",
        "STOPPING=1",
        "STATUS=two lines, ? and a word",
    ]
    assert before <= int(moment) <= after


def test_as_the_real_program_says_it(listening: tuple[str, socket.socket]) -> None:
    name, opened = listening
    told = [located("systemd-notify"), "--no-block", "--ready"]
    subprocess.run(told, env={"NOTIFY_SOCKET": name}, check=True, timeout=30)
    theirs = opened.recv(1000)
    Notifier({"NOTIFY_SOCKET": name}).ready()
    assert opened.recv(1000) in theirs.splitlines()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_nobody_is_told_where_nobody_asks(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    Notifier(environment).ready()


def test_a_socket_that_has_gone_or_is_none_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in (tmp_path / "gone", tmp_path / "file", tmp_path / ("x" * 200)):
        Notifier({"NOTIFY_SOCKET": str(name)}).alive()
    Notifier({"NOTIFY_SOCKET": "/a\0b"}).alive()


def test_a_socket_that_nobody_reads_is_not_waited_for(listening: tuple[str, socket.socket]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": listening[0]})

    def tell() -> None:
        for _ in range(3000):  # more than any queue takes
            notifier.alive()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_to_say_that_it_is_alive(environment: dict[str, str], interval: float | None) -> None:
    assert Notifier(environment).interval == interval


def test_children_are_told_nothing_of_it() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    notifier = Notifier.taken(environment)
    assert environment == {"PATH": "/bin"} and notifier.interval == 1
