"""What reaches a person: others' names and messages can't play with a terminal, and cron's mail stays plain."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import report as module
from builder.report import Report, counted, printable, sized

HARMFUL = [
    ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
    ("over\rwritten", r"over\rwritten"),
    ("rubbed\bout", r"rubbed\x08out"),
    ("bell\a", r"bell\x07"),
    ("\0", r"\x00"),
    ("\x7f", r"\x7f"),
    ("\x9b31m", r"\x9b31m"),  # the escape sequence's start in one byte
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2066isolated\u2069", r"\u2066isolated\u2069"),
    ("\u200b", r"\u200b"),
    ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
    ("\x85", r"\x85"),
    ("\udcff", r"\udcff"),
    ("\ufeff", r"\ufeff"),
    ("\U000e0041", r"\U000e0041"),
]


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("text", "shown"), HARMFUL)
def test_what_a_terminal_would_act_on_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["", "Grüße «日本語» 🐧", "a\tb", "one\n  two", "e\u0301", "ערב"])
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_only_printable_characters_are_left(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    assert shown.count("\n") == text.count("\n")
    assert printable(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize("text", [text for text, _ in HARMFUL])
@pytest.mark.parametrize("method", ["result", "line", "detail", "warn", "note"])
def test_every_way_to_say_something_is_safe(method: str, text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    getattr(Report(1, out, err), method)(f"a {text} b")
    assert out.getvalue() + err.getvalue() == f"a {printable(text)} b\n"


@pytest.mark.parametrize(
    ("level", "out", "err"),
    [
        (-1, "result\n", "warn\n"),
        (0, "result\nline\n", "warn\nnote\n"),
        (1, "result\nline\n", "detail\nwarn\nnote\n"),
    ],
)
def test_each_level_says_what_it_should(level: int, out: str, err: str) -> None:
    streams = io.StringIO(), io.StringIO()
    report = Report(level, *streams)
    for method in ("result", "line", "detail", "warn", "note"):
        getattr(report, method)(method)
    assert (streams[0].getvalue(), streams[1].getvalue()) == (out, err)


def test_progress_is_one_line_that_is_wiped_before_anything_else_is_said() -> None:
    err = Terminal()
    report = Report(0, io.StringIO(), err)
    show = report.progress("main: repositories")
    show(1, 4)
    assert err.getvalue() == "\r\x1b[Kmain: repositories: 1 of 4"
    report.warn("something")
    assert err.getvalue().endswith("1 of 4\r\x1b[Ksomething\n")
    report.warn("something else")
    assert err.getvalue().endswith("something\nsomething else\n")
    show(2, 4)
    assert err.getvalue().endswith("\n\r\x1b[Kmain: repositories: 2 of 4"), "what was wiped is drawn again"
    show(4, 4)
    assert err.getvalue().endswith("2 of 4\r\x1b[K")
    report.warn("the end")
    assert err.getvalue().endswith("2 of 4\r\x1b[Kthe end\n")
    assert err.getvalue().count("\x1b[K") == 4, "nothing is wiped twice"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which progress goes, in seconds, as the one item of a list."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_progress_is_not_drawn_more_often_than_anyone_can_read(clock: list[float]) -> None:
    err = Terminal()
    show = Report(0, io.StringIO(), err).progress("main: tags")
    for number in range(1, 1000):
        clock[0] += 0.01
        show(number, 1000)
    assert 90 < err.getvalue().count("\r\x1b[K") <= 101


def test_progress_tells_how_fast_it_is_and_how_long_it_takes(clock: list[float]) -> None:
    err = Terminal()
    show = Report(0, io.StringIO(), err).progress("main: images")
    clock[0] += 2
    show(90, 270)
    assert err.getvalue() == "\r\x1b[Kmain: images: 90 of 270, 45/s, 4 s left"


def test_progress_of_what_has_a_size_tells_of_that_too(clock: list[float]) -> None:
    err = Terminal()
    show = Report(err=err).transfer("objects")
    show(0, 400, 0, 4_000_000_000)
    clock[0] += 20
    show(120, 400, 1_200_000_000, 4_000_000_000)
    said = err.getvalue().split("\r\x1b[K")
    assert said[1:] == ["objects: 0 of 400, 0 B of 4.0 GB", "objects: 120 of 400, 1.2 GB of 4.0 GB, 60 MB/s, 47 s left"]
    show(400, 400, 4_000_000_000, 4_000_000_000)
    assert err.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_940, "9.9 kB"), (9_960, "10 kB"), (999_400, "999 kB")),
        *((999_600, "1.0 MB"), (2_000_000_000, "2.0 GB"), (10**12, "1.0 TB"), (10**17, "100000 TB")),
    ],
)
def test_sizes_are_said_as_people_say_them(number: int, said: str) -> None:
    assert sized(number) == said


def test_progress_without_a_terminal_is_a_line_now_and_then(clock: list[float]) -> None:
    err = io.StringIO()
    show = Report(0, io.StringIO(), err).progress("main: images")
    for number in range(1, 101):
        clock[0] += 1
        show(number, 100)
    lines = err.getvalue().splitlines()
    assert lines == [f"main: images: {number} of 100, 1/s, {100 - number} s left" for number in (30, 60, 90)]


@pytest.mark.parametrize(("err", "level"), [(io.StringIO(), 1), (Terminal(), -1)], ids=["no terminal", "quiet"])
def test_no_progress_for_cron_and_none_when_quiet(err: io.StringIO, level: int) -> None:
    show = Report(level, io.StringIO(), err).progress("main")
    for number in range(1, 4):
        show(number, 3)
    assert err.getvalue() == ""


def test_on_a_real_terminal_nothing_raw_arrives() -> None:
    """Whatever Python does between a string and a terminal."""
    master, slave = pty.openpty()
    try:
        script = "import sys; from builder.report import Report; Report(1).warn(sys.argv[1])"
        text = "".join(text for text, _ in HARMFUL if "\0" not in text and "\udcff" not in text)
        subprocess.run(
            [sys.executable, "-c", script, text],
            stderr=slave,
            cwd=Path(module.__file__).parent.parent,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            check=True,
            timeout=20,
        )
        shown = os.read(master, 10_000).decode("utf-8")
    finally:
        os.close(master)
        os.close(slave)
    assert shown == printable(text) + "\r\n"


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "ref", "0 refs"),
        (1, "ref", "1 ref"),
        (2, "ref", "2 refs"),
        (1, "repository", "1 repository"),
        (2, "repository", "2 repositories"),
        (2, "index", "2 indexes"),
        (0, "image", "0 images"),
    ],
)
def test_things_are_counted_in_words(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


@pytest.mark.parametrize(
    "text", ["https://user:s3cret@r.example/", "got 'http://u:s3cret@127.0.0.1:5'", "x://:s3cret@h"]
)
def test_a_password_in_a_url_is_not_shown(text: str) -> None:
    shown = printable(text)
    assert "s3cret" not in shown and "://***@" in shown


def test_what_is_no_password_is_shown() -> None:
    for text in ("rsync://user@host/module", "user@host:/srv", "sha256:abc @ x", "http://127.0.0.1:5000/v2/a@b"):
        assert printable(text) == text
