"""Appdata, as images carry it: XML from nobody knows whom, looked through before it is handed on or read."""

from __future__ import annotations

from collections.abc import Container, Mapping
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

LANG = "xml:lang"  # a parser that leaves namespaces alone names it so

_LARGEST = 1024 * 1024  # characters
_DEEPEST = 100
_PARTS = 3  # the depth of what a component consists of: components, component, name


class Faulty(Exception):
    """Appdata that clients can't read, or should not; the message says why in a few words."""


def fault(appdata: str) -> str:
    """What is wrong with the text, in a few words; empty if clients can read it.

    It must be one `<components>` element, without a DTD and so without entities of its own.
    """
    try:
        _parse(appdata, _Look())
    except Faulty as faulty:
        return str(faulty)
    return ""


def tree(appdata: str, parts: Container[str], languages: Mapping[str, object]) -> Element:
    """The tree of a text that `fault` finds nothing wrong with, which is looked for on the way. Raises Faulty.

    Components have only their `parts` of these names, and nothing that is in a language of which `languages`, by
    `xml:lang`, has no true value: most of appdata is translations, and what isn't made costs no time.
    """
    look = _Keep(parts, languages)
    _parse(appdata, look)
    return look.builder.close()


class _Look:
    """What a parser calls."""

    def __init__(self) -> None:
        self.root = ""
        self._depth = 0

    def attend(self, parser: XMLParserType) -> None:
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def _doctype(self, *said: object) -> None:
        raise Faulty("appdata with a DTD, which clients need not and should not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 or self._depth > _DEEPEST:
            self._enter(name)

    def _enter(self, name: str) -> None:
        """The root, or what is too deep."""
        if self._depth > _DEEPEST:
            raise Faulty(f"appdata is nested more than {_DEEPEST} deep")
        self.root = name

    def _end(self, name: str) -> None:
        self._depth -= 1


class _Keep(_Look):
    """What a parser calls to have a tree made of a part of what it reads."""

    def __init__(self, parts: Container[str], languages: Mapping[str, object]) -> None:
        super().__init__()
        self.builder = TreeBuilder()
        self._parts = parts
        self._languages = languages
        self._left_out = 0  # the depth of the element that is being left out, with all in it

    def attend(self, parser: XMLParserType) -> None:
        super().attend(parser)
        parser.buffer_text = True
        parser.CharacterDataHandler = self.builder.data
        self._parser = parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if depth == 1 or depth > _DEEPEST:
            self._enter(name)
        if self._left_out:
            return
        if (LANG in attributes and depth >= _PARTS and not self._languages[attributes[LANG]]) or (
            depth == _PARTS and name not in self._parts
        ):
            self._left_out = depth
            self._parser.CharacterDataHandler = None
        else:
            self.builder.start(name, attributes)

    def _end(self, name: str) -> None:
        if not self._left_out:
            self.builder.end(name)
        elif self._left_out == self._depth:
            self._left_out = 0
            self._parser.CharacterDataHandler = self.builder.data
        self._depth -= 1


def _parse(appdata: str, look: _Look) -> None:
    """Raises Faulty."""
    if len(appdata) > _LARGEST:
        raise Faulty(f"appdata of more than {_LARGEST} characters")
    parser = ParserCreate("utf-8")  # whatever the text says of itself: it was decoded before
    look.attend(parser)
    try:
        parser.Parse(appdata.encode("utf-8"), True)
    except (ExpatError, ValueError) as error:
        raise Faulty(f"appdata is not well-formed XML: {error}") from error
    if look.root != "components":
        raise Faulty(f"appdata is <{look.root[:40]}>, where clients look for <components>")
