"""From a request to what the engine takes: template, tokens, limits, sampling. Pure, and run in a prefetch thread."""

import secrets
from dataclasses import dataclass

import numpy as np

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.errors import InvalidArgumentError, NotSupportedError, PromptTooLongError
from autoglmd.messages import (
    ChatPrompt,
    GenerationRequest,
    Message,
    Prompt,
    SamplingParams,
    TextPrompt,
    TokenPrompt,
    Tokens,
)
from autoglmd.model.chat_template import ChatTemplate
from autoglmd.model.sampler import Sampling
from autoglmd.model.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class PromptRules:
    """What a model makes of prompts.

    Attributes:
        context_tokens: longest sequence of the model as served.
        kv_tokens: KV positions that the engine may promise in all.
        max_tokens: output tokens where a request does not say.
        defaults: the model's own generation settings.
    """

    tokenizer: Tokenizer
    template: ChatTemplate | None
    vocab_size: int
    context_tokens: int
    kv_tokens: int
    max_tokens: int
    eos_ids: frozenset[int]
    defaults: SamplingParams


def to_ids(prompt: Prompt, rules: PromptRules, output_tokens: int = 0) -> list[int]:
    """Token ids of a prompt that is to be followed by so many more.

    Raises:
        PromptTooLongError: it is so long that it was not counted to the end.
        InvalidArgumentError: it has no tokens, or ids that the model does not know.
        NotSupportedError: a chat for a model without a chat template.
    """
    match prompt:
        case TextPrompt(text):
            ids, field = _encode(text, rules, output_tokens, add_prefix=True), "prompt"
        case ChatPrompt(messages):
            ids, field = _encode(_render(messages, rules), rules, output_tokens, add_prefix=False), "chat"
        case TokenPrompt(given):
            ids, field = list(given), "token_ids"
    if not ids:
        raise InvalidArgumentError(field, "is empty. Say something.")
    if max(ids) >= rules.vocab_size:
        raise InvalidArgumentError(field, f"has id {max(ids)}; the model knows 0 to {rules.vocab_size - 1}.")
    return ids


def _render(messages: tuple[Message, ...], rules: PromptRules) -> str:
    if rules.template is None:
        raise NotSupportedError("This model has no chat template. Send `prompt` or `token_ids` instead of `chat`.")
    for index, message in enumerate(messages):
        # A stranger's text in a message must not be able to speak as somebody else.
        found = [piece for piece in rules.tokenizer.special if piece in message.content or piece in message.role]
        if found:
            raise InvalidArgumentError(
                f"chat.messages[{index}]",
                f"holds the special token {found[0]!r}, which would change who speaks. Take it out of the text, "
                "or send the whole rendered conversation as `prompt`.",
            )
    return rules.template.render(messages)


def _encode(text: str, rules: PromptRules, output_tokens: int, *, add_prefix: bool) -> list[int]:
    """Ids of a text, unless it is so long that counting its tokens is not worth the time."""
    limit, what = _limit(rules)
    at_least = len(text) // rules.tokenizer.longest_piece
    if at_least > limit:
        raise PromptTooLongError(at_least, output_tokens, limit, what, counted=False)
    return rules.tokenizer.encode(text, add_prefix=add_prefix)


def to_tokens(prompt: Prompt, rules: PromptRules) -> Tokens:
    """Ids and pieces of a prompt. Raises as `to_ids`."""
    ids = to_ids(prompt, rules)
    return Tokens(tuple(ids), tuple(rules.tokenizer.piece(each) for each in ids))


def to_sequence(request: GenerationRequest, sequence_id: str, rules: PromptRules) -> SequenceRequest:
    """The engine's form of a request, under an id that is never used twice.

    Raises:
        PromptTooLongError: prompt and output do not fit, now or ever. Nothing is truncated.
        InvalidArgumentError, NotSupportedError: as `to_ids`.
    """
    ids = to_ids(request.prompt, rules, request.max_tokens or 1)
    seed = request.sampling.seed
    return SequenceRequest(
        sequence_id=sequence_id,
        prompt_ids=np.array(ids, np.int64),
        max_tokens=_output_limit(len(ids), request.max_tokens, rules),
        eos_ids=frozenset() if request.ignore_eos else rules.eos_ids,
        sampling=Sampling.resolve(request.sampling, rules.defaults, secrets.randbits(63) if seed is None else seed),
        deadline=request.deadline,
        trace_id=request.trace_id,
    )


def _output_limit(prompt_tokens: int, asked: int | None, rules: PromptRules) -> int:
    limit, what = _limit(rules)
    room = limit - prompt_tokens
    if room < (asked or 1):
        raise PromptTooLongError(prompt_tokens, asked or 1, limit, what)
    return min(rules.max_tokens, room) if asked is None else asked


def _limit(rules: PromptRules) -> tuple[int, str]:
    if rules.kv_tokens < rules.context_tokens:
        return rules.kv_tokens, "the daemon's KV memory (engine.kv_bytes)"
    return rules.context_tokens, "the context"
