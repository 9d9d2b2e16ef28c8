"""What a JSON Schema can't say about a configuration: names that don't exist, and names that collide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from builder.config import Config, RegistrySource
from builder.document import Document
from builder.errors import Problem
from builder.schema import suggestion

TOP_LEVEL = frozenset(
    (
        *("404.html", "apps", "assets", "blobs", "categories", "changes", "channels", "extensions", "favicon.ico"),
        *("feed.atom", "icons", "index", "index.html", "index.json", "oci-layout", "refs", "robots.txt"),
        *("runtimes", "screenshots", "search.json", "search.json.gz", "snapshot.json", "static", "upstream", "v2"),
    )
)
"""What a snapshot has, or will have, at its top: no tag may be called so, since each tag is a folder there too."""

DOCKER_HUB = "https://registry-1.docker.io"
DOCKER_HUB_PAGES = ("docker.io", "www.docker.io", "hub.docker.com", "index.docker.io", "registry.hub.docker.com")

_SHORTEST, _LONGEST = 3600, 10 * 365 * 86400  # seconds that a signed snapshot may be valid for

_LAST_PORT = 65535

LOGOS = (".jpg", ".jpeg", ".png", ".svg", ".webp")
"""What a logo may be, by the end of its name."""

_FLATPAK_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armhf": "arm"}


def references(document: Document) -> Iterator[Problem]:
    """Indexes that name a source which is not there, and `defaults` that are for no index.

    The document may have other problems: what is not of the right type is passed over, the schema tells it.
    """
    known = list(_mapping(document.data, "sources"))
    indexes = _mapping(document.data, "indexes")
    if indexes.keys() == {"defaults"} or (not indexes and isinstance(_at(document.data, "indexes"), dict)):
        yield document.problem(("indexes",), "no index is given", "Add one, such as `stable: {tags: [latest]}`.")
    for name, index in indexes.items():
        sources = _at(index, "sources")
        for number, source in enumerate(sources if isinstance(sources, list) else ()):
            if isinstance(source, str) and source not in known:
                path = ("indexes", name, "sources", number)
                yield document.problem(path, f"no source is called {source!r}", suggestion(source, known))


def _at(data: object, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _mapping(data: object, key: str) -> Mapping[str, Any]:
    value = _at(data, key)
    return value if isinstance(value, dict) else {}


def collisions(document: Document, config: Config) -> Iterator[Problem]:
    """All that would make two things of a site one, or one thing two."""
    yield from _one_registry_an_index(document, config)
    yield from _one_index_a_tag(document, config)
    yield from _file_names(document, config)
    yield from _top_level_names(document, config)
    yield from _addresses(document, config)
    yield from _targets_apart(document, config)
    yield from _target_names(document, config)
    yield from _target_order(document, config)
    yield from _look(document, config)
    yield from _validity(document, config)
    yield from _listening(document, config)
    yield from broker(document, config.publishing)


def broker(document: Document, publishing: Mapping[str, Any]) -> Iterator[Problem]:
    """A broker without a name, or of which nothing is read. A file of fedora-messaging has what is not given."""
    path = ("events", "amqp")
    given = _at(_at(publishing, "events"), "amqp")
    if not isinstance(given, dict) or "fedora_messaging" in given:
        return
    if "url" not in given:
        fix = "Write `url: amqp://127.0.0.1:5672/`, or name fedora-messaging's configuration as `fedora_messaging`."
        yield document.problem(path, "no broker is named", fix)
    if "topics" not in given and "queue" not in given:
        fix = 'Write `exchange` and `topics`, such as ["pushed.#"], or the `queue` that is to be read.'
        yield document.problem(path, "nothing is read of the broker", fix)
    for key, other in (("topics", "exchange"), ("exchange", "topics"), ("key", "cert")):
        if key in given and other not in given and {"topics", "queue"} & given.keys():
            yield document.problem((*path, key), f"goes with `{other}`, which is not given here")
    yield from _broker_url(document, given)


def _broker_url(document: Document, given: Mapping[str, Any]) -> Iterator[Problem]:
    """A URL that means something else than it seems to. It may hold a password, and is never told."""
    path = ("events", "amqp", "url")
    url = given.get("url", "amqp://localhost")
    if "@" in url.partition("://")[2].partition("/")[2]:
        what = "there is a `/` before the `@`, so the host ends there"
        yield document.problem(path, what, "In a user's name or password write %2F for a /, and %40 for an @.")
        return
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        named = None
    if not named:
        fix = "Write amqps://USER:PASSWORD@HOST:PORT/VHOST."
        yield document.problem(path, "the host or its port can't be read", fix)
        return
    for option in sorted(parse_qs(parts.query, keep_blank_values=True).keys() - {"heartbeat"}):
        fix = "Files for TLS go to `ca`, `cert` and `key`; only `heartbeat` (in seconds) can be set in the URL."
        yield document.problem(path, f"the option {option!r} is not known", fix)
    for key in ("ca", "cert", "key"):
        if key in given and parts.scheme == "amqp":
            yield document.problem((*path[:-1], key), "is for amqps, but `url` is without TLS", "Write amqps://.")


def _listening(document: Document, config: Config) -> Iterator[Problem]:
    """Places to listen at that there are not, or that are named twice."""
    owner: dict[str, str] = {}
    for path in (("events", "webhook", "listen"), ("metrics", "listen")):
        place: Any = config.publishing
        for key in path:
            place = _at(place, key)
        if not isinstance(place, str):
            continue
        port = "" if place.startswith("unix:") else place.rpartition(":")[2]
        if port and int(port) > _LAST_PORT:
            yield document.problem(path, f"there is no port {port}", f"Write one from 1 to {_LAST_PORT}.")
        if place in owner:
            what = f"this is where {owner[place]} listens, too"
            yield document.problem(path, what, "Name another port, or another socket.")
        owner[place] = ".".join(path[:-1])


def _validity(document: Document, config: Config) -> Iterator[Problem]:
    """A list that ends before the next build renews it is refused by all mirrors; one that never ends protects none."""
    if config.sign and not _SHORTEST <= config.sign.valid_for <= _LONGEST:
        what = "snapshots are valid for an hour at least, and for ten years at most"
        fix = "Write several times the time between two builds, such as 14d."
        yield document.problem(("sign", "valid_for"), what, fix)


def _look(document: Document, config: Config) -> Iterator[Problem]:
    """What pages can't be made with. Whether files are there is another matter: not all verbs need them."""
    pages = config.pages
    if pages is None:
        return
    for number, language in enumerate(pages.languages if pages.languages != ("en",) else ()):
        if not is_language(language):
            what = f"{language!r} is no language that is known"
            yield document.problem(("languages", number), what, "Write a code such as en, de or pt-BR.")
    logo = pages.theme.logo
    if logo and logo.suffix.lower() not in LOGOS:
        what = f"{logo.name} is none of {', '.join(LOGOS)}"
        yield document.problem(("theme", "logo"), what, "Name a picture file.")


