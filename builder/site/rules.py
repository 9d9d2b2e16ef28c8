"""Rules for Apache, folder by folder: as the `.htaccess` files of a site, or for the server's own configuration.

A site's own rules name index files by their hash: a request reads one generation's rules and gets that generation's
file, whatever is flipped meanwhile. Rules in the server's configuration outlive a snapshot, so they name plain files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder import oci, templating
from builder.config import Cache, Config, LayoutSource
from builder.dispatch import ANNOTATION, LABEL, Dispatch, Route

STATIC = "static"


@dataclass(frozen=True)
class Target:
    """The two files that can answer a query, as paths relative to the folder of the rules."""

    plain: str
    gzip: str


Targets = Mapping[str, Target]
"""By the name of the variant's file."""


@dataclass(frozen=True)
class Rule:
    """A query that meets all of `conditions` is answered by `target`; without one it is a 404."""

    conditions: tuple[str, ...]
    target: Target | None


def plain_targets(files: Iterable[str]) -> Targets:
    """Targets by their plain names, the same in every snapshot."""
    return {file: Target(f"{file}.json", f"{file}.json.gz") for file in files}


def index_folder(dispatch: Dispatch, targets: Targets, cache: Cache) -> str:
    """The rules for `/index/`."""
    return templating.render("index.conf", rules=list(_rules(dispatch, targets)), cache=_control(cache.index))


def tag_folder(target: Target, cache: Cache) -> str:
    """The rules for `/TAG/index/`, where every query has one answer."""
    return templating.render("index.conf", rules=[Rule((), target)], cache=_control(cache.index))


def icons_folder(cache: Cache) -> str:
    """The rules for the folder of icons."""
    return templating.render("icons.conf", cache=_control(cache.icons, immutable=True))


def top_folder(cache: Cache) -> str:
    """The rules for the site's other files."""
    return templating.render("top.conf", cache=_control(cache.index))


def registry_folder(cache: Cache, types: Mapping[str, str]) -> str:
    """The rules for `/v2/`; `types` are the media types, by digest, of manifests that are no OCI manifests."""
    others = {digest: kind for digest, kind in sorted(types.items()) if kind != oci.MANIFEST}
    return templating.render(
        "v2.conf", cache=_control(365 * 86400, immutable=True), manifest=oci.MANIFEST, others=others
    )


def server(config: Config, root: str) -> str:
    """All of it as `<Directory>` blocks for a server whose document root is `root`."""
    targets = plain_targets(variant.file for variant in config.variants)
    folders = {"": top_folder(config.cache), "/index": index_folder(config.dispatch, targets, config.cache)}
    for tag in config.tag_folders:
        folders[f"/{tag}/index"] = tag_folder(Target(STATIC, f"{STATIC}.gz"), config.cache)
    folders[f"/{config.icons.folder}"] = icons_folder(config.cache)
    if any(isinstance(source, LayoutSource) for source in config.sources):
        folders["/v2"] = registry_folder(config.cache, {})
    return templating.render("apache.conf", root=root, folders=folders)


def _control(lifetime: int, immutable: bool = False) -> str:
    """A Cache-Control value for a lifetime in seconds."""
    if lifetime == 0:
        return "no-cache"
    return f"public, max-age={lifetime}" + (", immutable" if immutable else "")


def _rules(dispatch: Dispatch, targets: Targets) -> Iterator[Rule]:
    """What `Dispatch.answer` decides, in rules of which the first that fits counts."""
    for tag in _last(dispatch.tags, dispatch.unknown_tag):
        condition = _tag_condition(dispatch, tag)
        for route in dispatch.of_tag(tag):
            yield Rule((*condition, *_route_conditions(route)), targets[route.file])
        if all(route.architecture for route in dispatch.of_tag(tag)):
            yield Rule(condition, None)
    if dispatch.unknown_tag not in dispatch.tags:
        yield Rule((), None)


def _last(tags: tuple[str, ...], last: str | None) -> list[str]:
    return sorted(tags, key=lambda tag: tag == last)


def _tag_condition(dispatch: Dispatch, tag: str) -> tuple[str, ...]:
    if tag == dispatch.unknown_tag:  # the last one, for all that is left
        return ()
    if tag == dispatch.default_tag:
        return (rf"^(?:(?!tag=)[^&]*&)*(?:tag=(?:{re.escape(tag)})?(?:&|$)|(?!tag=)[^&]*$)",)
    return (_parameter("tag", tag),)


def _route_conditions(route: Route) -> Iterator[str]:
    if route.annotations:
        yield ANNOTATION
        yield "!" + LABEL
    if route.architecture:
        yield _parameter("architecture", route.architecture)


def _parameter(name: str, value: str) -> str:
    """The first parameter `name` of a query has this value."""
    return rf"^(?:(?!{name}=)[^&]*&)*{name}={re.escape(value)}(?:&|$)"
