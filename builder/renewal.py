"""When what did not change is signed anew: before it ends, and as soon as it is to be signed otherwise."""

from __future__ import annotations

from builder import signing
from builder.config import Signing
from builder.description import Invalid, Snapshot, time_text

UNSIGNED = "unsigned"


def state(sign: Signing | None) -> str:
    """A text that is the same as long as the same keys sign. Raises FlatdexError if one of them can't."""
    return "\n".join(sorted(signing.public(key).text for key in sign.keys)) if sign else UNSIGNED


def at(expires: int | None, sign: Signing | None) -> int | None:
    """When a snapshot that is valid until `expires` is due to be signed anew, in seconds: half of the time before."""
    return expires - sign.valid_for // 2 if sign and expires is not None else None


def ends_soon(one: Snapshot, now: int) -> bool:
    """Whether it is valid for a quarter of its time at most: then nothing has renewed it when it was due."""
    return one.expires is not None and one.expires - now <= (one.expires - one.created) / 4


def due(newest: Snapshot, sign: Signing | None, now: int) -> str:
    """Why the newest snapshot is to be made again with another signature, at `now` in seconds; empty if it is not.

    Raises FlatdexError if a key that is to sign can't.
    """
    if sign is None:
        return "not signed any more" if "expires" in newest.document or "signatures" in newest.document else ""
    expires = newest.expires
    if expires is None:
        return "signed from now on"
    if now >= expires - sign.valid_for // 2:
        return f"the one before is valid until {time_text(expires)}"
    if expires > max(now, newest.created) + sign.valid_for:
        return "valid for a shorter time"
    return "" if _signed_by(newest) == state(sign) else "signed by other keys"


def _signed_by(newest: Snapshot) -> str:
    """As `state` says it; empty if its signatures don't hold."""
    try:
        return "\n".join(sorted(key.text for key in signing.signers(newest.described)))
    except (OSError, Invalid):
        return ""
