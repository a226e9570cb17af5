"""A prompt, put into the context: as it is, or without its oldest turns where the request allows that.

Pure, and run in a prefetch thread.
"""

import math

from autoglmd.errors.request import InvalidArgumentError, PromptTooLongError
from autoglmd.messages.generation import ChatPrompt, GenerationRequest, Message, Overflow
from autoglmd.pipeline.continuing import Continuation, continuation
from autoglmd.pipeline.kept_marks import kept_marks
from autoglmd.pipeline.overflow import shortened
from autoglmd.pipeline.prompts import PromptRules, check_ids, encode, limit_of, render, to_ids
from autoglmd.sessions.conversation import ASSISTANT_ROLE, Conversation, common_beginning

FREE_SHARE = 4
"""Of a context that overflows, one part in so many is left free: else every turn from then on would drop some."""
REMEDY = "Or let the oldest turns be dropped (overflow: OVERFLOW_DROP_OLDEST; `--drop-oldest` for autoglmctl)."


def fitted(request: GenerationRequest, told: Conversation | None, rules: PromptRules) -> Continuation:
    """The request's prompt behind what was said, if it belongs to a session.

    Raises:
        PromptTooLongError: it is so long that it was not counted to the end; see `output_limit` for the rest.
        InvalidArgumentError, NotSupportedError: as `to_ids` and `continuation`.
    """
    if not isinstance(request.prompt, ChatPrompt) or request.overflow is Overflow.REFUSE:
        return _whole(request, told, rules)
    limit, _ = limit_of(rules)
    # Who does not say how much is wanted wants an answer all the same, and not one word before the context's end.
    wanted = request.max_tokens or min(rules.max_tokens, limit // FREE_SHARE)
    try:
        made = _whole(request, told, rules)
        is_too_long = len(made.ids) + wanted > limit
    except PromptTooLongError:
        is_too_long = True
    if not is_too_long:
        return made
    goal = limit - max(limit // FREE_SHARE, wanted)
    return _without_oldest(request, told, rules, goal) or _whole(request, told, rules)


def with_remedy(error: PromptTooLongError, request: GenerationRequest, told: Conversation | None) -> PromptTooLongError:
    """The refusal of a prompt that is too long, with what else there is to do."""
    if not isinstance(request.prompt, ChatPrompt) or request.overflow is not Overflow.REFUSE:
        return error
    has_turns = len(request.prompt.messages) > 1 or (told is not None and told.messages)
    if told is not None and told.ids:
        error = error.with_remedy(f"{len(told.ids)} of its tokens are the conversation's so far.")
    return error.with_remedy(REMEDY) if has_turns else error


def _whole(request: GenerationRequest, told: Conversation | None, rules: PromptRules) -> Continuation:
    output_tokens = request.max_tokens or 1
    if told is None:
        return Continuation(to_ids(request.prompt, rules, output_tokens), 0, (), "")
    return continuation(request.prompt, told, rules, output_tokens)


def _without_oldest(
    request: GenerationRequest, told: Conversation | None, rules: PromptRules, goal_tokens: int
) -> Continuation | None:
    """What is left when the oldest turns are dropped; `None` where there is none to drop."""
    assert isinstance(request.prompt, ChatPrompt)
    output_tokens = request.max_tokens or 1

    def ids_of(messages: tuple[Message, ...]) -> list[int]:
        # All of it is tokenized again, so all of it is looked at for tricks.
        return encode(render(messages, rules), rules, output_tokens, add_prefix=False)

    def tokens_of(messages: tuple[Message, ...]) -> float:
        try:
            return len(ids_of(messages))
        except (PromptTooLongError, InvalidArgumentError):
            # An answer may spell out what no text may say; a conversation must not end because of it.
            return math.inf

    said = () if told is None else told.messages
    left = shortened((*said, *request.prompt.messages), goal_tokens, tokens_of)
    if not left.dropped:
        return None
    ids = ids_of(left.messages)
    check_ids(ids, "chat", rules)
    kept = common_beginning(said, left.messages)
    shared = 0 if told is None else common_beginning(ids, told.ids)
    text = render(left.messages, rules)
    marks = () if told is None else kept_marks(told.marks, left.kept, left.messages, text, rules)
    return Continuation(ids, shared, left.messages[kept:], ASSISTANT_ROLE, left.dropped, kept, marks)
