"""Rules for Apache, folder by folder: as the `.htaccess` files of a site, or for the server's own configuration.

A site's own rules name index files by their hash: a request reads one generation's rules and gets that generation's
file, whatever is flipped meanwhile. Rules in the server's configuration outlive a snapshot, so they name plain files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder import oci, templating
from builder.config import Cache, Config
from builder.dispatch import Dispatch
from builder.site.rules import common, table
from builder.site.rules.common import Target, Targets

_NOTHING = "404 404"
"""In place of two files: there is none of this name."""
_LEFT_ALONE = "E=no-gzip:1,E=no-brotli:1"
"""Flags for what is compressed already."""
_PACKED = f"{_LEFT_ALONE},E=flatdex-gzip:1"
"""The same where it is sent as such. The last one stands for the header, which no flag can set."""


def index_folder(dispatch: Dispatch, targets: Targets) -> str:
    """The rules for `/index/`."""
    return templating.render("index.conf", **_table(dispatch, targets), gzip_in_names=_with_gzip(targets))


def _with_gzip(targets: Targets) -> bool:
    """Whether a plain file's name would tell mod_mime that the file is compressed, as that of a tag `v1.gz` does."""
    return any(".gz" in target.plain for target in targets.values())


def tag_folder(target: Target) -> str:
    """The rules for `/TAG/index/`, where every query has one answer."""
    return templating.render("index.conf", rows=(), target=target, wanted=common.WANTED, gzip_in_names=False)


def icons_folder(cache: Cache) -> str:
    """The rules for the folder of icons."""
    return templating.render("icons.conf", cache=common.lifetimes(cache)["icons"])


def hashed_folder(cache: Cache) -> str:
    """The rules for `/assets/` and `/screenshots/`: what pages bring under names that are hashes."""
    return templating.render("hashed.conf", types=common.HASHED_TYPES, cache=common.lifetimes(cache)["hashed"])


def top_folder(config: Config) -> str:
    """The rules for the site's other files, and the headers of all: folders below inherit them."""
    return _top(config, htaccess=True)


def registry_folder(cache: Cache, types: Mapping[str, str]) -> str:
    """The rules for `/v2/`; `types` are the media types, by digest, of manifests that are no OCI manifests."""
    others = {digest: kind for digest, kind in sorted(types.items()) if kind != oci.MANIFEST}
    hashed = common.lifetimes(cache)["hashed"]
    return templating.render("v2.conf", cache=hashed, manifest=oci.MANIFEST, others=others)


def server(config: Config, root: str, prefix: str) -> str:
    """All of it for a virtual host that shows the folder `root` at the path `prefix`.

    What is rewritten there is rewritten before a file is looked for; rules of folders would answer by way of a second,
    internal request, which costs a quarter of all requests a second.
    """
    targets = common.plain_targets(variant.file for variant in config.variants)
    folders = {"": _top(config, htaccess=False), "/index": templating.render("json.conf")}
    for folder in common.index_folders(config).values():
        folders[f"/{folder}"] = folders["/index"]
    folders[f"/{config.icons.folder}"] = icons_folder(config.cache)
    for folder in common.HASHED:
        folders[f"/{folder}"] = hashed_folder(config.cache)
    if common.has_blobs(config):
        folders["/v2"] = registry_folder(config.cache, {})
    return templating.render(
        "apache.conf",
        **_table(config.dispatch, targets),
        root=root,
        prefix=prefix,
        path=re.escape(prefix),
        tags=[re.escape(tag) for tag in config.tag_folders],
        folders=folders,
        missing=common.missing_page(config),
        left_alone=_LEFT_ALONE,
    )


def _top(config: Config, htaccess: bool) -> str:
    return templating.render(
        "top.conf",
        htaccess=htaccess,
        types=common.PAGE_TYPES,
        security=common.security(config),
        cache=common.lifetimes(config.cache),
    )


def _table(dispatch: Dispatch, targets: Targets) -> dict[str, object]:
    """What `table.conf` is rendered with."""
    pattern, group = table.pattern(dispatch, gzip=True)
    answers = {file: f"{target.plain} {target.gzip}" for file, target in targets.items()}
    return {
        "rows": list(table.rows(dispatch, answers, _NOTHING)),
        "asked": table.asked("%{QUERY_STRING}", "%{HTTP:Accept-Encoding}"),
        "pattern": table.COMPILED_OFTEN + pattern,
        "group": group,
        "wanted": common.WANTED,
        "packed": _PACKED,
    }
