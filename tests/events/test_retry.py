"""When targets that failed are tried again, and how patient their next try is."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from sync.events import retry
from sync.events.model import TargetResult
from sync.events.retry import WELL, Retry

NAMES = st.sampled_from("abcd")
CHANCES = st.floats(0, 1)
TIMES = st.floats(0, 1e9)
RETRIES = st.dictionaries(NAMES, st.builds(Retry, st.integers(0, 40), TIMES))
RESULTS = st.lists(
    st.builds(
        TargetResult,
        NAMES,
        live=st.booleans(),
        barred=st.booleans(),
        left_out=st.booleans(),
    ),
    unique_by=lambda result: result.name,
)


def after(
    retries: Mapping[str, Retry], *results: TargetResult, now: float = 0.0, chance: float = 0.5
) -> dict[str, Retry]:
    return retry.after_round(retries, results, now, lambda: chance)


def test_pauses_and_patience_grow_up_to_a_limit() -> None:
    assert [retry.pause(failures) for failures in range(1, 7)] == [5, 15, 45, 135, 405, 500]
    assert [retry.patience(failures) for failures in range(9)] == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert (retry.pause(1, 0), retry.pause(1, 1)) == (4, 6)
    assert round(retry.pause(99, 1), 6) == 600


@given(st.integers(0, 10_000), st.integers(0, 10_000), CHANCES, CHANCES)
def test_no_number_of_failures_leaves_the_limits(failures: int, more: int, chance: float, other: float) -> None:
    assert 4 <= retry.pause(failures, chance) <= 600.001
    assert 10 <= retry.patience(failures) <= retry.patience(failures + more) <= 900
    assert retry.pause(failures, chance) <= retry.pause(failures + more, chance)
    assert retry.pause(failures, chance) <= 1.5 * retry.pause(failures, other) + 0.001


@given(RETRIES, RESULTS, TIMES, CHANCES)
def test_after_any_round_exactly_those_are_owed_that_are_not_live(
    before: dict[str, Retry], results: list[TargetResult], now: float, chance: float
) -> None:
    new = after(before, *results, now=now, chance=chance)
    told = {result.name: result for result in results}
    assert before.keys() - told.keys() <= new.keys()
    for name, result in told.items():
        if result.left_out:
            assert new[name] == before.get(name, WELL) or result.barred, "nothing was learnt of it"
        elif result.live:
            assert name not in new
        elif result.barred:
            assert new[name].failures == before.get(name, WELL).failures
            assert new[name].due <= max(each.due for each in new.values())
        else:
            assert new[name].failures == min(before.get(name, WELL).failures + 1, 32)
            assert now + 4 <= new[name].due <= now + 600.001
    assert all(new[name] == before[name] for name in before.keys() - told.keys())


def test_success_begins_anew() -> None:
    failing = after(after({}, TargetResult("a", False, "x")), TargetResult("a", False, "x"))
    assert failing == {"a": Retry(2, 15)}
    assert after(failing, TargetResult("a", True)) == {}
    assert after(after(failing, TargetResult("a", True)), TargetResult("a", False)) == {"a": Retry(1, 5)}


def test_one_that_was_barred_goes_along_with_the_one_that_failed() -> None:
    staging, east = TargetResult("staging", False, "x"), TargetResult("east", False, "y", barred=True)
    for results in ((staging, east), (east, staging)):
        new = after({}, *results, now=100)
        assert new == {"staging": Retry(1, 105), "east": Retry(0, 105)}
    assert retry.patiences(new, ["staging", "east"], 106) == {"staging": 20, "east": 10}


def test_patience_is_for_those_whose_time_has_come() -> None:
    owed = {"a": Retry(3, 100), "b": Retry(1, 50)}
    assert retry.patiences(owed, "abc", 60) == {"a": 0, "b": 20, "c": 10}
    assert retry.patiences(owed, "abc", 100) == {"a": 80, "b": 20, "c": 10}
    assert (retry.first_due(owed), retry.first_due({})) == (50, None)


def test_one_that_was_left_out_keeps_its_time() -> None:
    owed = {"a": Retry(3, 100)}
    assert after(owed, TargetResult("a", False, "left out", left_out=True), now=60) == owed
