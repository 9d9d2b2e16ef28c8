"""Finds a configuration file, reads it, and tells all that is wrong in it at once."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder import checks, document, mirrorfile, regindexer, schema, variants
from builder.config import (
    CONNECTIONS,
    GRACE,
    VALID_FOR,
    Access,
    Cache,
    Config,
    Index,
    LayoutSource,
    Pages,
    Rate,
    RegistrySource,
    Remote,
    Screenshots,
    Signing,
    Source,
    Theme,
    Token,
)
from builder.document import Document
from builder.errors import ConfigError, Problem
from builder.spans import seconds

NAME = "flatdex.yaml"
SCHEMA = "config.schema.json"
SYSTEM = Path("/etc/flatdex/flatdex.yaml")

PUBLISHING = ("targets", "parallel", "together", "keep", "hooks", "doctor", "events", "metrics")


def find(given: str | None, environment: Mapping[str, str]) -> Path:
    """The file that `-c` names, else `$FLATDEX_CONFIG`, else ./flatdex.yaml, else the system's."""
    named = given or environment.get("FLATDEX_CONFIG")
    if named:
        return Path(named).absolute()
    here = Path(NAME).absolute()
    found = next((file for file in (here, SYSTEM) if file.is_file()), None)
    if found is None:
        fix = f"Looked for {here} and {SYSTEM}. Name one with -c FILE, or write one: `flatdex init URL`."
        raise ConfigError(NAME, [Problem(1, "", "no configuration was found", fix)])
    return found


def load(file: Path, environment: Mapping[str, str], store: str | None = None) -> Config:
    """The checked configuration in `file`; `store`, where given, replaces the file's. Raises ConfigError."""
    read = document.read(file, environment)
    old_form = regindexer.recognised(read.data)
    found = [*read.problems, *_no_store(read, store)]
    is_mirror = mirrorfile.recognised(read.data)
    whole = mirrorfile.filled(read) if is_mirror else read
    found += _of_other_keys(found, schema.problems(whole, regindexer.SCHEMA if old_form else SCHEMA))
    found += mirrorfile.problems(read) if is_mirror else [] if old_form else checks.references(read)
    _raise(read, found)
    data: Any = read.data  # a mapping, the schema says
    place = Path(store).absolute() if store else _absolute(file.parent, data["store"])
    if is_mirror:
        settings, wrong = mirrorfile.settings(read)
        _raise(read, wrong)
        return mirrorfile.config(settings, place, file, {key: data[key] for key in PUBLISHING if key in data})
    config = regindexer.config(read, data, place, environment) if old_form else made(read, data, place)
    _raise(read, [*(regindexer.problems(read, data) if old_form else checks.collisions(read, config))])
    return config


def _of_other_keys(told: list[Problem], found: list[Problem]) -> list[Problem]:
    """What is found at keys of which nothing was told yet: a second message would only repeat the first."""
    keys = {problem.key for problem in told}
    return [problem for problem in found if problem.key not in keys]


def _raise(read: Document, problems: list[Problem]) -> None:
    if problems:
        raise ConfigError(str(read.file), problems)


def _no_store(read: Document, given: str | None) -> list[Problem]:
    if given or not isinstance(read.data, dict) or "store" in read.data:
        return []
    return [Problem(1, "store", "no store is named", "Add `store: FOLDER`, or give --store FOLDER.")]


def _absolute(folder: Path, path: str) -> Path:
    # normpath would be wrong for `link/..`: absolute() leaves `..` to the kernel.
    return (folder / Path(path).expanduser()).absolute()


def made(read: Document, data: Any, store: Path) -> Config:
    """The values of what the schema finds nothing wrong with."""
    sources = tuple(_source(name, value, read.file.parent) for name, value in data["sources"].items())
    indexes = _indexes(data["indexes"], sources)
    cache = {key: seconds(value) for key, value in data.get("cache", {}).items()}
    return Config(
        file=read.file,
        store=store,
        remote=_remote(data["remote"]),
        sources=sources,
        indexes=indexes,
        variants=variants.variants(indexes),
        dispatch=variants.dispatch(indexes),
        tag_folders={tag: tag for index in indexes for tag in index.tags},
        publishing={key: data[key] for key in PUBLISHING if key in data},
        cache=Cache(**cache),
        grace=seconds(data["grace"]) if "grace" in data else GRACE,
        pages=_pages(data, read.file.parent) if data.get("pages", True) else None,
        sign=signing(data, read.file.parent),
    )


