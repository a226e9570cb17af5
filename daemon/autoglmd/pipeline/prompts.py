"""From a prompt to tokens: template, tokenizer, limits. Pure, and run in a prefetch thread."""

from dataclasses import dataclass

from autoglmd.errors.request import InvalidArgumentError, NotSupportedError, PromptTooLongError
from autoglmd.messages.generation import ChatPrompt, Message, Prompt, SamplingParams, TextPrompt, TokenPrompt, Tokens
from autoglmd.model.chat_template import ChatTemplate
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
            ids, field = encode(text, rules, output_tokens, add_prefix=True), "prompt"
        case ChatPrompt(messages):
            ids, field = encode(render(messages, rules), rules, output_tokens, add_prefix=False), "chat"
        case TokenPrompt(given):
            ids, field = list(given), "token_ids"
    check_ids(ids, field, rules)
    return ids


def check_ids(ids: list[int], field: str, rules: PromptRules) -> None:
    """Raises InvalidArgumentError where there are none, or some that the model does not know."""
    if not ids:
        raise InvalidArgumentError(field, "is empty. Say something.")
    if max(ids) >= rules.vocab_size:
        raise InvalidArgumentError(field, f"has id {max(ids)}; the model knows 0 to {rules.vocab_size - 1}.")


def render(messages: tuple[Message, ...], rules: PromptRules, new: int | None = None) -> str:
    """The text of a chat, ending where the answer begins. The last `new` messages, or all, are looked at for tricks.

    Raises:
        InvalidArgumentError: the template refuses them, or one of the new ones would speak as somebody else.
        NotSupportedError: the model has no chat template.
    """
    if rules.template is None:
        raise NotSupportedError("This model has no chat template. Send `prompt` or `token_ids` instead of `chat`.")
    looked_at = messages if new is None else messages[len(messages) - new :]
    for index, message in enumerate(looked_at):
        # A stranger's text in a message must not be able to speak as somebody else.
        found = [piece for piece in rules.tokenizer.special if piece in message.content or piece in message.role]
        if found:
            raise InvalidArgumentError(
                f"chat.messages[{index}]",
                f"holds the special token {found[0]!r}, which would change who speaks. Take it out of the text, "
                "or send the whole rendered conversation as `prompt`.",
            )
    return rules.template.render(messages)


def encode(text: str, rules: PromptRules, output_tokens: int, *, add_prefix: bool) -> list[int]:
    """Ids of a text, unless it is so long that counting its tokens is not worth the time: PromptTooLongError."""
    _check_length(text, rules, output_tokens)
    return rules.tokenizer.encode(text, add_prefix=add_prefix)


def encode_on(text: str, rules: PromptRules, output_tokens: int) -> list[int]:
    """Ids of a text that goes on with another. Raises as `encode`."""
    _check_length(text, rules, output_tokens)
    return rules.tokenizer.encode_on(text)


def _check_length(text: str, rules: PromptRules, output_tokens: int) -> None:
    limit, what = limit_of(rules)
    at_least = len(text) // rules.tokenizer.longest_piece
    if at_least > limit:
        raise PromptTooLongError(at_least, output_tokens, limit, what, counted=False)


def to_tokens(prompt: Prompt, rules: PromptRules) -> Tokens:
    """Ids and pieces of a prompt. Raises as `to_ids`."""
    ids = to_ids(prompt, rules)
    return Tokens(tuple(ids), tuple(rules.tokenizer.piece(each) for each in ids))


def output_limit(prompt_tokens: int, asked: int | None, rules: PromptRules) -> int:
    """Output tokens that a prompt leaves room for, or that were asked for.

    Raises:
        PromptTooLongError: prompt and output do not fit, now or ever. Nothing is truncated.
    """
    limit, what = limit_of(rules)
    room = limit - prompt_tokens
    if room < (asked or 1):
        raise PromptTooLongError(prompt_tokens, asked or 1, limit, what)
    return min(rules.max_tokens, room) if asked is None else asked


def limit_of(rules: PromptRules) -> tuple[int, str]:
    """How many tokens prompt and output may have together, and what says so."""
    if rules.kv_tokens < rules.context_tokens:
        return rules.kv_tokens, "the daemon's KV memory (engine.kv_bytes)"
    return rules.context_tokens, "the context"
