"""The engine's thread: commands in, events out, and no way to stop it but `stop`."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from autoglmd.engine.engine import Engine
from autoglmd.engine.plan import Limits
from autoglmd.engine.sequence import Ended, Sequence
from autoglmd.errors.availability import EngineFailedError
from autoglmd.errors.request import PromptTooLongError
from autoglmd.messages.generation import FinishReason
from tests.support.event_log import LIMIT_SECONDS, EventLog
from tests.support.fake_clock import FakeClock
from tests.support.fake_runner import FakeRunner, expected_tokens
from tests.support.stepper import request

LIMITS = Limits(rows=4, kv_tokens=256, chunk_tokens=16, padding=0.25)
SHORT = [5, 6, 7]
LONG = list(range(1, 41))


class Rig:
    """An engine on a FakeRunner, with its events and its clock in the test's hands."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.runner = FakeRunner(limits.rows)
        self.clock = FakeClock()
        self.log = EventLog()
        self.engine = Engine("tiny", self.runner, limits, self.clock, self.log)

    def hold(self, from_call: int = 0) -> None:
        """Stop the engine inside its next call of the model, or inside a later one."""
        self.runner.gate_from = from_call
        self.runner.reached.clear()
        self.runner.gate.clear()

    def wait_held(self) -> None:
        """Wait until it is there."""
        assert self.runner.reached.wait(LIMIT_SECONDS)

    def release(self) -> None:
        """Let it go on."""
        self.runner.gate.set()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A started engine; stopped afterwards, whatever the test did."""
    rig = Rig()
    rig.engine.start()
    yield rig
    rig.release()
    assert rig.engine.stop(LIMIT_SECONDS)
    assert rig.runner.closed


def test_a_sequence_runs_to_its_end(rig: Rig) -> None:
    """Tokens as the model says, then one Ended."""
    rig.engine.submit(request("a", SHORT, 5))
    rig.log.wait_ended("a")
    assert rig.log.tokens("a") == expected_tokens(SHORT, 5)
    assert [end.reason for end in rig.log.ends("a")] == [FinishReason.LENGTH]


def test_the_first_token_does_not_wait_for_the_second(rig: Rig) -> None:
    """It is told while the decode of its own step still runs."""
    rig.hold(from_call=1)
    rig.engine.submit(request("a", SHORT, 5))
    rig.wait_held()
    assert rig.runner.calls == ["prefill_fresh", "decode"]
    assert rig.log.tokens("a") == expected_tokens(SHORT, 1)


def test_the_rows_memory_is_given_back_when_nobody_has_one(rig: Rig) -> None:
    """After the last one has ended, and not while another goes on, whose answer would show it."""
    rig.hold(from_call=2)
    rig.engine.submit(request("long", SHORT, 20))
    rig.engine.submit(request("short", SHORT, 1))
    rig.wait_held()
    assert not rig.runner.rested.is_set()
    rig.release()
    rig.log.wait_ended("long")
    assert rig.log.tokens("long") == expected_tokens(SHORT, 20)
    assert rig.runner.rested.wait(LIMIT_SECONDS)


def test_a_cancelled_sequence_ends_within_one_step(rig: Rig) -> None:
    """The step that runs, with its prompt's token and one more, is the last one that it is in."""
    rig.hold()
    rig.engine.submit(request("a", SHORT, 60))
    rig.wait_held()
    rig.engine.cancel("a")
    rig.release()
    rig.log.wait_ended("a")
    assert [end.reason for end in rig.log.ends("a")] == [FinishReason.CANCELLED]
    assert rig.log.tokens("a") == expected_tokens(SHORT, 2)


def test_a_cancelled_prompt_in_chunks_computes_no_further_chunk(rig: Rig) -> None:
    """Cancelling during the first of three chunks ends it before the second."""
    rig.hold()
    rig.engine.submit(request("long", LONG, 5))
    rig.wait_held()
    rig.engine.cancel("long", FinishReason.SHUTDOWN)
    rig.release()
    rig.log.wait_ended("long")
    assert rig.runner.calls == ["prefill"]
    assert rig.log.ends("long")[0].reason is FinishReason.SHUTDOWN


