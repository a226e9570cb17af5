"""The three ways to batch fresh prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fresh_prompts import LONGEST, ROWS, alone, bucketed, largest_run, padded, padding
from benchmarks.job import Job

lengths = st.lists(st.integers(1, LONGEST), min_size=1, max_size=40)


@given(lengths)
def test_every_way_computes_every_prompt(prompts: list[int]) -> None:
    """None is lost, none is computed twice."""
    for way in (alone, padded, bucketed):
        assert sorted(length for batch in way(prompts) for length in batch) == sorted(prompts)


@given(lengths)
def test_no_batch_has_more_prompts_than_rows(prompts: list[int]) -> None:
    """There is a KV row for each."""
    assert all(len(batch) <= ROWS for way in (padded, bucketed) for batch in way(prompts))


def test_padding_is_the_share_of_empty_positions() -> None:
    """Two prompts of 2 and 6 take 12 positions, 4 of them empty."""
    assert padding([[2, 6]]) == pytest.approx(1 / 3)
    assert padding(alone([2, 6])) == 0.0


def test_the_attention_kernel_is_chosen_by_the_largest_run() -> None:
    """Eight padded prompts are one run of more tokens than a chunk has."""
    largest = largest_run([alone([2, 6]), padded([100] * 8)])
    assert largest == 800
    assert Job("onnx", "model", 100, run_tokens=largest).largest_run == 800
    assert Job("onnx", "model", 100, decode_streams=(8,)).largest_run == Job.chunk
