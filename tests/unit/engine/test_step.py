"""The step as a transaction, on a model whose KV rows can be read."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoglmd.engine.plan import Limits, plan_step
from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Sequence, SequenceRequest
from autoglmd.engine.step import StepRunner, Totals
from autoglmd.errors.availability import EngineFailedError
from autoglmd.messages.generation import FinishReason
from autoglmd.model.runner import Ids, Logits
from autoglmd.model.sampler import Sampling
from tests.support.fake_clock import FakeClock
from tests.support.fake_runner import FakeRunner, RunFailedError, expected_tokens
from tests.support.stepper import Stepper, request

SHORT = [5, 6, 7]
LONG = list(range(1, 41))


def crowd() -> list[SequenceRequest]:
    """Requests that meet every kind of run: one token, short, long, and more of them than rows."""
    return [
        request("one", [9], 6),
        request("short", SHORT, 3),
        request("long", LONG, 5),
        request("same", [8, 8, 8], 9),
        request("late", [1, 2, 3, 4], 2),
        request("longer", [3] * 30, 4),
    ]


def test_everyone_gets_the_answer_that_it_would_get_alone() -> None:
    """Joining, leaving, moving and chunking change nobody's tokens."""
    stepper = Stepper()
    stepper.add(*crowd())
    stepper.run()
    for each in crowd():
        assert stepper.tokens(each.sequence_id) == expected_tokens(each.prompt_ids, each.max_tokens)
        assert [end.reason for end in stepper.ends(each.sequence_id)] == [FinishReason.LENGTH]


def test_a_row_that_fills_a_gap_brings_the_token_of_the_same_step_along() -> None:
    """The first of three ends; the last moves into its row, with what this very step wrote."""
    stepper = Stepper()
    stepper.add(request("first", SHORT, 2), request("middle", [4, 4], 6), request("last", [2, 3], 6))
    stepper.run()
    assert "move" in stepper.runner.calls
    assert stepper.tokens("last") == expected_tokens([2, 3], 6)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 63), min_size=1, max_size=24), st.integers(1, 9)), max_size=9),
    st.integers(1, 4),
    st.integers(8, 24),
    st.data(),
)
def test_arrivals_at_any_time_change_nobodys_tokens(
    arrivals: list[tuple[list[int], int]], rows: int, chunk_tokens: int, data: st.DataObject
) -> None:
    """Batch invariance of the bookkeeping: any prompts, rows, chunk and moments of arrival."""
    stepper = Stepper(FakeRunner(rows), chunk_tokens)
    for number, (prompt, count) in enumerate(arrivals):
        stepper.add(request(str(number), prompt, count))
        for _ in range(data.draw(st.integers(0, 3))):
            stepper.step()
    stepper.run()
    for number, (prompt, count) in enumerate(arrivals):
        assert stepper.tokens(str(number)) == expected_tokens(prompt, count)
        assert len(stepper.ends(str(number))) == 1


def number_of_calls() -> int:
    """Calls of the model that the crowd makes in all."""
    stepper = Stepper()
    stepper.add(*crowd())
    stepper.run()
    return len(stepper.runner.calls)


@pytest.mark.parametrize("failing", range(number_of_calls()))
def test_a_run_that_raises_ends_its_own_sequences_and_no_other(failing: int) -> None:
    """Whichever call fails: everyone ends once, and who was not in it has its whole answer."""
    stepper = Stepper()
    stepper.runner.failing = {failing}
    stepper.add(*crowd())
    try:
        stepper.run()
    except RunFailedError as error:
        assert stepper.runner.calls[failing] == "move"
        stepper.steps.abandon(error)
        stepper.events += stepper.steps.take_events()
    failed = 0
    for each in crowd():
        (end,) = stepper.ends(each.sequence_id)
        told = stepper.tokens(each.sequence_id)
        assert told == expected_tokens(each.prompt_ids, each.max_tokens)[: len(told)]
        assert len(told) == each.max_tokens or end.reason is FinishReason.ERROR
        failed += end.reason is FinishReason.ERROR
    assert failed or stepper.runner.calls[failing] == "move"


