"""A YAML file becomes data that knows its lines; what only looks right is told before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import document
from builder.errors import ConfigError, Problem
from tests.builder.helpers import GOOD, loaded, write
from tests.builder.helpers import problems as refused

PASTED = 'It was probably pasted from a web page: use " instead.'
PASTED_HERE = 'There is a typographic quote here, probably pasted from a web page: use " instead.'
SYNTAX = "Check the indentation, and put values that hold `: `, `#` or `*` in quotes."


def problems(folder: Path, text: str | bytes, environment: Mapping[str, str] | None = None) -> list[Problem]:
    """All that reading `text` tells, whether data can be made of it or not."""
    try:
        return sorted(document.read(write(folder, text), environment or {}).problems)
    except ConfigError as error:
        return error.problems


WRONG = [
    # Quotes that only look like quotes
    ("a:\n  b: “http://x/”\n", (2, "a.b", "a typographic quote in “http://x/”", PASTED)),
    ("a: http://x/”\n", (1, "a", "a typographic quote in http://x/”", PASTED)),
    ("a: „x“\n", (1, "a", "a typographic quote in „x“", PASTED)),
    ("a: «x»\n", (1, "a", "a typographic quote in «x»", PASTED)),
    ("a: [‘x’]\n", (1, "a[0]", "a typographic quote in ‘x’", PASTED)),
    ("a:\n  “b”: 1\n", (2, "a.“b”", "a typographic quote in the key “b”", PASTED)),
    ("a: b\n“c: d: e”\n", (2, "", "not valid YAML: mapping values are not allowed here", PASTED_HERE)),
    # Keys
    ("a: 1\nb: 2\na: 3\n", (3, "a", "given twice, first in line 1", "Keep one of them.")),
    ("a: {b: 1, b: 2}\n", (1, "a.b", "given twice, first in line 1", "Keep one of them.")),
    ("a:\n  39: x\n", (2, "a.39", "a key that is not a string", 'Put it in quotes: "39".')),
    ("on: x\n", (1, "on", "a key that is not a string", 'Put it in quotes: "on".')),
    ("~: x\n", (1, "~", "a key that is not a string", 'Put it in quotes: "~".')),
    ("1.5: x\n", (1, "1.5", "a key that is not a string", 'Put it in quotes: "1.5".')),
    ("a:\n  ? [b]\n  : c\n", (2, "a", "a key that is a list or a mapping", "Keys are plain words.")),
    ("a:\n  {b: c}: d\n", (2, "a", "a key that is a list or a mapping", "Keys are plain words.")),
    # The file as a whole
    ("", (1, "", "the file is empty", "`flatdex init` writes a starter.")),
    ("# nothing but words\n", (1, "", "the file is empty", "`flatdex init` writes a starter.")),
    (b"a: b\nc: \xff\n", (2, "", "not UTF-8", "Save the file as UTF-8.")),
    # Syntax
    (
        "a:\n\tb: c\n",
        (
            2,
            "",
            "not valid YAML: found character '\\t' that cannot start any token",
            "There is a tab here: YAML is indented with spaces.",
        ),
    ),
    ("a: [b\nc: d\n", (2, "", "not valid YAML: expected ',' or ']', but got ':'", SYNTAX)),
    ("a: b: c\n", (1, "", "not valid YAML: mapping values are not allowed here", SYNTAX)),
    ("a: *b\n", (1, "", "not valid YAML: found undefined alias 'b'", SYNTAX)),
    ("a: *.json\n", None),
    ("a: &x [*x]\n", (1, "a[0]", "an alias that contains itself", "Remove the alias.")),
    ("a:\n  b: &x\n    c: {d: *x}\n", (2, "a.b.c.d", "an alias that contains itself", "Remove the alias.")),
    # Variables
    (
        "a:\n  - ${X}\n",
        (2, "a[0]", "the variable X is not set", "Set it in the environment, or give a default: ${X:-value}."),
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[repr(each[0]) for each in WRONG])
def test_one_mistake_is_one_message(
    tmp_path: Path, text: str | bytes, expected: tuple[int, str, str, str] | None
) -> None:
    found = problems(tmp_path, text)
    if expected is None:
        assert [(problem.line, problem.key) for problem in found] == [(1, "")]
    else:
        assert found == [Problem(*expected)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b\nc: \x07\n", 2),
        ("a: b\nc: !!bool maybe\n", 2),
        ("a: b\nc: !!timestamp soon\n", 2),
        ("a: b\nc: !!int x\n", 2),
        ("a: b\nc: 2026-13-45\n", 2),
        ("a: " + "[" * 5000, 1),
        ("a: b\nc: !!python/object:os.system {}\n", 2),
        ("a: b\n---\nc: d\n", 2),
    ],
    ids=["control", "bool", "timestamp", "int", "date", "deep", "python", "documents"],
)
def test_what_yaml_itself_chokes_on_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.line == line
    assert problem.what.startswith("not valid YAML: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        document.read(tmp_path / "none.yaml", {})
    assert caught.value.problems == [
        Problem(1, "", "cannot be read: No such file or directory", "Name a readable file with -c FILE.")
    ]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        document.read(tmp_path, {})


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "a: “x”\nb: 1\nb: 2\n3: c\n“d”: e\n")
    assert [(problem.line, problem.key) for problem in found] == [(1, "a"), (3, "b"), (4, "3"), (5, "“d”")]


@pytest.mark.parametrize("text", ['a: "“quoted”"\n', "a: the “best” one\n", "a: d’accord\n"])
def test_typographic_quotes_are_fine_within_a_text(tmp_path: Path, text: str) -> None:
    assert isinstance(document.read(write(tmp_path, text), {}).data, dict)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert document.read(write(tmp_path, b"\xef\xbb\xbfa: b\n"), {}).data == {"a": "b"}


def test_every_key_and_item_knows_its_line(tmp_path: Path) -> None:
    read = document.read(write(tmp_path, "a:\n  b:\n    - c\n    - d: 1\n\ne: {f: 2}\n"), {})
    assert read.lines[("a", "b")] == 2
    assert read.lines[("a", "b", 0)] == 3
    assert read.lines[("a", "b", 1, "d")] == 4
    assert read.lines[("e", "f")] == 6


def test_a_problem_of_what_is_not_in_the_file_stands_at_its_nearest_parent(tmp_path: Path) -> None:
    read = document.read(write(tmp_path, "a:\n  b: c\n"), {})
    assert read.problem(("a", "b", "x", 3), "what") == Problem(2, "a.b.x[3]", "what")


def test_merged_keys_are_no_double_keys(tmp_path: Path) -> None:
    text = "x: &base {a: 1, b: 2}\ny:\n  <<: *base\n  b: 3\n"
    assert document.read(write(tmp_path, text), {}).data == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}


# Variables


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "one"),
        ("x${A}y${B}z", "xoneytwoz"),
        ("${A:-other}", "one"),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-http://x:5000/a-b}", "http://x:5000/a-b"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$one"),
        ("$A costs 5$", "$A costs 5$"),
        ("${DOLLAR}", "${A}"),
    ],
)
def test_variables_are_filled_in_once(text: str, filled: str) -> None:
    environment = {"A": "one", "B": "two", "EMPTY": "", "DOLLAR": "${A}"}
    assert document.fill_in(text, environment) == (filled, [])


def test_variables_are_filled_in_after_parsing(tmp_path: Path) -> None:
    text = GOOD.replace("title: Example", 'title: "${TITLE}"').replace("./store", "${ROOT:-/srv}/store")
    config = loaded(tmp_path, text, {"TITLE": 'a: "b" # {c}'})
    assert config.remote is not None
    assert config.remote.title == 'a: "b" # {c}'
    assert config.store == Path("/srv/store")


def test_a_filled_in_value_is_checked_like_any_other(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, GOOD.replace("[latest]", "['${TAG}']"), {"TAG": "../x"})
    assert (problem.line, problem.key) == (7, "indexes.stable.tags[0]")


def test_all_unset_variables_are_told(tmp_path: Path) -> None:
    found = problems(tmp_path, "a: ${X}-${Y}\nb: [c, '${X}', '${Z:-z}']\n")
    assert [(problem.line, problem.key, problem.what) for problem in found] == [
        (1, "a", "the variable X is not set"),
        (1, "a", "the variable Y is not set"),
        (2, "b[1]", "the variable X is not set"),
    ]


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@given(st.dictionaries(NAMES, st.text()), st.text())
def test_doubled_dollars_bring_any_text_through(environment: dict[str, str], text: str) -> None:
    assert document.fill_in(text.replace("$", "$$"), environment) == (text, [])


@given(NAMES, st.text(), st.text().filter(lambda text: "$" not in text))
def test_a_set_variable_stands_for_its_value_as_it_is(name: str, value: str, around: str) -> None:
    assert document.fill_in(f"{around}${{{name}}}{around}", {name: value}) == (around + value + around, [])


@given(NAMES, st.text().filter(lambda text: "}" not in text))
def test_a_default_stands_in_for_an_unset_variable(name: str, default: str) -> None:
    assert document.fill_in(f"${{{name}:-{default}}}", {}) == (default, [])
    assert document.fill_in(f"${{{name}}}", {}) == (f"${{{name}}}", [name])
