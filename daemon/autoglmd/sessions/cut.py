"""Where a conversation may be cut, and what is left of it. Pure.

A cut conversation is one that was told so far and never further: the same text, tokens, keys and values. It may end
with a turn, or inside an answer, which is then as if its token limit had ended it there. No place inside a prompt is an
end.
"""

from dataclasses import replace

from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import Message
from autoglmd.sessions.conversation import ASSISTANT_ROLE, COMPLETION_ROLE, Conversation, TurnMark

_ANSWER_ROLES = (ASSISTANT_ROLE, COMPLETION_ROLE)


def until_turn(told: Conversation, number: int) -> Conversation:
    """The first `number` turns.

    Where their tokens are not known, because they were told otherwise later, it goes on from their text.

    Raises:
        InvalidArgumentError: there are not so many, or nobody knows which messages are theirs.
    """
    if not 0 <= number <= told.turns:
        raise InvalidArgumentError("at_turn", f"must be 0 to {told.turns}, the session's turns, not {number}.")
    if number in (0, told.turns):
        return told if number else _ended(told, TurnMark(0, 0, 0, 0))
    mark = next((each for each in told.marks if each.number == number), None)
    if mark is not None:
        return _ended(told, mark)
    messages = told.messages[: _messages_until(told, number)]
    return replace(told, ids=(), messages=messages, blocks=(), turns=number, marks=())


def answer_at(told: Conversation, place: int) -> TurnMark | None:
    """The turn inside whose answer a place lies; `None` where a turn ends there, or nothing was said yet.

    Raises:
        InvalidArgumentError: it lies in a prompt, past the end, or where nobody knows; names the nearest that do not.
    """
    if told.messages and not told.ids:
        raise InvalidArgumentError(
            "at_token", "is no place in a session of which only the text is known. Take at_turn."
        )
    if place in _ends(told):
        return None
    mark = next((each for each in told.marks if each.answer_start < place < each.end), None)
    if mark is None:
        raise InvalidArgumentError("at_token", f"{place} is {_why_not(told, place)}")
    return mark


def until_place(told: Conversation, place: int, answer: str = "") -> Conversation:
    """What lies before a place; `answer` is the text of what is left of the answer that it lies in.

    Raises:
        InvalidArgumentError: as `answer_at`.
    """
    inside = answer_at(told, place)
    if inside is not None:
        cut = _ended(told, replace(inside, end=place))
        *before, last = cut.messages
        return replace(cut, messages=(*before, Message(last.role, answer)))
    return told if place == len(told.ids) and told.turns else _ended(told, _ends(told)[place])


def kv_until(told: Conversation, place: int) -> int:
    """How many keys and values a session has that was told up to a place and never further.

    The last token of an answer that its limit ended is computed by whoever goes on, in a prefill; of one that ended
    otherwise it was in a decode. The two may differ in the last bit, so it is left where it comes from.
    """
    if place in (0, len(told.ids)):
        return place
    is_end = any(mark.end == place for mark in told.marks)
    # Left to the next turn's prompt, whose block goes on behind it. An answer that was taken up may have its own.
    was_left = any(block.start == place - 1 and block.stop > place for block in told.blocks)
    return place - 1 if was_left or not is_end else place


def _ended(told: Conversation, mark: TurnMark) -> Conversation:
    """The conversation with that turn as its last; number 0 for nothing."""
    before = tuple(each for each in told.marks if each.number < mark.number)
    return replace(
        told,
        ids=told.ids[: mark.end],
        messages=told.messages[: mark.messages],
        blocks=told.blocks_until(kv_until(told, mark.end)),
        turns=mark.number,
        marks=(*before, mark) if mark.number else (),
    )


def _ends(told: Conversation) -> dict[int, TurnMark]:
    """Where turns end, and the beginning and end of all."""
    whole = TurnMark(told.turns, 0, len(told.ids), len(told.messages))
    return {len(told.ids): whole, 0: TurnMark(0, 0, 0, 0), **{mark.end: mark for mark in told.marks}}


def _why_not(told: Conversation, place: int) -> str:
    if not 0 <= place <= len(told.ids):
        return f"not in the session, which has {len(told.ids)} tokens that its model knows. Take 0 to {len(told.ids)}."
    allowed = {*_ends(told), *(near for mark in told.marks for near in (mark.answer_start + 1, mark.end))}
    below = max(each for each in allowed if each < place)
    above = min(each for each in allowed if each > place)
    return f"inside a prompt, where nothing can end. The nearest places are {below} and {above}."


def _messages_until(told: Conversation, number: int) -> int:
    """How many messages the first turns have, told by their answers between the turns that are known."""
    ends = ((mark.number, mark.messages) for mark in told.marks)
    known = [(0, 0), *ends, (told.turns, len(told.messages))]
    first, start = max(each for each in known if each[0] < number)
    last, stop = min(each for each in known if each[0] > number)
    answers = [at for at in range(start, stop) if told.messages[at].role in _ANSWER_ROLES]
    if len(answers) != last - first:
        raise InvalidArgumentError(
            "at_turn", f"{number} ends nobody knows where: turns {first} to {last} were told as one. Take one of these."
        )
    return answers[number - first - 1] + 1
