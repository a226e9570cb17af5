"""A sequence: one running request. The engine thread owns it; others see the frozen values here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoglmd.messages import FinishReason, KvBlock, TokenLogprobs
from autoglmd.model.sampler import Sampled, Sampler, Sampling


@dataclass(frozen=True, slots=True)
class SequenceRequest:
    """What the engine is asked to do.

    Attributes:
        prompt_ids: shape [n], n at least 1.
        past: keys and values of the first `past_tokens` of them, without a gap; less than all, since the last one's
            logits are needed.
        keep_from: keys and values from this position on are told when the sequence ends; `None` for none.
        eos_ids: tokens that end the answer; empty to go on until max_tokens.
        deadline: on the monotonic clock, in seconds.
    """

    sequence_id: str
    prompt_ids: NDArray[np.int64]
    max_tokens: int
    eos_ids: frozenset[int]
    sampling: Sampling
    deadline: float | None = None
    trace_id: str = ""
    past: tuple[KvBlock, ...] = ()
    keep_from: int | None = None

    @property
    def past_tokens(self) -> int:
        """Prompt tokens that need not be computed."""
        return self.past[-1].stop if self.past else 0

    @property
    def past_bytes(self) -> int:
        """Bytes of the keys and values that it brings along."""
        return sum(memoryview(block.data).nbytes for block in self.past)

    @property
    def log_fields(self) -> dict[str, str]:
        """What log lines about this sequence carry."""
        return {"request_id": self.sequence_id.rsplit("#", 1)[0], "trace_id": self.trace_id}

    @property
    def promised_tokens(self) -> int:
        """KV positions that the whole answer may need; admission promises them all, so nothing is ever preempted."""
        return len(self.prompt_ids) + self.max_tokens


@dataclass(frozen=True, slots=True)
class Admitted:
    """The sequence was given a row."""

    sequence_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Prefilled:
    """A chunk of a long prompt is done."""

    sequence_id: str
    done_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Emitted:
    """A token became part of the answer."""

    sequence_id: str
    token_id: int
    logprobs: TokenLogprobs | None
    at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What the sequence's row held, just before it ended; for one that was to be kept."""

    sequence_id: str
    block: KvBlock


@dataclass(frozen=True, slots=True)
class Ended:
    """The sequence is over and its row free. The last event of every sequence, and the only one of its kind."""

    sequence_id: str
    reason: FinishReason
    at: float
    error: Exception | None = None


EngineEvent = Admitted | Prefilled | Emitted | Kept | Ended


class Sequence:
    """Where a running request stands.

    The prefill of the whole prompt gives the first logits, and each decode feeds the token drawn before.

    Attributes:
        computed: positions whose KV is in the row; at first those that are put there when it gets one.
        output_ids: tokens drawn so far, the end-of-text token excluded.
    """

    def __init__(self, request: SequenceRequest) -> None:
        self.request = request
        self.sampler = Sampler(request.sampling, request.prompt_ids)
        self.computed = request.past_tokens
        self.output_ids: list[int] = []

    @property
    def sequence_id(self) -> str:
        """The request's id."""
        return self.request.sequence_id

    @property
    def prefill_total(self) -> int:
        """Positions to prefill."""
        return len(self.request.prompt_ids)

    @property
    def prefill_left(self) -> int:
        """Positions not prefilled yet."""
        return max(0, self.prefill_total - self.computed)

    @property
    def next_input(self) -> int:
        """The token to feed to the next decode."""
        return self.output_ids[-1]

    def advance(self, sampled: Sampled) -> FinishReason | None:
        """Take the next token. Returns why the sequence is over, if it is."""
        if sampled.token_id in self.request.eos_ids:
            return FinishReason.STOP
        self.output_ids.append(sampled.token_id)
        self.sampler.accept(sampled.token_id)
        return FinishReason.LENGTH if len(self.output_ids) >= self.request.max_tokens else None
