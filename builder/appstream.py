"""Appdata, as images carry it: XML from nobody knows whom, looked through before it is handed to clients."""

from __future__ import annotations

from xml.parsers.expat import ExpatError, ParserCreate

_LARGEST = 1024 * 1024  # characters
_DEEPEST = 100


class _Refused(Exception):
    """Well-formed, perhaps, but nothing to hand on; the message says why."""


def fault(appdata: str) -> str:
    """What is wrong with the text, in a few words; empty if clients can read it.

    It must be one `<components>` element, without a DTD and so without entities of its own.
    """
    if len(appdata) > _LARGEST:
        return f"appdata of more than {_LARGEST} characters"
    look = _Look()
    parser = ParserCreate("utf-8")  # whatever the text says of itself: it was decoded before
    parser.StartDoctypeDeclHandler = look.doctype
    parser.StartElementHandler = look.start
    parser.EndElementHandler = look.end
    try:
        parser.Parse(appdata.encode("utf-8"), True)
    except _Refused as refused:
        return str(refused)
    except (ExpatError, ValueError) as error:
        return f"appdata is not well-formed XML: {error}"
    return "" if look.root == "components" else f"appdata is <{look.root[:40]}>, where clients look for <components>"


class _Look:
    """What a parser calls."""

    def __init__(self) -> None:
        self.root = ""
        self._depth = 0

    def doctype(self, *said: object) -> None:
        raise _Refused("appdata with a DTD, which clients need not and should not read")

    def start(self, name: str, attributes: object) -> None:
        self.root = self.root or name
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"appdata is nested more than {_DEEPEST} deep")

    def end(self, name: str) -> None:
        self._depth -= 1