def test_a_deadline_that_passes_ends_a_prompt_in_chunks(rig: Rig) -> None:
    """Time is looked at in every step, also before the first token."""
    rig.hold()
    rig.engine.submit(replace(request("long", LONG, 5), deadline=rig.clock.now + 1))
    rig.wait_held()
    rig.clock.now += 1
    rig.release()
    rig.log.wait_ended("long")
    assert rig.runner.calls == ["prefill"]
    assert rig.log.ends("long")[0].reason is FinishReason.DEADLINE


def test_one_who_waits_for_a_row_can_be_cancelled(rig: Rig) -> None:
    """With all rows taken, a cancelled sequence leaves the line without ever having had one."""
    rig.hold()
    for name in "abcd":
        rig.engine.submit(request(name, SHORT, 30))
    rig.wait_held()
    rig.engine.submit(request("e", SHORT, 5))
    rig.engine.cancel("e")
    rig.release()
    rig.log.wait_ended(*"abcde")
    assert [event for event in rig.log.events if event.sequence_id == "e"] == rig.log.ends("e")


def test_cancelling_nobody_is_nothing(rig: Rig) -> None:
    """An id that has ended, or never was, changes nothing and stays in no list."""
    rig.engine.cancel("nobody")
    rig.engine.submit(request("a", SHORT, 2))
    rig.log.wait_ended("a")
    rig.engine.cancel("a")
    rig.engine.submit(request("nobody", SHORT, 2))
    rig.log.wait_ended("nobody")
    assert rig.log.ends("nobody")[0].reason is FinishReason.LENGTH
    assert len(rig.log.ends("a")) == 1


def test_a_cancel_that_comes_with_its_submit_is_heard(rig: Rig) -> None:
    """Cancel before submit in one turn of the loop ends the sequence: the order inside a turn is no race."""
    rig.hold()
    rig.engine.submit(request("busy", SHORT, 2))
    rig.wait_held()
    rig.engine.cancel("a")
    rig.engine.submit(request("a", SHORT, 5))
    rig.release()
    rig.log.wait_ended("a")
    assert rig.log.ends("a")[0].reason is FinishReason.CANCELLED


def test_stopping_ends_everyone_with_shutdown() -> None:
    """Running, in chunks, waiting, and submitted in the same breath: each hears SHUTDOWN once."""
    rig = Rig()
    rig.engine.start()
    rig.hold()
    for name in "abcde":
        rig.engine.submit(request(name, LONG if name == "b" else SHORT, 20))
    rig.wait_held()
    rig.release()
    assert rig.engine.stop(LIMIT_SECONDS)
    ended = [event for event in rig.log.events if isinstance(event, Ended)]
    assert sorted(event.sequence_id for event in ended) == list("abcde")
    assert {event.reason for event in ended} <= {FinishReason.SHUTDOWN, FinishReason.LENGTH}
    assert rig.runner.closed


def test_a_submit_after_the_stop_still_has_its_end() -> None:
    """Whoever hands something to a stopped engine is told SHUTDOWN and not left waiting."""
    rig = Rig()
    rig.engine.start()
    assert rig.engine.stop(LIMIT_SECONDS)
    rig.engine.submit(request("late", SHORT))
    rig.engine.cancel("late")
    rig.engine.ping()
    assert [end.reason for end in rig.log.ends("late")] == [FinishReason.SHUTDOWN]


def test_an_engine_that_hangs_does_not_hang_its_stop() -> None:
    """A thread that does not come back is reported, not waited for."""
    rig = Rig()
    rig.engine.start()
    rig.hold()
    rig.engine.submit(request("a", SHORT, 2))
    rig.wait_held()
    assert not rig.engine.stop(0.0)
    rig.release()
    assert rig.engine.stop(LIMIT_SECONDS)


def test_what_can_never_fit_is_refused_and_not_waited_for(rig: Rig) -> None:
    """A promise beyond context or memory ends with the counts; the engine sleeps instead of looking for a row."""
    rig.engine.submit(request("huge", SHORT, 1000))
    rig.log.wait_ended("huge")
    (end,) = rig.log.ends("huge")
    assert isinstance(end.error, PromptTooLongError)
    assert (end.error.prompt_tokens, end.error.output_tokens, end.error.limit_tokens) == (3, 1000, 64)
    assert rig.runner.calls == []