def signing(data: Mapping[str, Any], folder: Path) -> Signing | None:
    """What the configuration says of signatures."""
    if "sign" not in data:
        return None
    given = data["sign"]["key"]
    keys = tuple(_absolute(folder, key) for key in ([given] if isinstance(given, str) else given))
    return Signing(keys, seconds(data["sign"].get("valid_for", f"{VALID_FOR}s")))


def _pages(data: Mapping[str, Any], folder: Path) -> Pages:
    given = data.get("screenshots", Screenshots.LINK.value)
    screenshots = {"mode": given} if isinstance(given, str) else given
    return Pages(
        languages=tuple(data.get("languages", ("en",))),
        templates=_absolute(folder, data["templates"]) if "templates" in data else None,
        theme=_theme(data.get("theme", {}), folder),
        screenshots=Screenshots(screenshots["mode"]),
        picture_hosts=tuple(screenshots.get("hosts", ())),
    )


def _theme(data: Mapping[str, Any], folder: Path) -> Theme:
    logo = _absolute(folder, data["logo"]) if "logo" in data else None
    plain = {key: data[key] for key in ("accent", "footer") if key in data}
    return Theme(logo=logo, links=tuple(data.get("links", {}).items()), **plain)


def _remote(data: Mapping[str, Any]) -> Remote:
    return Remote(**{"title": data["name"], "id": data["url"], **data})


def _source(name: str, data: Mapping[str, Any], folder: Path) -> Source:
    if "layouts" in data:
        token = Token(data.get("token", Token.NONE))
        here = Path(glob.escape(str(folder)))  # only what the configuration says may be a pattern
        patterns = tuple(str(_absolute(here, pattern)) for pattern in data["layouts"])
        tag = data.get("tag", variants.FALLBACK_TAG)
        return LayoutSource(name, patterns, tag, token, max_stale=_max_stale(data))
    registry = data["registry"].rstrip("/")
    return RegistrySource(
        name=name,
        registry=registry,
        public=data.get("public", registry + "/"),
        repositories=tuple(data.get("repositories", ("*",))),
        exclude=tuple(data.get("exclude", ())),
        token=Token(data.get("token", Token.AS_IMAGE)),
        access=_access(data, folder),
        max_stale=_max_stale(data),
    )


def _max_stale(data: Mapping[str, Any]) -> int | None:
    return seconds(data["max_stale"]) if "max_stale" in data else None


def _access(data: Mapping[str, Any], folder: Path) -> Access:
    def file(key: str) -> Path | None:
        return _absolute(folder, data[key]) if key in data else None

    given = data.get("cert")
    cert = tuple(_absolute(folder, each) for each in ([given] if isinstance(given, str) else given or ()))
    return Access(
        connections=data.get("connections", CONNECTIONS),
        rate=rate(data["rate"]) if "rate" in data else None,
        auth_file=file("auth_file"),
        ca=file("ca"),
        cert=(cert[0], cert[1] if len(cert) > 1 else None) if cert else None,
        auth_realms=tuple(data.get("auth_realms", ())),
    )


def _indexes(data: Mapping[str, Any], sources: tuple[Source, ...]) -> tuple[Index, ...]:
    defaults = {"sources": [source.name for source in sources], **data.get("defaults", {})}
    given = {name: {**defaults, **index} for name, index in data.items() if name != "defaults"}
    return tuple(
        Index(name=name, **{key: _frozen(key, value) for key, value in each.items()}) for name, each in given.items()
    )


def _frozen(key: str, value: Any) -> Any:
    if key == "max_shrink":
        return int(str(value).rstrip("% "))
    return tuple(value) if isinstance(value, list) else value


def rate(text: str) -> Rate:
    """`100/6h` as 100 in 21600 seconds; `5/s` as 5 in 1."""
    number, _, window = text.partition("/")
    return Rate(int(number), seconds(window if window[0].isdigit() else f"1{window}"))
