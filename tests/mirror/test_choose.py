"""Which source gives the list, who bears objects in which order, and why the others don't: rule by rule."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sshkeys import public_key
from sync.mirror import explain
from sync.mirror.choose import Decision, decide
from sync.mirror.judge import Here, Rules, Taken
from sync.mirror.model import Found, Probed
from tests.mirror.lists import DAY, NOW, described, failed, listed, mirrors, probed

TRUSTED = Rules(trusted=True)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
SIGNED = f"signed by {public_key(KEY).fingerprint}"
OTHERS = (Found.DROPPED_IN, Found.MOUNTED, Found.LAN)


def decided(
    *sources: Probed, here: Here | None = None, rules: Rules | None = None, now: int = NOW, seed: int = 0
) -> Decision:
    return decide(sources, here or Here(), rules or Rules(), now, random.Random(seed).shuffle)


def codes(decision: Decision) -> dict[str, tuple[str, Taken]]:
    """By the first part of each source's host, or its folder."""
    return {_name(each.probed): (each.code, each.taken) for each in decision.verdicts}


def order(decision: Decision) -> list[str]:
    return [_name(each) for each in decision.order]


def _name(each: Probed) -> str:
    return each.source.url.split("//")[1].split(".")[0].rstrip("/")


def here_with(data: bytes) -> Here:
    snapshot = listed(data).snapshot
    return Here(snapshot.version, snapshot.document["remote"]["id"], snapshot.id)


def test_the_highest_version_is_the_list() -> None:
    decision = decided(probed("a", described(3)), probed("b", described(7)), probed("c", described(5)))
    assert decision.listed is not None and decision.listed.snapshot.version == 7
    assert decision.giver is not None and _name(decision.giver) == "b"
    assert codes(decision) == {
        "a": ("stale", Taken.OBJECTS),
        "b": ("list", Taken.LIST),
        "c": ("stale", Taken.OBJECTS),
    }
    assert order(decision) == ["b", "c", "a"], "the fresh one first, then the newest of those that are behind"


def test_folders_come_first_even_stale_ones_then_the_fresh_at_random() -> None:
    new, old = described(7), described(2)
    sources = [probed(f"web{number}", new) for number in range(6)]
    sources += [probed("late", old), probed("/old", old), probed("/new", new)]
    orders = {tuple(order(decided(*sources, seed=seed))) for seed in range(20)}
    assert len(orders) > 10, "always the same source would bear all the load"
    for each in orders:
        assert each[:2] == ("/new", "/old")
        assert set(each[2:8]) == {f"web{number}" for number in range(6)}
        assert each[8] == "late"


@pytest.mark.parametrize("code", ["refused", "dns", "tls", "timeout", "missing", "corrupt"])
def test_who_gave_no_answer_is_dropped(code: str) -> None:
    decision = decided(failed("gone", code), probed("good", described(1)))
    assert codes(decision)["gone"] == (code, Taken.DROPPED)
    assert decision.verdicts[0].why == "nobody is there"
    assert order(decision) == ["good"]


def test_never_below_what_is_here() -> None:
    decision = decided(probed("a", described(6)), probed("b", described(4)), here=here_with(described(7)))
    assert decision.listed is None and decision.giver is None
    assert codes(decision) == {"a": ("rollback", Taken.OBJECTS), "b": ("rollback", Taken.OBJECTS)}
    assert "version 6, below 7" in decision.verdicts[0].why
    assert decision.why == "no source has a list that is newer than version 7, which is here"


def test_a_rollback_stops_nobody_who_has_the_new_list() -> None:
    same = described(7)
    decision = decided(probed("back", described(6)), probed("a", same), here=here_with(same))
    assert decision.listed is not None and decision.listed.snapshot.version == 7
    assert codes(decision)["back"] == ("stale", Taken.OBJECTS)


def test_what_is_here_may_be_given_again() -> None:
    same = described(7)
    assert codes(decided(probed("a", same), here=here_with(same)))["a"] == ("list", Taken.LIST)


