"""The turn that a session's file lacks, and what is none of its."""

from dataclasses import replace

import pytest

from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.conversation import Conversation, Turn
from autoglmd.sessions.last_turns import with_turn
from tests.support.answers import answer
from tests.support.conversations import KEY, MODEL, empty, grown, turn_after

TOLD = grown(empty(), "one", "two")
TURN, _ = turn_after(TOLD, "three")
PROMPT = TURN.ids[:2]
ANSWER = replace(
    answer(), shared=len(TOLD.ids), prompt_ids=PROMPT, prompt_digest=digest_of((*TOLD.ids, *PROMPT)), first_message=4
)


def test_the_next_turn_is_added() -> None:
    """As it was told, without keys and values of its own."""
    made = with_turn(KEY, TOLD, ANSWER, TURN)
    assert made == TOLD.after(TURN)
    assert made.kv_tokens == TOLD.kv_tokens


def test_the_first_turn_begins_the_session() -> None:
    """When its answer began."""
    turn, _ = turn_after(empty(), "one")
    first = replace(answer(), turn=1, shared=0, prompt_ids=(8,), prompt_digest=digest_of((8,)), begun=5.0)
    made = with_turn(KEY, None, first, turn)
    assert made is not None
    assert (made.key, made.created, made.turns, made.ids) == (KEY, 5.0, 1, turn.ids)
    assert with_turn(KEY, None, ANSWER, TURN) is None


def test_a_part_of_the_same_turn_gives_way_to_the_whole() -> None:
    """What was saved when its reader left."""
    part = TOLD.after(replace(TURN, ids=TURN.ids[:-1], at=TURN.at - 1))
    made = with_turn(KEY, part, ANSWER, TURN)
    assert made is not None
    assert (made.ids, made.messages, made.marks) == (*(TOLD.after(TURN).ids,), TOLD.after(TURN).messages, made.marks)
    assert made.turns == TURN.number


def test_a_new_version_of_the_model_may_have_told_it() -> None:
    """What was there before has no keys and values of use to it."""
    later = replace(MODEL, version="next")
    made = with_turn(KEY, TOLD, replace(ANSWER, model=later), TURN)
    assert made is not None
    assert (made.model, made.blocks, made.ids) == (later, (), TOLD.after(TURN).ids)


@pytest.mark.parametrize(
    ("told", "said", "turn"),
    [
        pytest.param(TOLD.after(TURN), ANSWER, TURN, id="saved"),
        pytest.param(TOLD.after(TURN), ANSWER, replace(TURN, at=TURN.at + 1), id="saved before it was told again"),
        pytest.param(grown(TOLD, "three", "four"), ANSWER, TURN, id="gone on"),
        pytest.param(grown(empty(), "one"), ANSWER, TURN, id="taken back"),
        pytest.param(grown(empty(SessionKey("local", "x")), "one", "two"), ANSWER, TURN, id="other tokens"),
        pytest.param(replace(TOLD, messages=TOLD.messages[:3]), ANSWER, TURN, id="fewer messages"),
        pytest.param(TOLD, replace(ANSWER, turn=4), TURN, id="another answer's"),
        pytest.param(TOLD, replace(ANSWER, shared=9), TURN, id="another place"),
        pytest.param(TOLD, replace(ANSWER, model=replace(MODEL, tokenizer="other")), TURN, id="other token ids"),
    ],
)
def test_what_does_not_follow_is_left_alone(told: Conversation, said: Answer, turn: Turn) -> None:
    """A session that has it, or is no longer what it went on from."""
    assert with_turn(KEY, told, said, turn) is None
