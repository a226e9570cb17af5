"""From a request to what the engine takes, with what its conversation brings along. Run in a prefetch thread."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.errors.request import PromptTooLongError
from autoglmd.messages.generation import ChatPrompt, FinishReason, GenerationRequest, Message, SamplingParams
from autoglmd.messages.sessions import PAGE_TOKENS, CacheMiss, CacheReport, KvBlock
from autoglmd.model.sampler import Sampling
from autoglmd.pipeline.continuing import Continuation
from autoglmd.pipeline.fitting import fitted, with_remedy
from autoglmd.pipeline.prompts import PromptRules, output_limit
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.conversation import Conversation, TurnMark
from autoglmd.sessions.prefixes import Page

CONTINUED_TOKENS = 8
"""Of a plain prompt, those that decide how an answer's first token looks."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A conversation as it was found, in the tokens of the model that is asked."""

    conversation: Conversation
    cache: CacheReport


@dataclass(frozen=True, slots=True)
class Begun:
    """What a turn starts from: the conversation before it, and what its prompt adds to it; see Continuation.

    Attributes:
        marks: where turns lie that are told again.
        brought: keys and values of its first tokens, which others computed, or of an answer that was taken up: of its
            prompt, and of what was drawn.
    """

    before: Conversation
    shared: int
    messages: tuple[Message, ...]
    answer_role: str
    marks: tuple[TurnMark, ...] = ()
    brought: tuple[KvBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What is known of an answer that goes on.

    Attributes:
        request: the one that it answers.
        after_token: how many of its tokens the reader has.
        end: how it ended before its reader lost it, where that is not for the engine to say again.
    """

    request: GenerationRequest
    after_token: int
    end: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, ready for the engine.

    Attributes:
        continued_ids: the last tokens of a prompt that the answer continues; none for a chat.
        begun: `None` where it belongs to no session.
        dropped: how many messages went because the context was full.
        answer: what is journalled of it; `None` where nothing is.
        taken_up: `None` for a fresh answer.
        pages: of its prompt, if their keys and values may be shared with others.
    """

    sequence: SequenceRequest
    continued_ids: tuple[int, ...] = ()
    cache: CacheReport = field(default_factory=CacheReport)
    begun: Begun | None = None
    dropped: int = 0
    answer: Answer | None = None
    taken_up: TakenUp | None = None
    pages: tuple[Page, ...] = ()

    @property
    def missing_pages(self) -> int:
        """How many of the pages have to be computed."""
        return len(self.pages) - self.sequence.past_tokens // PAGE_TOKENS if self.pages else 0


def prepare(request: GenerationRequest, sequence_id: str, rules: PromptRules, recalled: Recalled | None) -> Prepared:
    """The engine's form of a request, under an id that is never used twice.

    Raises:
        PromptTooLongError: prompt and output do not fit, now or ever. Nothing is truncated in silence.
        InvalidArgumentError, NotSupportedError: as `to_ids` and `continuation`.
    """
    told = None if recalled is None else recalled.conversation
    try:
        going_on = fitted(request, told, rules)
        sequence = _sequence(request, sequence_id, rules, going_on.ids)
    except PromptTooLongError as error:
        raise with_remedy(error, request, told) from None
    continued = () if isinstance(request.prompt, ChatPrompt) else last_of(going_on.ids)
    if recalled is None or told is None:
        return Prepared(sequence, continued, dropped=going_on.dropped)
    # The last token is computed in any case: its logits are the answer's first.
    usable = min(going_on.shared, len(going_on.ids) - 1)
    past = told.blocks_until(usable)
    sequence = replace(sequence, past=past, keep_from=past[-1].stop if past else 0)
    cache = _report(recalled, going_on, past)
    if recalled.cache.miss is CacheMiss.UNREADABLE:
        # What is saved now would be in the place of what a better day might still read.
        return Prepared(replace(sequence, keep_from=None), continued, cache, dropped=going_on.dropped)
    before = told if going_on.kept_messages is None else told.until(going_on.shared, going_on.kept_messages)
    told_again = tuple(mark for mark in going_on.marks if mark.end > going_on.shared)
    begun = Begun(before, going_on.shared, going_on.messages, going_on.answer_role, told_again)
    return Prepared(
        sequence, continued, cache, begun, going_on.dropped, _answer(request, sequence, begun, going_on.dropped)
    )


def last_of(prompt_ids: Sequence[int]) -> tuple[int, ...]:
    """What decides how an answer's first token looks; but a chat's answer is a text of its own."""
    return tuple(prompt_ids[-CONTINUED_TOKENS:])


def _answer(request: GenerationRequest, sequence: SequenceRequest, begun: Begun, dropped: int) -> Answer:
    """What it takes to give this answer again."""
    before, drawing = begun.before, asdict(sequence.sampling)
    if drawing["logprobs"] < 0:
        del drawing["logprobs"]
    ids = sequence.prompt_ids.tolist()
    return Answer(
        key=before.key,
        model=before.model,
        request_id=request.request_id,
        turn=before.turns + 1,
        shared=begun.shared,
        prompt_ids=tuple(ids[begun.shared :]),
        prompt_digest=digest_of(ids),
        first_message=len(before.messages),
        messages=begun.messages,
        answer_role=begun.answer_role,
        sampling=SamplingParams(**drawing),
        max_tokens=sequence.max_tokens,
        stop=request.stop,
        ignore_eos=request.ignore_eos,
        marks=begun.marks,
        dropped=dropped,
    )


def _sequence(request: GenerationRequest, sequence_id: str, rules: PromptRules, ids: list[int]) -> SequenceRequest:
    seed = request.sampling.seed
    return SequenceRequest(
        sequence_id=sequence_id,
        prompt_ids=np.array(ids, np.int64),
        max_tokens=output_limit(len(ids), request.max_tokens, rules),
        eos_ids=frozenset() if request.ignore_eos else rules.eos_ids,
        sampling=Sampling.resolve(request.sampling, rules.defaults, secrets.randbits(63) if seed is None else seed),
        deadline=request.deadline,
        trace_id=request.trace_id,
    )


def _report(recalled: Recalled, going_on: Continuation, past: tuple[KvBlock, ...]) -> CacheReport:
    told = recalled.conversation
    miss = recalled.cache.miss
    if miss is None and going_on.dropped:
        miss = CacheMiss.CONTEXT_MOVED
    elif miss is None and going_on.shared < len(told.ids):
        miss = CacheMiss.HISTORY_CHANGED
    # An answer's last token has none in any case: nobody needed what comes behind it.
    elif miss is None and (told.kv_tokens < len(told.ids) - 1 or (told.messages and not told.ids)):
        miss = CacheMiss.NOT_KEPT
    return CacheReport(past[-1].stop if past else 0, recalled.cache.tier if past else None, miss)
