"""Asks one source for its `snapshot.json`, by HTTP or in a folder, and for the origin's where it is a mirror."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from builder import files
from builder.config import Access
from builder.description import DESCRIPTION, Invalid, Snapshot, parse
from builder.signing import unsealed
from builder.sources.access import transport_to
from builder.sources.answers import FetchError
from builder.sources.streams import streamed
from builder.sources.tls import BadCertificateError
from builder.sources.transport import Patience, Transport
from builder.stick import is_stick
from sync.mirror.memory import Memory
from sync.mirror.model import Found, Source
from sync.mirror.patience import Limits, Wait
from sync.mirror.trouble import Trouble, trouble

UPSTREAM = f"upstream/{DESCRIPTION}"
_LARGEST = 256 * 1024 * 1024
_LARGEST_OF_OTHERS = 32 * 1024 * 1024  # bytes, of a source that nobody configured
_LARGE = 1024 * 1024  # bytes of JSON from which on only one is parsed at a time
_parsing = threading.Lock()
_CHUNK = 1024 * 1024

Open = Callable[[Source], Transport]


@dataclass(frozen=True)
class Said:
    """What a source said: its own `snapshot.json`, and the origin's if it is a mirror. Nothing of it is believed yet.

    `etag` and `modified` are what a later question can name; `is_new` tells that these bytes came just now.
    """

    data: bytes
    own: Snapshot
    upstream: bytes | None = None
    is_stick: bool = False
    is_new: bool = True
    etag: str = ""
    modified: str = ""

    @property
    def agrees(self) -> bool:
        """Whether a mirror's list is the one that its own description names by its hash."""
        return self.upstream is None or _hash_of_upstream(self.own) == hashlib.sha256(self.upstream).hexdigest()


def open_transport(source: Source, limits: Limits) -> Transport:
    """One that asks once, with the login and the certificates that there are for it; a peer on the LAN gets none."""
    # Whoever watches gives up before; this is for what stalls after much has come.
    patience = Patience(limits.connect, 2 * limits.answer, limits.whole(source), retries=0)
    try:
        return transport_to(source.url, Access(), os.environ, anonymous=source.found is Found.LAN, patience=patience)
    except BadCertificateError as error:
        raise Trouble("tls", str(error)) from error


def ask(source: Source, memory: Memory, wait: Wait, opened: Open) -> Said:
    """What the source says; by HTTP only what is not known yet is sent. Raises Trouble."""
    if source.is_file:
        return _in_folder(source, wait)
    with opened(source) as transport:
        wait.transport = transport
        try:
            said = _by_http(source, memory, wait, transport)
            # One that was updated between two requests is asked again, one that never agrees with itself is not.
            return said if said.agrees else _by_http(source, memory, wait, transport, known=False)
        except FetchError as error:
            raise trouble(error) from error


def understood(data: bytes, path: str = DESCRIPTION) -> Snapshot:
    """What nobody vouches for yet: one of those that make a lot of memory of a few bytes is not parsed at all."""
    parts = 12 * data.count(b",") + 20 * (data.count(b"{") + data.count(b"["))
    if len(data) > _LARGE and len(data) < parts:
        raise Trouble("corrupt", f"its {path} has more parts than a list of files of this size")
    try:
        with _parsing if len(data) > _LARGE else contextlib.nullcontext():
            return parse(unsealed(data)[0])
    except Invalid as error:
        if data.lstrip()[:1] == b"<":
            why = f"it answers with a web page in place of its {path}: is there a login page in between?"
            raise Trouble("corrupt", why) from error
        why = f"its {path} is damaged, or no such file: {error}"
        raise Trouble("corrupt", f"{why:.300}; the next run may find it whole") from error


def is_mirror(own: Snapshot) -> bool:
    """Whether the list is not the source's own `snapshot.json`, but the origin's, which lies below it."""
    return "mirror" in own.document


