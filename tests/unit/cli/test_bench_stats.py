"""The benchmark's arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglmctl.bench import Load, random_prompts
from autoglmctl.bench_stats import StreamTimes, percentile, summarize


def test_a_streams_speed_leaves_its_first_token_out() -> None:
    """The first token's time is the prefill's."""
    times = StreamTimes(begun=10.0, first=10.5, last=12.5, tokens=9)
    assert (times.time_to_first, times.tokens_per_second) == (0.5, 4.0)


def test_a_single_token_has_no_speed() -> None:
    """Zero rather than a division by zero."""
    assert StreamTimes(0.0, 1.0, 1.0, 1).tokens_per_second == 0.0


def test_the_total_is_all_tokens_over_the_whole_time() -> None:
    """From the first request to the last token, streams overlapping."""
    times = [StreamTimes(0.0, 1.0, 4.0, 10), StreamTimes(1.0, 3.0, 5.0, 20)]
    result = summarize(times, streams=2, prompt_tokens=7)
    assert (result.seconds, result.output_tokens, result.total_tokens_per_second) == (5.0, 30, 6.0)
    assert (result.ttft_p50, result.prompt_tokens, result.requests) == (1.5, 7, 2)
    assert result.stream_tokens_per_second_min == 3.0


def test_percentiles_are_interpolated() -> None:
    """As numpy's default does."""
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.5
    assert percentile([1.0, 2.0, 3.0, 4.0], 95) == pytest.approx(3.85)
    assert percentile([7.0], 95) == 7.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_lies_among_its_values(values: list[float], percent: float) -> None:
    """Whatever the values and their order."""
    tolerance = 1e-9 * max(values)
    assert min(values) - tolerance <= percentile(values, percent) <= max(values) + tolerance


def test_prompts_differ_and_are_reproducible() -> None:
    """No two requests share a prompt, and the same seed asks the same; without one, each time is another."""
    load = Load(streams=4, prompt_tokens=16, seed=7)
    prompts = list(random_prompts(load, 4000))
    assert prompts == list(random_prompts(load, 4000))
    assert len({tuple(prompt) for prompt in prompts}) == 4
    unset = Load(streams=4, prompt_tokens=16)
    assert list(random_prompts(unset, 4000)) != list(random_prompts(unset, 4000))


def test_prompts_stay_within_a_tiny_vocabulary() -> None:
    """Special tokens, which come first, are left out; no id is past the end."""
    ids = {each for prompt in random_prompts(Load(prompt_tokens=200), 40) for each in prompt}
    assert ids == set(range(20, 40))
