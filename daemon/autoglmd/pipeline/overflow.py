"""Which messages of a chat go when it has outgrown its context. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from autoglmd.messages.generation import Message

SYSTEM_ROLE = "system"
USER_ROLE = "user"

TokensOf = Callable[[tuple[Message, ...]], float]
"""How many tokens a chat is; infinity for one that cannot be told."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """A chat whose oldest turns were dropped.

    Attributes:
        messages: what is left, in its order.
        kept: the places that these had.
        dropped: how many went.
    """

    messages: tuple[Message, ...]
    kept: tuple[int, ...]
    dropped: int


def shortened(messages: Sequence[Message], goal_tokens: int, tokens_of: TokensOf) -> Shortened:
    """Drop the oldest turns, as few as make the rest no longer than the goal; all but the newest where none do.

    A turn is what a user says and all that follows until a user speaks again; what is said before the first user speaks
    is one as well. System messages are of no turn and stay; so does the newest turn, which is to be answered.

    Args:
        messages: the whole chat.
        goal_tokens: how long it should be at most.
        tokens_of: asked about a logarithm of times. Fewer messages must not be more tokens.
    """
    turns = _turns(messages)

    def kept(count: int) -> tuple[int, ...]:
        return tuple(place for place, turn in enumerate(turns) if turn is None or turn >= count)

    def without(count: int) -> tuple[Message, ...]:
        return tuple(messages[place] for place in kept(count))

    newest = max((turn for turn in turns if turn is not None), default=0)
    fitting = bisect_left(range(newest), True, key=lambda count: tokens_of(without(count)) <= goal_tokens)
    left = without(fitting)
    return Shortened(left, kept(fitting), len(messages) - len(left))


def _turns(messages: Sequence[Message]) -> list[int | None]:
    """Of each message, the number of its turn from 0; `None` of a system message."""
    spoken = [each.role != SYSTEM_ROLE for each in messages]
    first = next((index for index, speaks in enumerate(spoken) if speaks), 0)
    begins = (each.role == USER_ROLE and index > first for index, each in enumerate(messages))
    return [turn if speaks else None for turn, speaks in zip(accumulate(begins), spoken, strict=True)]
