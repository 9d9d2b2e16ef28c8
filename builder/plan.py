"""What the next snapshot will be: the hash of its content, and its `snapshot.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from builder import changes
from builder.advice import Advice
from builder.changes import Offered
from builder.config import Config, Index, MirrorSource, Signing
from builder.content import Files, InMemory
from builder.description import FORMAT, FileEntry, KeptEntry, Snapshot, time_text
from builder.screenshots import shots
from builder.site.tree import Site
from builder.stale import Stale


def content_hash(files: Files) -> str:
    """A hash over all paths and their bytes."""
    return _hash_of({path: content.sha256 for path, content in files.items()})


def has_content(snapshot: Snapshot, content: str) -> bool:
    """Whether the hash of a snapshot's content is this: the end of its id tells most of the time."""
    return snapshot.id.endswith(content[:8]) and content_hash_of(snapshot) == content


def content_hash_of(snapshot: Snapshot) -> str:
    """The same of a snapshot; what it keeps of earlier ones doesn't count."""
    return _hash_of({entry.path: entry.sha256 for entry in snapshot.files})


def _hash_of(files: Mapping[str, str]) -> str:
    lines = "".join(f"{sha256} {path}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def description(
    identifier: str,
    created: int,
    previous: Snapshot | None,
    config: Config,
    site: Site,
    files: tuple[FileEntry, ...],
    kept_files: tuple[KeptEntry, ...],
    stale: tuple[Stale, ...] = (),
    advice: tuple[Advice, ...] = (),
) -> dict[str, Any]:
    """The `snapshot.json`. Every byte of it is public: of a source it names only what the indexes name."""
    return {
        "format": FORMAT,
        "id": identifier,
        "version": previous.version + 1 if previous else 1,
        "created": time_text(created),
        **_validity(created, config.sign),
        "previous": previous.id if previous else None,
        "remote": _remote(config),
        **_mirrored(config),
        "sources": [{"name": source.name, "public": source.public} for source in config.sources],
        "indexes": [_index(index) for index in config.indexes],
        "pages": _pages(config, site),
        "counts": _counts(site, files),
        "variants": _variants(config, site),
        "dispatch": dispatch_of(config),
        "images": _images(site),
        "changes": changes.as_json(site.changes),
        "screenshots": shots.described(site.pictures),
        "skips": [{**asdict(skip), "act": skip.act} for skip in site.skips],
        "stale": [_stale(each) for each in stale],
        "advice": [asdict(each) for each in advice],
        "rules": _rules(site.files),
        **listed(files, kept_files),
    }


def description_again(
    identifier: str,
    created: int,
    old: Snapshot,
    newest: Snapshot | None,
    files: tuple[FileEntry, ...],
    kept_files: tuple[KeptEntry, ...],
    sign: Signing | None = None,
) -> dict[str, Any]:
    """The `snapshot.json` of a snapshot that holds again what `old` held."""
    validity = _validity(created, sign)
    gone = {"signatures", *(() if validity else ("expires",))}
    return {
        **{key: value for key, value in old.document.items() if key not in gone},
        "id": identifier,
        "version": newest.version + 1 if newest else 1,
        "created": time_text(created),
        **validity,
        "previous": newest.id if newest else None,
        "again": old.id,
        **listed(files, kept_files),
    }


def _validity(created: int, sign: Signing | None) -> dict[str, str]:
    return {"expires": time_text(created + sign.valid_for)} if sign else {}


def dispatch_of(config: Config) -> dict[str, Any]:
    """Which query is answered by which file, as `snapshot.json` has it."""
    found: dict[str, Any] = _plain(asdict(config.dispatch))
    return found


def listed(files: Iterable[FileEntry], kept_files: Iterable[KeptEntry]) -> dict[str, Any]:
    """The lists of files in a `snapshot.json`."""
    return {
        "files": [vars(entry) for entry in files],
        "kept": [{**vars(entry), "until": time_text(entry.until)} for entry in kept_files],
    }


def _rules(files: Files) -> dict[str, str]:
    """The text of what web servers obey and so don't hand out: who has only a URL can have all files by this."""
    return {
        path: content.data.decode("utf-8")
        for path, content in sorted(files.items())
        if path.rpartition("/")[2] == ".htaccess" and isinstance(content, InMemory)
    }


def _stale(stale: Stale) -> dict[str, str]:
    """Without the reason's sentence, which may hold an address that is not for the public."""
    return {
        "source": stale.source,
        "repository": stale.repository,
        "code": stale.code,
        "since": time_text(stale.since),
    }


def _plain(value: Any) -> Any:
    """As JSON has it: tuples are lists."""
    return json.loads(json.dumps(value))


def _remote(config: Config) -> dict[str, Any]:
    """What it is called, and all else that is said of it: a copy says it, too."""
    remote = config.remote
    return {key: value for key, value in asdict(remote).items() if value} if remote else {"id": None}


def _mirrored(config: Config) -> dict[str, Any]:
    """What a copy was made of."""
    found = next((source for source in config.sources if isinstance(source, MirrorSource)), None)
    return {"mirror": {"id": found.of, "version": found.version, "partial": found.partial}} if found else {}


def _index(index: Index) -> dict[str, Any]:
    return {
        "name": index.name,
        "tags": list(index.tags),
        "architectures": list(index.architectures),
        "extract_icons": index.extract_icons,
        "annotations": index.annotations,
    }


def _pages(config: Config, site: Site) -> dict[str, Any] | None:
    """How pages are written, as far as a copy can write them so, too."""
    pages = config.pages
    if pages is None or config.remote is None:
        return None
    return {
        "languages": list(pages.languages),
        "screenshots": pages.screenshots.value,
        "accent": pages.theme.accent,
        "links": [list(link) for link in pages.theme.links],
        "footer": pages.theme.footer,
        "logo": site.logo,
    }


def _counts(site: Site, files: tuple[FileEntry, ...]) -> dict[str, int]:
    images = {(image.repository, image.digest): image.ref for chosen in site.images.values() for image in chosen}
    return {
        "images": len(images),
        "refs": len(set(images.values())),
        "repositories": len({repository for repository, _ in images}),
        "files": len(files),
        "bytes": sum(entry.size for entry in files),
    }


def _variants(config: Config, site: Site) -> list[dict[str, Any]]:
    return [
        {
            "path": f"index/{variant.file}.json",
            "index": variant.index,
            "architectures": list(variant.architectures),
            "form": variant.form.value,
            "refs": sum(variant.takes(image.architecture) for image in site.images[variant.index]),
        }
        for variant in config.variants
    ]


def _images(site: Site) -> list[dict[str, str]]:
    known = {(each.index, each.ref): each for each in site.offered}
    return [
        {
            "index": name,
            "ref": image.ref,
            "architecture": image.architecture,
            "source": image.source,
            "repository": image.repository,
            "digest": image.digest,
            "created": image.created,
            **_known_as(known.get((name, image.ref))),
        }
        for name, chosen in site.images.items()
        for image in chosen
    ]


def _known_as(offered: Offered | None) -> dict[str, str]:
    """What people know an image by, as far as that is known."""
    return {"name": offered.name, "version": offered.version} if offered and (offered.name or offered.version) else {}
