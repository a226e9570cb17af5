"""From a request to what the engine takes, with what its conversation brings along. Run in a prefetch thread."""

import secrets
from dataclasses import dataclass, field, replace

import numpy as np

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.messages import CacheMiss, CacheReport, ChatPrompt, GenerationRequest, KvBlock, Message
from autoglmd.model.sampler import Sampling
from autoglmd.pipeline.continuing import Continuation, continuation
from autoglmd.pipeline.prompts import PromptRules, output_limit, to_ids
from autoglmd.sessions.conversation import Conversation

_CONTINUED_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Recalled:
    """A conversation as it was found, in the tokens of the model that is asked."""

    conversation: Conversation
    cache: CacheReport


@dataclass(frozen=True, slots=True)
class Begun:
    """What a turn starts from: the conversation before it, and what its prompt adds; see Continuation."""

    before: Conversation
    shared: int
    messages: tuple[Message, ...]
    answer_role: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, ready for the engine.

    Attributes:
        continued_ids: the last tokens of a prompt that the answer continues; none for a chat.
        begun: `None` where it belongs to no session.
    """

    sequence: SequenceRequest
    continued_ids: tuple[int, ...] = ()
    cache: CacheReport = field(default_factory=CacheReport)
    begun: Begun | None = None


def prepare(request: GenerationRequest, sequence_id: str, rules: PromptRules, recalled: Recalled | None) -> Prepared:
    """The engine's form of a request, under an id that is never used twice.

    Raises:
        PromptTooLongError: prompt and output do not fit, now or ever. Nothing is truncated.
        InvalidArgumentError, NotSupportedError: as `to_ids` and `continuation`.
    """
    output_tokens = request.max_tokens or 1
    if recalled is None:
        ids = to_ids(request.prompt, rules, output_tokens)
        return Prepared(_sequence(request, sequence_id, rules, ids), _continued(request, ids))
    told = recalled.conversation
    going_on = continuation(request.prompt, told, rules, output_tokens)
    # The last token is computed in any case: its logits are the answer's first.
    usable = min(going_on.shared, len(going_on.ids) - 1)
    past = told.blocks_until(usable)
    sequence = _sequence(request, sequence_id, rules, going_on.ids)
    sequence = replace(sequence, past=past, keep_from=past[-1].stop if past else 0)
    continued = _continued(request, going_on.ids)
    cache = _report(recalled, going_on, past)
    if recalled.cache.miss is CacheMiss.UNREADABLE:
        # What is saved now would be in the place of what a better day might still read.
        return Prepared(sequence, continued, cache)
    begun = Begun(told, going_on.shared, going_on.messages, going_on.answer_role)
    return Prepared(sequence, continued, cache, begun)


def _continued(request: GenerationRequest, ids: list[int]) -> tuple[int, ...]:
    """What decides how an answer's first token looks; a chat's answer is a text of its own."""
    return () if isinstance(request.prompt, ChatPrompt) else tuple(ids[-_CONTINUED_TOKENS:])


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
    if miss is None and going_on.shared < len(told.ids):
        miss = CacheMiss.HISTORY_CHANGED
    # An answer's last token has none in any case: nobody needed what comes behind it.
    elif miss is None and told.kv_tokens < len(told.ids) - 1:
        miss = CacheMiss.NOT_KEPT
    return CacheReport(past[-1].stop if past else 0, recalled.cache.tier if past else None, miss)
