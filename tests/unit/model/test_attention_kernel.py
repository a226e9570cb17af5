"""The attention kernel is chosen by what its scores would take."""

import os

import pytest

from autoglmd.model.attention_kernel import LARGEST_SCRATCH_BYTES, VARIABLE, attention_kernel, scratch_bytes


def test_the_scores_of_a_chunk_over_an_ordinary_context_are_written_out() -> None:
    """16 heads, chunks of 256 tokens and 4,096 positions take 64 MiB."""
    with attention_kernel(scratch_bytes(16, 256, 4096)):
        assert os.environ[VARIABLE] == "1"


def test_a_long_context_keeps_the_kernel_that_needs_no_scratch() -> None:
    """32 heads, chunks of 512 and 128 Ki positions would take 8 GiB; the model before has no say in it."""
    with attention_kernel(0):
        pass
    scratch = scratch_bytes(32, 512, 1 << 17)
    assert scratch > LARGEST_SCRATCH_BYTES
    with attention_kernel(scratch):
        assert os.environ[VARIABLE] == "0"


def test_a_model_that_does_not_load_leaves_the_next_one_its_choice() -> None:
    """An error while loading is passed on and blocks nobody."""
    with pytest.raises(OSError, match="broken"), attention_kernel(0):
        raise OSError("broken")
    with attention_kernel(LARGEST_SCRATCH_BYTES + 1):
        assert os.environ[VARIABLE] == "0"
