"""A sequence: one running request. The engine thread owns it; others see the frozen values here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoglmd.messages.generation import FinishReason, TokenLogprobs
from autoglmd.messages.sessions import PAGE_TOKENS, KvBlock
from autoglmd.model.sampler import Sampled, Sampler, Sampling


@dataclass(frozen=True, slots=True)
class SequenceRequest:
    """What the engine is asked to do.

    Attributes:
        prompt_ids: shape [n], n at least 1.
        past: keys and values of the first `past_tokens` of them, without a gap, and with `drawn_ids` of those behind
            them; less than all, since the last one's logits are needed.
        drawn_ids: the answer's first tokens, which are settled: it is taken up where it broke off. Those whose logits
            are computed again are told with their log probabilities, the others without.
        keep_from: keys and values from this position on are told when the sequence ends; `None` for none.
        pages_until: those before this position are told page by page.
        keep_rest: whether those behind the pages are told, too.
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
    drawn_ids: tuple[int, ...] = ()
    pages_until: int = 0
    keep_rest: bool = True

    @property
    def past_tokens(self) -> int:
        """Tokens that need not be computed."""
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
    """A part of what the sequence's row held, just before it ended; for one that was to be kept. The first is first."""

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

    The prefill of the whole prompt gives the first logits, and each decode feeds the token drawn before. What was drawn
    before the answer broke off is decoded again, not prefilled: the two do not agree to the last bit.

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
    def settled_id(self) -> int | None:
        """The next token, where it is settled already."""
        drawn, place = self.request.drawn_ids, len(self.output_ids)
        return drawn[place] if place < len(drawn) else None

    @property
    def next_input(self) -> int:
        """The token to feed to the next decode."""
        return self.output_ids[-1]

    @property
    def kept_cuts(self) -> tuple[int, ...]:
        """Where the blocks that are kept of its row begin and end; none if nothing is kept."""
        start, pages_until = self.request.keep_from, min(self.request.pages_until, self.computed)
        if start is None:
            return ()
        first_page_end = start - start % PAGE_TOKENS + PAGE_TOKENS
        cuts = (start, *range(first_page_end, pages_until + 1, PAGE_TOKENS))
        if self.request.keep_rest and cuts[-1] < self.computed:
            cuts = (*cuts, self.computed)
        return cuts if len(cuts) > 1 else ()

    def advance(self, sampled: Sampled) -> FinishReason | None:
        """Take the next token. Returns why the sequence is over, if it is."""
        if sampled.token_id in self.request.eos_ids:
            return FinishReason.STOP
        self.output_ids.append(sampled.token_id)
        self.sampler.accept(sampled.token_id)
        return FinishReason.LENGTH if len(self.output_ids) >= self.request.max_tokens else None