def _hash_of_upstream(own: Snapshot) -> str:
    entry = own.by_path.get(UPSTREAM)
    return entry.sha256 if entry else ""


def _in_folder(source: Source, wait: Wait) -> Said:
    folder = source.folder
    try:
        data = _file(source, DESCRIPTION, wait)
        own = understood(data)
        upstream = _file(source, UPSTREAM, wait) if is_mirror(own) else None
        return Said(data, own, upstream, is_stick(folder))
    except (FileNotFoundError, NotADirectoryError) as error:
        if not folder.is_dir():
            fix = "is it mounted? A URL would have to begin with https:// or http://"
            raise Trouble("missing", f"there is no folder {folder}: {fix}") from error
        missing = UPSTREAM if (folder / DESCRIPTION).exists() else DESCRIPTION
        below = next((each for each in ("current", ".flatdex") if (folder / each / DESCRIPTION).exists()), "")
        guess = f"did you mean {folder / below}?" if below else "it holds no remote, or a copy that was cut off"
        raise Trouble("missing", f"{folder} has no {missing}: {guess}") from error
    except OSError as error:
        raise Trouble("unreadable", f"{folder} can't be read: {error.strerror}") from error


def _file(source: Source, path: str, wait: Wait) -> bytes:
    parts: list[bytes] = []
    with wait.waiting(), files.opened(source.folder / path) as opened:
        while part := opened.read(_CHUNK):
            parts.append(part)
            wait.note(len(part))
            _check_size(source, path, wait.came)
    return b"".join(parts)


def _check_size(source: Source, path: str, size: int) -> None:
    limit = _LARGEST if source.found is Found.CONFIGURED else _LARGEST_OF_OTHERS
    if size > limit:
        raise Trouble("large", f"its {path} has more than {limit // 1024 // 1024} MiB, more than any remote needs")


def _by_http(source: Source, memory: Memory, wait: Wait, transport: Transport, known: bool = True) -> Said:
    before = _remembered(source, memory) if known else None
    conditions = {}
    if before and (before.etag or before.modified):
        conditions = {"If-None-Match": before.etag} if before.etag else {"If-Modified-Since": before.modified}
    found = _get(source, DESCRIPTION, wait, transport, conditions)
    if found is None and before:
        return before
    data, etag, modified = found or (b"", "", "")
    own = understood(data)
    upstream = None
    if is_mirror(own):
        upstream = memory.document(_hash_of_upstream(own))
        if upstream is None:
            upstream = (_get(source, UPSTREAM, wait, transport, {}) or (b"",))[0]
    return Said(data, own, upstream, etag=etag, modified=modified)


def _remembered(source: Source, memory: Memory) -> Said | None:
    """What it said the last time, unless that is lost or of no use any more."""
    note = memory.note(source.url)
    data = memory.document(note.own) if note else None
    if note is None or data is None:
        return None
    try:
        own = understood(data)
    except Trouble:
        return None
    upstream = memory.document(note.upstream) if is_mirror(own) else None
    said = Said(data, own, upstream, is_new=False, etag=note.etag, modified=note.modified)
    return said if said.agrees and (upstream is not None) == is_mirror(own) else None


def _get(
    source: Source, path: str, wait: Wait, transport: Transport, conditions: Mapping[str, str]
) -> tuple[bytes, str, str] | None:
    """The bytes with their ETag and Last-Modified; None if nothing changed. A LAN's source leads nowhere else."""
    parts: list[bytes] = []
    stays = source.found is Found.LAN
    try:
        with (
            wait.waiting(),
            streamed(transport, source.url + path, conditions, patience=wait.limits.answer, stays=stays) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                raise Trouble("http", f"its {path} was answered with {answer.status}, which was not asked for")
            while part := answer.read():
                parts.append(part)
                wait.note(len(part))
                _check_size(source, path, wait.came)
            return b"".join(parts), answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    except FetchError as error:
        if error.status == HTTPStatus.NOT_MODIFIED and conditions:
            return None
        raise
