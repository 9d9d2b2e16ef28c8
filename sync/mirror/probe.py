"""Asks all sources at once what they have; none of them can hold up the others, or a run, for long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.signing import signer, trusted_key
from sync.mirror import asking
from sync.mirror.asking import Open, Said
from sync.mirror.memory import Memory
from sync.mirror.model import Listed, Probed, Source
from sync.mirror.patience import Limits, Wait
from sync.mirror.trouble import Trouble

LIMITS = Limits()
_TICK = 0.05  # seconds


@dataclass
class _Probe:
    """A source that is being asked: the thread leaves a result, or an error that is nobody's fault but ours."""

    source: Source
    wait: Wait
    done: threading.Event
    found: Probed | None = None
    error: Exception | None = None


def probe(
    sources: Sequence[Source],
    trusted: Sequence[str] = (),
    folder: Path | None = None,
    *,
    opened: Open | None = None,
    limits: Limits = LIMITS,
) -> tuple[Probed, ...]:
    """What each source has, in their order; `trusted` are public keys as in a `.pub` file.

    `folder` is where it is remembered what they said, so that a source of which nothing changed gets one conditional
    request. `opened` makes the transport for a source. Raises FlatdexError for a key that is none, or if nothing can be
    checked here.
    """
    for key in trusted:
        trusted_key(key)
    memory = Memory(folder)
    opened = opened or partial(asking.open_transport, limits=limits)
    probes = [_Probe(source, Wait(limits, limits.whole(source)), threading.Event()) for source in sources]
    for each in probes:
        # A daemon: what waits for a dead file system or a name server can't be ended, only left behind.
        threading.Thread(target=_run, args=(each, trusted, memory, opened), daemon=True).start()
    found = tuple(_awaited(each) for each in probes)
    with contextlib.suppress(OSError):  # then the next run asks for all of it, that's all
        memory.save()
    return found


def _awaited(each: _Probe) -> Probed:
    while not each.done.wait(_TICK):
        if why := each.wait.overdue(time.monotonic()):
            each.wait.give_up()
            return Probed(each.source, fault="timeout", why=f"{why}: it is down, or far too slow")
    if each.error is not None:
        raise each.error
    assert each.found is not None  # noqa: S101 - or there would be an error
    return each.found


def _run(each: _Probe, trusted: Sequence[str], memory: Memory, opened: Open) -> None:
    try:
        each.found = _probed(each.source, asking.ask(each.source, memory, each.wait, opened), trusted, memory)
    except Trouble as trouble:
        each.found = Probed(each.source, fault=trouble.code, why=str(trouble))
    except Exception as error:
        each.error = error
    finally:
        each.done.set()


def _probed(source: Source, said: Said, trusted: Sequence[str], memory: Memory) -> Probed:
    if said.upstream is None:
        listed = Listed(said.data, said.own, signer(said.data, trusted) if trusted else "")
        probed = Probed(source, listed, is_stick=said.is_stick)
    else:
        snapshot = asking.understood(said.upstream, asking.UPSTREAM)
        listed = Listed(said.upstream, snapshot, signer(said.upstream, trusted) if trusted else "")
        probed = Probed(source, listed, said.own, is_stick=said.is_stick)
    _remember(source, said, memory, fine=said.agrees and bool(listed.signed_by or not trusted))
    return probed


def _remember(source: Source, said: Said, memory: Memory, fine: bool) -> None:
    """Only what holds: an answer that somebody forged once would stay for as long as the true one does."""
    if source.is_file:
        return
    if not fine:
        memory.forget(source.url)
    elif said.is_new:
        memory.keep(source.url, said.data, said.upstream, said.etag, said.modified)
