"""Rules for web servers that show a stick: those of its site, by its `snapshot.json` alone, and those of `/v2/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from builder import oci, templating
from builder.config import Cache, Config, Icons, Pages, Remote, Screenshots, Variant
from builder.description import Snapshot
from builder.dispatch import described
from builder.errors import UsageError
from builder.site.rules import apache, caddy, common, nginx, written
from builder.stick import is_stick

_ICON = re.compile(r"(.+)/[0-9a-f]{2}/[0-9a-f]{62}\.png")
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_TYPE = re.compile(r"manifests/(sha256:[0-9a-f]{64})\$ - \[T=([^\],]+)")


def config_of(snapshot: Snapshot) -> Config:
    """As much of the configuration that a site was built with as rules are rendered of."""
    document, top = snapshot.document, snapshot.document.get("rules", {}).get(".htaccess", "")
    shots = Screenshots.HOTLINK if "img-src 'self' https:" in top else Screenshots.LINK
    remote = document["remote"]
    dispatch = described(document["dispatch"])
    return Config(
        file=snapshot.folder / "flatdex.yaml",
        store=snapshot.folder,
        remote=Remote("", "", str(remote.get("url") or ""), ""),
        sources=(),
        indexes=(),
        variants=tuple(Variant(file, "") for file in dict.fromkeys(route.file for route in dispatch.routes)),
        dispatch=dispatch,
        tag_folders={tag: "" for tag in dispatch.tags if f"{tag}/index/static" in snapshot.by_path},
        publishing={},
        icons=Icons(folder=_icons(snapshot)),
        pages=Pages(screenshots=shots) if "404.html" in snapshot.by_path else None,
    )


def _icons(snapshot: Snapshot) -> str:
    """The folder of icons: the one whose files are named by their hashes, in two parts."""
    for entry in snapshot.files:
        match = _ICON.fullmatch(entry.path)
        if match and entry.path.replace("/", "").endswith(f"{entry.sha256}.png"):
            if not _FOLDER.fullmatch(match[1]):
                raise ValueError(f"{match[1]!r:.80} can't be a folder of icons")
            return match[1]
    return Icons().folder


def _around(template: str, snapshot: Snapshot, root: str, prefix: str) -> str:
    """The part about `/v2/`."""
    known = _TYPE.findall(snapshot.document.get("rules", {}).get("v2/.htaccess", ""))
    return templating.render(
        template,
        root=root,
        prefix=prefix,
        path=re.escape(prefix),
        manifest=oci.MANIFEST,
        others={digest.removeprefix("sha256:"): kind for digest, kind in known if kind == oci.DOCKER_MANIFEST},
        security=common.security(config_of(snapshot)),
        cache=common.lifetimes(Cache())["hashed"],
    )


def _apache(snapshot: Snapshot, root: str, prefix: str) -> str:
    around = _around("stick-apache.conf", snapshot, root, prefix)
    return f"{around}\n{apache.server(config_of(snapshot), root, prefix)}"


def _nginx(snapshot: Snapshot, root: str, prefix: str) -> str:
    return f"{nginx.server(config_of(snapshot), root, prefix)}\n{_around('stick-nginx.conf', snapshot, root, prefix)}"


def _caddy(snapshot: Snapshot, root: str, prefix: str) -> str:
    return f"{caddy.server(config_of(snapshot), root, prefix)}\n{_around('stick-caddy.conf', snapshot, root, prefix)}"


SERVERS: Mapping[str, Callable[[Snapshot, str, str], str]] = {"apache": _apache, "nginx": _nginx, "caddy": _caddy}
"""By a server's name: the text of its rules, from the stick's snapshot, its folder there, and the path of its URL."""


def rules(server: str, snapshot: Snapshot, root: str | None = None, prefix: str | None = None) -> str:
    """The rules for a server of this kind that shows the stick with this snapshot. Raises UsageError.

    `root` is the stick's folder there, `prefix` the path at which it is shown: else that of the remote's URL.
    """
    if not is_stick(snapshot.folder):
        raise UsageError(
            f"{snapshot.folder} is no stick", "Name a folder that `flatdex export` has filled with --stick."
        )
    try:
        at = common.prefix(config_of(snapshot)) if prefix is None else prefix
        return SERVERS[server](snapshot, written.folder(root or snapshot.folder), written.mount(at))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        what = f"{snapshot.folder}: no rules are made of its snapshot.json: {error}"
        fix = "It was not written by `flatdex export`, or was changed since: don't show it."
        raise UsageError(what, fix) from error
