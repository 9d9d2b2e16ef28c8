"""Rules for nginx, to be included by a server block."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder import oci, templating
from builder.config import Config
from builder.site.rules import common, table


def server(config: Config, root: str, prefix: str) -> str:
    """The rules for a server block that shows the folder `root` at the path `prefix`."""
    dispatch = config.dispatch
    return templating.render(
        "nginx.conf",
        root=root,
        prefix=prefix,
        path=re.escape(prefix),
        table="".join(table.rows(dispatch, {route.file: route.file for route in dispatch.routes}, "")),
        asked=table.asked("$args"),
        pattern=table.pattern(dispatch, gzip=False)[0].replace(table.CAPTURED, r"(?<flatdex_file>\S+)"),
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
