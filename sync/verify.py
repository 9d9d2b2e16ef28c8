"""Holds a snapshot against its description: every size, hash and mtime, and nothing beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builder.description import DESCRIPTION, FileEntry, Snapshot
from builder.files import files_in, sha256_of


def faults(snapshot: Snapshot) -> Iterator[str]:
    """What is wrong with the snapshot, a line each, as it is found."""
    known = {entry.path for entry in snapshot.all_files}
    for path in sorted(files_in(snapshot.folder) - known - {DESCRIPTION}):
        yield f"{path}: is not in {DESCRIPTION}"
    for entry in snapshot.all_files:
        fault = _fault(snapshot.folder / entry.path, entry)
        if fault:
            yield f"{entry.path}: {fault}"


def _fault(file: Path, entry: FileEntry) -> str | None:
    try:
        found = file.lstat()
        if not file.is_file() or file.is_symlink():
            return "is not a plain file"
        if found.st_size != entry.size:
            return f"has {found.st_size} bytes instead of {entry.size}"
        if found.st_mtime_ns != entry.mtime * 10**9:
            return f"has the mtime {found.st_mtime_ns / 10**9:.6f} instead of {entry.mtime}"
        return None if sha256_of(file) == entry.sha256 else "has other bytes than were written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
