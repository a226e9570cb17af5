"""A row stays as it is when its sequence ends, and the next turn finds it there."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from autoglmd.engine.engine import HOT_SECONDS, Engine
from autoglmd.engine.plan import Limits
from autoglmd.engine.recorded_runner import RecordedRunner
from autoglmd.engine.sequence import Kept, SequenceRequest
from autoglmd.messages.sessions import PAGE_TOKENS, KvBlock
from tests.support.event_log import LIMIT_SECONDS, EventLog
from tests.support.fake_clock import FakeClock
from tests.support.fake_runner import FakeRunner, RunFailedError, expected_tokens
from tests.support.stepper import Stepper, request

LIMITS = Limits(rows=3, kv_tokens=256, chunk_tokens=16, padding=0.25)


class Talk:
    """A conversation over a stepper: each turn brings what the one before has kept."""

    def __init__(self, stepper: Stepper, name: str) -> None:
        self.stepper, self.name = stepper, name
        self.ids: list[int] = []
        self.blocks: tuple[KvBlock, ...] = ()

    def next(self, *new: int, max_tokens: int = 4) -> SequenceRequest:
        """The next turn's request."""
        self.ids += new
        asked = request(self.name, self.ids, max_tokens)
        return replace(asked, past=self.blocks, keep_from=self.blocks[-1].stop if self.blocks else 0)

    def learn(self) -> None:
        """Take what the turn came to."""
        told = [event for event in self.stepper.events if getattr(event, "sequence_id", "") == self.name]
        self.blocks += tuple(event.block for event in told if isinstance(event, Kept))
        answer = self.stepper.tokens(self.name)
        assert answer == expected_tokens(self.ids, len(answer))
        self.ids += answer
        self.stepper.events.clear()
        self.stepper.runner.calls.clear()

    def turn(self, *new: int) -> list[str]:
        """A whole turn; the calls of the model that it took."""
        self.stepper.add(self.next(*new))
        self.stepper.run()
        calls = list(self.stepper.runner.calls)
        self.learn()
        return calls


def test_the_next_turn_writes_nothing_to_its_row() -> None:
    """Short or in chunks: of the row where the last one ended nothing is copied, in or out, but what is new."""
    talk = Talk(Stepper(), "a")
    talk.turn(5, 6, 7)
    for new in ([8], [9, 10, 11], list(range(12, 34))):
        calls = talk.turn(*new)
        assert {"write_kv", "move"}.isdisjoint(calls), new
        assert calls.count("read_kv") == 1


def test_a_turn_that_goes_on_elsewhere_writes_what_its_row_lacks() -> None:
    """After somebody else was in the row; the answer is the same."""
    talk = Talk(Stepper(), "a")
    talk.turn(5, 6, 7)
    talk.stepper.add(request("b", [9, 9, 9]))
    talk.stepper.run()
    assert talk.turn(8).count("write_kv") == 1


def test_a_turn_taken_back_uses_the_row_as_far_as_it_is_right() -> None:
    """A conversation that goes on from an earlier place, on top of the same keys and values."""
    talk = Talk(Stepper(), "a")
    talk.turn(5, 6, 7)
    (whole,) = talk.blocks
    talk.ids, talk.blocks = talk.ids[:4], (whole.until(4),)
    assert "write_kv" not in talk.turn(21, 22)
    talk.ids, talk.blocks = [5, 6, 7, *expected_tokens([5, 6, 7], 3)], (whole,)
    assert "write_kv" in talk.turn(8)


def test_a_long_prompt_makes_way_for_short_ones() -> None:
    """It is computed where its past is, and moved out of the way when somebody needs the row to decode in."""
    stepper = Stepper(FakeRunner(3), chunk_tokens=8)
    talk = Talk(stepper, "a")
    talk.turn(5, 6, 7)
    stepper.add(talk.next(*range(10, 40)))
    stepper.step()
    assert stepper.scheduler.chunked_row == 0
    stepper.add(request("short", [1, 2, 3], 20))
    stepper.step()
    assert stepper.scheduler.chunked_row == 2
    stepper.run()
    assert stepper.tokens("short") == expected_tokens([1, 2, 3], 20)
    talk.learn()


def test_a_long_prompt_finds_its_past_in_any_free_row() -> None:
    """Row 0 is somebody else's by now."""
    stepper = Stepper(FakeRunner(3, 128), chunk_tokens=8)
    first, second = Talk(stepper, "a"), Talk(stepper, "b")
    stepper.add(first.next(1, 2, 3, max_tokens=30), second.next(4, 5, 6))
    while not stepper.ends("b"):
        stepper.step()
    second.blocks = tuple(e.block for e in stepper.events if isinstance(e, Kept) and e.sequence_id == "b")
    second.ids += stepper.tokens("b")
    stepper.events = [event for event in stepper.events if event.sequence_id != "b"]
    stepper.add(second.next(*range(30, 50)))
    stepper.step()
    assert stepper.scheduler.chunked_row == 1
    assert stepper.runner.calls.count("write_kv") == 0
    stepper.run()
    assert stepper.tokens("b") == expected_tokens(second.ids, 4)