def is_language(code: str) -> bool:
    """Whether this is a language, by its code as BCP 47 has it."""
    from babel import Locale, UnknownLocaleError  # takes a while to import, and is seldom needed

    try:
        return Locale.parse(code, sep="-") is not None
    except (UnknownLocaleError, ValueError):
        return False


def _addresses(document: Document, config: Config) -> Iterator[Problem]:
    for source in config.sources:
        if isinstance(source, RegistrySource) and source.registry.endswith("/v2"):
            what = "the URL ends with /v2/, which flatdex adds itself"
            yield document.problem(("sources", source.name, "registry"), what, f"Write {source.registry[:-2]}")
        if isinstance(source, RegistrySource) and urlsplit(source.registry).hostname in DOCKER_HUB_PAGES:
            what = "this is Docker Hub's name, but not where its registry answers"
            yield document.problem(("sources", source.name, "registry"), what, f"Write {DOCKER_HUB}")
    for index in config.indexes:
        for number, architecture in enumerate(index.architectures):
            if architecture in _FLATPAK_NAMES:
                yield document.problem(
                    ("indexes", index.name, "architectures", number),
                    f"{architecture} is Flatpak's name of an architecture; queries use OCI's",
                    f"Did you mean `{_FLATPAK_NAMES[architecture]}`?",
                )


