"""What clients' clocks say."""

import pytest

from benchmarks.streams import Trace, longest_gap, steady_depth, steady_rate


def trace(*arrivals: float) -> Trace:
    """A stream whose tokens came then."""
    return Trace(arrivals=list(arrivals))


def test_a_rate_counts_only_while_all_decode() -> None:
    """From when the last is warm to when the first is done: four tokens in two seconds."""
    early, late = trace(0.0, 1.0, 2.0, 3.0, 4.0), trace(2.0, 3.0, 4.0, 5.0)
    assert steady_rate([early, late], warm_tokens=0) == pytest.approx(4 / 2)


def test_the_tokens_of_one_step_may_come_one_after_the_other() -> None:
    """Two tokens a second, whichever stream of a step is the last to be warm and whichever is the first to end."""
    first, second = trace(0.0, 1.0, 2.0, 3.0), trace(0.1, 1.1, 2.1, 3.1)
    assert steady_rate([first, second], warm_tokens=0) == pytest.approx(2.0)


def test_the_depth_is_that_of_the_steps_that_the_rate_counts() -> None:
    """Three of each: the token that a step was given is not among those before it."""
    early, late = trace(0.0, 1.0, 2.0, 3.0, 4.0, 5.0), trace(2.0, 3.0, 4.0, 5.0)
    assert steady_depth([early, late], warm_tokens=0) == pytest.approx((2 + 3 + 4 + 0 + 1 + 2) / 6)


def test_streams_that_never_decoded_together_have_no_rate() -> None:
    """A zero would look like a figure."""
    with pytest.raises(ValueError, match="at the same time"):
        steady_rate([trace(0.0, 1.0, 2.0), trace(5.0, 6.0)], warm_tokens=0)


def test_a_gap_counts_that_reaches_into_the_time() -> None:
    """The pause that the long prompt caused began with a token before it."""
    assert longest_gap(trace(0.0, 1.0, 4.0, 4.5), start=2.0, end=4.2) == 3.0


def test_a_gap_outside_the_time_does_not_count() -> None:
    """What happened before the prompt came is not its doing."""
    assert longest_gap(trace(0.0, 5.0, 5.5, 6.0), start=5.2, end=6.0) == 0.5


def test_a_stream_without_two_tokens_has_no_gap() -> None:
    """There is nothing between."""
    assert longest_gap(trace(1.0), start=0.0, end=2.0) == 0.0
