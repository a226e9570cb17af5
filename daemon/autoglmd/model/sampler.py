"""Draws the next token of one sequence. The same seed, prompt and settings give the same tokens.

The random number of a position comes from the seed and that position alone (Philox is a counter-based generator:
Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). So a draw depends on no earlier draw, and a
sequence taken up again needs no generator state.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from autoglmd.errors import EngineFailedError
from autoglmd.messages import Logprob, SamplingParams, TokenLogprobs

Row = NDArray[np.float32]


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
        return cls(**{"seed": seed, **chosen})  # type: ignore[arg-type]


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
        scores = self._penalized(logits)
        token_id = int(scores.argmax()) if self._sampling.temperature == 0 else self._random(scores, position)
        # argmax returns the first NaN if there is one, so the chosen score tells of any.
        if not np.isfinite(logits[token_id]):
            raise EngineFailedError("The model gave logits that are not numbers; this answer cannot go on.")
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
            held = scores[seen]
            factor = np.float32(settings.repetition_penalty)
            scores[seen] = np.where(held > 0, held / factor, held * factor)
        if self._output_counts:
            ids = np.fromiter(self._output_counts, np.int64)
            counts = np.fromiter(self._output_counts.values(), np.float32)
            scores[ids] -= np.float32(settings.presence_penalty) + np.float32(settings.frequency_penalty) * counts
        return scores

    def _random(self, scores: Row, position: int) -> int:
        settings = self._sampling
        candidates = _largest(scores, settings.top_k)
        weights = _softmax(scores[candidates].astype(np.float64) / settings.temperature)
        keep = _kept(weights, settings.top_p, settings.min_p)
        cumulative = np.cumsum(weights[:keep])
        uniform = np.random.Generator(np.random.Philox(key=settings.seed, counter=position)).random()
        index = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
        return int(candidates[min(index, keep - 1)])


def _largest(scores: Row, count: int) -> NDArray[np.int64]:
    """Ids of the `count` largest scores (all for 0), best first; ties in the order of the ids."""
    if 0 < count < len(scores):
        threshold = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        count = len(scores)
        candidates = np.arange(count)
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order[:count]]


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores[0])
    return np.asarray(weights / weights.sum())


def _kept(weights: NDArray[np.float64], top_p: float, min_p: float) -> int:
    """How many of the sorted weights stay: the smallest head that holds top_p, and those above min_p x the best."""
    keep = len(weights)
    if top_p < 1.0:
        keep = int(np.searchsorted(np.cumsum(weights), top_p, side="left")) + 1
    if min_p > 0.0:
        keep = min(keep, int(np.count_nonzero(weights >= min_p * weights[0])))
    return max(1, min(keep, len(weights)))


def _report(logits: Row, token_id: int, count: int) -> TokenLogprobs:
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= np.log(np.exp(wide).sum())
    best = _largest(logits, count) if count else ()
    top = tuple(Logprob(int(entry), float(wide[entry])) for entry in best)
    return TokenLogprobs(Logprob(token_id, float(wide[token_id])), top)