def _targets_apart(document: Document, config: Config) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for name, settings in config.targets.items():
        if "rclone" in settings:
            yield from _one_owner(document, name, "rclone", settings["rclone"].rstrip("/"), owner)
            continue
        place = settings["rsync"]
        if re.match(r"[^/]*:", place):
            place = place.rstrip("/")
        else:
            folder = (config.folder / Path(place).expanduser()).resolve()
            place = str(folder)
            if folder.is_relative_to(config.store.resolve()) or config.store.resolve().is_relative_to(folder):
                fix = "Use a folder of its own; to serve from this machine's store no target is needed."
                yield document.problem(
                    ("targets", name, "rsync"), "the target and the store lie within each other", fix
                )
        yield from _one_owner(document, name, "rsync", place, owner)


def _one_owner(document: Document, name: str, key: str, place: str, owner: dict[str, str]) -> Iterator[Problem]:
    if place in owner:
        yield document.problem(("targets", name, key), f"this is the target {owner[place]!r} too", "Remove one.")
    owner.setdefault(place, name)


def _target_names(document: Document, config: Config) -> Iterator[Problem]:
    """Targets that are named, and are not there."""
    named: list[tuple[tuple[str, ...], list[str]]] = [
        (("targets", name, "after"), each.get("after", [])) for name, each in config.targets.items()
    ]
    together = config.publishing.get("together")
    named += [(("together",), together)] if isinstance(together, list) else []
    for path, names in named:
        for number, name in enumerate(names):
            if name not in config.targets:
                fix = suggestion(name, config.targets)
                yield document.problem((*path, number), f"no target is called {name!r}", fix)
    if type(together) is int and together > len(config.targets):
        what = f"{together} targets have to be ready, but there are {len(config.targets)}"
        yield document.problem(("together",), what, "Write a smaller number, or true for all of them.")


def _target_order(document: Document, config: Config) -> Iterator[Problem]:
    """Targets that wait for each other would wait for ever."""
    after = {name: set(each.get("after", ())) & config.targets.keys() for name, each in config.targets.items()}
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        what = f"targets that wait for each other: {' after '.join(circle)}"
        yield document.problem(("targets", circle[0], "after"), what, "Take one of them out of `after`.")


def _one_registry_an_index(document: Document, config: Config) -> Iterator[Problem]:
    for index in config.indexes:
        public = {name: config.source(name).public for name in index.sources}
        if len(set(public.values())) > 1:
            what = ", ".join(f"{name} ({url})" for name, url in public.items())
            yield document.problem(
                ("indexes", index.name, "sources"),
                f"an index can name one registry, but its sources are reached at different ones: {what}",
                "Make it one index for each, with tags of their own (a source's `public` says where clients pull),"
                " or give the sources the same `public` if one address serves both.",
            )


def _one_index_a_tag(document: Document, config: Config) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for index in config.indexes:
        for number, tag in enumerate(index.tags):
            if tag in owner:
                where = "this index" if owner[tag] == index.name else f"the index {owner[tag]!r}"
                yield document.problem(
                    ("indexes", index.name, "tags", number),
                    f"the tag {tag!r} already belongs to {where}",
                    "A query names a tag and gets one index: name each tag once, or make one index of both by listing"
                    " the sources of both.",
                )
            owner.setdefault(tag, index.name)


def _file_names(document: Document, config: Config) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    tags = [tag for index in config.indexes for tag in index.tags]
    for variant in config.variants:
        name = variant.file.lower()
        if name in owner and len(set(tags)) == len(tags):
            yield document.problem(
                ("indexes", variant.index),
                f"two index files would have one name: index/{variant.file}.json and index/{owner[name]}.json",
                "Rename one of the tags (names that differ only in case count as one).",
            )
        owner.setdefault(name, variant.file)


def _top_level_names(document: Document, config: Config) -> Iterator[Problem]:
    taken = TOP_LEVEL | {language.lower() for language in (config.pages.languages[1:] if config.pages else ())}
    for index in config.indexes:
        for number, tag in enumerate(index.tags):
            if tag.lower() in taken or tag.lower().endswith((".flatpakrepo", ".flatpakref")):
                yield document.problem(
                    ("indexes", index.name, "tags", number),
                    f"the tag {tag!r} has the name of something else at the top of the site",
                    "Each tag is a folder there too (/TAG/index/static): use another tag.",
                )
