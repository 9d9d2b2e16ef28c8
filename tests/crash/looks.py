"""What may be seen at any moment: the sites that readers get, and the names that lie around."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from builder.description import DESCRIPTION, Snapshot, is_id, read_snapshot
from builder.stick import read_export
from builder.store import Store
from sync import log
from sync.verify import faults
from tests.export import looks as sticks
from tests.real.process import wait_for

_SECONDS = 10
_STORE = {
    "snapshots",
    "current",
    "cache",
    "lock",
    "log.jsonl",
    "targets",
    "built",
    "promoted",
    "hold",
    "pins",
    "wanted",
    "verified",
}
_READ = {"built", "hold", "log.jsonl", "promoted", "targets"}
_UNSETTLED = re.compile(r"\.(unfinished|removed|current)-.+")
_REPLACING = re.compile(r"\.[a-z]+(\.json)?\.new")
_SENDING = re.compile(r"\.current\.[A-Za-z0-9]+")


def shown(root: Path) -> Snapshot | None:
    """What readers get of a store or a target, after making sure that it is whole, and open to a web server."""
    link = root / "current"
    if not os.path.lexists(link):
        return None
    assert link.readlink().parent == Path("snapshots"), f"{link} names {link.readlink()}"
    assert link.exists(), f"{link} dangles: {link.readlink()}"
    _check_open(root, root / "snapshots")
    return whole(link.resolve())


def whole(folder: Path) -> Snapshot:
    """The snapshot in a folder, after making sure that it is one, without a fault."""
    snapshot = read_snapshot(folder, own_name=False)
    assert snapshot.id == folder.name
    found = list(faults(snapshot))
    assert not found, f"{folder}: {found}"
    _check_open(*(folder / entry.path for entry in snapshot.all_files), folder / DESCRIPTION)
    _check_open(*(Path(parent) for parent, _, _ in os.walk(folder)))
    return snapshot


def _check_open(*paths: Path) -> None:
    for path in paths:
        wanted = 0o755 if path.is_dir() else 0o644
        assert path.stat().st_mode & 0o777 == wanted, f"{path} has the mode {path.stat().st_mode & 0o777:o}"


def snapshots(root: Path) -> dict[str, Snapshot]:
    """All that have their names; none of them is half done."""
    found = root / "snapshots"
    return {path.name: whole(path) for path in sorted(found.glob("[!.]*"))} if found.is_dir() else {}


def check_unlocked(store: Path) -> None:
    """Waits until nobody holds the lock any more: what a killed process had started may be about to end."""
    if (store / "lock").exists():
        with (store / "lock").open() as lock:
            wait_for(lambda: _can_lock(lock.fileno()), "the lock", _SECONDS)


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def check_open(store: Path) -> None:
    """Makes sure that a web server, and whoever asks how things stand, may read what they are to read."""
    _check_open(store, store / "snapshots", *(store / name for name in _READ & _names(store)))
    _check_open(*(store / "targets").glob("*.json"))


def check_names(store: Path, target: Path, settled: bool) -> None:
    """Makes sure that all names are known ones; if all has `settled`, that nothing is left that is neither old nor new.

    Only the next one of the same name replaces what was written to be renamed.
    """
    strange = {name for name in _names(store) - _STORE if not _REPLACING.fullmatch(name) and not _is_unsettled(name)}
    strange |= {name for name in _names(store / "snapshots") if not is_id(name) and not _is_unsettled(name)}
    strange |= {name for name in _names(store / "targets") if not re.fullmatch(r"[a-z]+\.json|\..+\.json\.new", name)}
    strange |= {name for name in _names(target) - {"current", "snapshots"} if not _SENDING.fullmatch(name)}
    strange |= {name for name in _names(target / "snapshots") if not is_id(name)}
    assert not strange, f"names that nobody knows: {sorted(strange)}"
    left = sorted(name for folder in (store, store / "snapshots") for name in _names(folder) if _is_unsettled(name))
    assert not (settled and left), f"nobody removes {left}"


def _is_unsettled(name: str) -> bool:
    return bool(_UNSETTLED.fullmatch(name))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def check_log(root: Path) -> None:
    """Makes sure that no line of the log is damaged, and that it tells of what is current."""
    store = Store(root)
    assert [line for line in log.lines(store) if line.fault] == []
    told = next((identifier for identifier, _ in log.promoted(store)), None)
    assert told == store.current(), f"{store.current()} is current, but the log tells of {told}"


def check_stick(stick: Path, may_show: tuple[Path, ...]) -> None:
    """Makes sure that a stick shows one of these snapshots, whole, and that what it offers to clients is there.

    Pages and pointers may be those of another one only if the stick says that it was not written to the end.
    """
    known = [read_snapshot(folder) for folder in may_show]
    shown_now = sticks.shown(stick)
    if shown_now:
        assert shown_now.id in {each.id for each in known}, f"{stick} shows {shown_now.id}"
        export = read_export(stick)
        assert export
        sticks.whole(stick, shown_now, known if export.writing is not None else ())
    if (stick / "index.json").exists():
        assert sticks.layout(stick)
    sticks.check_indexes(stick)
    assert set(sticks.strangers(stick)) <= {"beach.jpg"}, list(sticks.strangers(stick))
