"""Texts and descriptions that anybody may have written, made harmless: to one line of text, or to a little HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape, unescape
from xml.etree.ElementTree import Element

Choose = Callable[[Sequence[Element]], Iterable[Element]]
"""Of elements beside each other, those that are shown; the others may be their translations."""

LONGEST = 65_536  # characters of HTML
_MOST = 5000  # paragraphs, or items of a list, with their translations

_LISTS = frozenset({"ul", "ol"})
_INLINE = frozenset({"em", "code"})
# Controls, what is no character, and what turns the direction of all that follows; marks of a direction may stay.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_SPACE = re.compile("[ \t\n\r\x85\u2028\u2029]+")  # not a space that keeps words together
_TAG = re.compile("<[^>]*>")
_SENTENCE = re.compile(r".*[.!?…][)\"'»”’]*(?= )|.*[。！？]", re.DOTALL)  # noqa: RUF001


def clean(text: str) -> str:
    """The text on one line, without characters that control anything or turn what is around them."""
    return _tidy(text).strip(" ")


def line(element: Element, longest: int) -> str:
    """All the text in an element, clean, and cut if it has more than so many characters."""
    return cut(clean("".join(element.itertext())), longest)


def cut(text: str, longest: int) -> str:
    """The text, with an ellipsis for what is too long."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def html(description: Element, choose: Choose = iter, longest: int = LONGEST) -> str:
    """What is in a description as HTML: `p`, `ul`, `ol`, `li`, `em` and `code` without attributes, and escaped text.

    Of any other element there is the text. Where it gets too long, it ends with the last paragraph or item that fits.
    """
    found: list[str] = []
    left = longest
    for block in _blocks(description, choose):
        left -= len(block)
        if left < 0:
            break
        found.append(block)
    return "".join(found)


def plain(markup: str, longest: int = 200) -> str:
    """The start of what `html` made as plain text: a paragraph, or as many of its sentences, or words, as fit."""
    text = clean(unescape(_TAG.sub("", markup.partition("</p>")[0].partition("</li>")[0])))
    if len(text) <= longest:
        return text
    sentences = _SENTENCE.match(text[: longest + 1])
    if sentences and longest // 4 <= len(sentences[0]) <= longest:
        return sentences[0]
    words = text[:longest].rpartition(" ")[0]
    return cut(text, longest) if len(words) < longest // 2 else words.rstrip(" ,;:-–—") + "…"  # noqa: RUF001


def _blocks(description: Element, choose: Choose) -> Iterator[str]:
    yield from _paragraph(_escaped(description.text))
    for child in choose(description[:_MOST]):
        if child.tag in _LISTS:
            items = "".join(_items(child, choose))
            if items:
                yield f"<{child.tag}>{items}</{child.tag}>"
        elif isinstance(child.tag, str):
            yield from _paragraph(_marked(child) if child.tag in _INLINE else _inner(child))
        yield from _paragraph(_escaped(child.tail))


def _items(element: Element, choose: Choose) -> Iterator[str]:
    yield from _item(_escaped(element.text))
    for child in choose(element[:_MOST]):
        if isinstance(child.tag, str):
            yield from _item(_marked(child) if child.tag in _INLINE else _inner(child))
        yield from _item(_escaped(child.tail))


def _paragraph(markup: str) -> Iterator[str]:
    if markup := markup.strip(" "):
        yield f"<p>{markup}</p>"


def _item(markup: str) -> Iterator[str]:
    if markup := markup.strip(" "):
        yield f"<li>{markup}</li>"


def _inner(element: Element) -> str:
    """What is in a paragraph or an item: text, and the elements that may stand in it."""
    if not len(element):
        return _escaped(element.text)
    parts = [_escaped(element.text)]
    for child in element:
        if isinstance(child.tag, str):
            parts.append(_marked(child) if child.tag in _INLINE else _inner(child))
        parts.append(_escaped(child.tail))
    return "".join(parts)


def _marked(element: Element) -> str:
    inner = _inner(element)
    return f"<{element.tag}>{inner}</{element.tag}>" if inner.strip(" ") else inner


def _escaped(text: str | None) -> str:
    return escape(_tidy(text)) if text else ""


def _tidy(text: str) -> str:
    if text.isprintable() and "  " not in text:  # then there is nothing of either kind, and this is quickly seen
        return text
    return _SPACE.sub(" ", _HARMFUL.sub("", text))
