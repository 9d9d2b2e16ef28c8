"""Rules for Caddy, to be imported by a site block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder import oci, templating
from builder.config import Config
from builder.dispatch import ANNOTATION, LABEL, Dispatch, Route
from builder.site.rules import common


def server(config: Config, root: str, prefix: str) -> str:
    """The rules for a site block that shows the folder `root` at the path `prefix`."""
    indexes = ["index", *common.index_folders(config).values()]
    return templating.render(
        "caddy.conf",
        root=root,
        prefix=prefix,
        annotation=ANNOTATION,
        label=LABEL,
        choices=list(choices(config.dispatch)),
        indexes=indexes,
        icons=config.icons.folder,
        machines=[*indexes, config.icons.folder, *common.HASHED, "v2"],
        missing=common.missing_page(config),
        manifest=oci.MANIFEST,
        types={**common.PAGE_TYPES, **common.HASHED_TYPES, **common.PACKED_TYPES},
        cache=common.lifetimes(config.cache),
        security=common.security(config),
    )


def choices(dispatch: Dispatch) -> Iterator[tuple[str, str]]:
    """A pattern of `TAG ARCHITECTURE FORM`, and the file that answers what it fits; the first one counts."""
    for tag in dispatch.tags:
        known = re.escape(tag)
        pattern = f"(?:{known})?" if tag == dispatch.default_tag else known
        yield from _of_tag(dispatch, tag, pattern)
    if dispatch.unknown_tag in dispatch.tags:
        yield from _of_tag(dispatch, dispatch.unknown_tag or "", "[^ ]*")


def _of_tag(dispatch: Dispatch, tag: str, pattern: str) -> Iterator[tuple[str, str]]:
    routes = dispatch.of_tag(tag)
    for route in routes:
        yield f"^{pattern} {_rest(route)}$", route.file
    if all(route.architecture for route in routes):
        yield f"^{pattern} ", ""


def _rest(route: Route) -> str:
    return f"{route.architecture or '[^ ]*'} {'annotations' if route.annotations else '.*'}"
