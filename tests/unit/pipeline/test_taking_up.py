"""From a journalled answer to what the engine takes; and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from autoglmd.errors.availability import UnavailableError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.errors.session import AnswerGoneError, AnswerNotFoundError
from autoglmd.messages.generation import FinishReason, GenerationRequest, Message, SamplingParams, TokenPrompt
from autoglmd.messages.sessions import CacheMiss, CacheReport, CacheTier, KvBlock
from autoglmd.pipeline.preparation import Prepared, Recalled
from autoglmd.pipeline.prompts import PromptRules
from autoglmd.pipeline.taking_up import TakingUp, take_up
from autoglmd.sessions.answer import Answer, digest_of
from autoglmd.sessions.conversation import Conversation, TurnMark
from tests.support.answers import answer
from tests.support.conversations import KEY, MODEL, NOW
from tests.support.fixture_models import tokenizer_of

RULES = PromptRules(
    tokenizer=tokenizer_of("tiny-int8"),
    template=None,
    vocab_size=100,
    context_tokens=64,
    kv_tokens=256,
    max_tokens=8,
    eos_ids=frozenset({0}),
    defaults=SamplingParams(temperature=0.5),
)
BEFORE, PROMPT, DRAWN = (5, 6), (7, 8, 9), (20, 21, 22)
SAID = tuple(Message("user", str(number)) for number in range(4))
PLAIN = replace(answer(), drawn=DRAWN, sampling=replace(answer().sampling, logprobs=None), ignore_eos=False)


def block(start: int, stop: int) -> KvBlock:
    """Keys and values of these positions."""
    return KvBlock(start, stop - start, stop - start, bytes((stop - start) * MODEL.kv_bytes_per_token))


def conversation(turns: int, ids: tuple[int, ...], kv: int, messages: tuple[Message, ...] = SAID) -> Conversation:
    """A session that says this."""
    marks = tuple(TurnMark(number, number, number + 1, 2 * number) for number in range(1, turns + 1))
    return Conversation(KEY, MODEL, NOW, NOW, ids, messages, (block(0, kv),) if kv else (), turns, marks)


KEPT = conversation(3, (*BEFORE, *PROMPT, *DRAWN[:2]), 6, (*SAID, *PLAIN.messages, Message("assistant", "x")))
LOST = conversation(2, BEFORE, 1)


def taken_up(
    found: Answer | None = PLAIN,
    told: Conversation = KEPT,
    after_token: int = 0,
    request_id: str = "",
    miss: CacheMiss | None = None,
) -> Prepared:
    """What becomes of an answer, and the conversation that it is part of."""
    asked = TakingUp(after_token, request_id, lambda _: found)
    call = GenerationRequest("", "", TokenPrompt(()), SamplingParams(), None, (), False, 9.0, 1.0, "t", KEY)
    return take_up(asked, call, "r1#0", RULES, Recalled(told, CacheReport(tier=CacheTier.DISK, miss=miss)))


@pytest.mark.parametrize(("told", "past"), [(KEPT, 6), (LOST, 1), (replace(KEPT, blocks=()), 0)])
def test_an_answer_goes_on_from_what_is_left(told: Conversation, past: int) -> None:
    """Whether or not the broken turn was kept, with or without keys and values."""
    made = taken_up(told=told)
    sequence, begun = made.sequence, made.begun
    assert tuple(sequence.prompt_ids.tolist()) == (*BEFORE, *PROMPT)
    assert (sequence.drawn_ids, sequence.past_tokens, sequence.keep_from) == (DRAWN, past, past)
    assert (sequence.max_tokens, sequence.eos_ids, sequence.deadline) == (20, RULES.eos_ids, 9.0)
    assert (sequence.sampling.seed, sequence.sampling.temperature, sequence.sampling.logprobs) == (2**64 - 1, 0.7, -1)
    assert begun is not None
    assert (begun.before.ids, begun.before.messages, begun.before.turns) == (BEFORE, SAID, 2)
    assert [mark.number for mark in begun.before.marks] == [1, 2]
    assert (begun.shared, begun.messages, begun.brought) == (2, PLAIN.messages, sequence.past)
    assert made.cache.cached_tokens == min(past, 5)
    assert made.answer == PLAIN
    assert made.taken_up is not None
    assert (made.taken_up.request.request_id, made.taken_up.request.stop) == ("r1", ("x", "好"))


def test_tokens_that_were_cut_in_the_conversation_are_the_drawn_ones_again() -> None:
    """Keys and values are used as far as both say the same."""
    cut = replace(KEPT, ids=(*BEFORE, *PROMPT, DRAWN[0], 55), blocks=(block(0, 7),))
    assert taken_up(told=cut).sequence.past_tokens == 6


def test_keys_and_values_of_the_last_token_are_computed_again() -> None:
    """For the logits behind it."""
    whole = replace(KEPT, ids=(*BEFORE, *PROMPT, *DRAWN), blocks=(block(0, 8),))
    assert taken_up(told=whole).sequence.past_tokens == 7
    nothing = replace(PLAIN, drawn=())
    assert taken_up(nothing, whole).sequence.past_tokens == 4


def test_log_probabilities_cost_the_whole_answer() -> None:
    """Nobody keeps logits."""
    assert taken_up(replace(PLAIN, sampling=answer().sampling)).sequence.past_tokens == 4


def test_an_answer_that_was_cancelled_is_as_long_as_it_was() -> None:
    """One without a word is none."""
    made = taken_up(replace(PLAIN, end=FinishReason.CANCELLED))
    assert made.sequence.max_tokens == 3
    assert made.taken_up is not None
    assert made.taken_up.end is FinishReason.CANCELLED
    with pytest.raises(AnswerNotFoundError):
        taken_up(replace(PLAIN, end=FinishReason.CANCELLED, drawn=()))


@pytest.mark.parametrize(("found", "request_id"), [(None, ""), (PLAIN, "r2"), (None, "r1")])
def test_an_answer_to_nothing_asked_is_not_found(found: Answer | None, request_id: str) -> None:
    """None at all, or another request's."""
    with pytest.raises(AnswerNotFoundError):
        taken_up(found, request_id=request_id)


