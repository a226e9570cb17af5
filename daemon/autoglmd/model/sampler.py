"""Draws the next token of one sequence. The same seed, prompt and settings give the same tokens.

The random number of a position comes from the seed and that position alone (Philox is a counter-based generator:
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). So a draw depends on no earlier draw, and a
sequence taken up again needs no generator state.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from autoglmd.errors.availability import EngineFailedError
from autoglmd.messages.generation import Logprob, SamplingParams, TokenLogprobs

Row = NDArray[np.float32]

_LARGEST = float(np.finfo(np.float32).max)
_FIRST_HEAD = 256


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings with nothing left open. Ranges as in `SamplingParams`; `logprobs` -1 reports none."""

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: int = -1

    @classmethod
    def resolve(cls, asked: SamplingParams, defaults: SamplingParams, seed: int) -> "Sampling":
        """What the request says, else what the model's makers recommend, else the neutral value."""
        chosen: dict[str, float] = {}
        for entry in fields(cls):
            for source in (asked, defaults):
                value = getattr(source, entry.name)
                if value is not None:
                    chosen[entry.name] = value
                    break
        return cls(**{"seed": seed, **chosen})  # type: ignore[arg-type]  # each of its own field's type


@dataclass(frozen=True, slots=True)
class Sampled:
    """A drawn token."""

    token_id: int
    logprobs: TokenLogprobs | None


class Sampler:
    """Settings of one sequence and the tokens that its penalties count. `draw` changes nothing; `accept` does."""

    def __init__(self, sampling: Sampling, prompt_ids: NDArray[np.int64]) -> None:
        self._sampling = sampling
        self._output_counts: dict[int, int] = {}
        self._seen = set(prompt_ids.tolist()) if sampling.repetition_penalty != 1.0 else set()

    def draw(self, logits: Row, position: int) -> Sampled:
        """Draw a token.

        Args:
            logits: shape [vocab]; not changed.
            position: how many output tokens came before.

        Raises:
            EngineFailedError: the logits are not numbers.
        """
        # The maximum tells of any NaN or infinity. Minus infinity is how a model rules a token out.
        if not np.isfinite(logits.max()):
            raise EngineFailedError("The model gave logits that are not numbers; this answer cannot go on.")
        scores = self._penalized(logits)
        token_id = int(scores.argmax()) if self._sampling.temperature == 0 else self._random(scores, position)
        return self.settle(logits, token_id)

    def settle(self, logits: Row, token_id: int) -> Sampled:
        """A token that is settled, with its log probabilities under these logits; changes nothing."""
        logprobs = None if self._sampling.logprobs < 0 else _report(logits, token_id, self._sampling.logprobs)
        return Sampled(token_id, logprobs)

    def accept(self, token_id: int) -> None:
        """Count a token that became part of the output."""
        self._output_counts[token_id] = self._output_counts.get(token_id, 0) + 1
        if self._sampling.repetition_penalty != 1.0:
            self._seen.add(token_id)

    def _penalized(self, logits: Row) -> Row:
        settings = self._sampling
        if settings.repetition_penalty == 1.0 and not (settings.presence_penalty or settings.frequency_penalty):
            return logits
        scores = logits.copy()
        if self._seen:
            seen = np.fromiter(self._seen, np.int64)
            held = scores[seen].astype(np.float64)
            factor = settings.repetition_penalty
            # The smallest factors that the contract lets in would make infinities, which no softmax survives.
            scores[seen] = np.clip(np.where(held > 0, held / factor, held * factor), -_LARGEST, _LARGEST)
        if self._output_counts:
            ids = np.fromiter(self._output_counts, np.int64)
            counts = np.fromiter(self._output_counts.values(), np.float32)
            scores[ids] -= np.float32(settings.presence_penalty) + np.float32(settings.frequency_penalty) * counts
        return scores

    def _random(self, scores: Row, position: int) -> int:
        ids, weights = self._candidates(scores)
        cumulative = np.cumsum(weights)
        uniform = np.random.Generator(np.random.Philox(key=self._sampling.seed, counter=position)).random()
        # Below the sum even after rounding: behind it there may be tokens of no weight.
        point = min(uniform * cumulative[-1], np.nextafter(cumulative[-1], 0.0))
        return int(ids[np.searchsorted(cumulative, point, side="right")])

    def _candidates(self, scores: Row) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids that may be drawn and their probabilities, as multiples of the best one's."""
        settings = self._sampling
        ids = _largest(scores, settings.top_k) if settings.top_k else np.arange(len(scores))
        weights = np.exp((scores[ids].astype(np.float64) - float(scores.max())) / settings.temperature)
        if settings.top_p < 1.0:
            kept = _nucleus(weights, settings.top_p)
            ids, weights = ids[kept], weights[kept]
        if settings.min_p > 0.0:
            kept = np.flatnonzero(weights >= settings.min_p)
            ids, weights = ids[kept], weights[kept]
        return ids, weights


def _largest(scores: Row | NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Ids of the `count` largest scores (all for 0), best first; ties in the order of the ids."""
    if 0 < count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        count = len(scores)
        candidates = np.arange(count)
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order[:count]]


def _nucleus(weights: NDArray[np.float64], top_p: float) -> NDArray[np.int64]:
    """Indices of the smallest set of the largest weights that holds `top_p` of their sum, best first."""
    target = top_p * weights.sum()
    count = _FIRST_HEAD
    # Nearly always a short head holds it; sorting a whole vocabulary would take longer than a step.
    while True:
        head = _largest(weights, count)
        cumulative = np.cumsum(weights[head])
        if cumulative[-1] >= target or count >= len(weights):
            return head[: int(np.searchsorted(cumulative, target, side="left")) + 1]
        count *= 16


def _report(logits: Row, token_id: int, count: int) -> TokenLogprobs:
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= np.log(np.exp(wide).sum())
    best = _largest(logits, count) if count else ()
    top = tuple(Logprob(int(entry), float(wide[entry])) for entry in best)
    return TokenLogprobs(Logprob(token_id, float(wide[token_id])), top)
