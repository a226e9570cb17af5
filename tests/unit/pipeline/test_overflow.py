"""What goes of a chat that has outgrown its context: the oldest turns, and no more of them than must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoglmd.messages.generation import Message
from autoglmd.pipeline.overflow import shortened

ROLES = st.sampled_from(["user", "assistant", "system", "tool"])
CHATS = st.lists(st.builds(Message, ROLES, st.text(max_size=9)), min_size=1, max_size=30)


def size_of(messages: tuple[Message, ...]) -> float:
    """Tokens of a chat: two for each message, and one for each of its letters."""
    return sum(2 + len(each.content) for each in messages)


def chat(*said: str) -> list[Message]:
    """Messages, each written as the first letter of who speaks and what is said."""
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [Message(roles[each[0]], each[1:]) for each in said]


@given(CHATS, st.integers(-5, 200))
def test_the_newest_turn_and_all_system_messages_stay_in_their_order(messages: list[Message], goal: int) -> None:
    """What is left is what was said, without some of its beginning."""
    made = shortened(messages, goal, size_of)
    assert made.dropped == len(messages) - len(made.messages)
    spoken = [each for each in messages if each.role != "system"]
    left = [each for each in made.messages if each.role != "system"]
    assert left == spoken[len(spoken) - len(left) :]
    assert made.messages[len(made.messages) - 1 :] == tuple(messages[-1:])
    assert [each for each in made.messages if each.role == "system"] == [
        each for each in messages if each.role == "system"
    ]
    if spoken:
        newest = max([index for index, each in enumerate(spoken) if each.role == "user"], default=0)
        assert left[-len(spoken[newest:]) :] == spoken[newest:]


@given(CHATS, st.integers(-5, 200))
def test_no_fewer_would_do(messages: list[Message], goal: int) -> None:
    """With one turn more the goal is missed; without it, it is reached, if dropping reaches it at all."""
    made = shortened(messages, goal, size_of)
    if not made.dropped:
        return
    # The last of what went, back to where a user begins to speak.
    gone = [each for each in messages if each.role != "system"][: made.dropped]
    begin = max([index for index, each in enumerate(gone) if index == 0 or each.role == "user"])
    assert size_of(made.messages) + size_of(tuple(gone[begin:])) > goal
    left = [each for each in made.messages if each.role != "system"]
    begins = [index for index, each in enumerate(left) if index and each.role == "user"]
    assert size_of(made.messages) <= goal or not begins


@given(CHATS, st.integers(-5, 200))
def test_what_is_short_enough_is_left_alone(messages: list[Message], goal: int) -> None:
    """And so is what was shortened already."""
    if size_of(tuple(messages)) <= goal:
        assert shortened(messages, goal, size_of).dropped == 0
    once = shortened(messages, goal, size_of)
    assert shortened(once.messages, goal, size_of).dropped == 0


@pytest.mark.parametrize(
    ("said", "goal", "left"),
    [
        (["ssys", "u1", "a1", "u2", "a2", "u3"], 17, ["ssys", "u2", "a2", "u3"]),
        (["ssys", "u1", "a1", "u2", "a2", "u3"], 10, ["ssys", "u3"]),
        (["u1", "a1", "t1", "a1", "u2"], 12, ["u2"]),
        (["u1", "s!", "a1", "u2"], 8, ["s!", "u2"]),
        (["ahi", "u1", "a1", "u2"], 9, ["u1", "a1", "u2"]),
        (["u1", "a1", "u2", "a2", "t2"], 3, ["u2", "a2", "t2"]),
        (["a1", "a2"], 1, ["a1", "a2"]),
    ],
)
def test_turns_go_whole(said: list[str], goal: int, left: list[str]) -> None:
    """A question goes with its answer and with what tools said between; what nobody asked for is a turn as well."""
    assert list(shortened(chat(*said), goal, size_of).messages) == chat(*left)


def test_few_lengths_are_asked_for() -> None:
    """Each one means that a whole chat is tokenized."""
    asked: list[int] = []

    def tokens_of(messages: tuple[Message, ...]) -> float:
        asked.append(len(messages))
        return len(messages)

    shortened(chat(*["u1", "a1"] * 500), 100, tokens_of)
    assert len(asked) <= 10
