"""Whether all that a site brings for its own look can be used: told by `check`, and before a build reads anything."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from builder.advice import Advice
from builder.config import Pages
from builder.errors import Exit, FlatdexError
from builder.site.pages.languages import LOCALE, Language, catalogs
from builder.templating import SHIPPED, Templates

_OF_PAGES = (".css", ".html", ".js", ".svg", ".xml")
_LARGEST_LOGO = 1024 * 1024  # bytes


class NotReadyError(FlatdexError):
    """Something that the configuration names can't be used; nothing was changed."""

    exit_code = Exit.CONFIG


def check(pages: Pages | None) -> None:
    """Raises NotReadyError that tells of all faults at once."""
    found = [*_faults(pages)] if pages else []
    if found:
        raise NotReadyError("\n".join(found), "What was published before stays as it is.")


def advice(pages: Pages | None) -> tuple[Advice, ...]:
    """Languages whose words nobody has translated."""
    if pages is None:
        return ()
    missing = (code for code in pages.languages if code.split("-")[0] != "en" and not catalogs(code, pages.templates))
    what = "nobody has translated the pages' own words, which stay English; put {}/{}.po into the folder of `templates`"
    return tuple(Advice("no-translation", code, what.format(LOCALE, code)) for code in missing)


def _faults(pages: Pages) -> Iterator[str]:
    logo, folder = pages.theme.logo, pages.templates
    if logo and (fault := _logo_fault(logo)):
        yield f"theme.logo: {logo}: {fault}"
    if folder and not folder.is_dir():
        yield f"templates: there is no folder {folder}"
    elif folder:
        yield from _of_templates(folder)
    for code in pages.languages:
        try:
            _ = Language(code, folder).messages
        except FlatdexError as error:
            yield error.what


def _logo_fault(file: Path) -> str:
    """Why browsers would not show it, or not soon; empty if they would."""
    try:
        if file.stat().st_size > _LARGEST_LOGO:
            return f"more than {_LARGEST_LOGO // 1024} KiB, which each visitor would load"
        if file.suffix.lower() == ".svg":
            return "" if b"<svg" in file.read_bytes() else "there is no <svg> in it"
        with Image.open(file) as picture:
            picture.verify()
    except UnidentifiedImageError:
        return "not a picture"
    except OSError as error:
        return error.strerror or "a broken picture"
    except Exception as error:  # Pillow raises nearly everything for a broken file
        return f"a broken picture: {error}"
    return ""


def _of_templates(folder: Path) -> Iterator[str]:
    """Files that are no templates, and those that replace none although their names say that they should."""
    shipped = {
        file.name
        for file in SHIPPED.iterdir()
        if file.is_file() and file.suffix in _OF_PAGES and file.name != "avahi.xml"
    }
    mine = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.name != LOCALE)
    templates = Templates(folder)
    for file in mine:
        if file.name in shipped and not file.is_file():
            yield f"{file}: it has a template's name, but is no file that can be read"
        elif file.is_file() and file.suffix in {Path(name).suffix for name in shipped}:
            yield from templates.faults(file.name)
            if file.name not in shipped and not _is_mentioned(file.name, mine):
                close = difflib.get_close_matches(file.name, shipped, n=1, cutoff=0.7)
                if close:
                    yield f"{file}: no template is called so, and none includes it: did you mean {close[0]}?"


def _is_mentioned(name: str, files: Iterable[Path]) -> bool:
    return any(name.encode() in file.read_bytes() for file in files if file.is_file() and file.name != name)
