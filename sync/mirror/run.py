"""A mirror run up to the point where all that is wanted lies in the store: then a build makes a site of it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder import mirrored
from builder.config import Config, Mirror
from builder.copied import FOLDER, Chosen, Copied
from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.report import counted, sized
from builder.store import Store
from sync.mirror import choose, gather, probe
from sync.mirror.bearers import bearers_of
from sync.mirror.choose import Decision
from sync.mirror.fetch import Fetched, fetch
from sync.mirror.judge import Here, Rules
from sync.mirror.model import Bearer, Listed, Source, Wanted
from sync.mirror.mounts import MountRule
from sync.mirror.pool import Pool
from sync.mirror.taking import Taking
from sync.verbs.common import Report

UNMATCHED = "nothing in the remote fits"
_MOST_SHOWN = 5
_NONE = "`flatdex mirror --explain` tells of each source why it was taken or dropped."


@dataclass(frozen=True)
class Mirrored:
    """What a run has put into the store. `config` is the copy's own, as its list has it; `fetched` tells by source.

    Not `new`: the list and the choice are those of the last run.
    """

    config: Config
    decision: Decision
    new: bool
    fetched: Mapping[Source, tuple[int, int]] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    """The refs that nobody asked for, but something that was asked for needs."""
    notes: tuple[str, ...] = ()
    damaged: bool = False
    """Whether the newest snapshot lacks files, so that the next one can't rely on it."""


@dataclass(frozen=True)
class Planned:
    """What a run would do: the refs it would take, and for each source the objects and bytes that it would fetch."""

    decision: Decision
    list: str
    refs: tuple[str, ...]
    needed: tuple[str, ...]
    objects: Mapping[Source, tuple[int, int]]
    notes: tuple[str, ...] = ()


def survey(store: Store, mirror: Mirror, report: Report, remember: bool = True) -> Decision:
    """Asks all sources, and decides; nothing is fetched. Only with `remember` anything is written."""
    _refuse_other(store, mirror.remote_id)
    sources, warnings = gather.sources(
        mirror.sources,
        mirror.sources_folder,
        MountRule(mirror.mounts) if mirror.mounts else None,
        mirror.discover,
        mirror.remote_id or _here(store).remote_id or "",
    )
    for warning in warnings:
        report.warn(warning)
    probed = probe.probe(sources, mirror.trusted_keys, store.root / FOLDER if remember else None)
    rules = Rules(bool(mirror.trusted_keys), mirror.remote_id)
    return choose.decide(probed, _here(store), rules, int(time.time()), random.shuffle)


def _refuse_other(store: Store, wanted: str) -> None:
    """Raises FlatdexError for a store with another remote, or with one that is no copy: typos take nothing over."""
    newest = store.newest()
    if newest and "mirror" not in newest.document:
        what = f"{store.root} holds a remote of its own ({newest.document['remote']['id'] or newest.id}), not a copy"
        raise FlatdexError(what, "Name another folder with --store, or `store` in the configuration.")
    here = _here(store).remote_id
    if wanted and here and wanted != here:
        what = f"{store.root} holds a copy of {here}, not of {wanted}, as `remote_id` wants it"
        raise FlatdexError(what, "Name another folder with --store, or `store` in the configuration.")


def _here(store: Store) -> Here:
    """The newest list that was ever taken: what was fetched for it may be lost, but nobody goes back for that."""
    found = [Here()]
    with contextlib.suppress(FlatdexError):
        copied = Copied(store)
        snapshot, listed = copied.snapshot, Listed(copied.data, copied.snapshot)
        found.append(Here(snapshot.version, snapshot.document["remote"]["id"], snapshot.id, listed))
    newest = store.newest()
    told = newest.document.get("mirror") if newest else None
    if newest and told:
        found.append(Here(told["version"], newest.document["remote"]["id"], told["id"]))
    return max(found, key=lambda here: here.version or 0)


def given(decision: Decision) -> Listed:
    """The list. Raises FlatdexError if no source gave one."""
    if decision.listed is None:
        lines = [f"{each.probed.source.url}: {each.why}" for each in decision.verdicts[:_MOST_SHOWN]]
        raise FlatdexError("\n  ".join([decision.why, *lines]), f"{_NONE} What was mirrored before is untouched.")
    return decision.listed


def take(config: Config, store: Store, decision: Decision, report: Report, full: bool = False) -> Mirrored:
    """Fetches what the list and the choice make wanted, and notes it. The caller holds the store's lock.

    What snapshots hold is not fetched again, if its size is right; `full`: if its bytes are. Raises FlatdexError if
    anything is nowhere to be had: then nothing has changed.
    """
    listed, mirror, copied = given(decision), _mirror(config), Copied(store)
    pool = Pool(store, full)
    taking = Taking(listed.snapshot, mirror, pool.have)
    same = copied.is_there and copied.data == listed.data and copied.chosen.choice == taking.choice
    newest = store.newest()
    whole = newest is not None and _is_whole(newest)
    if same and not full and whole:
        known = copied.chosen
        return Mirrored(mirrored.of_list(config, listed.snapshot, known.partial), decision, False, notes=known.notes)
    bearers = list(bearers_of(decision))
    show = report.transfer("mirroring")

    def bring(wanted: list[Wanted]) -> Fetched:
        found = fetch(wanted, bearers, pool, parallel=mirror.parallel, progress=show)
        for source, why in found.dropped.items():
            report.warn(f"dropped {source.url}: {why}")
        for source, number in found.wrong.items():
            report.warn(f"{source.url} gave {counted(number, 'object')} with other bytes than it should: it is damaged")
        if found.missing:
            raise _lacking(found, taking)
        return found

    steps = [bring(taking.lists()), bring(taking.manifests()), bring(taking.objects())]
    made = mirrored.of_list(config, listed.snapshot, taking.partial)  # before anything is noted: it checks
    _keep_logo(config, listed.snapshot, pool)
    notes = tuple(_notes(taking))
    copied.keep(listed.data, listed.snapshot, Chosen(taking.keys, taking.partial, taking.choice, notes))
    made = mirrored.of_list(config, listed.snapshot, taking.partial)
    notes = (*notes, *(() if store.current() else _named(made)))
    return Mirrored(made, decision, True, _summed(steps), _needed(taking), notes, damaged=bool(newest) and not whole)


