"""Which source gives the list, and in which order sources are asked for objects: decided from what they said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sync.mirror.judge import FITS, Here, Rules, Taken, Verdict, identity, judged
from sync.mirror.model import Found, Listed, Probed

Shuffle = Callable[[list[Probed]], object]


@dataclass(frozen=True)
class Decision:
    """The list and who gave it, if any did; who is asked for objects, first to last; a verdict on each source.

    `remote_id` is the identity that all had to have. `why` tells in one sentence why there is no list.
    """

    listed: Listed | None
    giver: Probed | None
    order: tuple[Probed, ...]
    verdicts: tuple[Verdict, ...]
    remote_id: str | None
    why: str = ""


def decide(probed: Sequence[Probed], here: Here, rules: Rules, now: int, shuffle: Shuffle) -> Decision:
    """The list is the one of the highest version that holds, never below what is here; objects come from all others.

    - Identity: `rules.remote_id`, else that of what is here, else that of the first configured source whose list holds,
      else, with trusted keys, the one that all lists agree on. Who has another one is dropped.
    - Dropped is who gave no answer, or a list that is not signed by a trusted key (where there are any), or one that
      has expired. But a folder whose list was signed and has merely expired still bears objects: they are checked
      against a list that holds, and a stick that was long on its way is what an air gap lives on.
    - Without trusted keys a list is believed by where it comes from: only a configured source may give it. What was
      dropped in, mounted or found on the LAN bears objects.
    - Two different lists of one version: ours wins, else that of the source that was configured first. The other
      source bears objects. One that differs from what is here in its version's content alone is no list at all.
    - A list whose mirror says that it mirrors another one was put together from parts, so it is no list.
    - Order: folders first, even stale ones; then who has the list as it was chosen, at random; then the others, newest
      first. Objects are checked by their digests, so the order is about load and time, not about trust.
    """
    meant = identity(probed, here, rules, now)
    alone = [judged(each, meant, rules, now) for each in probed]
    able = [each.probed for each in alone if each.code == FITS and _behind(each.probed, here) is None]
    giver = _best(able)
    verdicts = tuple(_verdict(each, giver, here) for each in alone)
    order = _order([each.probed for each in verdicts if each.taken is not Taken.DROPPED], giver, shuffle)
    chosen = giver.listed if giver else None
    return Decision(chosen, giver, order, verdicts, meant.id, "" if giver else _nothing(verdicts, here))


def is_same(one: Listed, other: Listed) -> bool:
    """Whether two lists say the same; who signed them is no part of that."""
    return one.data == other.data or (
        one.snapshot.id == other.snapshot.id and one.snapshot.document == other.snapshot.document
    )


def _behind(probed: Probed, here: Here) -> tuple[str, str] | None:
    """Why a list that holds would be no step forward from what is here: a code and a sentence."""
    assert probed.listed is not None  # noqa: S101 - who has none was dropped
    snapshot = probed.listed.snapshot
    if here.version is None or snapshot.version > here.version:
        return None
    if snapshot.version < here.version:
        return "rollback", (
            f"its list is version {snapshot.version}, below {here.version}, which is here already: it is behind, or"
            " somebody wants old versions back"
        )
    if snapshot.id != here.list_id or (here.listed and not is_same(probed.listed, here.listed)):
        return "forked", (
            f"its list {snapshot.id} has version {snapshot.version}, and so has another one, {here.list_id}, which is"
            " here: two builds were published as one; the remote's next version mends that"
        )
    return None


def _best(able: Sequence[Probed]) -> Probed | None:
    """The first of those with the highest version, configured ones before others."""
    highest = max(map(_version, able), default=-1)
    those = [each for each in able if _version(each) == highest]
    return next((each for each in those if each.source.found is Found.CONFIGURED), those[0] if those else None)


def _version(probed: Probed) -> int:
    return probed.listed.snapshot.version if probed.listed else -1


def _verdict(alone: Verdict, giver: Probed | None, here: Here) -> Verdict:
    """The last word on a source, in the light of what was chosen."""
    probed = alone.probed
    if alone.code != FITS or probed.listed is None:
        return alone
    snapshot = probed.listed.snapshot
    if probed is giver:
        return Verdict(probed, Taken.LIST, "list", f"it has the newest list, version {snapshot.version}")
    if giver is None or giver.listed is None:
        return Verdict(probed, Taken.OBJECTS, *(_behind(probed, here) or ("stale", "")))
    if is_same(probed.listed, giver.listed):
        return Verdict(probed, Taken.OBJECTS, "current", f"it has version {snapshot.version}, too")
    if snapshot.version == giver.listed.snapshot.version:
        return Verdict(probed, Taken.OBJECTS, "forked", _forked(probed, giver))
    why = f"its list is version {snapshot.version}, the newest is {_version(giver)}: it is behind"
    return Verdict(probed, Taken.OBJECTS, "stale", why)


def _forked(probed: Probed, giver: Probed) -> str:
    return (
        f"its list differs from that of {giver.source.url}, though both are version {_version(probed)}: one of them was"
        " changed, or two builds were published as one; `trusted_keys` would tell which is the remote's"
    )


def _order(bearers: Sequence[Probed], giver: Probed | None, shuffle: Shuffle) -> tuple[Probed, ...]:
    shuffled = list(bearers)
    shuffle(shuffled)

    def place(each: Probed) -> tuple[bool, bool, int]:
        chosen, listed = giver.listed if giver else None, each.listed
        fresh = chosen is not None and listed is not None and is_same(listed, chosen)
        return not each.source.is_file, not fresh, 0 if fresh else -_version(each)

    return tuple(sorted(shuffled, key=place))


def _nothing(verdicts: Sequence[Verdict], here: Here) -> str:
    """Why there is no list."""
    codes = {each.code for each in verdicts}
    return next(filter(None, _reasons(codes, here)), "no source gave a list that can be used")


def _reasons(codes: set[str], here: Here) -> Iterator[str]:
    if not codes:
        yield "there is no source to mirror from"
    if "unclear" in codes:
        yield "sources speak of different remotes: `remote_id` has to say which one is meant"
    if codes & {"rollback", "forked"}:
        yield f"no source has a list that is newer than version {here.version}, which is here"
    if "expired" in codes:
        yield "the only lists that were found have expired"
    if "untrusted" in codes:
        yield "no configured source gave a list, and others are believed only with `trusted_keys`"
