"""A YAML file as data that still knows the line of every key, with `${VAR}` filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from builder.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]

TYPOGRAPHIC_QUOTES = "“”„‟‘’‚‛«»‹›"
_UNCLOSED = re.compile(r"(?<!\$)(?:\$\$)*\$\{(?![A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\})")
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


@dataclass(frozen=True)
class Document:
    """A parsed file: `data` as plain Python values, `lines` (from 1) by key path, and what is wrong with it so far."""

    file: Path
    data: object
    lines: Mapping[KeyPath, int]
    problems: tuple[Problem, ...] = ()

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
    """The document in `file`. Raises ConfigError if no data can be made of it; all else goes into its `problems`."""
    text = _text(file)
    try:
        return _parsed(file, text, environment)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(file), [_syntax_problem(error, text)]) from error


def _parsed(file: Path, text: str, environment: Mapping[str, str]) -> Document:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(str(file), [Problem(1, "", "the file is empty", "`flatdex init` writes a starter.")])
        loops = list(_loops(node, (), ()))
        if loops:  # nothing else could be looked at without end
            raise ConfigError(str(file), loops)
        broken = list(_broken_nodes(loader, node, ()))
        if broken:
            raise ConfigError(str(file), [*broken, *_odd_nodes(node, ())])
        odd = tuple(_odd_nodes(node, ()))  # before the construction, which puts merged keys among the others
        document = Document(file, loader.construct_document(node), dict(_lines(node, ())), odd)
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
    if isinstance(error, RecursionError):
        return Problem(1, "", "not valid YAML: nested too deeply")
    line, what = _place(error, text)
    lines = text.splitlines()
    nearby = "".join(lines[max(0, line - 2) : line])
    fix = "Check the indentation, and put values that hold `: `, `#` or `*` in quotes."
    if any(quote in nearby for quote in TYPOGRAPHIC_QUOTES):
        fix = 'There is a typographic quote here, probably pasted from a web page: use " instead.'
    elif "\t" in nearby:
        fix = "There is a tab here: YAML is indented with spaces."
    elif "single document" in str(error):
        fix = "A file holds one document: remove the line `---`."
    return Problem(line, "", f"not valid YAML: {what}", fix)


def _place(error: Exception, text: str) -> tuple[int, str]:
    """The line of a YAML error, and what it is."""
    if isinstance(error, yaml.reader.ReaderError):
        return text[: error.position].count("\n") + 1, f"a control character, {error.character:#04x}"
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    return mark.line + 1 if mark else 1, what


def _children(node: yaml.Node, path: KeyPath) -> Iterator[tuple[yaml.Node, KeyPath]]:
    """The values within a node, with their key paths."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((item, (*path, number)) for number, item in enumerate(node.value))
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield value, (*path, key.value) if isinstance(key, yaml.ScalarNode) else path


def _loops(node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Iterator[Problem]:
    if id(node) in parents:
        line = node.start_mark.line + 1
        yield Problem(line, key_text(path), "an alias that contains itself", "Remove the alias.")
        return
    for child, inner in _children(node, path):
        yield from _loops(child, inner, (*parents, id(node)))


def _broken_nodes(loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath) -> Iterator[Problem]:
    """What no data can be made of: keys that are no strings, values that are not of their type."""
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        try:
            loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError):
            fix = f'To have it as text, put it in quotes: "{node.value}".'
            yield Problem(line, key_text(path), f"not valid YAML: {node.value!r} has not the form of its type", fix)
    elif isinstance(node, yaml.MappingNode):
        if node.tag != "tag:yaml.org,2002:map":
            yield Problem(line, key_text(path), f"not valid YAML: an unknown type, {node.tag}", "Remove the type.")
        for key, _ in node.value:
            yield from _broken_key(key, path)
    for child, inner in _children(node, path):
        yield from _broken_nodes(loader, child, inner)


def _broken_key(key: yaml.Node, path: KeyPath) -> Iterator[Problem]:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        yield Problem(line, key_text(path), "a key that is a list or a mapping", "Keys are plain words.")
    elif key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
        fix = f'Put it in quotes: "{key.value}".'
        yield Problem(line, key_text((*path, key.value)), "a key that is not a string", fix)


def _odd_nodes(node: yaml.Node, path: KeyPath) -> Iterator[Problem]:
    """Keys that are given twice, and quotes that only look like quotes. There are no loops in `node` any more."""
    line = node.start_mark.line + 1
    fix = 'It was probably pasted from a web page: use " instead.'
    if isinstance(node, yaml.ScalarNode) and node.style is None and _looks_quoted(node.value):
        yield Problem(line, key_text(path), f"a typographic quote in {node.value}", fix)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            inner = (*path, key.value)
            if key.style is None and _looks_quoted(key.value):
                yield Problem(line, key_text(inner), f"a typographic quote in the key {key.value}", fix)
            if key.value in seen:
                what = f"given twice, first in line {seen[key.value]}"
                yield Problem(line, key_text(inner), what, "Keep one of them.")
            seen.setdefault(key.value, line)
    for child, inner in _children(node, path):
        yield from _odd_nodes(child, inner)


def _looks_quoted(text: str) -> bool:
    return bool(text) and (text[0] in TYPOGRAPHIC_QUOTES or text[-1] in TYPOGRAPHIC_QUOTES)


def _lines(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    yield path, node.start_mark.line + 1
    for child, inner in _children(node, path):
        yield from _lines(child, inner)
    if isinstance(node, yaml.MappingNode):  # the line of a key, not that of its value
        yield from (((*path, key.value), key.start_mark.line + 1) for key, _ in node.value)


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
            if _UNCLOSED.search(value):
                problems.append(document.problem(path, f"an unfinished variable in {value!r}", "Write ${NAME}, or $$."))
            problems.extend(
                document.problem(path, f"the variable {name} is not set", fix + f"${{{name}:-value}}.")
                for name in unset
            )
            return text
        return value

    data = fill(document.data, ())
    return replace(document, data=data, problems=(*document.problems, *problems))


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
