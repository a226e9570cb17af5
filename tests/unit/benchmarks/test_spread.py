"""Medians, ranges and paired ratios."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.spread import Spread, paired_ratio

rates = st.lists(st.floats(1.0, 1e6), min_size=1, max_size=9)


def test_a_spread_is_the_median_and_the_range() -> None:
    """One odd run moves the range, not the median."""
    assert Spread.of([5.0, 100.0, 4.0]) == Spread(5.0, 4.0, 100.0, rounds=3)


def test_a_spread_is_written_with_its_range() -> None:
    """The reader sees how far the runs lay apart."""
    assert Spread(5.04, 4.0, 100.0, rounds=3).text(1) == "5.0 (4.0-100.0)"


def test_small_figures_are_written_with_a_tenth() -> None:
    """7 and 9 tokens per second are further apart than they look."""
    assert Spread(8.94, 6.2, 9.4, rounds=3).text() == "8.9 (6.2-9.4)"
    assert Spread(31.6, 30.1, 33.2, rounds=3).text() == "32 (30-33)"


def test_nothing_has_no_spread() -> None:
    """An empty table cell must not become a number."""
    with pytest.raises(ValueError, match="no runs"):
        Spread.of([])


def test_a_ratio_is_taken_round_by_round() -> None:
    """A slow minute of the machine hits both engines of its round and cancels out."""
    assert paired_ratio([10.0, 20.0, 40.0], [5.0, 10.0, 20.0]) == Spread(2.0, 2.0, 2.0, rounds=3)


def test_a_ratio_of_unequal_rounds_is_refused() -> None:
    """Without its partner a round says nothing."""
    with pytest.raises(ValueError, match="2 rounds of ours, 1 of theirs"):
        paired_ratio([1.0, 2.0], [1.0])


@given(rates)
def test_the_ratio_to_oneself_is_one(runs: list[float]) -> None:
    """Whatever the runs were."""
    assert paired_ratio(runs, runs) == Spread(1.0, 1.0, 1.0, rounds=len(runs))


@given(rates)
def test_the_median_lies_in_the_range(runs: list[float]) -> None:
    """For any runs."""
    spread = Spread.of(runs)
    assert spread.low <= spread.median <= spread.high