def test_two_lists_of_one_version_and_the_first_configured_wins() -> None:
    decision = decided(probed("a", described(7)), probed("b", described(7, content="other")))
    assert codes(decision) == {"a": ("list", Taken.LIST), "b": ("forked", Taken.OBJECTS)}
    assert "https://a.example/" in decision.verdicts[1].why and "both are version 7" in decision.verdicts[1].why


def test_two_lists_of_one_version_and_the_configured_one_wins() -> None:
    other = described(7, content="other")
    sources = probed("lan", other, found=Found.LAN, signed_by=KEY), probed("a", described(7), signed_by=KEY)
    assert codes(decided(*sources, rules=TRUSTED)) == {"lan": ("forked", Taken.OBJECTS), "a": ("list", Taken.LIST)}


def test_two_lists_of_one_version_and_ours_wins() -> None:
    ours = described(7, content="ours")
    decision = decided(probed("a", described(7)), probed("b", ours), here=here_with(ours))
    assert codes(decision) == {"a": ("forked", Taken.OBJECTS), "b": ("list", Taken.LIST)}


def test_another_list_of_the_version_that_is_here_is_none() -> None:
    decision = decided(probed("a", described(7)), here=here_with(described(7, content="ours")))
    assert decision.listed is None
    assert codes(decision)["a"] == ("forked", Taken.OBJECTS)
    assert "two builds were published as one" in decision.verdicts[0].why
    newer = decided(probed("a", described(8)), here=here_with(described(7, content="ours")))
    assert newer.listed is not None, "the next version mends it"


def test_signed_anew_is_no_other_list() -> None:
    once = probed("a", described(7))
    assert once.listed is not None
    twice = Probed(replace(once.source, url="https://b.example/"), replace(once.listed, data=b"signed by two keys"))
    assert codes(decided(once, twice)) == {"a": ("list", Taken.LIST), "b": ("current", Taken.OBJECTS)}


def test_where_keys_are_trusted_only_what_they_signed_counts() -> None:
    decision = decided(probed("plain", described(9)), probed("signed", described(3), signed_by=KEY), rules=TRUSTED)
    assert codes(decision) == {"plain": ("unsigned", Taken.DROPPED), "signed": ("list", Taken.LIST)}
    assert "not signed" in decision.verdicts[0].why


@pytest.mark.parametrize("found", OTHERS)
def test_without_keys_only_a_configured_source_gives_the_list(found: Found) -> None:
    decision = decided(probed("other", described(9), found=found), probed("a", described(3)))
    assert decision.listed is not None and decision.listed.snapshot.version == 3
    assert codes(decision)["other"] == ("untrusted", Taken.OBJECTS)
    assert found.value in decision.verdicts[0].why and "trusted_keys" in decision.verdicts[0].why
    assert order(decision) == ["a", "other"]


@pytest.mark.parametrize("found", OTHERS)
def test_with_keys_any_source_gives_the_list(found: Found) -> None:
    sources = probed("a", described(3), signed_by=KEY), probed("other", described(9), found=found, signed_by=KEY)
    decision = decided(*sources, rules=TRUSTED)
    assert codes(decision) == {"a": ("stale", Taken.OBJECTS), "other": ("list", Taken.LIST)}


def test_without_keys_and_configured_sources_there_is_no_list() -> None:
    decision = decided(probed("/stick", described(9), found=Found.MOUNTED), failed("a"))
    assert decision.listed is None
    assert "believed only with `trusted_keys`" in decision.why
    assert order(decision) == ["/stick"]


def test_an_expired_list_drops_its_source() -> None:
    old, new = described(9, expires=NOW - 1), described(3, expires=NOW + 1)
    decision = decided(probed("frozen", old), probed("a", new))
    assert codes(decision) == {"frozen": ("expired", Taken.DROPPED), "a": ("list", Taken.LIST)}
    assert "expired on 2027-01-15" in decision.verdicts[0].why and "holding back" in decision.verdicts[0].why
    assert decided(probed("a", new), now=NOW + 1).listed is None, "its second is over"
    assert "have expired" in decided(probed("a", old)).why