def test_a_move_that_raises_ends_everyone_and_the_next_request_starts_clean(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a row cannot be moved no row is trusted: everyone who runs ends with an error, once; the engine goes on."""
    rig.hold()
    rig.engine.submit(request("busy", SHORT, 1))
    rig.wait_held()
    rig.engine.submit(request("ending", [1], 1))
    rig.engine.submit(request("moving", [2], 9))
    rig.runner.failing = {2}
    rig.release()
    rig.log.wait_ended("busy", "ending", "moving")
    assert rig.runner.calls == ["prefill_fresh", "prefill_fresh", "move"]
    assert [end.reason for end in rig.log.ends("ending")] == [FinishReason.LENGTH]
    (end,) = rig.log.ends("moving")
    assert isinstance(end.error, EngineFailedError)
    rig.engine.submit(request("next", SHORT, 5))
    rig.log.wait_ended("next")
    assert rig.log.tokens("next") == expected_tokens(SHORT, 5)


def test_an_emit_that_raises_does_not_kill_the_engine(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be told is logged as lost; later requests are served."""
    rig.log.failures = 1
    rig.engine.submit(request("a", SHORT, 1))
    rig.engine.submit(request("b", SHORT, 3))
    rig.log.wait_ended("b")
    assert rig.log.ends("b")[0].reason is FinishReason.LENGTH
    assert {record.levelno for record in caplog.records} == {logging.CRITICAL}


def test_counters_say_what_has_been_done(rig: Rig) -> None:
    """After the last Ended, started and finished agree and no row is in use."""
    rig.engine.submit(request("a", SHORT, 2))
    rig.engine.submit(request("long", LONG, 3))
    rig.log.wait_ended("a", "long")
    assert rig.engine.stop(LIMIT_SECONDS)
    stats = rig.engine.stats
    assert (stats.requests_started, stats.requests_finished) == (2, 2)
    assert (stats.prompt_tokens, stats.output_tokens) == (len(SHORT) + len(LONG), 5)
    assert (stats.rows, stats.rows_in_use, stats.waiting) == (4, 0, 0)
    assert stats.steps >= 4


def test_an_idle_engine_answers_a_ping_and_does_nothing_else(rig: Rig) -> None:
    """A sign of life needs no work and makes none."""
    rig.clock.now += 5
    before = rig.engine.pulse.last_progress
    rig.engine.submit(request("a", SHORT, 1))
    rig.log.wait_ended("a")
    rig.engine.ping()
    assert rig.engine.stop(LIMIT_SECONDS)
    assert rig.engine.pulse.last_progress == before + 5
    assert not rig.engine.pulse.busy


def test_a_hanging_engine_shows_that_it_is_busy_and_silent(rig: Rig) -> None:
    """While a run hangs the pulse says busy, and its time stands still."""
    rig.hold(from_call=3)
    rig.engine.submit(request("a", SHORT, 50))
    rig.wait_held()
    rig.log.wait_tokens("a", 3)
    pulse = rig.engine.pulse
    rig.clock.now += 60
    rig.engine.ping()
    assert rig.engine.pulse == pulse
    assert pulse.busy
    assert pulse.last_progress < rig.clock.now
    rig.release()


def test_a_broken_invariant_is_shouted_out_at_the_next_admission(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The scheduler is judged whenever somebody was let in, not when there is nobody left to judge."""
    ghost = Sequence(request("ghost", SHORT, 50))
    ghost.computed, ghost.output_ids = 1, [9]
    rig.hold()
    rig.engine.submit(request("a", SHORT, 50))
    rig.wait_held()
    rig.engine._scheduler._decoding.append(ghost)
    rig.engine.submit(request("b", SHORT, 2))
    rig.release()
    rig.log.wait_ended("b")
    assert any("engine invariant violated: ghost holds" in record.message for record in caplog.records)
