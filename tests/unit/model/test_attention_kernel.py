"""The attention kernel is chosen by what its scores would take."""

import os

import pytest

from autoglmd.model.attention_kernel import LARGEST_SCRATCH_BYTES, attention_kernel, scratch_bytes

VARIABLE = "ORT_GQA_DISABLE_FLASH_ATTENTION"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is chosen from outside."""
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_scores_of_a_chunk_over_an_ordinary_context_are_written_out() -> None:
    """16 heads, chunks of 256 tokens and 4,096 positions take 64 MiB; the choice lasts as long as the loading."""
    with attention_kernel(scratch_bytes(16, 256, 4096)):
        assert os.environ[VARIABLE] == "1"
    assert VARIABLE not in os.environ


def test_a_long_context_keeps_the_kernel_that_needs_no_scratch() -> None:
    """32 heads, chunks of 512 and 128 Ki positions would take 8 GiB."""
    scratch = scratch_bytes(32, 512, 1 << 17)
    assert scratch > LARGEST_SCRATCH_BYTES
    with attention_kernel(scratch):
        assert VARIABLE not in os.environ


def test_what_the_user_has_chosen_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set already is neither changed nor removed."""
    monkeypatch.setenv(VARIABLE, "0")
    with attention_kernel(0):
        assert os.environ[VARIABLE] == "0"
    assert os.environ[VARIABLE] == "0"


def test_a_model_that_does_not_load_leaves_nothing_behind() -> None:
    """The variable is gone after an error, too, and the next model can be loaded."""
    with pytest.raises(OSError, match="broken"), attention_kernel(0):
        raise OSError("broken")
    assert VARIABLE not in os.environ
    with attention_kernel(0):
        assert os.environ[VARIABLE] == "1"
