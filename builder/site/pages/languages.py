"""A language of the pages: its words, and its forms of dates, sizes and numbers."""

from __future__ import annotations

import gettext
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

from babel import Locale
from babel.dates import format_date
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_decimal
from babel.units import format_unit

from builder.errors import FlatdexError

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
LOCALE = "locale"
"""The folder of gettext catalogs, within that of the templates."""
_UNITS = (("digital-gigabyte", 1e9), ("digital-megabyte", 1e6), ("digital-kilobyte", 1e3), ("digital-byte", 1))


_read: dict[str, gettext.NullTranslations] = {}
"""Words that this process has read, or the one that it was forked from."""


class Language:
    """One language by its code (BCP 47), such as `pt-BR`; the checks of a configuration know that there is one."""

    def __init__(self, code: str, folder: Path | None = None) -> None:
        self.code = code
        self._folder = folder
        self._locale = Locale.parse(code, sep="-")
        self.date = lru_cache(maxsize=10_000)(self._date)
        self.size = lru_cache(maxsize=100_000)(self._size)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return self._locale.text_direction

    @property
    def own_name(self) -> str:
        """Its name, as its speakers write it."""
        name = self._locale.get_display_name(self._locale) or self.code
        return name[:1].upper() + name[1:]

    @cached_property
    def messages(self) -> gettext.NullTranslations:
        """The words of the pages; what is not translated stays English."""
        if self.words not in _read:
            _read[self.words] = self._messages()
        return _read[self.words]

    def _messages(self) -> gettext.NullTranslations:
        found = gettext.NullTranslations()
        for file in catalogs(self.code, self._folder):
            try:
                with file.open("rb") as opened:
                    catalog = read_po(opened, abort_invalid=True)
            except (PoFileError, ValueError, LookupError, OSError) as error:
                raise FlatdexError(f"{file}: {error}", "It has to be a gettext catalog (.po).") from error
            _check(file, catalog)
            compiled = io.BytesIO()
            write_mo(compiled, catalog)
            compiled.seek(0)
            own = gettext.GNUTranslations(compiled)
            own.add_fallback(found)
            found = own
        return found

    @cached_property
    def words(self) -> str:
        """What tells its words from all others."""
        try:
            found = b"\0".join(file.read_bytes() for file in catalogs(self.code, self._folder))
        except OSError as error:
            fix = "It has to be a gettext catalog (.po)."
            raise FlatdexError(f"{error.filename}: {error.strerror}", fix) from error
        return f"{self.code} {hashlib.sha256(found).hexdigest()}"

    def number(self, number: float) -> str:
        """Such as 1,234 or 1.234."""
        return format_decimal(number, locale=self._locale)

    def _size(self, size: int | None) -> str:
        """Bytes, to be read by a person: three digits and a unit; empty if it is not known."""
        if size is None:
            return ""
        unit, factor = next((each for each in _UNITS if size >= each[1]), _UNITS[-1])
        number = size / factor
        places = "#,##0" if number >= 100 or factor == 1 else "#,##0.#" if number >= 10 else "#,##0.##"
        return format_unit(number, unit, length="short", format=places, locale=self._locale)

    def _date(self, text: str) -> str:
        """A day in full, from RFC 3339 or `YYYY-MM-DD`; empty if it is none."""
        day = day_of(text)
        return format_date(day, "long", locale=self._locale) if day else ""


def _check(file: Path, catalog: Catalog) -> None:
    """Raises FlatdexError for a translation that can't be filled in as its message is."""
    for message in catalog:
        given = dict.fromkeys(_PLACEHOLDER.findall(" ".join(_forms(message.id))), "")
        for string in _forms(message.string) if message.id else ():
            try:
                _ = string % given
            except (KeyError, TypeError, ValueError) as error:
                what = f"{file}:{message.lineno or 0}: {string!r:.80}: {type(error).__name__}: {error}"
                fix = "A translation has the placeholders of its message, such as %(name)s; a percent sign is %%."
                raise FlatdexError(what, fix) from error


def _forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """A text, or its plural forms."""
    return (text,) if isinstance(text, str) else tuple(text or ())


def day_of(text: str) -> date | None:
    """The day, in UTC, of a time as RFC 3339 or `YYYY-MM-DD`; None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError):
        return None


def shipped() -> tuple[str, ...]:
    """The languages whose words come with the program."""
    return ("en", *sorted(file.stem for file in (Path(str(files("templates"))) / LOCALE).glob("*.po")))


def catalogs(code: str, folder: Path | None) -> Iterable[Path]:
    """The catalogs for a language, the most particular last: pt, pt-BR, then the site's own."""
    own = folder / LOCALE if folder else None
    shipped = Path(str(files("templates"))) / LOCALE
    names = [code.split("-")[0], code] if "-" in code else [code]
    return [file for place in (shipped, own) if place for name in names if (file := place / f"{name}.po").is_file()]
