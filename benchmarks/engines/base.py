"""What every engine under measurement can do, and how it is asked for its figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.job import Job

WARM_STEPS = 4
"""Decode steps that are not counted: first touches of memory and of code."""
COMPARED_PROMPTS = 48

Prefill = Callable[[Sequence[int]], tuple[float, int]]
"""See `Engine.prefill`."""


@dataclass(frozen=True)
class Decoded:
    """What one batch of streams did: seconds of every step, and every stream's greedy tokens."""

    step_seconds: tuple[float, ...]
    tokens: tuple[tuple[int, ...], ...]


class Engine(Protocol):
    """One peer, loaded, with two threads of its own. Tokens in, greedy tokens out."""

    def prefill(self, prompt: Sequence[int]) -> tuple[float, int]:
        """Compute a prompt on an empty cache; return the seconds to its first token, and that token."""

    def decode(self, prompts: Sequence[Sequence[int]], steps: int, seconds: float = math.inf) -> Decoded:
        """Prefill the prompts (not timed), then decode tokens of each, all streams in one batch.

        It ends after `steps`, or earlier when those that count took `seconds`; see `enough`.
        """

    def facts(self) -> dict[str, str]:
        """Return versions and settings that a reader needs to judge the figures."""


@dataclass(frozen=True)
class Figures:
    """What a job measured, keyed `decode_8`, `prefill_512` ...

    Attributes:
        rates: tokens per second.
        mean_past: with each decode figure, how many tokens a stream's cache held before a counted step, on average.
    """

    rates: dict[str, float]
    mean_past: dict[str, float]

    def as_result(self) -> dict[str, dict[str, float]]:
        """Return them as they stand in a raw result."""
        return {"figures": self.rates, "mean_past": self.mean_past}


def measure(engine: Engine, job: Job) -> Figures:
    """Run the job's workloads."""
    random = np.random.default_rng(job.seed)
    figures = Figures(prefill_rates(engine.prefill, job, random), {})
    for streams in job.decode_streams:
        rate, past = _decode_rate(engine, job, streams, random)
        figures.rates[f"decode_{streams}"], figures.mean_past[f"decode_{streams}"] = rate, past
    return figures


def prefill_rates(prefill: Prefill, job: Job, random: np.random.Generator) -> dict[str, float]:
    """Return prompt tokens per second to the first token, keyed `prefill_512` ..."""
    return {
        f"prefill_{tokens}": tokens / _prefill_seconds(prefill, job, tokens, random) for tokens in job.prefill_tokens
    }


def _prefill_seconds(prefill: Prefill, job: Job, tokens: int, random: np.random.Generator) -> float:
    """Median over the job's repeats of distinct prompts, after one that is not counted."""
    seconds = [prefill(prompt)[0] for prompt in prompts(random, job.vocab, job.repeats + 1, tokens)]
    return statistics.median(seconds[1:])


def enough(step_seconds: Sequence[float], seconds: float) -> bool:
    """Whether the decode steps so far, without those that warm up, took at least `seconds`.

    A faster engine takes more steps in them, and its later ones attend to more tokens: that is to its disadvantage, and
    `mean_past` says how far.
    """
    return sum(step_seconds[WARM_STEPS:]) >= seconds


def mean_past(prompt_tokens: int, steps: int) -> float:
    """Return the mean depth of the steps that are counted of `steps`: step 0 has the prompt alone behind it."""
    return prompt_tokens + (WARM_STEPS + steps - 1) / 2


def _decode_rate(engine: Engine, job: Job, streams: int, random: np.random.Generator) -> tuple[float, float]:
    """Tokens of all streams per second, over the counted steps; and the mean past of those."""
    batch = prompts(random, job.vocab, streams, job.prompt_tokens)
    decoded = engine.decode(batch, job.decode_tokens, job.decode_seconds)
    counted = decoded.step_seconds[WARM_STEPS:]
    rate = streams * len(counted) / sum(counted)
    return rate, mean_past(job.prompt_tokens, len(decoded.step_seconds))


def prompts(random: np.random.Generator, vocab: int, count: int, tokens: int) -> list[list[int]]:
    """Draw `count` prompts of random token ids."""
    ids: list[list[int]] = random.integers(0, vocab, size=(count, tokens)).tolist()
    return ids


def greedy_tokens(engine: Engine, job: Job, steps: int = 8) -> list[int]:
    """Return the tokens that tell whether two engines compute the same model.

    First the token after each of `COMPARED_PROMPTS` prompts, then those of four streams decoded together.
    """
    random = np.random.default_rng(job.seed + 1)
    after_prompts = [
        engine.prefill(prompt)[1] for prompt in prompts(random, job.vocab, COMPARED_PROMPTS, job.prompt_tokens)
    ]
    streams = engine.decode(prompts(random, job.vocab, 4, job.prompt_tokens), steps).tokens
    return after_prompts + [token for stream in streams for token in stream]