def test_a_failed_run_is_logged_under_the_requests_own_id(caplog: pytest.LogCaptureFixture) -> None:
    """As the client chose it, which may have the sign that parts it from the daemon's number."""
    stepper = Stepper()
    stepper.runner.failing = {0}
    stepper.add(replace(request("a#b#17", SHORT), trace_id="4bf9"))
    stepper.run()
    (record,) = caplog.records
    assert vars(record)["request_id"] == "a#b"
    assert vars(record)["trace_id"] == "4bf9"


def test_a_failed_prefill_leaves_running_answers_alone() -> None:
    """A decoding sequence does not notice that somebody's prompt could not be computed."""
    stepper = Stepper()
    stepper.add(request("running", SHORT, 8))
    stepper.step()
    stepper.runner.failing = {len(stepper.runner.calls)}
    stepper.add(request("unlucky", [1, 2, 3], 8))
    stepper.run()
    (end,) = stepper.ends("unlucky")
    assert isinstance(end.error, EngineFailedError)
    assert stepper.tokens("running") == expected_tokens(SHORT, 8)


def test_a_failed_chunk_frees_the_last_row() -> None:
    """After a long prompt failed, the next long one is computed as if nothing had been."""
    stepper = Stepper()
    stepper.runner.failing = {1}
    stepper.add(request("unlucky", LONG, 2), request("next", LONG, 2))
    stepper.run()
    assert [end.reason for end in stepper.ends("unlucky")] == [FinishReason.ERROR]
    assert stepper.tokens("next") == expected_tokens(LONG, 2)


def test_a_move_that_raises_loses_nobody() -> None:
    """The one who ended is told so although its gap could not be filled; the others are still there to be ended."""
    stepper = Stepper()
    stepper.add(request("ending", SHORT, 1), request("moving", SHORT, 5))
    stepper.runner.failing = {1}
    with pytest.raises(RunFailedError, match="move"):
        stepper.run()
    stepper.steps.abandon(EngineFailedError("gave up"))
    stepper.events += stepper.steps.take_events()
    assert [end.reason for end in stepper.ends("ending")] == [FinishReason.LENGTH]
    assert [end.reason for end in stepper.ends("moving")] == [FinishReason.ERROR]


def test_logits_that_are_not_numbers_end_one_answer_only() -> None:
    """NaN in one row says nothing about the others."""
    stepper = Stepper()
    stepper.runner.poisoned = {13}
    stepper.add(request("sick", [13], 4), request("well", [12], 4))
    stepper.run()
    (end,) = stepper.ends("sick")
    assert isinstance(end.error, EngineFailedError)
    assert stepper.tokens("well") == expected_tokens([12], 4)


def test_a_draw_that_fails_unforeseen_ends_one_answer_only() -> None:
    """A setting that breaks the sampler breaks one request, not the batch that it sits in."""
    stepper = Stepper()
    odd = replace(request("odd", [13]), sampling=Sampling(seed=-1, temperature=1.0))
    stepper.add(odd, request("well", [12], 4))
    stepper.run()
    (end,) = stepper.ends("odd")
    assert isinstance(end.error, EngineFailedError)
    assert stepper.tokens("well") == expected_tokens([12], 4)


def test_the_end_of_text_token_is_not_part_of_the_answer() -> None:
    """An answer stops before its end-of-text token, which is not emitted."""
    third = expected_tokens(SHORT, 3)[2]
    stepper = Stepper()
    stepper.add(request("a", SHORT, 9, eos=[third]))
    stepper.run()
    assert stepper.tokens("a") == expected_tokens(SHORT, 2)
    assert [end.reason for end in stepper.ends("a")] == [FinishReason.STOP]


