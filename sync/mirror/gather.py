"""Where sources come from: the configuration, a folder that others drop them into, mounted file systems, the LAN."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from builder import files
from builder.description import DESCRIPTION
from builder.errors import UsageError
from sync.mirror import bounded, lan, mounts
from sync.mirror.model import Found, Source
from sync.mirror.mounts import MountRule, url_of

_SECONDS = 2.0  # for a look at what was dropped in
_LARGEST = 64 * 1024
_MOST = 64  # sources that were dropped in
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")

Gathered = tuple[tuple[Source, ...], tuple[str, ...]]
"""Sources and warnings."""


def sources(
    configured: Sequence[str],
    folder: Path | None = None,
    rule: MountRule | None = None,
    discover: float = 0,
    remote_id: str = "",
) -> Gathered:
    """All sources, each once, in that order; and warnings about what can't be used.

    `configured` are URLs and paths, `folder` is where others drop sources in, `rule` says where to look on mounted file
    systems, `discover` for how many seconds to listen on the LAN, for peers that say they have `remote_id` if that is
    known. Raises UsageError for a configured source that is none.
    """
    none: Gathered = (), ()
    parts: list[Gathered] = [
        (tuple(Source(url(each)) for each in configured), ()),
        dropped_in(folder) if folder else none,
        mounts.sources(rule) if rule else none,
        lan.discover(discover, remote_id) if discover else none,
    ]
    found = [each for part in parts for each in part[0]]
    first = {each.url: each for each in reversed(found)}
    return tuple(each for each in found if first[each.url] is each), tuple(text for part in parts for text in part[1])


def url(text: str) -> str:
    """A URL or a path as a source's URL, in one form, with a slash at its end. Raises UsageError.

    A client's `oci+https://` is taken, and so is the URL of the `snapshot.json` itself.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise UsageError(f"{text!r:.80} is no source", "Give a URL, or the path of a folder.")
    scheme, colon, rest = text.removeprefix("oci+").partition(":")
    scheme = scheme.lower()
    if not colon or "/" in scheme or (not rest.startswith("//") and scheme not in ("file", *_PORTS)):
        return _folder_url(Path(text).expanduser())
    if scheme == "file":
        return _folder_url(_path_of(text, rest))
    if scheme not in _PORTS:
        fix = "Sources are reached by https://, http:// or as a folder: file:///media/stick, or its plain path."
        raise UsageError(f"{text:.200} is no source: {scheme}:// is not known", fix)
    return _web_url(text, scheme, rest)


def _folder_url(path: Path) -> str:
    # resolve() would follow links, and ask what may not answer; POSIX lets two slashes at the start be two.
    path = Path("/" + os.path.abspath(path).lstrip("/"))  # noqa: PTH100
    return url_of(path.parent if path.name == DESCRIPTION else path)


def _path_of(text: str, rest: str) -> Path:
    host, _, path = rest.removeprefix("//").partition("/") if rest.startswith("//") else ("", "", rest.lstrip("/"))
    if host not in ("", "localhost") or not rest.startswith("/"):
        fix = "A folder's URL has three slashes and an absolute path: file:///media/stick"
        raise UsageError(f"{text:.200} is no folder of this machine", fix)
    path = unquote(f"/{path}")
    if not path.isprintable():
        raise UsageError(f"{text!r:.200} is no folder's name", "Give a URL, or the path of a folder.")
    return Path(path)


def _web_url(text: str, scheme: str, rest: str) -> str:
    try:
        parts = urlsplit(f"{scheme}:{rest}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"{text:.200} is no URL: {error}", "Is its port a number, and its host a name?") from error
    if "@" in parts.netloc:
        place = f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        fix = "Nothing of the kind is sent to a source, and it would end up in logs: give the URL without it."
        raise UsageError(f"{place:.200}: there is a login in this URL", fix)
    if parts.query or parts.fragment or "?" in rest or "#" in rest:
        fix = "A source is the URL that its snapshot.json lies below, without ? and #; `tags` chooses tags."
        raise UsageError(f"{text:.200} has a query or a fragment", fix)
    if parts.path.endswith((".flatpakrepo", ".flatpakref")):
        fix = "Give the URL of the remote that it names, without the file."
        raise UsageError(f"{text:.200} is a file for clients, not a source", fix)
    name = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(name):
        raise UsageError(f"{text:.200} names no host", "It looks like this: https://flatpaks.example.org/")
    origin = f"{scheme}://{name}" + ("" if port in (None, _PORTS[scheme]) else f":{port}")
    path = parts.path.removesuffix(DESCRIPTION) if parts.path.endswith(f"/{DESCRIPTION}") else parts.path
    inner = path.strip("/")
    return f"{origin}/" + quote(f"{inner}/" if inner else "", safe="/%:@!$&'()*+,;=~")


def dropped_in(folder: Path) -> Gathered:
    """What lies in a folder where a mount unit or an udev rule may add and remove sources at any time.

    Folders, and links to folders, are sources; files called `*.url` name some, a line each. What is broken there stops
    nobody: it is a warning.
    """
    try:
        names = sorted(each.name for each in folder.iterdir() if not _is_ignored(each.name))
    except FileNotFoundError:
        return (), ()
    except OSError as error:
        return (), (f"{folder} is not looked at: {error.strerror}",)
    looks = {name: partial(_entry, folder / name) for name in names}
    done = bounded.each(_SECONDS, looks)
    late = [
        f"{folder / name} gave no answer in {_SECONDS:g} seconds, and is left out" for name in names if name not in done
    ]
    found = [each for name in names if name in done for each in done[name][0]]
    warnings = [text for name in names if name in done for text in done[name][1]]
    if len(found) > _MOST:
        warnings.append(f"{folder} names {len(found)} sources: only the first {_MOST} are used")
    return tuple(found[:_MOST]), (*late, *warnings)


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.endswith((".bak", "~"))


def _entry(path: Path) -> Gathered:
    try:
        if path.is_dir():
            return (Source(url_of(path.resolve()), Found.DROPPED_IN),), ()
        if not path.name.endswith(".url"):
            what = "it is a link that leads nowhere" if path.is_symlink() else "it is neither a folder nor a *.url file"
            return (), (f"{path} names no source: {what}",) if path.is_symlink() or path.exists() else ()
        lines = files.read(path, _LARGEST).decode("utf-8").splitlines()
    except FileNotFoundError:  # it was removed in the meantime, as it may be
        return (), ()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        return (), (f"{path} can't be read: {why}",)
    return _lines(path, lines)


def _lines(path: Path, lines: Iterable[str]) -> Gathered:
    def read() -> Iterator[Source | str]:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if "://" not in text and not text.startswith(("/", "file:")):
                yield f"{path}:{number}: {text!r:.80} is no source: write a URL, or an absolute path"
                continue
            try:
                yield Source(url(text), Found.DROPPED_IN)
            except UsageError as error:
                yield f"{path}:{number}: {error.line}"

    found = list(read())
    named = tuple(each for each in found if isinstance(each, Source))
    return named, tuple(each for each in found if isinstance(each, str))
