"""Rules for nginx, to be included by a server block."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder import oci, templating
from builder.config import Config
from builder.dispatch import COLON, Dispatch
from builder.site.rules import common


def server(config: Config, root: str, prefix: str) -> str:
    """The rules for a server block that shows the folder `root` at the path `prefix`."""
    dispatch = config.dispatch
    return templating.render(
        "nginx.conf",
        root=root,
        prefix=prefix,
        path=re.escape(prefix),
        default_tag=dispatch.default_tag,
        unknown_tag=dispatch.unknown_tag,
        tags=[re.escape(tag) for tag in dispatch.tags],
        colon=COLON,
        choices=choices(dispatch),
        forms=any(route.annotations for route in dispatch.routes),
        indexes=["index", *common.index_folders(config).values()],
        icons=config.icons.folder,
        blobs=common.has_blobs(config),
        manifest=oci.MANIFEST,
        page_types=_plain({**common.PAGE_TYPES, **common.PACKED_TYPES}),
        hashed=common.HASHED,
        hashed_types=_plain(common.HASHED_TYPES),
        texts=_texts({**common.PAGE_TYPES, **common.HASHED_TYPES}),
        missing=common.missing_page(config),
        cache=common.lifetimes(config.cache),
        security=common.security(config),
    )


def _bare(kind: str) -> str:
    """A content type without its charset, which `charset` adds: gzip_types compares what stands here."""
    return kind.partition(";")[0]


def _texts(types: Mapping[str, str]) -> list[str]:
    """What has a charset, beside text/html, which is always taken to have one."""
    return sorted({_bare(kind) for kind in types.values() if ";" in kind} - {"text/html"})


def _plain(types: Mapping[str, str]) -> dict[str, str]:
    return {ending: _bare(kind) for ending, kind in types.items()}


def choices(dispatch: Dispatch) -> list[tuple[str, str, str]]:
    """A variable, what it is compared with, and the file that answers if they are the same: the last one counts."""
    found = []
    for tag in dispatch.tags:
        for route in reversed(dispatch.of_tag(tag)):
            asked = [tag]
            if route.architecture:
                asked.append(route.architecture)
            if route.annotations:
                asked.append("annotations")
            variable = {
                (False, False): "tag",
                (True, False): "tag_architecture",
                (False, True): "tag_form",
                (True, True): "tag_architecture_form",
            }[bool(route.architecture), route.annotations]
            found.append((f"$flatdex_{variable}", " ".join(asked), route.file))
    return found
