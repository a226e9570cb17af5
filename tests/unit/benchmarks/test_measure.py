"""How an engine is asked for its figures."""

import math
from collections.abc import Sequence

import pytest

from benchmarks.engines.base import COMPARED_PROMPTS, WARM_STEPS, Decoded, enough, greedy_tokens, measure
from benchmarks.job import Job


class FakeEngine:
    """Takes a second for the first prompt and half a second for others; its first decode steps are slow."""

    def __init__(self) -> None:
        self.prefilled: list[int] = []
        self.decoded: list[int] = []

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """See `Engine.prefill`."""
        self.prefilled.append(len(prompt))
        return (0.5 if len(self.prefilled) > 1 else 1.0), max(prompt)

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """See `Engine.decode`."""
        spent: list[float] = []
        while len(spent) < steps and not enough(spent, seconds):
            spent.append(9.0 if len(spent) < WARM_STEPS else 0.25)
        self.decoded.append(len(spent))
        return Decoded(tuple(spent), tuple(tuple(prompt[: len(spent) + 1]) for prompt in prompts))

    def facts(self) -> dict[str, str]:
        """See `Engine.facts`."""
        return {}


def test_the_first_prompt_is_not_counted() -> None:
    """It pays for first touches of memory and code."""
    engine = FakeEngine()
    figures = measure(engine, Job("onnx", "model", 100, prefill_tokens=(128,), repeats=3))
    assert figures.rates == {"prefill_128": 256.0}
    assert engine.prefilled == [128] * 4


@pytest.mark.parametrize("streams", [1, 8])
def test_a_decode_rate_is_of_all_streams_and_warm_steps(streams: int) -> None:
    """Tokens of every stream over the steps behind the first few."""
    figures = measure(FakeEngine(), Job("onnx", "model", 100, decode_streams=(streams,)))
    assert figures.rates == {f"decode_{streams}": 4.0 * streams}


def test_a_decode_figure_tells_how_deep_its_steps_were() -> None:
    """Behind 64 tokens of prompt and four steps, the counted ones have 68, 69 and 70 tokens behind them."""
    job = Job("onnx", "model", 100, decode_streams=(1,), decode_tokens=WARM_STEPS + 3)
    assert measure(FakeEngine(), job).as_result()["mean_past"] == {"decode_1": 69.0}


def test_decoding_goes_on_until_enough_seconds_are_counted() -> None:
    """A fast engine takes more steps than a slow one, and the slow steps that warm it up are none of them."""
    engine = FakeEngine()
    measure(engine, Job("onnx", "model", 100, decode_streams=(8,), decode_seconds=3.0))
    assert engine.decoded == [WARM_STEPS + 12]


def test_decoding_ends_where_the_context_does() -> None:
    """However little time that took."""
    engine = FakeEngine()
    measure(engine, Job("onnx", "model", 100, decode_streams=(1,), decode_tokens=10, decode_seconds=3.0))
    assert engine.decoded == [10]


def test_a_prefill_figure_is_the_median_of_five_prompts() -> None:
    """Unless a job says otherwise; and one more goes first."""
    engine = FakeEngine()
    measure(engine, Job("onnx", "model", 100, prefill_tokens=(16,)))
    assert len(engine.prefilled) == 1 + 5


def test_two_engines_are_compared_on_the_same_tokens() -> None:
    """The prompts depend on the job alone."""
    job = Job("onnx", "model", 1000, compare_tokens=True)
    answers = greedy_tokens(FakeEngine(), job, steps=8)
    assert answers == greedy_tokens(FakeEngine(), job, steps=8)
    assert len(answers) == COMPARED_PROMPTS + 4 * 9
