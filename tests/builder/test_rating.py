"""From what age on, and why: as AppStream's own library says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.site.pages import rating
from builder.site.pages.rating import Rating, rated
from tests.real import appstream


@pytest.mark.parametrize(
    ("attributes", "age", "words"),
    [
        ((), 0, ()),
        ((("violence-cartoon", "mild"),), 3, ("Mild violence",)),
        ((("violence-cartoon", "intense"), ("violence-fantasy", "mild")), 6, ("Strong violence",)),
        ((("social-info", "mild"),), 0, ("Checks for updates",)),
        (
            (("money-gambling", "intense"), ("money-purchasing", "mild")),
            18,
            ("Gambling for real money", "Asks for donations"),
        ),
        (
            (("social-chat", "intense"), ("drugs-tobacco", "moderate")),
            13,
            ("Use of alcohol, tobacco or other drugs", "Chat with others"),
        ),
        ((("sex-homosexuality", "mild"),), 13, ()),
        ((("unknown-thing", "intense"), ("violence-cartoon", "much"), ("", "")), 0, ()),
    ],
)
def test_answers_are_an_age_and_reasons(
    attributes: tuple[tuple[str, str], ...], age: int, words: tuple[str, ...]
) -> None:
    assert rated(attributes) == Rating(age, words)


@given(st.lists(st.tuples(st.sampled_from(sorted(rating._AGES)), st.sampled_from(rating.VALUES))))
def test_more_answers_never_make_anything_younger(attributes: list[tuple[str, str]]) -> None:
    ages = [rated(attributes[:number]).age for number in range(len(attributes) + 1)]
    assert ages == sorted(ages) and ages[-1] <= 18


def test_every_answer_has_words() -> None:
    for attribute in set(rating._AGES) - rating._UNSAID:
        for value in rating.VALUES:
            assert len(rated([(attribute, value)]).words) == 1


def test_ages_are_those_of_appstreams_library() -> None:
    for attribute in rating._AGES:
        for value in rating.VALUES:
            assert rated([(attribute, value)]).age == appstream.age(attribute, value), (attribute, value)
