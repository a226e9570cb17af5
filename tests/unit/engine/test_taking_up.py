"""Answers that broke off and are taken up: what was drawn stays, and is decoded again where its past is lost."""

from dataclasses import replace
from threading import Event

import numpy as np
import pytest

from autoglmd.engine.engine import Engine
from autoglmd.engine.plan import Limits
from autoglmd.engine.sequence import Emitted, Ended, EngineEvent, SequenceRequest
from autoglmd.messages.generation import FinishReason
from autoglmd.model.runner import Ids, Logits
from autoglmd.model.sampler import Sampling
from tests.support.fake_clock import FakeClock
from tests.support.fake_runner import LIMIT_SECONDS, FakeRunner, expected_tokens
from tests.support.stepper import Stepper, request
from tests.unit.engine.test_keeping import block, kept

PROMPT = list(range(1, 9))
ANSWER = expected_tokens(PROMPT, 6)


def broken_off(drawn: int, past: int, max_tokens: int = 6, name: str = "a") -> SequenceRequest:
    """An answer of which so many tokens were drawn, with keys and values of the first so many positions."""
    known = block([*PROMPT, *ANSWER][:past])
    blocks = (replace(known, tokens=past // 2), block([*PROMPT, *ANSWER][past // 2 : past], past // 2)) if past else ()
    asked = replace(request(name, PROMPT, max_tokens), drawn_ids=tuple(ANSWER[:drawn]), keep_from=past)
    return replace(asked, past=tuple(each for each in blocks if each.tokens))


@pytest.mark.parametrize("chunk_tokens", [4, 16])
@pytest.mark.parametrize(
    ("drawn", "past"), [(drawn, past) for drawn in range(7) for past in range(len(PROMPT) + drawn)]
)
def test_an_answer_goes_on_wherever_it_broke_and_whatever_is_left_of_it(
    drawn: int, past: int, chunk_tokens: int
) -> None:
    """Each token is told once, and the row ends as if nothing had happened."""
    stepper = Stepper(chunk_tokens=chunk_tokens)
    stepper.add(broken_off(drawn, past))
    stepper.run()
    assert stepper.tokens("a") == ANSWER
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.LENGTH]
    held = [np.frombuffer(told.data, np.int64).tolist() for told in kept(stepper, "a")]
    assert held == ([[*PROMPT, *ANSWER[:-1]][past:]] if past < len(PROMPT) + 5 else [])


@pytest.mark.parametrize("past", [0, 7, 8, 10])
def test_what_was_drawn_is_decoded_and_not_prefilled(past: int) -> None:
    """The two kernels do not agree to the last bit, so the answer's tokens go the way they went the first time."""

    class Watched(FakeRunner):
        fed: list[int]

        def prefill(self, row: int, ids: Ids, past: int, *, final: bool) -> Logits:
            self.fed += [past + place for place in range(len(ids))]
            return super().prefill(row, ids, past, final=final)

        def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
            self.fed += range(int(lengths.max()))
            return super().prefill_fresh(first_row, ids, lengths)

    runner = Watched()
    runner.fed = []
    stepper = Stepper(runner)
    stepper.add(broken_off(4, past))
    stepper.run()
    assert runner.fed == list(range(past, len(PROMPT)))
    assert runner.calls.count("decode") == len(PROMPT) + 5 - max(past, len(PROMPT))


def test_a_token_that_is_settled_stays_though_it_would_be_drawn_otherwise() -> None:
    """What a reader has seen is what was said; only behind it the model decides."""
    drawn = (60, 61)
    stepper = Stepper()
    stepper.add(replace(request("a", PROMPT, 4), drawn_ids=drawn))
    stepper.run()
    assert stepper.tokens("a") == [*drawn, *expected_tokens([*PROMPT, *drawn], 2)]


@pytest.mark.parametrize("past", [0, 8, 11])
def test_an_answer_that_the_model_had_ended_ends_again(past: int) -> None:
    """Its last token is decoded once more, and gives the end of text."""
    asked = broken_off(4, past)
    stepper = Stepper()
    stepper.add(replace(asked, eos_ids=frozenset({ANSWER[4]})))
    stepper.run()
    assert stepper.tokens("a") == ANSWER[:4]
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.STOP]