def _is_whole(snapshot: Snapshot) -> bool:
    """Whether all its files are there, with their sizes."""
    try:
        return all((snapshot.folder / each.path).lstat().st_size == each.size for each in snapshot.files)
    except OSError:
        return False


def done(store: Store, snapshot: str) -> None:
    """Tidies up after a build: what the snapshot holds, and what nothing wants, need not lie beside it."""
    pool = Pool(store)
    if pool.folder.is_dir() and any(pool.folder.iterdir()):
        pool.forget(store.snapshot(snapshot))
        pool.tidy(())


def plan(config: Config, store: Store, decision: Decision, report: Report, scratch: Path) -> Planned:
    """What `take` would do. Index files and manifests are fetched to `scratch`, which is thrown away."""
    listed, mirror = given(decision), _mirror(config)
    pool, here = Pool(Store(scratch)), Pool(store)
    taking = Taking(listed.snapshot, mirror, lambda sha256: here.have(sha256) or pool.have(sha256))
    bearers = list(bearers_of(decision))
    wanted: list[Wanted] = []
    for step in (taking.lists, taking.manifests):
        some = [each for each in step() if here.have(each.sha256) is None]
        found = fetch(some, bearers, pool, parallel=mirror.parallel, progress=report.transfer("mirroring"))
        if found.missing:
            raise _lacking(found, taking)
        wanted += [Wanted(each.sha256, _size(pool.have(each.sha256)), each.repository) for each in some]
    wanted += [each for each in taking.objects() if here.have(each.sha256) is None]
    mirrored.of_list(config, listed.snapshot, taking.partial)
    refs = tuple(sorted({str(each.ref) for each in taking.selected.offers}))
    return Planned(
        decision, listed.snapshot.id, refs, _needed(taking), _by_source(wanted, bearers), tuple(_notes(taking))
    )


def _size(file: Path | None) -> int:
    return file.stat().st_size if file else 0


def _by_source(wanted: Iterable[Wanted], bearers: Iterable[Bearer]) -> dict[Source, tuple[int, int]]:
    """From whom each would be fetched: from the first that has it."""
    found: dict[Source, tuple[int, int]] = {}
    bearers = list(bearers)
    for each in {each.sha256: each for each in wanted}.values():
        first = next((one for one in bearers if each.sha256 in one.holds or (one.registry and each.repository)), None)
        if first:
            number, size = found.get(first.source, (0, 0))
            found[first.source] = (number + 1, size + (each.size or 0))
    return found


def _mirror(config: Config) -> Mirror:
    if config.mirror is None:
        raise FlatdexError(f"{config.file}: there is no `mirror:` in it", "Name sources with --from, or write one.")
    return config.mirror


def _keep_logo(config: Config, snapshot: Snapshot, pool: Pool) -> None:
    file = pool.have(logo) if (logo := mirrored.logo_of(snapshot)) else None
    if file:
        mirrored.keep_logo(config, snapshot, file.read_bytes())


def _named(config: Config) -> Iterator[str]:
    """What a first copy may surprise with."""
    own = config.mirror.own.get("remote", {}) if config.mirror else {}
    if config.remote and "url" not in own:
        yield (
            f"the copy's pages and .flatpakrepo files name {config.remote.url}, the remote's own address;"
            " for one of its own set `remote.url`, or say --url"
        )


def _lacking(found: Fetched, taking: Taking) -> FlatdexError:
    missing = list(found.missing.items())
    lines = [f"sha256:{each.sha256} of {each.repository or taking.snapshot.id}: {why}" for each, why in missing]
    more = f"\n  and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
    text = "\n  ".join(lines[:_MOST_SHOWN]) + more
    what = f"{counted(len(missing), 'object')} of {taking.snapshot.id} could not be had:\n  {text}"
    return FlatdexError(what, "Nothing was changed; what was fetched is kept for the next run.")


def _summed(steps: Iterable[Fetched]) -> dict[Source, tuple[int, int]]:
    found: dict[Source, tuple[int, int]] = {}
    for step in steps:
        for source, (number, size) in step.taken.items():
            before = found.get(source, (0, 0))
            found[source] = (before[0] + number, before[1] + size)
    return found


def _needed(taking: Taking) -> tuple[str, ...]:
    return tuple(sorted({str(each.ref) for each in taking.selected.needed}))


def _notes(taking: Taking) -> Iterator[str]:
    for pattern in taking.selected.unmatched:
        yield f"{UNMATCHED} {pattern}"
    for ref, by in sorted((taking.selected.lacking or {}).items()):
        yield f"{ref}, which {by} needs, is not in the remote: clients get it from another one"


def fetched_line(fetched: Mapping[Source, tuple[int, int]]) -> str:
    """`3 objects (1.2 MB) from https://.., 1 object (3 kB) from file:///media/stick/`; empty for nothing."""
    return ", ".join(
        f"{counted(number, 'object')} ({sized(size)}) from {source.url}"
        for source, (number, size) in fetched.items()
        if number
    )
