"""The catalogs in `templates/locale`: each has all that the pages say, and nothing that they don't."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from gettext import c2py
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from builder.site.pages.languages import Language

Id = str | tuple[str, ...]  # a pair if there is a plural

_ROOT = Path(__file__).parents[2]
_FILES = sorted((_ROOT / "templates" / "locale").glob("*.po"))
_TEMPLATES = ("**.html", "**.xml", "**.js", "**.css")
# As Templates has it: what is looked up has to be what is found here, to the last line break.
_OPTIONS = {
    "trimmed": "false",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "keep_trailing_newline": "true",
    "silent": "false",
}
_HELD = re.compile(r"%\(\w+\)\w|\{\w+\}|<[^>]*>")
each_catalog = pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)


@cache
def said() -> frozenset[Id]:
    """The ids of all messages of the pages, in templates and in code."""
    templates = extract_from_dir(
        _ROOT / "templates",
        method_map=[(pattern, "jinja2") for pattern in _TEMPLATES],
        options_map=dict.fromkeys(_TEMPLATES, _OPTIONS),
    )
    code = extract_from_dir(
        _ROOT / "builder" / "site" / "pages", method_map=[("**.py", "python")], keywords={"N_": None}
    )
    return frozenset(found[2] for place in (templates, code) for found in place)


@cache
def catalog(file: Path) -> Catalog:
    with file.open("rb") as opened:
        return read_po(opened, abort_invalid=True)


def entries(file: Path) -> list[Message]:
    """All but the header."""
    return [message for message in catalog(file) if message.id]


def forms(text: str | Iterable[str] | None) -> tuple[str, ...]:
    """A message as it is for one, and for more if that differs."""
    return (text,) if isinstance(text, str) else tuple(text or ())


def pairs(file: Path) -> list[tuple[str, str]]:
    """Each form of each message with its translation; in catalogs of more forms than English has, the plural again."""
    found = []
    for message in entries(file):
        english = forms(message.id)
        found += [(english[min(n, len(english) - 1)], own) for n, own in enumerate(forms(message.string))]
    return found


def test_all_kinds_of_messages_are_found() -> None:
    assert {path.stem for path in _FILES} >= {"de", "fr", "es"}
    assert "Install" in said(), "_() in a template"
    assert "by <bdi>%(developer)s</bdi>" in said(), "{% trans %}"
    assert ("%(shown)s application", "%(shown)s applications") in said(), "{% pluralize %}"
    assert "Can print" in said(), "N_() in code"
    assert "New: %(name)s (%(branch)s)" in said(), "the feed"


@each_catalog
def test_all_is_translated_and_nothing_else(file: Path) -> None:
    own = {message.id for message in entries(file)}
    assert sorted(map(str, said() - own)) == [], "not translated"
    assert sorted(map(str, own - said())) == [], "in no template"
    assert [str(message.id) for message in entries(file) if message.context] == [], "asked for with a context nowhere"
    assert list(catalog(file).obsolete) == []


@each_catalog
def test_none_is_empty_or_a_guess(file: Path) -> None:
    assert [str(message.id) for message in catalog(file) if message.fuzzy] == []
    assert [str(message.id) for message in entries(file) if not all(forms(message.string) or [""])] == []


@each_catalog
def test_there_is_a_form_for_every_number(file: Path) -> None:
    """As the language has it, for all numbers that a remote may come to: some have a form of their own for millions."""
    locale, count = Locale.parse(file.stem, sep="-"), catalog(file).num_plurals
    ours, theirs = c2py(catalog(file).plural_expr), c2py(Catalog(locale).plural_expr)
    pairs = {(ours(number), theirs(number)) for number in range(10_000)}
    assert len(pairs) == len({own for own, _ in pairs}) == len({known for _, known in pairs}) == count
    several = [message for message in entries(file) if message.pluralizable]
    assert several
    assert [str(message.id) for message in several if len(forms(message.string)) != count] == []


@each_catalog
def test_what_is_filled_in_and_the_tags_stay(file: Path) -> None:
    """And what is no placeholder breaks no formatting: a page would not be rendered."""
    for english, own in pairs(file):
        assert Counter(_HELD.findall(own)) == Counter(_HELD.findall(english)), english
        assert "%(" not in own % defaultdict(str)


@each_catalog
def test_the_space_around_stays(file: Path) -> None:
    for english, own in pairs(file):
        kept = english[: len(english) - len(english.lstrip())], english[len(english.rstrip()) :]
        assert (own[: len(own) - len(own.lstrip())], own[len(own.rstrip()) :]) == kept, english


@each_catalog
def test_quotes_and_spaces_are_the_languages_own(file: Path) -> None:
    for english, own in pairs(file):
        text = _HELD.sub("x", own)
        assert not set(text) & set("'\"`"), english
        assert "..." not in text and "  " not in text, english
        if file.stem == "fr":
            assert not re.search(r"[^\xa0\u202f][:;!?»]|«[^\xa0\u202f]", text), english


@each_catalog
def test_pages_find_what_is_in_the_catalog(file: Path) -> None:
    words = Language(file.stem).messages
    for message in entries(file):
        english, own = forms(message.id), forms(message.string)
        if message.pluralizable:
            assert words.ngettext(english[0], english[-1], 1) == own[0]
            assert words.ngettext(english[0], english[-1], 1000) == own[-1]
        else:
            assert words.gettext(english[0]) == own[0]
