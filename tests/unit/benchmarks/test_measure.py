"""How an engine is asked for its figures."""

from collections.abc import Sequence

import pytest

from benchmarks.engines.base import COMPARED_PROMPTS, WARM_STEPS, Decoded, greedy_tokens, measure
from benchmarks.job import Job


class FakeEngine:
    """Takes a second for the first prompt and half a second for others; its first decode steps are slow."""

    def __init__(self) -> None:
        self.prefilled: list[int] = []

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        self.prefilled.append(len(prompt))
        return (0.5 if len(self.prefilled) > 1 else 1.0), max(prompt)

    def decode(self, prompts: Sequence[Sequence[int]], steps: int) -> Decoded:
        """See `Engine.decode`."""
        seconds = (9.0,) * WARM_STEPS + (0.25,) * (steps - WARM_STEPS)
        return Decoded(seconds, tuple(tuple(prompt[: steps + 1]) for prompt in prompts))

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return {}


def test_the_first_prompt_is_not_counted() -> None:
    """It pays for first touches of memory and code."""
    engine = FakeEngine()
    figures = measure(engine, Job("onnx", "model", 100, prefill_tokens=(128,), repeats=3))
    assert figures == {"prefill_128": 256.0}
    assert engine.prefilled == [128] * 4


@pytest.mark.parametrize("streams", [1, 8])
def test_a_decode_rate_is_of_all_streams_and_warm_steps(streams: int) -> None:
    """Tokens of every stream over the steps behind the first few."""
    figures = measure(FakeEngine(), Job("onnx", "model", 100, decode_streams=(streams,)))
    assert figures == {f"decode_{streams}": 4.0 * streams}


def test_two_engines_are_compared_on_the_same_tokens() -> None:
    """The prompts depend on the job alone."""
    job = Job("onnx", "model", 1000, compare_tokens=True)
    answers = greedy_tokens(FakeEngine(), job, steps=8)
    assert answers == greedy_tokens(FakeEngine(), job, steps=8)
    assert len(answers) == COMPARED_PROMPTS + 4 * 9