def test_an_answer_may_be_over_with_its_first_token() -> None:
    """The prefill gave the end of text: nothing is emitted, nothing decoded, and the neighbours keep their rows."""
    stepper = Stepper()
    first = expected_tokens(SHORT, 1)[0]
    stepper.add(request("a", SHORT, 9, eos=[first]), request("b", [4, 4], 3), request("c", LONG, 2))
    stepper.run()
    assert (stepper.tokens("a"), [end.reason for end in stepper.ends("a")]) == ([], [FinishReason.STOP])
    assert stepper.tokens("b") == expected_tokens([4, 4], 3)
    assert stepper.tokens("c") == expected_tokens(LONG, 2)


class SlowRunner(FakeRunner):
    """Takes two seconds for fresh prompts."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def prefill_fresh(self, first_row: int, ids: Ids, lengths: Ids) -> Logits:
        """Let time pass."""
        self._clock.now += 2.0
        return super().prefill_fresh(first_row, ids, lengths)


def test_what_is_told_between_the_halves_of_a_step_counts_the_prefill() -> None:
    """Its tokens and its time together, and no decode yet."""
    clock, scheduler = FakeClock(), Scheduler(4)
    steps, seen = StepRunner(SlowRunner(clock), scheduler, clock), list[Totals]()
    scheduler.enqueue(Sequence(request("a", SHORT, 5)))
    limits = Limits(4, 256, 16, padding=0.25)
    steps.run(plan_step(scheduler.view(), limits), lambda: seen.append(replace(steps.totals)))
    (told,) = seen
    assert (told.prompt_tokens, told.prefill, told.output_tokens, told.decoded_tokens) == (3, 2.0, 1, 0)
    assert (steps.totals.output_tokens, steps.totals.decode) == (2, 0.0)


def test_progress_is_told_after_each_chunk() -> None:
    """A long prompt reports rising counts up to the whole of it."""
    stepper = Stepper()
    stepper.add(request("long", LONG, 1))
    stepper.run()
    assert stepper.progress("long") == [16, 32, 40]


def test_a_sequence_is_admitted_before_anything_else_is_told_of_it() -> None:
    """Admitted is each sequence's first event and Ended its last."""
    stepper = Stepper()
    stepper.add(*crowd())
    stepper.run()
    for each in crowd():
        own = [type(event).__name__ for event in stepper.events if event.sequence_id == each.sequence_id]
        assert (own[0], own[-1]) == ("Admitted", "Ended")
        assert (own.count("Admitted"), own.count("Ended")) == (1, 1)


def test_totals_count_what_was_done() -> None:
    """Prompt tokens as they are computed, output tokens on emission (the first by the prefill), ends and steps."""
    stepper = Stepper()
    stepper.add(request("a", SHORT, 2), request("b", [1], 3))
    stepper.run()
    totals = stepper.steps.totals
    assert (totals.prompt_tokens, totals.output_tokens, totals.ended, totals.steps) == (4, 5, 2, 2)
    assert totals.decoded_tokens == 3


def test_a_prompt_that_is_given_up_counts_as_far_as_it_was_computed() -> None:
    """One chunk of three."""
    stepper = Stepper()
    stepper.add(request("a", LONG, 2))
    stepper.step()
    assert stepper.steps.totals.prompt_tokens == 16


def test_a_failure_before_the_run_ends_the_batch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is not there while the batch is laid out concerns those in it, and they are told."""

    def no_memory(*shape: object) -> np.ndarray:
        raise MemoryError

    stepper = Stepper()
    stepper.add(request("a", SHORT, 3), request("b", SHORT, 3))
    with monkeypatch.context() as patch:
        patch.setattr("autoglmd.engine.step.np.zeros", no_memory)
        stepper.step()
    stepper.add(request("c", SHORT, 3))
    stepper.run()
    assert [len(stepper.ends(name)) for name in "abc"] == [1, 1, 1]
    assert [stepper.ends(name)[0].reason for name in "abc"] == [FinishReason.ERROR] * 2 + [FinishReason.LENGTH]