@pytest.mark.parametrize("past", [0, 8, 11])
def test_what_was_drawn_before_is_not_counted_once_more(past: int) -> None:
    """Whether it has to be decoded again or not: else a wave of resumptions would look like so much work done."""
    stepper = Stepper()
    stepper.add(broken_off(4, past))
    stepper.run()
    assert stepper.steps.totals.output_tokens == len(stepper.tokens("a")) - 4


def test_a_whole_answer_is_told_without_a_run() -> None:
    """All of its tokens are there, and keys and values of all but the last."""
    stepper = Stepper()
    stepper.add(broken_off(6, len(PROMPT) + 5))
    stepper.run()
    assert stepper.tokens("a") == ANSWER
    assert stepper.runner.calls == ["write_kv"]
    assert stepper.steps.totals.output_tokens == 0


def test_answers_are_taken_up_beside_others() -> None:
    """Fresh ones, chunked ones, ones with a past, in whatever row."""
    stepper = Stepper(chunk_tokens=6)
    stepper.add(
        request("fresh", [5, 6]), broken_off(3, 9), request("long", list(range(20, 32))), broken_off(5, 0, name="b")
    )
    stepper.run()
    assert stepper.tokens("a") == stepper.tokens("b") == ANSWER
    assert stepper.tokens("fresh") == expected_tokens([5, 6], 4)
    assert stepper.tokens("long") == expected_tokens(list(range(20, 32)), 4)


def test_log_probabilities_are_told_of_what_is_computed_again() -> None:
    """Under the logits that each had; of those whose keys and values are there nobody knows them."""
    asked = replace(broken_off(4, 10), sampling=Sampling(seed=0, temperature=0.0, logprobs=1))
    stepper = Stepper()
    stepper.add(asked)
    stepper.run()
    told = [event for event in stepper.events if isinstance(event, Emitted)]
    assert [each.token_id for each in told] == ANSWER
    assert [each.logprobs is not None for each in told] == [False] * 3 + [True] * 3
    assert all(each.logprobs is None or each.logprobs.chosen.token_id == each.token_id for each in told)


def test_penalties_count_what_was_drawn_before() -> None:
    """The same draw follows as in an answer that nothing came between."""
    sampling = Sampling(seed=3, temperature=0.0, presence_penalty=2.0, repetition_penalty=9.0)
    whole = Stepper()
    whole.add(replace(request("a", PROMPT, 6), sampling=sampling))
    whole.run()
    drawn = tuple(whole.tokens("a"))
    again = Stepper()
    past = (block([*PROMPT, *drawn[:2]]),)
    again.add(replace(request("a", PROMPT, 6), sampling=sampling, drawn_ids=drawn[:3], past=past, keep_from=10))
    again.run()
    assert tuple(again.tokens("a")) == drawn


def test_a_past_that_does_not_fit_ends_its_answer_alone() -> None:
    """As for one that is taken up in its prompt."""

    class Choosy(FakeRunner):
        def write_kv(self, row: int, blocks: object) -> None:
            raise ValueError("16 bytes for 3 tokens")

    stepper = Stepper(Choosy())
    stepper.add(request("fresh", [5, 6]), broken_off(3, 9))
    stepper.run()
    assert stepper.tokens("fresh") == expected_tokens([5, 6], 4)
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.ERROR]


def test_an_engine_promises_the_whole_answer() -> None:
    """What was drawn before is part of what it may come to."""
    told: list[EngineEvent] = []
    done = Event()

    def hear(events: tuple[EngineEvent, ...]) -> None:
        told.extend(events)
        if any(isinstance(event, Ended) and event.sequence_id == "b" for event in events):
            done.set()

    engine = Engine("tiny", FakeRunner(), Limits(4, 256, 16, 0.25), FakeClock(), hear)
    engine.start()
    engine.submit(broken_off(3, 9, max_tokens=64 - len(PROMPT) + 1))
    engine.submit(broken_off(3, 9, name="b"))
    assert done.wait(LIMIT_SECONDS)
    assert engine.stop(LIMIT_SECONDS)
    ends = {event.sequence_id: event.reason for event in told if isinstance(event, Ended)}
    assert ends == {"a": FinishReason.ERROR, "b": FinishReason.LENGTH}
