"""Renders what lies in `templates/`, or in a folder of a site's own: a name that nobody gives is an error.

A site's own template replaces the one of the same name; what is wrong in it is told by file and line.
"""

from __future__ import annotations

import gettext
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from jinja2.visitor import NodeTransformer

from builder.errors import FlatdexError

SHIPPED = Path(str(files("templates")))
"""The folder of the templates that come with the program."""


class _Environment(jinja2.Environment):
    """Looks words up once, when a template is compiled: a page has a hundred of them."""

    translated: Callable[[str], str] = staticmethod(str)

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        found: jinja2.nodes.Template = _Words(self.translated).visit(super()._parse(source, name, filename))
        return found


class _Words(NodeTransformer):
    """Replaces each `_("text")` that is nothing but a text by its translation."""

    def __init__(self, translated: Callable[[str], str]) -> None:
        self._translated = translated

    def visit_Call(self, node: jinja2.nodes.Call) -> jinja2.nodes.Node:  # noqa: N802 - by the class of nodes
        self.generic_visit(node)
        called = node.node.name if isinstance(node.node, jinja2.nodes.Name) else ""
        plain = called in ("_", "gettext") and len(node.args) == 1 and not node.kwargs
        if plain and isinstance(text := node.args[0], jinja2.nodes.Const):
            return jinja2.nodes.Const(self._translated(text.value) % {}, lineno=node.lineno)
        return node


_compiled: dict[tuple[str, str, str], CodeType] = {}


class _Compiled(jinja2.BytecodeCache):
    """What this process has compiled, or the one that it was forked from: to compile takes as long as to render."""

    def __init__(self, words: str) -> None:
        self._words = words

    def load_bytecode(self, bucket: Bucket) -> None:
        """Takes what was made of the same source, at the same place, with the same words."""
        bucket.code = _compiled.get((self._words, bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keeps it."""
        if bucket.code is not None:
            _compiled[self._words, bucket.key, bucket.checksum] = bucket.code


class Templates:
    """The templates by name; those in `folder` come first. Words are looked up in `messages`.

    `words` tell these, and the filters, from all others: what was compiled with the same is compiled only once.
    """

    def __init__(
        self,
        folder: Path | None = None,
        messages: gettext.NullTranslations | None = None,
        filters: Mapping[str, Callable[..., str]] | None = None,
        words: str | None = None,
    ) -> None:
        self._folders = [each for each in (folder, SHIPPED) if each]
        self._environment = _Environment(
            loader=jinja2.FileSystemLoader([str(each) for each in self._folders]),
            autoescape=jinja2.select_autoescape(["html", "xml"]),
            undefined=jinja2.StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=None if words is None else _Compiled(words),
        )
        self._environment.translated = (messages or gettext.NullTranslations()).gettext
        extended: Any = self._environment  # the extension adds its methods at run time
        extended.install_gettext_translations(messages or gettext.NullTranslations(), newstyle=True)
        self._environment.filters.update(filters or {})

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """The text of a template with `values` filled in. Raises FlatdexError for one that breaks."""
        try:
            return self._environment.get_template(name).render(values)
        except jinja2.TemplateSyntaxError as error:
            raise _broken(error.filename or error.name or name, error.lineno, error.message or "") from error
        except UnicodeDecodeError as error:
            raise _broken(*self._not_utf8(name), "it is not UTF-8") from error
        except jinja2.TemplateNotFound as error:
            file, line = self._place(error)
            raise _broken(file or name, line, f"there is no template {error.name!r}") from error
        except Exception as error:
            file, line = self._place(error)
            if not file:
                raise
            what = str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
            raise _broken(file, line, what) from error

    def compile(self, *kinds: str) -> None:
        """Compiles those of these kinds, such as `.html`, that come with the program."""
        for file in sorted(SHIPPED.iterdir()):
            if file.suffix in kinds:
                self._environment.get_template(file.name)

    def faults(self, name: str) -> Iterator[str]:
        """What is wrong with the template itself, as `FILE:LINE: WHAT`; what it is given is not known here."""
        try:
            self._environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            yield f"{error.filename or name}:{error.lineno}: {error.message}"
        except UnicodeDecodeError:
            yield f"{self._not_utf8(name)[0]}: it is not UTF-8"
        except OSError as error:
            yield f"{error.filename}: {error.strerror}"

    def _not_utf8(self, name: str) -> tuple[str, int]:
        """The first file of these that can't be decoded, and its first such line: the template's own, or another's."""
        for folder in self._folders:
            for file in (folder / name, *sorted(folder.glob("*.*"))):
                lines = file.read_bytes().split(b"\n") if file.is_file() else []
                for number, line in enumerate(lines, 1):
                    if line.decode("utf-8", "replace").encode() != line:
                        return str(file), number
        return name, 0

    def _place(self, error: Exception) -> tuple[str, int]:
        """The line of a template at which it broke; none if it was not a template that broke."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [each for each in frames if any(Path(each.filename).parent == folder for folder in self._folders)]
        return (own[-1].filename, own[-1].lineno or 0) if own else ("", 0)


def _broken(file: str, line: int, what: str) -> FlatdexError:
    fix = "Nothing was built. Mend the template, or move it away to use flatdex's own."
    return FlatdexError(f"{file}:{line}: {what}" if line else f"{file}: {what}", fix)


@cache
def _plain() -> Templates:
    return Templates(words="")


def compile_plain() -> None:
    """Compiles what `render` renders, and what has no words."""
    _plain().compile(".conf", ".css", ".js")


def render(template: str, **values: object) -> str:
    """The text of `templates/TEMPLATE` with `values` filled in."""
    return _plain().render(template, values)
