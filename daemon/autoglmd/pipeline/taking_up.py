"""From an answer that broke off to what the engine takes. Pure, and run in a prefetch thread.

What was drawn is settled, and is drawn no second time. The conversation is taken back to where the answer began, and
keeps what is there of the answer's keys and values; the engine computes the rest of them as it did before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.errors.availability import UnavailableError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import AnswerGoneError, AnswerNotFoundError
from autoglmd.messages.generation import FinishReason, GenerationRequest, SamplingParams, StreamEvent, TokenText
from autoglmd.messages.sessions import CacheMiss, CacheReport, SessionKey
from autoglmd.model.sampler import Sampling
from autoglmd.pipeline.preparation import Begun, Prepared, Recalled, TakenUp, last_of
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.conversation import ASSISTANT_ROLE, Conversation, common_beginning


@dataclass(frozen=True, slots=True)
class TakingUp:
    """What is asked of an answer that broke off.

    Attributes:
        after_token: how many of its tokens the reader has.
        request_id: of the request that it must be the answer to; empty for whichever.
        find: the session's last answer. Raises OSError.
    """

    after_token: int
    request_id: str
    find: Callable[[SessionKey], Answer | None]


class Rest:
    """Of an answer that is told from its beginning, what its reader does not have."""

    def __init__(self, after_token: int) -> None:
        self._after_token = after_token
        self._told = 0

    def has(self, event: StreamEvent) -> bool:
        """Whether an event belongs to it. Each piece of text has ids of its own, which tell where it lies."""
        if not isinstance(event, TokenText):
            return True
        self._told += len(event.ids)
        return self._told > self._after_token


def take_up(
    asked: TakingUp, request: GenerationRequest, sequence_id: str, rules: PromptRules, recalled: Recalled
) -> Prepared:
    """The engine's form of an answer that goes on.

    Args:
        asked: which, and where.
        request: the call's; of the answer's own it has the session alone.
        sequence_id: never used twice.
        rules: the model's.
        recalled: the conversation, with or without the broken turn.

    Raises:
        AnswerNotFoundError: the session has no such last answer.
        AnswerGoneError: it has, and it can no longer be told as it was.
        InvalidArgumentError: the reader has more tokens than the answer.
        UnavailableError: the disk does not give it now.
    """
    if recalled.cache.miss is CacheMiss.UNREADABLE:
        raise not_now(recalled.conversation.key, "the disk does not give its conversation")
    answer, told = asked_answer(asked, recalled.conversation.key), recalled.conversation
    prompt = told.ids[: answer.shared] + answer.prompt_ids
    said = (*prompt, *answer.drawn)
    known = common_beginning(said, told.ids)
    why = _why_gone(answer, recalled, known, len(prompt)) or _why_unfit(answer, said, rules)
    if why or digest_of(prompt) != answer.prompt_digest:
        raise AnswerGoneError(answer.key.session_id, answer.request_id, why or "the conversation before it has changed")
    _check_place(asked.after_token, answer)
    # The last token is fed in any case, for the logits of the next. Where log probabilities are asked for, the logits
    # of all the answer's are needed.
    usable = min(known, len(prompt if _wants_logprobs(answer) else said) - 1)
    past = told.blocks_until(usable)
    sequence = replace(
        _sequence(answer, request, sequence_id, prompt, rules), past=past, keep_from=past[-1].stop if past else 0
    )
    before = _before(answer, told)
    begun = Begun(before, answer.shared, answer.messages, answer.answer_role, answer.marks, past)
    cached = min(sequence.past_tokens, len(prompt))
    moved = CacheMiss.CONTEXT_MOVED if answer.dropped else None
    miss = recalled.cache.miss or moved or (CacheMiss.NOT_KEPT if told.kv_tokens < answer.shared - 1 else None)
    cache = CacheReport(cached, recalled.cache.tier if cached else None, miss)
    own = replace(request, request_id=answer.request_id, stop=answer.stop)
    taken_up = TakenUp(own, asked.after_token, answer.end if answer.end is FinishReason.CANCELLED else None)
    continued = () if answer.answer_role == ASSISTANT_ROLE else last_of(prompt)
    return Prepared(sequence, continued, cache, begun, answer.dropped, answer, taken_up)


def asked_answer(asked: TakingUp, key: SessionKey) -> Answer:
    """The answer that is asked for.

    Raises:
        AnswerNotFoundError: the session has none, or another one.
        UnavailableError: the disk does not give it now.
    """
    try:
        answer = asked.find(key)
    except OSError as error:
        raise not_now(key, f"it cannot be read: {error}") from error
    is_other = answer is not None and asked.request_id not in ("", answer.request_id)
    if answer is None or is_other or (answer.end is FinishReason.CANCELLED and not answer.drawn):
        raise AnswerNotFoundError(key.session_id, asked.request_id)
    return answer


def not_now(key: SessionKey, why: str) -> UnavailableError:
    """What to say of an answer that a slow disk may give in a moment: who gives up now has lost it for good."""
    return UnavailableError(
        f"The last answer of session {key.session_id!r} cannot be taken up now: {why}. Try again in a moment."
    )


def _why_gone(answer: Answer, recalled: Recalled, known: int, prompt_tokens: int) -> str:
    told = recalled.conversation
    if recalled.cache.miss is CacheMiss.MODEL_CHANGED or told.model != answer.model:
        return "another model, or another version of it, began it"
    if told.turns not in (answer.turn - 1, answer.turn):
        return f"it is turn {answer.turn} of a conversation that has {told.turns} turns now"
    if told.turns == answer.turn and known < prompt_tokens:
        return "another turn is in its place"
    return ""


def _why_unfit(answer: Answer, said: tuple[int, ...], rules: PromptRules) -> str:
    """Whether its numbers can be this model's: they come from a disk."""
    prompt_tokens = len(said) - len(answer.drawn)
    is_known = bool(said) and max(said) < rules.vocab_size
    fits = 0 < prompt_tokens <= min(rules.context_tokens, rules.kv_tokens) - answer.max_tokens
    return "" if is_known and fits and len(answer.drawn) <= answer.max_tokens else "its tokens do not fit the model"