def test_a_folder_with_an_expired_list_still_bears_objects() -> None:
    old = described(2, expires=NOW - 30 * DAY)
    decision = decided(probed("/stick", old, signed_by=KEY), probed("a", described(3), signed_by=KEY), rules=TRUSTED)
    assert codes(decision)["/stick"] == ("expired", Taken.OBJECTS)
    assert order(decision) == ["/stick", "a"]
    forged = decided(probed("/stick", old), probed("a", described(3), signed_by=KEY), rules=TRUSTED)
    assert codes(forged)["/stick"] == ("unsigned", Taken.DROPPED), "but nobody trusted signed that"
    foreign = described(2, "org.example.other", expires=NOW - DAY)
    decision = decided(probed("/stick", foreign), probed("a", described(3)))
    assert codes(decision)["/stick"] == ("foreign", Taken.DROPPED)


def test_only_an_expired_stick_is_no_foreign_one() -> None:
    """Nothing says which remote is meant, so nothing is held against the stick but its age."""
    decision = decided(probed("/stick", described(2, expires=NOW - 1)))
    assert decision.listed is None and codes(decision)["/stick"] == ("expired", Taken.OBJECTS)


@pytest.mark.parametrize(
    ("rules", "here", "dropped"),
    [
        (Rules(remote_id="org.example.apps"), Here(), "b"),
        (Rules(remote_id="org.example.other"), Here(), "a"),
        (Rules(), Here(1, "org.example.other", "some"), "a"),
        (Rules(), Here(), "b"),
    ],
    ids=["configured", "the other one configured", "here", "the first configured source"],
)
def test_another_remote_is_dropped(rules: Rules, here: Here, dropped: str) -> None:
    decision = decided(
        probed("a", described(7)), probed("b", described(9, "org.example.other")), rules=rules, here=here
    )
    assert {name for name, (code, _) in codes(decision).items() if code == "foreign"} == {dropped}
    assert decision.giver is not None and _name(decision.giver) != dropped
    assert any("another remote than" in each.why for each in decision.verdicts)


def test_a_remote_without_an_id_is_another_one_too() -> None:
    decision = decided(probed("a", described(7)), probed("b", described(9, None)))
    assert codes(decision)["b"] == ("foreign", Taken.DROPPED)
    assert "names no remote.id" in decision.verdicts[1].why
    assert codes(decided(probed("b", described(9, None))))["b"] == ("list", Taken.LIST)
    assert codes(decided(probed("b", described(9)), here=Here(1, None, "x")))["b"] == ("foreign", Taken.DROPPED)


def test_the_first_configured_source_that_holds_says_whose_remote_it_is() -> None:
    frozen = probed("frozen", described(9, "org.example.other", expires=1))
    lan = probed("lan", described(9, "org.example.other"), found=Found.LAN)
    assert decided(lan, frozen, failed("gone"), probed("a", described(1))).remote_id == "org.example.apps"


def test_two_remotes_under_one_key_need_a_name() -> None:
    one = probed("/a", described(7), found=Found.MOUNTED, signed_by=KEY)
    two = probed("/b", described(9, "org.example.other"), found=Found.MOUNTED, signed_by=KEY)
    decision = decided(one, two, rules=TRUSTED)
    assert decision.listed is None and decision.order == ()
    assert "`remote_id` has to say" in decision.why
    assert codes(decided(one, two, rules=Rules(True, "org.example.other")))["/b"] == ("list", Taken.LIST)
    assert codes(decided(one, rules=TRUSTED))["/a"] == ("list", Taken.LIST), "alone it is clear"


@pytest.mark.parametrize(
    "own",
    [
        mirrors(described(7), id="20270101T000000Z-00000000"),
        mirrors(described(7), version=6),
        described(47),
        described(47, "org.example.other", mirror={"id": listed(described(7)).snapshot.id, "version": 7}),
    ],
    ids=["another list", "another version", "no mirror at all", "another remote"],
)
def test_a_mirror_that_was_mixed_gives_no_list(own: bytes) -> None:
    decision = decided(probed("mixed", described(7), own=own), probed("a", described(3)))
    assert decision.listed is not None and decision.listed.snapshot.version == 3
    assert codes(decision)["mixed"] == ("mixed", Taken.OBJECTS)
    assert "upstream/snapshot.json" in decision.verdicts[0].why


