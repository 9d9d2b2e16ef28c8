"""Templates: a site's own come first, and what is wrong in one is told by file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder import templating
from builder.errors import FlatdexError
from builder.site.pages.languages import Language, shipped
from builder.site.pages.write import templates_in
from builder.templating import Templates


def told(folder: Path, text: str, **values: object) -> str:
    """What is told of a template that breaks."""
    (folder / "front.html").write_text(text)
    with pytest.raises(FlatdexError) as caught:
        Templates(folder).render("front.html", values)
    return str(caught.value)


def test_a_sites_own_template_replaces_that_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "front.html").write_text("mine: {{ name }}")
    assert Templates(tmp_path).render("front.html", {"name": "<b>"}) == "mine: &lt;b&gt;"


def test_a_syntax_error_is_told_by_file_and_line(tmp_path: Path) -> None:
    assert told(tmp_path, "one\ntwo {% if %}\n").startswith(f"{tmp_path}/front.html:2: ")


def test_a_name_that_nobody_gives_is_told_by_file_and_line(tmp_path: Path) -> None:
    text = told(tmp_path, "one\ntwo\n{{ Branding }}\n")
    assert text.startswith(f"{tmp_path}/front.html:3: 'Branding' is undefined")
    assert "Nothing was built" in text


def test_an_attribute_that_is_not_there_is_told_by_file_and_line(tmp_path: Path) -> None:
    assert told(tmp_path, "one\n{{ remote.logo.url }}\n", remote=3).startswith(f"{tmp_path}/front.html:2: ")


def test_what_breaks_while_it_runs_is_told_by_file_and_line(tmp_path: Path) -> None:
    assert f"{tmp_path}/front.html:1: ZeroDivisionError" in told(tmp_path, "{{ 1 / number }}", number=0)


def test_a_template_that_wants_a_missing_one_says_which(tmp_path: Path) -> None:
    assert "nowhere.html" in told(tmp_path, '{% extends "nowhere.html" %}')


def test_a_part_that_breaks_is_told_as_itself(tmp_path: Path) -> None:
    (tmp_path / "part.html").write_text("\n\n{{ oops }}")
    assert told(tmp_path, '{% include "part.html" %}').startswith(f"{tmp_path}/part.html:3: ")


def test_what_was_compiled_is_compiled_again_only_where_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str | None] = []
    real = templating._Environment._parse

    def parse(self: templating._Environment, source: str, name: str | None, filename: str | None) -> Any:
        compiled.append(name)
        return real(self, source, name, filename)

    monkeypatch.setattr(templating._Environment, "_parse", parse)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()

    def shown(code: str, folder: str) -> tuple[str, int]:
        compiled.clear()
        values = {"number": 1234.5}
        return templates_in(Language(code), tmp_path / folder).render("front.html", values), len(compiled)

    for folder, text in (
        ("one", "{{ _('All applications') }}"),
        ("other", "{{ _('All applications') }}"),
        ("one", "{{ 1234.5 | number }}"),
    ):
        (tmp_path / folder / "front.html").write_text(text)
        for code in shipped():
            said = (
                Language(code).messages.gettext("All applications") if "All" in text else Language(code).number(1234.5)
            )
            assert [shown(code, folder), shown(code, folder)] == [(said, 1), (said, 0)], (code, folder)


def test_a_template_that_was_compiled_before_breaks_as_ever(tmp_path: Path) -> None:
    (tmp_path / "front.html").write_text("one\n{{ oops }}")
    for _ in range(2):
        with pytest.raises(FlatdexError, match=f"{tmp_path}/front.html:2: 'oops' is undefined"):
            Templates(tmp_path, words="x").render("front.html", {})


def test_all_that_comes_with_the_program_can_be_compiled_beforehand() -> None:
    templating.compile_plain()
    for code in shipped():
        templates_in(Language(code)).compile(".html", ".xml")
