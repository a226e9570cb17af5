"""Where the turns of a conversation lie when its oldest were dropped and the rest was told again. Pure."""

from collections.abc import Iterator

from autoglmd.messages.generation import Message
from autoglmd.pipeline.prompts import PromptRules, render
from autoglmd.sessions.conversation import TurnMark

_MOST_MARKS = 64
"""Each takes a rendering of what lies before it; the oldest of more are left out."""


def kept_marks(
    marks: tuple[TurnMark, ...], kept: tuple[int, ...], messages: tuple[Message, ...], text: str, rules: PromptRules
) -> tuple[TurnMark, ...]:
    """Marks of the turns that are left; those of which it cannot be told are left out.

    Args:
        marks: as they were.
        kept: the former places of `messages`.
        messages: what is left.
        text: its rendering.
        rules: of the model.
    """
    places = {former: place for place, former in enumerate(kept)}
    left = [(mark, places[mark.messages - 1]) for mark in marks if mark.messages - 1 in places][-_MOST_MARKS:]
    cuts = [(mark, place, _answer_in(text, messages, place, rules)) for mark, place in left]
    known = [(mark, place, cut) for mark, place, cut in cuts if cut is not None]
    tokens = dict(_tokens_until([edge for _, _, cut in known for edge in cut], text, rules))
    return tuple(
        TurnMark(mark.number, tokens[start], tokens[stop], place + 1)
        for mark, place, (start, stop) in known
        if start in tokens and stop in tokens
    )


def _answer_in(text: str, messages: tuple[Message, ...], place: int, rules: PromptRules) -> tuple[int, int] | None:
    """Where a message begins and ends in the rendering; `None` where it is told otherwise than it was said."""
    before = render(messages[:place], rules)
    answer = messages[place].content
    is_told = text.startswith(before) and text.startswith(answer, len(before))
    return (len(before), len(before) + len(answer)) if is_told else None


def _tokens_until(edges: list[int], text: str, rules: PromptRules) -> Iterator[tuple[int, int]]:
    """How many tokens lie before each edge, as far as no token lies across one."""
    whole = rules.tokenizer.encode(text, add_prefix=False)
    ids: list[int] = []
    begin = 0
    for edge in edges:
        piece = text[begin:edge]
        ids += rules.tokenizer.encode_on(piece) if begin else rules.tokenizer.encode(piece, add_prefix=False)
        begin = edge
        if whole[: len(ids)] != ids:
            return
        yield edge, len(ids)
