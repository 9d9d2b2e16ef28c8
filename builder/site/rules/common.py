"""What the rules of all web servers have in common: names, lifetimes, the headers that keep visitors safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from builder.config import Cache, Config, LayoutSource, MirrorSource, Screenshots

STATIC = "static"
YEAR = 365 * 86400

WANTED = r"\b(?!\s*;\s*q=0[.0]*\s*(?:,|$))"
"""In Accept-Encoding, after the name of an encoding: it is taken."""

HASHED = ("assets", "screenshots")
"""The folders of what pages bring under names that are hashes."""

PAGE_TYPES = {
    "atom": "application/atom+xml",
    "flatpakref": "application/vnd.flatpak.ref",
    "flatpakrepo": "application/vnd.flatpak.repo",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
}
"""Content types by what a name ends in: of pages and of what clients load by name."""

PACKED_TYPES = {"gz": "application/gzip"}
"""The same of what was compressed once, for who asks for it by this name."""

HASHED_TYPES = {
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
    "woff2": "font/woff2",
}
"""The same in the folders of `HASHED`."""


@dataclass(frozen=True)
class Target:
    """The two files that can answer a query, as paths relative to the folder of the rules."""

    plain: str
    gzip: str


Targets = Mapping[str, Target]
"""By the name of the variant's file."""


def plain_targets(files: Iterable[str]) -> Targets:
    """Targets by their plain names, the same in every snapshot."""
    return {file: Target(f"{file}.json", f"{file}.json.gz") for file in files}


def control(lifetime: int, immutable: bool = False) -> str:
    """A Cache-Control value for a lifetime in seconds."""
    if lifetime == 0:
        return "no-cache"
    return f"public, max-age={lifetime}" + (", immutable" if immutable else "")


def lifetimes(cache: Cache) -> dict[str, str]:
    """Cache-Control of what can change, of icons, and of all else that is named by its hash."""
    return {
        "index": control(cache.index),
        "icons": control(cache.icons, immutable=True),
        "hashed": control(YEAR, immutable=True),
    }


def policy(config: Config, *, header: bool = True) -> str:
    """The Content-Security-Policy: what pages bring themselves, no inline style or script, no other host.

    Pictures of other hosts are let in only where the configuration links to screenshots directly. In a page itself,
    where there is no `header`, nothing can be said of who may frame it.
    """
    hotlink = config.pages is not None and config.pages.screenshots is Screenshots.HOTLINK
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "img-src 'self'" + (" https:" if hotlink else ""),
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            *(("frame-ancestors 'none'",) if header else ()),
        )
    )


def security(config: Config) -> dict[str, str]:
    """Headers of every answer. Strict-Transport-Security is for who has the certificate to decide."""
    return {
        "Content-Security-Policy": policy(config),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def prefix(config: Config) -> str:
    """The path at which the remote's URL mounts the site, not percent-encoded, with a slash at both ends."""
    path = unquote(urlsplit(config.remote.url).path) if config.remote else ""
    return f"/{path.strip('/')}/".replace("//", "/")


def index_folders(config: Config) -> dict[str, str]:
    """The folders of the tags' own indexes, for hosts that ignore query strings, by tag."""
    return {tag: f"{tag}/index" for tag in config.tag_folders}


def missing_page(config: Config) -> str:
    """The page for people who asked for what isn't there; "" if there is none."""
    return "404.html" if config.pages and config.remote else ""


def has_blobs(config: Config) -> bool:
    """Whether `/v2/` is a part of the site."""
    return any(isinstance(source, LayoutSource | MirrorSource) for source in config.sources)
