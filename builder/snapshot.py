"""Makes snapshots: of a site that was built, if it is a new one, or again of what an earlier one held."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from builder import dates, plan, renewal, writing
from builder.advice import Advice
from builder.compress import Segments
from builder.config import Config, Signing
from builder.content import Made, OnDisk
from builder.description import DESCRIPTION, FileEntry, Snapshot, snapshot_id
from builder.files import files_in
from builder.history import history_of
from builder.site.tree import Gzip, Site
from builder.stale import Stale
from builder.store import Store
from builder.writing import Draft, is_intact


@dataclass(frozen=True)
class Written:
    """The snapshot that now holds a site; not `changed` if an earlier one held just this already.

    `renewed` tells why it is a new one although its files are those of the one before. It is valid until it `expires`.
    """

    id: str
    changed: bool
    renewed: str = ""
    expires: int | None = None


def carried_gzip(previous: Snapshot | None, segments: Segments | None = None) -> Gzip:
    """Compresses, or takes the bytes that the previous snapshot has for the same content: zlib's versions differ."""
    known = previous.by_path if previous else {}
    before = {entry.sha256: known[f"{path}.gz"] for path, entry in known.items() if f"{path}.gz" in known}

    packed = segments or Segments()

    def compress(content: Made) -> bytes:
        made = before.get(content.sha256)
        data = _read_intact(previous.folder / made.path, made) if previous and made else None
        return packed.gzip(content.parts) if data is None else data

    return compress


def _read_intact(file: Path, entry: FileEntry) -> bytes | None:
    try:
        data = file.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None


def write(
    store: Store,
    site: Site,
    config: Config,
    now: int,
    stale: tuple[Stale, ...] = (),
    advice: tuple[Advice, ...] = (),
    full: bool = False,
) -> Written:
    """Puts `site` into the store, whose lock the caller holds, unless the newest snapshot has the same content.

    `now` is in seconds. `full` trusts no file of an earlier snapshot before its bytes were read: it mends a damaged
    one. Until the last step, a rename, nothing of the new snapshot can be taken for one.
    """
    store.remove_leftovers()
    history = history_of(store)
    previous = history.newest
    content = plan.content_hash(site.files)
    why = ""
    if previous and plan.has_content(previous, content) and not (full and _is_damaged(previous)):
        why = renewal.due(previous, config.sign, now)
        if not why:
            return Written(previous.id, changed=False, expires=previous.expires)
    created = _later_than(previous, now)
    identifier = snapshot_id(created, content)
    entries = dates.entries(site.files, site.twins, plan.dispatch_of(config), history, created, site.dates)
    kept = writing.intact(dates.kept(site.files, history, created, config.grace), history.snapshots, full)
    document = plan.description(identifier, created, previous, config, site, entries, tuple(kept), stale, advice)
    keys = config.sign.keys if config.sign else ()
    writing.write(store, Draft(identifier, created, entries, kept, site.files, document, history.snapshots, full, keys))
    return Written(identifier, True, why, created + config.sign.valid_for if config.sign else None)


def republish(store: Store, old: Snapshot, now: int, grace: int, sign: Signing | None = None) -> Written:
    """Makes a new snapshot of what an earlier one held. The caller holds the store's lock.

    What differs from what is served gets later mtimes, as in any build, so that every client notices; the rest, and
    what is named by its hash and nothing else, keeps its own. A damaged file of the old one is an error.
    """
    store.remove_leftovers()
    history = history_of(store)
    created = _later_than(history.newest, now)
    identifier = snapshot_id(created, plan.content_hash_of(old))
    entries = dates.entries_again(old, history, created)
    files = {entry.path: OnDisk(old.folder / entry.path, entry.size, entry.sha256) for entry in old.files}
    kept = writing.intact(dates.kept(files, history, created, grace), history.snapshots, full=False)
    document = plan.description_again(identifier, created, old, history.newest, entries, tuple(kept), sign)
    bases = (*history.snapshots, old)
    keys = sign.keys if sign else ()
    writing.write(store, Draft(identifier, created, entries, kept, files, document, bases, True, keys))
    return Written(identifier, changed=True)


def _later_than(previous: Snapshot | None, now: int) -> int:
    """The time that a snapshot is created at: ids sort, and mtimes grow, also when two are made in one second."""
    return max(now, previous.created + 1) if previous else now


def _is_damaged(snapshot: Snapshot) -> bool:
    if files_in(snapshot.folder) != {*snapshot.by_path, DESCRIPTION}:
        return True
    return not all(is_intact(snapshot.folder / entry.path, entry) for entry in snapshot.all_files)
