"""Renders what lies in `templates/`: a name that a template uses and nobody gives is an error, not an empty text."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(files("templates"))),
        autoescape=jinja2.select_autoescape(["html", "xml"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """The text of `templates/TEMPLATE` with `values` filled in."""
    return _environment().get_template(template).render(**values)
