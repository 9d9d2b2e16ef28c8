"""A YAML file as data that still knows the line of every key, with `${VAR}` filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from builder.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]

TYPOGRAPHIC_QUOTES = "“”„‟‘’‚‛«»‹›"
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` as plain Python values, `lines` (from 1) by key path."""

    file: Path
    data: object
    lines: Mapping[KeyPath, int]

    def problem(self, path: KeyPath, what: str, fix: str = "") -> Problem:
        """A problem at the line of `path`, or of its nearest parent that stands in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return Problem(self.lines.get(known, 1), key_text(path), what, fix)


def key_text(path: KeyPath) -> str:
    """`("indexes", "stable", "tags", 0)` as `indexes.stable.tags[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read(file: Path, environment: Mapping[str, str]) -> Document:
    """The document in `file`. Raises ConfigError for all that is wrong at this level, at once."""
    text = _text(file)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(str(file), [Problem(1, "", "the file is empty", "`flatdex init` writes a starter.")])
        problems = list(_node_problems(node, (), ()))
        if problems:
            raise ConfigError(str(file), problems)
        document = Document(file, loader.construct_document(node), dict(_lines(node, ())))
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(file), [_syntax_problem(error, text)]) from error
    finally:
        loader.dispose()
    return _filled_in(document, environment)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(str(file), [Problem(line, "", "not UTF-8", "Save the file as UTF-8.")]) from error
    except OSError as error:
        problem = Problem(1, "", f"cannot be read: {error.strerror}", "Name a readable file with -c FILE.")
        raise ConfigError(str(file), [problem]) from error


def _syntax_problem(error: Exception, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    lines = text.splitlines()
    nearby = "".join(lines[max(0, line - 2) : line])
    fix = "Check the indentation, and put values that hold `: `, `#` or `*` in quotes."
    if any(quote in nearby for quote in TYPOGRAPHIC_QUOTES):
        fix = 'There is a typographic quote here, probably pasted from a web page: use " instead.'
    elif "\t" in nearby:
        fix = "There is a tab here: YAML is indented with spaces."
    return Problem(line, "", f"not valid YAML: {what}", fix)


def _node_problems(node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Iterator[Problem]:
    """Keys that are given twice or are no strings, loops, and quotes that only look like quotes."""
    line = node.start_mark.line + 1
    if id(node) in parents:
        yield Problem(line, key_text(path), "an alias that contains itself", "Remove the alias.")
    elif isinstance(node, yaml.ScalarNode):
        if node.style is None and _looks_quoted(node.value):
            fix = 'It was probably pasted from a web page: use " instead.'
            yield Problem(line, key_text(path), f"a typographic quote in {node.value}", fix)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _node_problems(item, (*path, number), (*parents, id(node)))
    elif isinstance(node, yaml.MappingNode):
        yield from _mapping_problems(node, path, (*parents, id(node)))


def _mapping_problems(node: yaml.MappingNode, path: KeyPath, parents: tuple[int, ...]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Problem(line, key_text(path), "a key that is a list or a mapping", "Keys are plain words.")
            continue
        inner = (*path, key.value)
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            yield Problem(line, key_text(inner), "a key that is not a string", f'Put it in quotes: "{key.value}".')
        elif key.style is None and _looks_quoted(key.value):
            fix = 'It was probably pasted from a web page: use " instead.'
            yield Problem(line, key_text(inner), f"a typographic quote in the key {key.value}", fix)
        elif key.value in seen:
            yield Problem(line, key_text(inner), f"given twice, first in line {seen[key.value]}", "Keep one of them.")
        seen.setdefault(key.value, line)
        yield from _node_problems(value, inner, parents)


def _looks_quoted(text: str) -> bool:
    return bool(text) and (text[0] in TYPOGRAPHIC_QUOTES or text[-1] in TYPOGRAPHIC_QUOTES)


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*path, number))


def _filled_in(document: Document, environment: Mapping[str, str]) -> Document:
    problems: list[Problem] = []

    def fill(value: object, path: KeyPath) -> object:
        if isinstance(value, dict):
            return {key: fill(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, str):
            text, unset = fill_in(value, environment)
            fix = "Set it in the environment, or give a default: "
            problems.extend(
                document.problem(path, f"the variable {name} is not set", fix + f"${{{name}:-value}}.")
                for name in unset
            )
            return text
        return value

    data = fill(document.data, ())
    if problems:
        raise ConfigError(str(document.file), problems)
    return Document(document.file, data, document.lines)


def fill_in(text: str, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """`text` with `${VAR}` and `${VAR:-default}` filled in (`$$` is a plain `$`), and the names that are unset.

    As in a shell, `:-` also stands in for a variable that is set but empty.
    """
    unset: list[str] = []

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if name is None:
            return "$"
        if default is not None:
            return environment.get(name) or default
        if name not in environment:
            unset.append(name)
            return match.group()
        return environment[name]

    return _VARIABLE.sub(value, text), unset
