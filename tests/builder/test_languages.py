"""Languages: dates, sizes and numbers in their form, words from catalogs, a site's own before those of flatdex."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import FlatdexError
from builder.site.pages.languages import Language, day_of


@pytest.mark.parametrize(
    ("code", "size", "date", "number"),
    [
        ("en", "12.3 MB", "November 2, 2026", "12,345"),
        ("de", "12,3 MB", "2. November 2026", "12.345"),
        ("fr", "12,3\xa0Mo", "2 novembre 2026", "12\u202f345"),
    ],
)
def test_forms(code: str, size: str, date: str, number: str) -> None:
    language = Language(code)
    assert language.size(12_345_678).replace("\u202f", "\xa0") == size.replace("\u202f", "\xa0")
    assert language.date("2026-11-02T09:00:00Z") == date
    assert language.number(12345) == number


@pytest.mark.parametrize(
    ("size", "text"), [(None, ""), (0, "0 byte"), (999, "999 byte"), (1500, "1.5 kB"), (1_234_567_890, "1.23 GB")]
)
def test_sizes_have_three_digits_at_most(size: int | None, text: str) -> None:
    assert Language("en").size(size) == text


def test_directions_and_names() -> None:
    assert (Language("ar").direction, Language("de").direction) == ("rtl", "ltr")
    assert (Language("de").own_name, Language("pt-BR").own_name) == ("Deutsch", "Português (Brasil)")


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "0001-01-01T00:00:00+23:59", "2026-01-01T", "9" * 400])
def test_what_is_no_day_is_left_out(text: str) -> None:
    assert day_of(text) is None
    assert Language("en").date(text) == ""


def test_a_sites_own_words_come_first_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "locale").mkdir()
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (tmp_path / "locale" / "de.po").write_text(head + 'msgid "Install"\nmsgstr "Her damit"\n', encoding="utf-8")
    own, shipped = Language("de", tmp_path), Language("de")
    assert own.messages.gettext("Install") == "Her damit"
    assert own.messages.gettext("Applications") == shipped.messages.gettext("Applications") == "Anwendungen"
    assert Language("de-AT").messages.gettext("Applications") == "Anwendungen"
    assert Language("en").messages.gettext("Applications") == "Applications"


@pytest.mark.parametrize("data", [b"nonsense\n", b'msgid "a"\nmsgstr "\xff\xfe"\n'])
def test_a_broken_catalog_is_told_by_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "locale").mkdir()
    (tmp_path / "locale" / "de.po").write_bytes(data)
    with pytest.raises(FlatdexError, match=r"locale/de\.po.*"):
        _ = Language("de", tmp_path).messages
