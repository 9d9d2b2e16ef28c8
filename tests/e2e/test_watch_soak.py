"""A watch does not grow: a shortened soak of the bench. And growth would be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import soaking
from bench.vitals import Growth, growth

SECONDS = 20


def test_a_watch_under_a_steady_stream_of_events_does_not_grow(real_tmp: Path) -> None:
    found = soaking.soak(real_tmp / "soak", SECONDS)
    assert not found.grown
    assert not found.wrong
    assert found.code == 0
    assert set(soaking.BOUNDS) <= set(found.growths)
    # It was at work all the time, and nothing flooded its log.
    assert found.rounds > 1
    assert all(found.events.values())
    assert found.log_lines < 250
    # A sweep removes what is too old; what was published since the last one is there.
    assert found.growths["snapshots in the store"].late <= soaking.KEPT + SECONDS


def test_growth_is_what_is_more_at_the_end_than_when_all_was_warm() -> None:
    steady = [30.0] * 10 + [50.0] * 40
    assert growth(steady, 50) == Growth(50, 50, 30 / 3600)
    leaking = [50 + each * 0.1 for each in range(50)]
    found = growth(leaking, 50)
    assert found.more == pytest.approx(3)
    assert found.an_hour == pytest.approx(360)
    assert growth(leaking[::-1], 50).more == 0


def test_what_comes_and_goes_is_no_growth() -> None:
    busy = [4.0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 6, 5, 4, 6, 5]
    assert growth(busy, 15, coming_and_going=True).more == 0
    assert growth(busy, 15).more == 1
    assert growth([4.0] * 6 + [5.0] * 9, 15, coming_and_going=True).more == 1


def test_growth_needs_some_figures() -> None:
    with pytest.raises(ValueError, match="4 figures"):
        growth([1, 2, 3, 4], 4)


def test_what_has_grown_more_than_it_may_is_told() -> None:
    growths = {
        "watch, descriptors": Growth(10, 15, 1),
        "watch, threads": Growth(4, 4, 1),
        "the release log": Growth(0, 9, 1),
    }
    found = soaking.Soaked(growths, {}, {}, 0, 0, 0, 0.0, 0)
    assert found.grown == {"watch, descriptors": growths["watch, descriptors"]}