REASONS: list[tuple[Callable[[], object], str]] = [
    (lambda: taken_up(told=replace(KEPT, model=replace(MODEL, version="2"))), "another version"),
    (lambda: taken_up(miss=CacheMiss.MODEL_CHANGED), "another version"),
    (lambda: taken_up(told=conversation(0, (), 0)), "turn 3 of a conversation that has 0 turns"),
    (lambda: taken_up(told=replace(KEPT, turns=4)), "that has 4 turns"),
    (lambda: taken_up(told=replace(KEPT, ids=(*BEFORE, 7, 8, 1))), "another turn is in its place"),
    (lambda: taken_up(told=conversation(2, (5, 1), 0)), "before it has changed"),
    (lambda: taken_up(told=conversation(2, (5,), 0)), "before it has changed"),
    (lambda: taken_up(replace(PLAIN, drawn=(100,))), "do not fit the model"),
    (lambda: taken_up(replace(PLAIN, max_tokens=60)), "do not fit the model"),
    (lambda: taken_up(replace(PLAIN, max_tokens=2)), "do not fit the model"),
    (lambda: taken_up(replace(PLAIN, shared=0, prompt_ids=(), drawn=(), prompt_digest=digest_of(()))), "do not fit"),
]


@pytest.mark.parametrize(("attempt", "why"), REASONS)
def test_what_can_no_longer_be_told_as_it_was_is_refused(attempt: Callable[[], object], why: str) -> None:
    """With the reason."""
    with pytest.raises(AnswerGoneError, match=why):
        attempt()


def test_a_disk_that_does_not_give_the_answer_now_may_in_a_moment() -> None:
    """Its error is in the message, and nobody is told that the answer is gone."""

    def broken(_key: object) -> Answer | None:
        raise OSError("I/O error")

    with pytest.raises(UnavailableError, match="I/O error"):
        take_up(TakingUp(0, "", broken), None, "", RULES, Recalled(KEPT, CacheReport()))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="does not give its conversation"):
        taken_up(told=replace(LOST, turns=0), miss=CacheMiss.UNREADABLE)


def test_who_takes_an_answer_up_before_it_was_told_anything_learns_what_was_dropped() -> None:
    """As who asked would have; and the turns that are told again lie where they did."""
    again = TurnMark(2, 3, 4, 2)
    made = taken_up(replace(PLAIN, dropped=4, marks=(again,)), LOST)
    assert (made.dropped, made.cache.miss) == (4, CacheMiss.CONTEXT_MOVED)
    assert made.begun is not None
    assert made.begun.marks == (again,)


@pytest.mark.parametrize(("found", "most"), [(PLAIN, 20), (replace(PLAIN, end=FinishReason.STOP), 3)])
def test_a_place_beyond_the_answer_is_refused(found: Answer, most: int) -> None:
    """Of one that broke off nobody knows its end, but for its limit: its reader may have more than the journal."""
    taken_up(found, after_token=most)
    with pytest.raises(InvalidArgumentError, match=f"the answer has {most} tokens"):
        taken_up(found, after_token=most + 1)
