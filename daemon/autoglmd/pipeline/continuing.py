"""From a conversation and a new prompt to the tokens that the model sees. Pure, and run in a prefetch thread.

What was said is not tokenized again: the tokens that the model itself drew stay as they are, and only the text behind
them is new. Tokenizers are no inverse of what a model draws, and cached keys and values belong to tokens, not to text.
"""

from dataclasses import dataclass

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import ChatPrompt, Message, Prompt, TextPrompt, TokenPrompt
from autoglmd.pipeline.prompts import PromptRules, check_ids, encode, encode_on, render
from autoglmd.sessions.conversation import (
    ASSISTANT_ROLE,
    COMPLETION_ROLE,
    PROMPT_ROLE,
    Conversation,
    TurnMark,
    common_beginning,
)


@dataclass(frozen=True, slots=True)
class Continuation:
    """A prompt that goes on with a conversation.

    Attributes:
        ids: the whole of it.
        shared: how many of them the conversation has at the same places.
        messages: what the prompt adds to what was said.
        answer_role: who will have said the answer.
        dropped: how many messages went because the context was full.
        marks: where turns lie that are told again; those of which nobody knows are left out.
        kept_messages: how many of those that were said, from the first on, are there still; `None` for all.
    """

    ids: list[int]
    shared: int
    messages: tuple[Message, ...]
    answer_role: str
    dropped: int = 0
    kept_messages: int | None = None
    marks: tuple[TurnMark, ...] = ()


def continuation(prompt: Prompt, told: Conversation, rules: PromptRules, output_tokens: int) -> Continuation:
    """Put a prompt behind what was said.

    Raises:
        InvalidArgumentError: the prompt is a chat and the conversation none, or the other way round; or as `to_ids`.
        PromptTooLongError, NotSupportedError: as `to_ids`.
    """
    if isinstance(prompt, ChatPrompt):
        made, field = _chat(prompt, told, rules, output_tokens), "chat"
    else:
        made, field = _text(prompt, told, rules, output_tokens), "prompt"
    check_ids(made.ids, field, rules)
    return made


def _chat(prompt: ChatPrompt, told: Conversation, rules: PromptRules, output_tokens: int) -> Continuation:
    if told.messages and told.messages[0].role == PROMPT_ROLE:
        raise InvalidArgumentError(
            "chat", "goes on with a session of plain prompts. Send `prompt`, or another session."
        )
    everything = (*told.messages, *prompt.messages)
    if told.ids and told.messages:
        *before, answer = told.messages
        known = render(tuple(before), rules, new=0) + answer.content
        text = render(everything, rules, new=len(prompt.messages))
        if text.startswith(known):
            ids = [*told.ids, *encode_on(text[len(known) :], rules, output_tokens)]
            return Continuation(ids, len(told.ids), prompt.messages, ASSISTANT_ROLE)
    # Of another tokenizer, or told otherwise than it was, as by templates that drop the thoughts of earlier answers.
    # All of it is tokenized again, so all of it is looked at for tricks.
    ids = encode(render(everything, rules), rules, output_tokens, add_prefix=False)
    return Continuation(ids, common_beginning(ids, told.ids), prompt.messages, ASSISTANT_ROLE)


def _text(prompt: TextPrompt | TokenPrompt, told: Conversation, rules: PromptRules, output_tokens: int) -> Continuation:
    if told.messages and told.messages[0].role != PROMPT_ROLE:
        raise InvalidArgumentError("prompt", "goes on with a session of chats. Send `chat`, or another session.")
    before = list(told.ids)
    if not before and told.messages:
        # Of another tokenizer: the text is all that there is.
        earlier = "".join(message.content for message in told.messages)
        before = encode(earlier, rules, output_tokens, add_prefix=True)
    if isinstance(prompt, TokenPrompt):
        new, text = list(prompt.ids), rules.tokenizer.decode(prompt.ids)
    else:
        text = prompt.text
        new = encode_on(text, rules, output_tokens) if before else encode(text, rules, output_tokens, add_prefix=True)
    return Continuation([*before, *new], len(told.ids), (Message(PROMPT_ROLE, text),), COMPLETION_ROLE)