def test_a_mirror_gives_the_list_as_the_origin_does() -> None:
    new = described(7)
    decision = decided(probed("mirror", new, own=mirrors(new)), probed("a", described(3)))
    assert codes(decision)["mirror"] == ("list", Taken.LIST)


def test_no_source_at_all() -> None:
    decision = decided()
    assert decision.why == "there is no source to mirror from" and decision.listed is None


_names = st.sampled_from(["org.example.apps", "org.example.other", None])
_probed = st.builds(
    lambda name, version, content, remote, found, signed, late, folder: probed(
        f"{'/' if folder else ''}s{name}",
        described(version, remote, content=content, expires=NOW - 1 if late else None),
        found=found,
        signed_by=KEY if signed else "",
    ),
    st.integers(0, 99),
    st.integers(1, 5),
    st.sampled_from(["", "x"]),
    _names,
    st.sampled_from(list(Found)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(
    st.lists(_probed | st.just(failed("gone")), max_size=6),
    st.sampled_from([Here(), here_with(described(3)), here_with(described(5, "org.example.other"))]),
    st.builds(Rules, st.booleans(), st.sampled_from(["", "org.example.apps"])),
    st.integers(0, 3),
)
def test_whatever_is_said_what_must_hold_holds(sources: list[Probed], here: Here, rules: Rules, seed: int) -> None:
    decision = decided(*sources, here=here, rules=rules, seed=seed)
    assert [each.probed for each in decision.verdicts] == sources
    assert all(each.why and each.code not in ("", "fits") for each in decision.verdicts)
    taken = [each.probed for each in decision.verdicts if each.taken is not Taken.DROPPED]
    assert sorted(map(id, decision.order)) == sorted(map(id, taken)), "each once, and none that was dropped"
    assert all(each.listed is not None for each in decision.order)
    folders = [each.source.is_file for each in decision.order]
    assert folders == sorted(folders, reverse=True)
    assert (decision.listed is None) == (decision.giver is None) == bool(decision.why)
    if decision.listed is not None and decision.giver is not None:
        snapshot = decision.listed.snapshot
        assert snapshot.version >= (here.version or 0)
        assert snapshot.version != here.version or snapshot.id == here.list_id
        assert snapshot.expires is None or snapshot.expires > NOW
        assert decision.listed.signed_by if rules.trusted else decision.giver.source.found is Found.CONFIGURED
        assert snapshot.document["remote"]["id"] == decision.remote_id
        assert [each.taken for each in decision.verdicts].count(Taken.LIST) == 1
    text = "\n".join(explain.lines(decision, NOW))
    assert all(each.source.url in text for each in sources)
    json.dumps(explain.as_json(decision))


def test_explained() -> None:
    new = described(7, expires=NOW + 3 * DAY)
    decision = decided(
        probed("a", new, signed_by=KEY, own=mirrors(new)),
        probed("/media/stick", described(6, expires=NOW - DAY), found=Found.MOUNTED, signed_by=KEY),
        failed("gone"),
        rules=TRUSTED,
    )
    a, stick = (each.probed.listed.snapshot.id for each in decision.verdicts[:2] if each.probed.listed)
    assert list(explain.lines(decision, NOW)) == [
        "https://a.example/ (configured)",
        f"  has remote 'org.example.apps', version 7, {a}, 99 days old, valid for 3 days,"
        f" {SIGNED}; a mirror with a part of it",
        "  taken for list and objects [list]: it has the newest list, version 7",
        "file:///media/stick/ (mounted)",
        f"  has remote 'org.example.apps', version 6, {stick}, 99 days old, expired 1 day ago, {SIGNED}",
        f"  taken for objects [expired]: {decision.verdicts[1].why}",
        "https://gone.example/ (configured)",
        "  dropped [refused]: nobody is there",
        f"list: version 7, {a}, from https://a.example/",
        "objects: asked for in this order: file:///media/stick/, https://a.example/",
    ]
    told = explain.as_json(decision)
    assert told["list"] == {"id": a, "version": 7, "from": "https://a.example/"}
    assert [each["code"] for each in told["sources"]] == ["list", "expired", "refused"]
    assert told["sources"][0]["has"]["expires"] == "2027-01-18T08:00:00Z"
    assert told["sources"][2]["has"] is None
