"""The configuration of a copy: what the other site's list says, as far as its own file says nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from builder import checks, configfile, schema
from builder.config import Config, Form, Mirror, MirrorSource, Remote
from builder.copied import FOLDER, Copied
from builder.description import Snapshot
from builder.document import Document
from builder.errors import FlatdexError
from builder.store import Store

SOURCE = "mirror"
"""The name of a copy's one source."""
_LOGO = re.compile(r"assets/([0-9a-f]{64})(\.(?:jpe?g|png|svg|webp))")
_AGAIN = "Whoever runs the remote that is mirrored should build it again, with a flatdex as new as this one."


def known(config: Config) -> Config:
    """The configuration of a copy, once anything was fetched; any other one as it is."""
    if config.mirror is None:
        return config
    copied = Copied(Store(config.store))
    return of_list(config, copied.snapshot, copied.chosen.partial) if copied.is_there else config


def check_known(config: Config) -> None:
    """Raises FlatdexError for a copy of which nothing was fetched yet."""
    if config.mirror and not config.sources:
        raise FlatdexError(f"nothing was mirrored into {config.store} yet", "`flatdex mirror` does that, and builds.")


def of_list(config: Config, snapshot: Snapshot, partial: bool) -> Config:
    """The configuration of a copy of what this list names. Raises FlatdexError for a list that doesn't say enough.

    Nothing in a list is believed: it passes the same checks as a file of an operator's own.
    """
    mirror = config.mirror or Mirror(())
    try:
        json.dumps(snapshot.document["remote"], ensure_ascii=False).encode("utf-8")
        data = _data(snapshot, mirror, logo_file(config, snapshot))
        indexes = dict(_indexes(snapshot.document, mirror))
        offered = [tag for index in snapshot.document["indexes"] for tag in index["tags"]]
        listed = snapshot.document["dispatch"]
        default, unknown = listed["default_tag"], listed["unknown_tag"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the list {snapshot.id} doesn't say what a mirror needs: {type(error).__name__}: {error}"
        raise FlatdexError(what, _AGAIN) from error
    if not indexes:
        raise FlatdexError(f"the remote has none of the tags {', '.join(mirror.tags)}", f"It has: {', '.join(offered)}")
    read = Document(config.file, {**data, "indexes": indexes}, {})
    found = _checked(read, snapshot, config.store)
    tags = found.dispatch.tags
    return replace(
        found,
        sources=(
            MirrorSource(
                SOURCE, config.store / FOLDER, snapshot.id, snapshot.version, partial, tags if mirror.tags else ()
            ),
        ),
        dispatch=replace(
            found.dispatch,
            default_tag=default if default in tags else found.dispatch.default_tag,
            unknown_tag=unknown if unknown in tags else None,
        ),
        publishing=config.publishing,
        mirror=config.mirror,
    )


def _checked(read: Document, snapshot: Snapshot, store: Path) -> Config:
    problems = schema.problems(read, configfile.SCHEMA)
    if not problems:
        found = configfile.made(read, read.data, store)
        problems = list(checks.collisions(read, found))
        if not problems:
            return found
    what = "; ".join(f"{problem.key}: {problem.what}" for problem in problems[:3])
    if snapshot.document["remote"].get("name") is None:
        fix = "Write `remote: {name: .., url: ..}` into the mirror's configuration."
        raise FlatdexError(f"the list {snapshot.id} doesn't tell the remote's name and URL: {what}", fix)
    raise FlatdexError(f"the list {snapshot.id} says what no configuration may say: {what}", _AGAIN)


def _data(snapshot: Snapshot, mirror: Mirror, logo: Path | None) -> dict[str, Any]:
    """What an operator would write for such a site, and over it what is written."""
    pages = snapshot.document["pages"]
    data: dict[str, Any] = {"sources": {SOURCE: {"layouts": [FOLDER]}}}
    if pages is None:
        data["pages"] = False
    else:
        links = {str(text): url for text, url in pages["links"]}
        theme = {"accent": pages["accent"], "links": links, "footer": pages["footer"], "logo": str(logo or "")}
        data["languages"], data["screenshots"] = pages["languages"], pages["screenshots"]
        data["theme"] = {key: value for key, value in theme.items() if value}
    # The identity is the other site's, whatever the copy is called: it is the same remote.
    told = {"id": mirror.remote_id or mirror.own.get("remote", {}).get("url")}
    told.update({key: value for key, value in snapshot.document["remote"].items() if value is not None})
    known = {each.name: told[each.name] for each in fields(Remote) if each.name in told}  # a later version tells more
    return {**data, **mirror.own, "remote": {**known, **mirror.own.get("remote", {}), "id": told["id"]}}


def _indexes(document: Mapping[str, Any], mirror: Mirror) -> Iterator[tuple[str, dict[str, Any]]]:
    """The indexes that are taken; those with the same tags, which regindexer has for each architecture, become one."""
    both = {variant["index"] for variant in document["variants"] if variant["form"] == Form.BOTH.value}
    found: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
    for each in document["indexes"]:
        tags = tuple(tag for tag in each["tags"] if not mirror.tags or tag in mirror.tags)
        names = [name for name in each["architectures"] if not mirror.architectures or name in mirror.architectures]
        if tags in found:
            same = found[tags][1]
            same["architectures"] += [name for name in names if name not in same["architectures"]]
            same["annotations"] |= each["annotations"] or each["name"] in both
        elif tags:
            flags = {"extract_icons": each["extract_icons"], "annotations": each["annotations"] or each["name"] in both}
            found[tags] = each["name"], {"tags": list(tags), "architectures": names, "max_shrink": "100%", **flags}
    yield from found.values()


def logo_of(snapshot: Snapshot) -> str:
    """The sha256 of the other site's logo; empty if it has none."""
    match = _LOGO.fullmatch(_logo_path(snapshot))
    return match[1] if match and match[0] in snapshot.by_path else ""


def logo_file(config: Config, snapshot: Snapshot) -> Path | None:
    """The logo as it lies in the store, once it was fetched."""
    match = _LOGO.fullmatch(_logo_path(snapshot))
    file = config.store / FOLDER / f"logo-{match[1]}{match[2]}" if match else None
    return file if file and file.is_file() else None


def keep_logo(config: Config, snapshot: Snapshot, data: bytes) -> None:
    """Puts the fetched logo to where `logo_file` finds it."""
    match = _LOGO.fullmatch(_logo_path(snapshot))
    if match:
        (config.store / FOLDER / f"logo-{match[1]}{match[2]}").write_bytes(data)


def _logo_path(snapshot: Snapshot) -> str:
    pages = snapshot.document.get("pages")
    return str(pages.get("logo", "")) if isinstance(pages, dict) else ""
