"""Answers for tests of their journal."""

from autoglmd.messages.generation import Message, SamplingParams
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.conversation import TurnMark
from tests.support.conversations import KEY, MODEL, NOW

SAMPLING = SamplingParams(
    temperature=0.7,
    top_k=4,
    top_p=0.9,
    min_p=0.01,
    repetition_penalty=1.1,
    presence_penalty=0.5,
    frequency_penalty=-0.5,
    seed=2**64 - 1,
    logprobs=3,
)


def answer(key: SessionKey = KEY, request_id: str = "r1", text: str = "你好 \x00 \ud7ff", begun: float = NOW) -> Answer:
    """An answer whose every field has a value of its own."""
    return Answer(
        key=key,
        model=MODEL,
        request_id=request_id,
        turn=3,
        shared=2,
        prompt_ids=(7, 8, 9),
        prompt_digest=digest_of((5, 6, 7, 8, 9)),
        first_message=4,
        messages=(Message("user", text), Message("user", "and")),
        answer_role="assistant",
        sampling=SAMPLING,
        max_tokens=20,
        stop=("x", "好"),
        ignore_eos=True,
        marks=(TurnMark(1, 1, 2, 3), TurnMark(2, 3, 4, 4)),
        dropped=2,
        begun=begun,
    )
