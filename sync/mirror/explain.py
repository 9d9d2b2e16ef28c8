"""What became of each source, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from builder.description import Snapshot, time_text
from builder.sshkeys import public_key
from sync.mirror.choose import Decision
from sync.mirror.judge import Taken, Verdict

_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def lines(decision: Decision, now: int) -> Iterator[str]:
    """A paragraph a source: where it is and how it was found, what it has, what it is taken for and why."""
    for verdict in decision.verdicts:
        source, listed = verdict.probed.source, verdict.probed.listed
        yield f"{source.url} ({source.found.value})"
        if listed is not None:
            yield f"  has {_has(listed.snapshot, now)}{_signed(listed.signed_by)}{_parts(verdict)}"
        taken = "dropped" if verdict.taken is Taken.DROPPED else f"taken for {verdict.taken.value}"
        yield f"  {taken} [{verdict.code}]: {verdict.why}"
    if decision.giver is not None and decision.listed is not None:
        snapshot = decision.listed.snapshot
        yield f"list: version {snapshot.version}, {snapshot.id}, from {decision.giver.source.url}"
        yield "objects: asked for in this order: " + ", ".join(each.source.url for each in decision.order)
    else:
        yield f"list: none: {decision.why}"


def _has(snapshot: Snapshot, now: int) -> str:
    remote = snapshot.document["remote"]["id"]
    text = f"remote {remote!r:.200}, " if remote else "a remote without an id, "
    text += f"version {snapshot.version}, {snapshot.id}, {_span(now - snapshot.created)} old"
    if snapshot.expires is None:
        return text
    left = snapshot.expires - now
    return text + (f", valid for {_span(left)}" if left > 0 else f", expired {_span(-left)} ago")


def _span(seconds: int) -> str:
    """In its largest unit, as people say it."""
    for unit, size in _UNITS:
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"


def _signed(key: str) -> str:
    return f", signed by {public_key(key).fingerprint}" if key else ""


def _parts(verdict: Verdict) -> str:
    own = verdict.probed.own
    mirror = own.document.get("mirror") if own is not None else None
    if not isinstance(mirror, dict):
        return ""
    return "; a mirror with a part of it" if mirror.get("partial") else "; a mirror"


def as_json(decision: Decision) -> dict[str, Any]:
    """The same for programs; times are RFC 3339, and `order` are URLs."""
    snapshot = decision.listed.snapshot if decision.listed else None
    return {
        "remote": decision.remote_id,
        "list": {
            "id": snapshot.id,
            "version": snapshot.version,
            "from": decision.giver.source.url,
        }
        if snapshot and decision.giver
        else None,
        "why": decision.why,
        "order": [each.source.url for each in decision.order],
        "sources": [_source(each) for each in decision.verdicts],
    }


def _source(verdict: Verdict) -> dict[str, Any]:
    source, listed = verdict.probed.source, verdict.probed.listed
    told: dict[str, Any] = {
        "url": source.url,
        "found": source.found.value,
        "taken": verdict.taken.value,
        "code": verdict.code,
        "why": verdict.why,
        "has": None,
    }
    if listed is not None:
        snapshot = listed.snapshot
        told["has"] = {
            "remote": snapshot.document["remote"]["id"],
            "id": snapshot.id,
            "version": snapshot.version,
            "created": time_text(snapshot.created),
            "expires": time_text(snapshot.expires) if snapshot.expires is not None else None,
            "signed_by": listed.signed_by or None,
        }
    return told
