"""A configuration in the form that regindexer reads, taken as it is.

Each of its indexes is one file, named by its `output`; a query gets the index whose tags hold its tag and whose
architectures are exactly its own; without an architecture the index that names none; and a tag that no index has
means `latest`. Questions by label and by annotation have the same answer, so a file carries both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from builder.checks import TOP_LEVEL, broker
from builder.config import Cache, Config, Form, Icons, Index, RegistrySource, Variant
from builder.dispatch import Dispatch, Route
from builder.document import Document
from builder.errors import Problem
from builder.variants import FALLBACK_TAG, default_tag

SCHEMA = "regindexer.schema.json"
TOPICS = ("bodhi.compose.complete", "bodhi.update.complete.stable", "bodhi.update.complete.testing")
"""What tells of new images in the registry: the first one has all, the others come a moment earlier and name them."""
FEDORA_MESSAGING = "/etc/fedora-messaging/config.toml"
"""Where the library fedora-messaging has its configuration, unless the environment names another file."""
_MARKS = {"icons_dir", "icons_uri", "daemon"}


def recognised(data: object) -> bool:
    """Whether this is regindexer's form: it has no sources, and what only that form has."""
    if not isinstance(data, dict) or "sources" in data or "remote" in data:
        return False
    indexes = data.get("indexes")
    entries = indexes.values() if isinstance(indexes, dict) else ()
    return bool(_MARKS & set(data)) or any(isinstance(entry, dict) and "output" in entry for entry in entries)


def config(read: Document, data: Mapping[str, Any], store: Path, environment: Mapping[str, str]) -> Config:
    """The configuration, with what regindexer's deployments had in their web server's rules.

    What regindexer's daemon listened to is what a watch listens to, unless `events` says otherwise.
    """
    entries: Mapping[str, Mapping[str, Any]] = data["indexes"]
    sources = _sources(entries.values())
    indexes = tuple(_index(name, entry, sources[_address(entry)].name) for name, entry in entries.items())
    return Config(
        file=read.file,
        store=store,
        remote=None,
        sources=tuple(sources.values()),
        indexes=indexes,
        variants=tuple(
            Variant(_file(entries[index.name]), index.name, index.architectures, Form.BOTH) for index in indexes
        ),
        dispatch=Dispatch(tuple(_routes(indexes, entries)), default_tag(indexes), _unknown_tag(indexes)),
        tag_folders={},
        publishing=_publishing(data, environment),
        icons=_icons(data.get("icons_uri", "/icons/")),
        cache=Cache(index=30 * 60),
    )


def problems(read: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What the schema can't say: twins of names, and icons that have no place of their own."""
    yield from _twin_files(read, data["indexes"])
    yield from _icons_missing(read, data)
    yield from broker(read, data)
    folder = _icons(data.get("icons_uri", "/icons/")).folder
    top = folder.partition("/")[0].lower()
    if top in TOP_LEVEL - {"icons"}:
        what = f"the icons would lie in /{folder}/, which is something else's place in the site"
        yield read.problem(("icons_uri",), what, "Use a folder of their own, such as /app-icons/.")


def _publishing(data: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """What is published is nothing of regindexer's; but when: `events` and `metrics` may stand beside its keys."""
    found = {key: data[key] for key in ("events", "metrics") if key in data}
    if "daemon" in data:
        found["events"] = {"amqp": _bus(data["daemon"], environment), **found.get("events", {})}
    return found


def _bus(daemon: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Where regindexer's daemon listened, with its defaults; how to get there, the library's configuration says."""
    prefix = f"{daemon.get('topic_prefix', 'org.fedoraproject')}.{daemon.get('environment', 'dev')}."
    file = Path(environment.get("FEDORA_MESSAGING_CONF") or FEDORA_MESSAGING).absolute()
    return {"fedora_messaging": str(file), "topics": [prefix + topic for topic in TOPICS]}


def _address(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Where flatdex reads, and where clients do."""
    registry = entry["registry"].rstrip("/")
    return registry, entry.get("registry_public", registry + "/")


def _sources(entries: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], RegistrySource]:
    """A source for each address. Their names become public: they must not tell where the registry is inside."""
    addresses = list(dict.fromkeys(map(_address, entries)))
    return {
        (registry, public): RegistrySource(f"registry-{number}" if number > 1 else "registry", registry, public)
        for number, (registry, public) in enumerate(addresses, 1)
    }


def _index(name: str, entry: Mapping[str, Any], source: str) -> Index:
    required = (*entry.get("required_labels", ()), *entry.get("required_annotations", ()))
    return Index(
        name=name,
        sources=(source,),
        tags=tuple(entry["tags"]),
        architectures=tuple(entry.get("architectures", ())),
        required_labels=tuple(dict.fromkeys(required)),
        extract_icons=entry.get("extract_icons", False),
    )


def _file(entry: Mapping[str, Any]) -> str:
    return PurePosixPath(entry["output"]).name.removesuffix(".json")


def _routes(indexes: Iterable[Index], entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Route]:
    """A route for each tag and architecture; where two indexes would have the same one, the first keeps it."""
    taken: set[tuple[str, str]] = set()
    for index in indexes:
        if len(index.architectures) > 1:  # reached by its file name only: a query names one architecture
            continue
        architecture = "".join(index.architectures)
        for tag in index.tags:
            if (tag, architecture) not in taken:
                taken.add((tag, architecture))
                yield Route(tag, architecture, False, _file(entries[index.name]))


def _unknown_tag(indexes: Iterable[Index]) -> str | None:
    return FALLBACK_TAG if any(FALLBACK_TAG in index.tags for index in indexes) else None


def _icons(uri: str) -> Icons:
    url = uri if uri.endswith("/") else uri + "/"
    return Icons(folder=urlsplit(url).path.strip("/"), url=url)


def _icons_missing(read: Document, data: Mapping[str, Any]) -> Iterator[Problem]:
    for name, entry in data["indexes"].items():
        if entry.get("extract_icons") and "icons_uri" not in data:
            what = "icons are to be extracted, but `icons_uri` does not say where they are served"
            yield read.problem(("indexes", name, "extract_icons"), what, "Add `icons_uri: /app-icons/`.")


def _twin_files(read: Document, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for name, entry in entries.items():
        file = _file(entry).lower()
        if file in owner:
            what = f"the base name of `output` is that of the index {owner[file]!r} too"
            yield read.problem(("indexes", name, "output"), what, "All index files lie in one folder: rename one.")
        owner.setdefault(file, name)