def _check_place(after_token: int, answer: Answer) -> None:
    # One that broke off may have come further than the journal.
    limit = answer.max_tokens if answer.end is None else len(answer.drawn)
    if after_token > limit:
        raise InvalidArgumentError("after_token", f"is {after_token}; the answer has {limit} tokens at most.")


def _wants_logprobs(answer: Answer) -> bool:
    return answer.sampling.logprobs is not None


def _sequence(
    answer: Answer, request: GenerationRequest, sequence_id: str, prompt: tuple[int, ...], rules: PromptRules
) -> SequenceRequest:
    is_cancelled = answer.end is FinishReason.CANCELLED
    return SequenceRequest(
        sequence_id=sequence_id,
        prompt_ids=np.array(prompt, np.int64),
        max_tokens=len(answer.drawn) if is_cancelled else answer.max_tokens,
        eos_ids=frozenset() if answer.ignore_eos else rules.eos_ids,
        sampling=Sampling.resolve(answer.sampling, SamplingParams(), answer.sampling.seed or 0),
        deadline=request.deadline,
        trace_id=request.trace_id,
        drawn_ids=answer.drawn,
    )


def _before(answer: Answer, told: Conversation) -> Conversation:
    """The conversation as it was when the answer began, whether or not the broken turn was kept."""
    return replace(
        told,
        ids=told.ids[: answer.shared],
        messages=told.messages[: answer.first_message],
        blocks=told.blocks_until(answer.shared),
        turns=answer.turn - 1,
        marks=tuple(mark for mark in told.marks if mark.number < answer.turn),
    )
