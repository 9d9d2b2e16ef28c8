"""What a source is good for by itself: whose remote it is, whether its list holds, and who may give one at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from builder.description import time_text
from builder.signing import unsealed
from sync.mirror.model import Found, Listed, Probed

FITS = "fits"


class Taken(Enum):
    """What a source is good for in a run."""

    LIST = "list and objects"
    OBJECTS = "objects"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Here:
    """What the store has now: the list's version and id, and whose remote it is. None: nothing yet."""

    version: int | None = None
    remote_id: str | None = None
    list_id: str = ""
    listed: Listed | None = None


@dataclass(frozen=True)
class Rules:
    """`trusted`: keys are configured, so only what they signed is a list. `remote_id` is the one to mirror, if told."""

    trusted: bool = False
    remote_id: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a source: `code` is a stable name of the reason, `why` a sentence with the likely fix."""

    probed: Probed
    taken: Taken
    code: str
    why: str


@dataclass(frozen=True)
class Meant:
    """Which remote is mirrored, if that is `known`; one without an id has None."""

    id: str | None = None
    known: bool = False
    unclear: bool = False


def identity(probed: Sequence[Probed], here: Here, rules: Rules, now: int) -> Meant:
    """As configured, else that of what is here, of the first configured source, or of all signed lists alike."""
    if rules.remote_id:
        return Meant(rules.remote_id, known=True)
    if here.version is not None:
        return Meant(here.remote_id, known=True)
    holding = [each for each in probed if _own_fault(each, rules, now) is None]
    configured = [each for each in holding if each.source.found is Found.CONFIGURED]
    if configured:
        return Meant(_id_of(configured[0]), known=True)
    found = {_id_of(each) for each in holding} if rules.trusted else set()
    return Meant(next(iter(found)), known=True) if len(found) == 1 else Meant(unclear=bool(found))


def _id_of(probed: Probed) -> str | None:
    found: str | None = probed.listed.snapshot.document["remote"]["id"] if probed.listed else None
    return found


def _own_fault(probed: Probed, rules: Rules, now: int) -> tuple[str, str] | None:
    """What is wrong with a source by itself: a code and a sentence."""
    listed = probed.listed
    if probed.fault or listed is None:
        return probed.fault or "nothing", probed.why or "it gave no list"
    if rules.trusted and not listed.signed_by:
        if unsealed(listed.data)[1]:
            return "forged", (
                "its list is not signed by a trusted key: it was forged or changed on the way, or the remote has a"
                " new key, which `trusted_keys` would have to name"
            )
        return "unsigned", "its list is not signed, and `trusted_keys` asks for a signature: does the remote sign yet?"
    until = listed.snapshot.expires
    if until is not None and until <= now:
        return "expired", (
            f"its list (version {listed.snapshot.version}) expired on {time_text(until)}: somebody may be holding back"
            " newer ones, or the remote is no longer built"
        )
    return None


def judged(probed: Probed, meant: Meant, rules: Rules, now: int) -> Verdict:
    """The verdict on a source, whatever others say: `FITS` means that its list holds."""
    fault = _own_fault(probed, rules, now)
    expired = fault is not None and fault[0] == "expired"
    if fault is not None and not (expired and probed.source.is_file):
        return Verdict(probed, Taken.DROPPED, *fault)
    if meant.unclear:
        return Verdict(probed, Taken.DROPPED, "unclear", _UNCLEAR)
    found = _id_of(probed)
    if meant.known and found != meant.id:
        return Verdict(probed, Taken.DROPPED, "foreign", _foreign(found, meant.id))
    if fault is not None:
        return Verdict(probed, Taken.OBJECTS, "expired", f"{fault[1]}; a folder's objects are of use all the same")
    if not rules.trusted and probed.source.found is not Found.CONFIGURED:
        return Verdict(probed, Taken.OBJECTS, "untrusted", _UNTRUSTED.format(found=probed.source.found.value))
    if not _agrees(probed):
        return Verdict(probed, Taken.OBJECTS, "mixed", _MIXED)
    return Verdict(probed, Taken.OBJECTS, FITS, "")


_UNCLEAR = "sources speak of different remotes, and nothing says which one is meant: set `remote_id`"
_UNTRUSTED = (
    "it was {found}, not configured, and without `trusted_keys` nothing vouches for its list: it only bears objects of"
    " a list that a configured source gives"
)
_MIXED = (
    "its own snapshot.json and its upstream/snapshot.json speak of different lists: it is being updated right now, or"
    " was put together from parts of several"
)


def _foreign(found: str | None, wanted: str | None) -> str:
    says = f"it is the remote {found!r:.200}" if found else "its snapshot.json names no remote.id"
    return f"{says}, another remote than {wanted!r:.200}" if wanted else f"{says}; the one that is mirrored has no id"


def _agrees(probed: Probed) -> bool:
    """Whether a mirror mirrors the list that it shows."""
    if probed.own is None or probed.listed is None:
        return True
    mirror, listed = probed.own.document.get("mirror"), probed.listed.snapshot
    if not isinstance(mirror, dict) or probed.own.document["remote"]["id"] != _id_of(probed):
        return False
    return (mirror.get("id"), mirror.get("version")) == (listed.id, listed.version)
