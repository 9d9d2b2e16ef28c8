"""What a site brings for its own look is looked through before anything is read: all that is wrong is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.config import Pages, Theme
from builder.errors import Exit
from builder.site.pages import ready
from builder.site.pages.ready import NotReadyError
from tests.real.images import png


def faults(folder: Path, **pages: object) -> list[str]:
    """What is told of a folder of templates, line by line, without the folder's own name."""
    with pytest.raises(NotReadyError) as caught:
        ready.check(Pages(templates=folder, **pages))  # type: ignore[arg-type]
    assert caught.value.exit_code == Exit.CONFIG
    return caught.value.what.replace(f"{folder}/", "").splitlines()


def test_what_can_be_used_is_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "front.html").write_text("{% include 'mine.html' %}")
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "notes.txt").write_bytes(b"\xff")
    ready.check(Pages(languages=("en", "de"), templates=tmp_path))
    ready.check(Pages())
    ready.check(None)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "front.html").write_text("one\n{% if %}")
    (tmp_path / "list.html").write_bytes("gr\u00fcn".encode("latin-1"))
    (tmp_path / "base.html").mkdir()
    (tmp_path / "changes.html").symlink_to("nowhere")
    (tmp_path / "aplication.html").write_text("never used")
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale" / "de.po").write_text("nonsense\n")
    logo = tmp_path / "logo.svg"
    told = faults(tmp_path, languages=("en", "de"), theme=Theme(logo=logo))
    starts = (
        "theme.logo: logo.svg: No such file",
        "aplication.html: no template is called so, and none includes it: did you mean application.html?",
        "base.html: it has a template's name, but is no file",
        "changes.html: it has a template's name, but is no file",
        "front.html:2: ",
        "list.html: it is not UTF-8",
        "locale/de.po: ",
    )
    assert len(told) == len(starts)
    for line, start in zip(told, starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize("text", ["Version %(foo)s", "%(version)s %", "50% off", "%d"])
def test_a_translation_that_can_not_be_filled_in_is_told_by_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "locale").mkdir()
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (tmp_path / "locale" / "de.po").write_text(head + f'msgid "Version %(version)s"\nmsgstr "{text}"\n')
    (line,) = faults(tmp_path, languages=("de",))
    assert line.startswith(f"locale/de.po:5: {text!r}: ")


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path / "nowhere") == [f"templates: there is no folder {tmp_path}/nowhere"]


def test_a_language_without_words_is_a_note(tmp_path: Path) -> None:
    (each,) = ready.advice(Pages(languages=("en-GB", "de", "ar")))
    assert (each.code, each.about) == ("no-translation", "ar")
    assert "locale/ar.po" in each.what
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale" / "ar.po").write_text("")
    assert ready.advice(Pages(languages=("ar",), templates=tmp_path)) == ready.advice(None) == ()


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("a.png", b"text", "not a picture"),
        ("a.png", b"", "not a picture"),
        ("a.png", png(8, (1, 2, 3))[:60], "a broken picture"),
        ("a.svg", b"<html>", "there is no <svg> in it"),
        ("a.svg", b"<svg>" + b" " * 2**20, "more than 1024 KiB"),
        ("a.webp", None, "No such file"),
    ],
)
def test_a_logo_that_no_browser_would_show_is_told(tmp_path: Path, name: str, data: bytes | None, fault: str) -> None:
    logo = tmp_path / name
    if data is not None:
        logo.write_bytes(data)
    with pytest.raises(NotReadyError) as caught:
        ready.check(Pages(theme=Theme(logo=logo)))
    assert caught.value.what.startswith(f"theme.logo: {logo}: {fault}")


def test_a_logo_that_is_a_picture_is_taken(tmp_path: Path) -> None:
    for name, data in (("a.png", png(8, (1, 2, 3))), ("a.svg", b"<svg/>")):
        (tmp_path / name).write_bytes(data)
        ready.check(Pages(theme=Theme(logo=tmp_path / name)))