def test_a_run_that_fails_leaves_a_row_in_which_nothing_is_taken_on_trust() -> None:
    """What it may have written lies behind what the row was known to hold."""
    stepper = Stepper()
    talk = Talk(stepper, "a")
    talk.turn(5, 6, 7)
    asked = talk.next(8, 9)
    stepper.runner.failing = {0}
    stepper.add(asked)
    stepper.run()
    stepper.runner.failing = set()
    stepper.events.clear()
    stepper.add(asked)
    stepper.run()
    assert stepper.tokens("a") == expected_tokens(talk.ids, 4)


@pytest.mark.parametrize("call", ["write_kv", "move"])
def test_a_copy_that_fails_half_way_is_not_known(call: str) -> None:
    """The row held something else before, of which nobody can say what is left."""
    fake = FakeRunner(2)
    runner = RecordedRunner(fake)
    for row in (0, 1):
        runner.prefill(row, np.arange(1 + row, 9 + row), 0, final=False)
    first, second = (runner.read_kv(row, (0, 4, 8)) for row in (0, 1))
    fake.failing = {len(fake.calls)}
    copies = {"move": lambda: runner.move(1, 0, 8), "write_kv": lambda: runner.write_kv(0, second)}
    with pytest.raises(RunFailedError):
        copies[call]()
    assert runner.held(0, first) == 0
    assert runner.held(0, second) == 0


def test_a_prompt_is_kept_in_pages_and_the_rest_behind_them() -> None:
    """Pages end at the same places whatever was brought; the answer is one block, or is not kept."""
    prompt = [1 + place % 60 for place in range(3 * PAGE_TOKENS + 10)]
    cuts = {}
    for keep_rest in (True, False):
        stepper = Stepper(FakeRunner(2, 512), chunk_tokens=512, kv_tokens=1024)
        asked = replace(request("a", prompt), keep_from=0, pages_until=2 * PAGE_TOKENS, keep_rest=keep_rest)
        stepper.add(asked)
        stepper.run()
        kept = [event.block for event in stepper.events if isinstance(event, Kept)]
        told = [token for each in kept for token in np.frombuffer(each.data, np.int64).tolist()]
        assert told == [*prompt, *expected_tokens(prompt, 4)][: len(told)]
        cuts[keep_rest] = [(each.start, each.stop) for each in kept]
    pages = [(0, PAGE_TOKENS), (PAGE_TOKENS, 2 * PAGE_TOKENS)]
    assert cuts == {True: [*pages, (2 * PAGE_TOKENS, len(prompt) + 3)], False: pages}


class Rig:
    """An engine with a thread, and a clock in the test's hands."""

    def __init__(self) -> None:
        self.runner, self.clock, self.log = FakeRunner(3), FakeClock(), EventLog()
        self.engine = Engine("tiny", self.runner, LIMITS, self.clock, self.log)

    def run(self, asked: SequenceRequest) -> SequenceRequest:
        """Run a sequence, and give what goes on behind it."""
        self.engine.submit(asked)
        self.log.wait_ended(asked.sequence_id)
        kept = tuple(event.block for event in self.log.kept(asked.sequence_id))
        ids = [*asked.prompt_ids.tolist(), *self.log.tokens(asked.sequence_id), 9]
        blocks = (*asked.past, *kept)
        return replace(request(asked.sequence_id + "+", ids), past=blocks, keep_from=blocks[-1].stop)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Started, and stopped afterwards."""
    rig = Rig()
    rig.engine.start()
    yield rig
    assert rig.engine.stop(LIMIT_SECONDS)


def test_an_idle_engine_keeps_hot_rows_for_a_while(rig: Rig) -> None:
    """Until then the next turn finds its past in the row; afterwards the memory is the box's again."""
    second = rig.run(replace(request("a", [5, 6, 7]), keep_from=0))
    assert rig.engine.is_hot(second)
    third = rig.run(second)
    assert "write_kv" not in rig.runner.calls
    assert not rig.runner.rested.is_set()
    assert rig.engine.is_hot(third)
    assert not rig.engine.is_hot(request("other", [5, 6, 7]))
    rig.clock.now += HOT_SECONDS
    rig.engine.ping()
    assert rig.runner.rested.wait(LIMIT_SECONDS)
    rig.run(third)
    assert "write_kv" in rig.runner.calls


def test_what_is_hot_is_not_what_is_in_somebodys_row(rig: Rig) -> None:
    """A row that another one has is no place to go on in."""
    second = rig.run(replace(request("a", [5, 6, 7]), keep_from=0))
    rig.runner.gate_from = len(rig.runner.calls) + 1
    rig.runner.gate.clear()
    rig.engine.submit(request("b", [1, 2], 5))
    assert rig.runner.reached.wait(LIMIT_SECONDS)
    # As of the step that runs: the engine told of its prompt, and no more.
    assert not rig.engine.is_hot(second)
    rig.runner.gate.set()
    rig.log.wait_ended("b")
