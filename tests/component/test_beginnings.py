"""A beginning that is written to a row is as good as one computed there, whatever its length: on onnxruntime."""

from collections.abc import Iterator

import numpy as np
import pytest

from autoglmd.messages.sessions import KvBlock
from autoglmd.model import attention_kernel
from autoglmd.model.bundle import resolve_folder
from autoglmd.model.ort_runner import OrtRunner
from tests.support.fixture_models import FOLDER, TINY_MODELS, open_runner
from tests.support.ort_engine import prompt_of

TOKENS = 171
LENGTHS = range(1, 150)
CHUNKS = (TOKENS, 32, 13)
"""Of a rest; the odd one leaves odd places for the next to begin at."""


@pytest.fixture(params=[0, 1 << 40], ids=["blockwise", "scores"])
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both of onnxruntime's attention kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_kernel, "LARGEST_SCRATCH_BYTES", request.param)
        yield


def computed(runner: OrtRunner, row: int, ids: np.ndarray, past: int, chunk: int) -> tuple[bytes, bytes]:
    """The last logits, and the keys and values before the last token, of a prompt whose beginning is in the row."""
    while len(ids) - past > chunk:
        runner.prefill(row, ids[past : past + chunk], past, final=False)
        past += chunk
    logits = runner.prefill(row, ids[past:], past, final=True).tobytes()
    return logits, bytes(runner.read_kv(row, (0, len(ids) - 1))[0].data)


def lent(runner: OrtRunner, ids: np.ndarray, length: int) -> tuple[KvBlock, ...]:
    """The beginning of these, out of another prompt that was computed beside a third."""
    other = np.concatenate([ids[:length], prompt_of(20 + length % 7, length)])
    both = np.zeros((2, len(other) + length % 3), np.int64)
    both[0, : len(other)] = other
    both[1] = prompt_of(both.shape[1], length)
    runner.prefill_fresh(1, both, np.array([len(other), both.shape[1]]))
    return runner.read_kv(1, (0, length))


@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_beginning_of_any_length_changes_no_bit(name: str, kernel: None) -> None:
    """Logits, keys and values are those of the prompt computed whole, alone, in a row of its own."""
    check(open_runner(FOLDER / name), LENGTHS)


def test_a_beginning_changes_no_bit_of_the_embedded_model() -> None:
    """What ships keeps the promise too, at its own size and with two threads."""
    check(open_runner(resolve_folder("bundled:glm-small"), threads=2), (1, 2, 63, 64, 65, 128))


def check(runner: OrtRunner, lengths: range | tuple[int, ...]) -> None:
    """Try these lengths."""
    ids = prompt_of(TOKENS, 1)
    expected = computed(runner, 0, ids, 0, TOKENS)
    for length in lengths:
        runner.write_kv(3, lent(runner, ids, length))
        chunk = CHUNKS[length % len(CHUNKS)]
        assert computed(runner, 3, ids, length, chunk) == expected, f"{length} tokens, then chunks of {chunk}"
    runner.close()


def test_keys_and_values_of_drawn_tokens_are_others() -> None:
    """Where a decode and a prefill agreed, there would be no reason to tell prompts from answers."""
    runner = open_runner(FOLDER / "tiny-fp32")
    ids = prompt_of(100, 1)
    runner.prefill(0, ids, 0, final=True)
    runner.prefill(1, ids[:60], 0, final=True)
    # Decodes run over the first rows.
    runner.move(1, 2, 60)
    runner.prefill(0, ids[:60], 0, final=True)
    for place in range(60, 100):
        runner.decode(ids[place : place + 1], np.array([place]))
    drawn = bytes(runner.read_kv(0, (60, 100))[0].data)
    runner.prefill(2, ids[60:], 60, final=True)
    assert bytes(runner.read_kv(2, (60, 100))[0].data) != drawn
