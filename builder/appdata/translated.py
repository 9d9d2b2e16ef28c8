"""What elements say in each wanted language: whole elements in one, or paragraph by paragraph beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from xml.etree.ElementTree import Element

from builder.appdata import markup
from builder.appdata.locales import DEFAULT, Wanted
from builder.appdata.reading import LANG

_LISTS = ("ul", "ol")


def texts(elements: Iterable[Element], wanted: Wanted, longest: int) -> dict[str, str]:
    """The elements' text by language, on one line."""
    found = {language: markup.line(element, longest) for language, element in _best(elements, wanted).items()}
    return {language: text for language, text in found.items() if text}


def words(elements: Iterable[Element], wanted: Wanted, longest: int) -> dict[str, str]:
    """The words by language, each once, of elements that have one each, or of lists of such."""
    found: dict[str, tuple[int, list[str]]] = {}
    for tag, element in _tagged(elements):
        text = markup.line(element, longest)
        for language, rank in wanted[tag]:
            if language not in found or rank < found[language][0]:
                found[language] = rank, []
            if rank == found[language][0] and text:
                found[language][1].append(text)
    return {language: _joined(dict.fromkeys(texts), longest) for language, (_, texts) in found.items() if texts}


def descriptions(elements: Sequence[Element], wanted: Wanted) -> dict[str, str]:
    """The descriptions as HTML by language.

    A catalog has one description for each language, an upstream's file one with all languages in it, where what has no
    translation is shown as it is.
    """
    if not elements:  # as most releases have none
        return {}
    best = _best(elements, wanted)
    found = {language: markup.html(element) for language, element in best.items() if language != DEFAULT}
    if DEFAULT in best:
        common = best[DEFAULT]
        inside = {
            language for each in common.iter() if LANG in each.attrib for language, _ in wanted[each.attrib[LANG]]
        }
        if not inside:
            found[DEFAULT] = markup.html(common)
        for language in sorted(inside.difference(found) | {DEFAULT}) if inside else ():
            found[language] = markup.html(common, partial(_shown, wanted, language))
    return {language: html for language, html in found.items() if html}


def _best(elements: Iterable[Element], wanted: Wanted) -> dict[str, Element]:
    found: dict[str, tuple[int, Element]] = {}
    for element in elements:
        for language, rank in wanted[element.get(LANG, DEFAULT)]:
            if language not in found or rank < found[language][0]:
                found[language] = rank, element
    return {language: element for language, (_, element) in found.items()}


def _tagged(elements: Iterable[Element]) -> Iterator[tuple[str, Element]]:
    """The elements in lists, each with its own language or its list's."""
    for element in elements:
        for child in element:
            yield child.get(LANG, element.get(LANG, DEFAULT)), child


def _joined(texts: Iterable[str], longest: int) -> str:
    return " ".join(texts)[:longest].rstrip()


def _shown(wanted: Wanted, language: str, beside: Sequence[Element]) -> Iterable[Element]:
    """Of paragraphs, lists or items beside each other, those for a reader of `language`."""
    groups: list[list[Element]] = []
    for element in beside:
        if LANG not in element.attrib or not groups or groups[-1][0].tag != element.tag:
            groups.append([])
        groups[-1].append(element)
    if all(len({each.get(LANG) for each in group}) == len(group) for group in groups):
        return (best for group in groups if (best := _of_group(group, wanted, language)) is not None)
    return _in_sections(beside, wanted, language)


def _of_group(group: Sequence[Element], wanted: Wanted, language: str) -> Element | None:
    """The one of an element and its translations."""
    best = _best(group, wanted)
    return best.get(language, best.get(DEFAULT))


def _in_sections(beside: Sequence[Element], wanted: Wanted, language: str) -> Iterator[Element]:
    """Those in the language where there are some, all of the best; for there the languages follow one another."""
    ranks = [dict(wanted[each.get(LANG, DEFAULT)]).get(language) for each in beside]
    best = min((rank for rank in ranks if rank is not None), default=None)
    for element, rank in zip(beside, ranks, strict=True):
        apart = any(LANG in item.attrib for item in element) and LANG not in element.attrib
        if apart or (rank == best if best is not None else LANG not in element.attrib):
            yield element
