"""Takes over from what is live: a new store gets the published snapshot, byte by byte, with its dates."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.description import DESCRIPTION, FileEntry, Snapshot, description_mtime
from builder.errors import FlatdexError
from builder.files import create_folder, make_durable
from builder.parallel import mapped
from builder.sources.answers import FetchError
from builder.sources.transport import Transport
from builder.store import CURRENT, SNAPSHOTS, UNFINISHED, Store
from sync import notes, verify
from sync.carrier import described
from sync.programs import Programs
from sync.prune import remove
from sync.reach import carrier
from sync.served import LARGEST, place
from sync.settings import Settings
from sync.targets import Target, target

_SHOWN = 5
_AT_ONCE = 16  # requests

Progress = Callable[[int, int], None]


def source(text: str, settings: Settings) -> Target | str:
    """What is meant: a target by its name, a URL, or an rsync destination."""
    named = next((each for each in settings.targets if each.name == text), None)
    if named:
        return named
    return text if text.startswith(("http://", "https://")) else target("source", {"rsync": text}, settings.folder)


def adopt(store: Store, live: Target | str, settings: Settings, progress: Progress) -> Snapshot:
    """Copies what is live into the store, whose lock the caller holds; it is not yet promoted.

    Raises FlatdexError if it is not whole, or if the store is not behind it.
    """
    create_folder(store.snapshots)
    with _folder(store) as folder:
        try:
            if isinstance(live, str):
                found = _by_url(store, live, folder, settings, progress)
            else:
                found = _by_program(store, live, folder, settings)
        except OSError as error:
            what = f"what is live can't be stored: {error.strerror}: {error.filename}"
            raise FlatdexError(what, "Nothing was adopted.") from error
        if (store.snapshots / found.id).is_dir():
            return store.snapshot(found.id)
        _date(found)
        _refuse_broken(found)
        make_durable(folder)
        folder.rename(store.snapshots / found.id)
        make_durable(store.snapshots)
    return store.snapshot(found.id)


def remove_later(store: Store, found: Snapshot) -> list[str]:
    """Removes what the store has built without knowing of what is live: the next build is to continue that. Its ids."""
    later = [each.id for each in store.complete() if each.id > found.id]
    remove(store, later)
    return later


@contextmanager
def _folder(store: Store) -> Iterator[Path]:
    folder = store.snapshots / f"{UNFINISHED}adopted"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_newer(store: Store, found: Snapshot) -> None:
    for each in store.complete():
        if each.id != found.id and (
            each.version >= found.version or (each.id > found.id and each.id in notes.pins(store))
        ):
            what = (
                f"the store has {each.id}, version {each.version}; what is live is {found.id}, version {found.version}"
            )
            fix = "Only a store that is behind what is live can adopt it: `--store` names another one."
            raise FlatdexError(what, fix)


def _by_program(store: Store, live: Target, folder: Path, settings: Settings) -> Snapshot:
    carries = carrier(Programs(settings.folder, store.lock), store, live)
    data = carries.description()
    found = _described(data, live.destination, folder, settings)
    _refuse_newer(store, found)
    carries.fetch(found)
    _write(folder / DESCRIPTION, data)
    return found


def _described(data: bytes, where: str, folder: Path, settings: Settings) -> Snapshot:
    found = described(data)
    if found is None:
        names = ", ".join(target.name for target in settings.targets)
        fix = f"Name a target, the URL of a site, or a place that holds `{SNAPSHOTS}/` and `{CURRENT}`."
        fix += f" The configuration's targets: {names}." if names else ""
        raise FlatdexError(f"{where} shows no snapshot that flatdex wrote", fix)
    return Snapshot(**{**vars(found), "folder": folder})


def _by_url(store: Store, url: str, folder: Path, settings: Settings, progress: Progress) -> Snapshot:
    """Downloads all files. What no web server hands out, its own rules, stands in the description."""
    with Transport(_AT_ONCE) as transport:
        try:
            data = transport.get(place(url), LARGEST).body
            found = _described(data, url, folder, settings)
            _refuse_newer(store, found)
            rules = found.document.get("rules")
            rules = rules if isinstance(rules, dict) else {}
            for parent in sorted({(folder / entry.path).parent for entry in found.all_files}):
                create_folder(parent)

            def fetch(entry: FileEntry) -> None:
                text = rules.get(entry.path)
                got = text.encode() if isinstance(text, str) else transport.get(place(url, entry.path), entry.size).body
                _write(folder / entry.path, got)

            for done, _ in enumerate(mapped(_AT_ONCE, fetch, found.all_files), 1):
                progress(done, len(found.all_files))
        except FetchError as error:
            raise FlatdexError(f"not all of it can be had: {error}", "Nothing was adopted.") from error
    _write(folder / DESCRIPTION, data)
    return found


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    file.chmod(0o644)


def _date(found: Snapshot) -> None:
    """The dates of the description: they are those that all servers have, or should have."""
    for entry in found.all_files:
        if (found.folder / entry.path).is_file():
            os.utime(found.folder / entry.path, (entry.mtime, entry.mtime))
    mtime = description_mtime(found.created)
    os.utime(found.folder / DESCRIPTION, (mtime, mtime))


def _refuse_broken(found: Snapshot) -> None:
    wrong = list(verify.faults(found))
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        lines = "\n  ".join([*wrong[:_SHOWN], *more])
        raise FlatdexError(f"what is live is not whole, and was not adopted:\n  {lines}", "Adopt another target.")
