"""`max_shrink`: which refs an index would lose, and whether that is too many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.catalog import Image
from builder.config import Index
from builder.shrink import Loss, losses
from tests.builder.helpers import image, ref_of

NAMES = st.frozensets(st.integers(0, 40), max_size=30)


def index_of(name: str = "stable", most: int = 20) -> Index:
    """An index."""
    return Index(name, ("main",), ("latest",), max_shrink=most)


def entries(*names: object, index: str = "stable") -> list[dict[str, str]]:
    """Images as they stand in a snapshot.json."""
    return [{"index": index, "ref": ref_of(f"A{name}")} for name in names]


def images(*names: object) -> tuple[Image, ...]:
    """Images of an index."""
    return tuple(image(ref_of(f"A{name}")) for name in names)


def lost(before: int, after: int, most: int) -> Loss | None:
    """What is lost when of `before` refs `after` are left."""
    found = losses(entries(*range(before)), {"stable": images(*range(after))}, [index_of(most=most)])
    return found[0] if found else None


@pytest.mark.parametrize(
    ("before", "after", "most", "refused"),
    [
        (10, 9, 0, True),
        (10, 8, 20, False),
        (10, 7, 20, True),
        (5, 4, 20, False),
        (4, 3, 20, True),
        (1, 0, 20, True),
        (1, 0, 99, True),
        (10, 0, 100, False),
        (1, 0, 100, False),
        (1000, 799, 20, True),
        (1000, 800, 20, False),
    ],
)
def test_up_to_so_many_of_a_hundred_may_go(before: int, after: int, most: int, refused: bool) -> None:
    loss = lost(before, after, most)
    assert loss is not None
    assert loss.too_much == refused


@given(NAMES, NAMES, st.integers(0, 100))
def test_what_is_lost_was_there_and_is_no_more(before: frozenset[int], after: frozenset[int], most: int) -> None:
    found = losses(entries(*before), {"stable": images(*after)}, [index_of(most=most)])
    gone = before - after
    assert bool(found) == bool(gone)
    for loss in found:
        assert loss.refs == tuple(sorted(ref_of(f"A{name}") for name in gone))
        assert loss.before == len(before)
        assert loss.too_much == (len(gone) / len(before) > most / 100)


@given(NAMES, NAMES)
def test_with_0_nothing_may_go_and_with_100_all_may(before: frozenset[int], after: frozenset[int]) -> None:
    nothing = losses(entries(*before), {"stable": images(*after)}, [index_of(most=0)])
    assert all(loss.too_much for loss in nothing)
    everything = losses(entries(*before), {"stable": images(*after)}, [index_of(most=100)])
    assert not any(loss.too_much for loss in everything)


def test_other_digests_repositories_and_more_refs_are_no_loss() -> None:
    after = (image(ref_of("A1"), digest="sha256:" + "0" * 64, repository="moved"), *images(2, 3))
    assert losses(entries(1), {"stable": after}, [index_of(most=0)]) == []


def test_each_index_is_counted_by_itself_and_a_new_or_removed_one_loses_nothing() -> None:
    before = [*entries(1, 2), *entries(1, 2, index="testing"), *entries(1, index="removed")]
    indexes = [index_of(), index_of("testing", 50), index_of("new", 0)]
    after = {"stable": images(1, 2), "testing": images(2), "new": ()}
    (loss,) = losses(before, after, indexes)
    assert (loss.index.name, loss.refs, loss.too_much) == ("testing", (ref_of("A1"),), False)


def test_a_ref_of_two_images_counts_once() -> None:
    loss = losses([*entries(1), *entries(1), *entries(2)], {"stable": images(2)}, [index_of(most=50)])[0]
    assert (loss.before, loss.refs, loss.too_much) == (2, (ref_of("A1"),), False)


def test_the_text_lists_what_would_go() -> None:
    loss = lost(10, 7, 20)
    assert loss is not None
    assert loss.text.splitlines() == [
        "the index stable would lose 3 of 10 refs (`max_shrink` is 20%):",
        *(f"  {ref_of(f'A{number}')}" for number in (7, 8, 9)),
    ]


def test_a_long_list_is_cut() -> None:
    loss = lost(100, 0, 20)
    assert loss is not None
    lines = loss.text.splitlines()
    assert lines[0] == "the index stable would become empty (`max_shrink` is 20%):"
    assert len(lines) == 22
    assert lines[-1] == "  and 80 more"
