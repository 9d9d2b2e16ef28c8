"""Which of a text's translations a reader of a language is given, whatever form their `xml:lang` has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

DEFAULT = ""
"""The key of what is not translated."""

Rank = tuple[str, int]
"""A wanted language, and how far away from it something is: 0 is the language itself."""

_MANY = 1000
_TAG = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|[0-9]{3}))?(?:\.[a-z0-9-]+)?(?:[-_@]([a-z0-9]{4,}))?"
)
_FORMER = {"no": "nb", "iw": "he", "in": "id"}
_SCRIPTS = {"latin": "latn", "cyrillic": "cyrl", "devanagari": "deva", "arabic": "arab", "shaw": "shaw"}
_SCRIPTS |= {script: script for script in ("latn", "cyrl", "deva", "arab", "hans", "hant")}
_USUAL = {"sr": "cyrl", "be": "cyrl", "kk": "cyrl", "tt": "cyrl", "mn": "cyrl", "zh": "hans"}
_USUAL |= {"az": "latn", "bs": "latn", "uz": "latn", "pa": "guru"}
_TRADITIONAL = frozenset({"tw", "hk", "mo"})
_MAIN = {"en": "us", "zh": "cn", "sv": "se", "da": "dk", "cs": "cz", "el": "gr", "ja": "jp", "ko": "kr", "uk": "ua"}


class Wanted(dict[str, tuple[Rank, ...]]):
    """By `xml:lang`, which of the wanted languages it serves; nothing for any other language."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        super().__init__({DEFAULT: ((DEFAULT, 0),)})
        self._languages = [(language, _parsed(language)) for language in languages]

    def __missing__(self, tag: str) -> tuple[Rank, ...]:
        found = self._ranks(tag)
        if len(self) < _MANY:  # who makes up languages by the thousand doesn't fill memory
            self[tag] = found
        return found

    def _ranks(self, tag: str) -> tuple[Rank, ...]:
        if tag in ("C", "POSIX"):
            return self[DEFAULT]
        given = _parsed(tag)
        if given is None:
            return ()
        ranks = [(language, wanted.rank(given)) for language, wanted in self._languages if wanted]
        found = [(language, rank) for language, rank in ranks if rank is not None]
        english = _ENGLISH.rank(given)
        return (*found, *([] if english is None else [(DEFAULT, 1 + english)]))


@lru_cache(maxsize=16)
def wanted(languages: tuple[str, ...]) -> Wanted:
    """For languages as BCP 47."""
    return Wanted(languages)


@dataclass(frozen=True)
class _Language:
    """A language in a script, perhaps of a region, perhaps a variant of it."""

    name: str
    script: str
    region: str = ""
    variant: str = ""

    def rank(self, given: _Language) -> int | None:
        """How far away the given one is for a reader of this one; None if that is another language to them."""
        if (given.name, given.script) != (self.name, self.script):
            return None
        distance = self._distance(given.region)
        return None if distance is None else distance + 4 * bool(given.variant)

    def _distance(self, region: str) -> int | None:
        if region == self.region:
            return 0
        if self.region:  # Brazil's Portuguese is not Portugal's, but what is no region's will do
            return None if region else 1
        if region == _MAIN.get(self.name, self.name):
            return 1
        return None if self.name == "en" else 2  # for other English, what is not translated is as good


@lru_cache(maxsize=_MANY)
def _parsed(tag: str) -> _Language | None:
    match = _TAG.fullmatch(tag.lower())
    if match is None:
        return None
    name, script, region, modifier = (part or "" for part in match.groups())
    name = _FORMER.get(name, name)
    if modifier in _SCRIPTS:
        script, modifier = _SCRIPTS[modifier], ""
    usual = "hant" if name == "zh" and region in _TRADITIONAL else _USUAL.get(name, "")
    return _Language(name, script or usual, region, "" if modifier == "euro" else modifier)


_ENGLISH = _Language("en", "")
