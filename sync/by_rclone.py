"""Targets by rclone: object storage and the like, where there are no links: files lie at fixed places, and those that
point to others are written last."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from builder.description import DESCRIPTION, FileEntry, Snapshot, spells_hash
from builder.errors import FlatdexError
from sync.carrier import Live, described
from sync.programs import ProgramError, Programs
from sync.targets import Target

_NOT_FOUND = (3, 4)
_HOPELESS = re.compile(
    r"didn't find section|unknown (flag|option)|\b40[13]\b|[Pp]ermission denied|[Aa]ccess ?[Dd]enied|NoSuchBucket"
)
_SECRET = re.compile(r"((?:pass|secret|token|key)[A-Za-z_]*=)(?:'[^']*'|\"[^\"]*\"|[^,:\"' ]+)")
_STAMP = re.compile(r"^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:]{8} ((ERROR|NOTICE|CRITICAL) *: )?")


class RcloneError(FlatdexError):
    """rclone did not do what it was asked to; the message is one line. `again` is whether another try may help."""

    def __init__(self, code: int, stderr: str) -> None:
        stderr = _SECRET.sub(r"\1***", stderr)
        lines = [_STAMP.sub("", line) for line in stderr.splitlines() if line.strip() and "Config file" not in line]
        cause = lines[-1] if lines else "no message"
        unknown = "didn't find section" in stderr
        super().__init__(f"rclone: {cause} ({code})", "`rclone config` makes a remote known." if unknown else "")
        self.code = code
        self.again = not _HOPELESS.search(stderr)


def _twofold(entry: FileEntry | None) -> tuple[str, int] | None:
    return (entry.sha256, entry.mtime) if entry else None


class RcloneCarrier:
    """One target that holds the files of one snapshot, and those that it keeps of earlier ones."""

    def __init__(self, programs: Programs, target: Target) -> None:
        self._programs, self._target = programs, target
        self._pointers: set[str] = set()
        """What `send` has left for `flip` to send."""

    def _rclone(self, verb: str, *arguments: str) -> str:
        seconds = f"{self._target.timeout}s"
        options = ["--retries=1", "--low-level-retries=1", f"--timeout={seconds}", f"--contimeout={seconds}"]
        if self._target.bwlimit:
            options.append(f"--bwlimit={self._target.bwlimit}")
        try:
            return self._programs.run("rclone", verb, *options, *arguments)
        except ProgramError as error:
            raise RcloneError(error.code, error.stderr) from error

    def _at(self, path: str = "") -> str:
        at = self._target.destination
        return f"{at}{'' if at.endswith(':') else '/'}{path}" if path else at

    def look(self, snapshot: Snapshot) -> Live:
        """Reads the description, which is the last file that a push writes."""
        text = self.description()
        shown = described(text)
        return Live(shown.id if shown else None, shown, text == snapshot.described)

    def description(self) -> bytes:
        """The `snapshot.json` that is there."""
        try:
            return self._rclone("cat", self._at(DESCRIPTION)).encode()
        except RcloneError as error:
            if error.code not in _NOT_FOUND:
                raise
            return b""

    def fetch(self, snapshot: Snapshot) -> None:
        """Copies the snapshot's files, and nothing else that may lie there."""
        with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
            listed = self._list(Path(name), snapshot.by_path)
            self._rclone("copy", *listed, self._at(), str(snapshot.folder))

    def send(self, snapshot: Snapshot, live: Live, thorough: bool) -> int:
        """Sends what is named by its hash: nothing points to it yet."""
        missing = self._missing(snapshot, live, thorough)
        lasting = {entry.path for entry in snapshot.all_files if spells_hash(entry)}
        self._copy(snapshot, missing & lasting)
        self._pointers = missing - lasting
        return len(missing)

    def _missing(self, snapshot: Snapshot, live: Live, thorough: bool) -> set[str]:
        """What is not there, or is not what it should be: by description and size, or else by its bytes."""
        listed = self._sizes()
        there = live.described.by_path if live.described else {}
        wanted = {entry.path: entry for entry in snapshot.all_files}
        changed = {path for path, entry in wanted.items() if _twofold(there.get(path)) != _twofold(entry)}
        changed |= {path for path, entry in wanted.items() if listed.get(path) != entry.size}
        return changed | self._different(snapshot, wanted.keys() - changed) if thorough else changed

    def _sizes(self) -> dict[str, int]:
        try:
            listed = self._rclone("lsf", "--recursive", "--files-only", "--format=sp", "--separator=/", self._at())
        except RcloneError as error:
            if error.code not in _NOT_FOUND:
                raise
            return {}
        rows = (line.partition("/") for line in listed.splitlines())
        return {path: int(size) for size, _, path in rows if size.isdecimal()}

    def _different(self, snapshot: Snapshot, paths: Collection[str]) -> set[str]:
        """Compares by the storage's own hashes, or, where it has none, by reading all of it."""
        if not paths:
            return set()
        hashes = '"Hashes": []' not in self._rclone("backend", "features", self._at())
        with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
            found = Path(name, "found")
            how = () if hashes else ("--download",)
            try:
                self._rclone(
                    "check", *self._list(Path(name), paths), "--one-way", f"--combined={found}", *how,
                    str(snapshot.folder.absolute()), self._at(),
                )  # fmt: skip
                failed = None
            except RcloneError as error:
                failed = error
            told = found.read_text(encoding="utf-8").splitlines() if found.exists() else []
            rows = {path: sign for sign, _, path in (line.partition(" ") for line in told)}
            if failed and not rows.keys() >= set(paths):  # else all is told, also what could not be read
                raise failed
            return {path for path, sign in rows.items() if sign in "*+!"}

    def flip(self, snapshot: Snapshot, live: Live) -> None:
        """Sends what points to the rest, then removes what nothing points to any more; the description comes last.

        As long as the old one is there, the next push knows what is to be removed.
        """
        self._copy(snapshot, self._pointers)
        gone = (live.described.by_path.keys() if live.described else set()) - snapshot.by_path.keys()
        if gone:
            with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
                self._rclone("delete", *self._list(Path(name), gone), self._at())
        if not live.same:
            self._copy(snapshot, {DESCRIPTION})

    def _copy(self, snapshot: Snapshot, paths: Collection[str]) -> None:
        if paths:
            with tempfile.TemporaryDirectory(prefix="flatdex-") as name:
                listed = self._list(Path(name), paths)
                self._rclone("copy", "--ignore-times", *listed, str(snapshot.folder.absolute()), self._at())

    def _list(self, folder: Path, paths: Iterable[str]) -> tuple[str, ...]:
        file = folder / "paths"
        file.write_text("".join(f"{path}\n" for path in sorted(paths)), encoding="utf-8")
        return ("--files-from-raw", str(file), "--no-traverse")

    def snapshots(self) -> frozenset[str]:
        """None lies there but the one that is live."""
        return frozenset()

    def remove(self, identifiers: Collection[str]) -> None:
        """There is nothing to remove."""
