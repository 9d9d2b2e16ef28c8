"""Templates: a site's own come first, and what is wrong in one is told by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import FlatdexError
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
