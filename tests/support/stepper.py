"""Steps of an engine without its thread: a test makes each one and looks in between."""

from collections.abc import Iterable

import numpy as np

from autoglmd.engine.invariants import violations
from autoglmd.engine.plan import Limits, plan_step
from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Admitted, Emitted, Ended, EngineEvent, Prefilled, Sequence, SequenceRequest
from autoglmd.engine.step import StepRunner
from autoglmd.model.sampler import Sampling
from tests.support.fake_clock import FakeClock
from tests.support.fake_runner import FakeRunner

GREEDY = Sampling(seed=0, temperature=0.0)


def request(name: str, prompt: Iterable[int], max_tokens: int = 4, eos: Iterable[int] = ()) -> SequenceRequest:
    """A greedy request."""
    return SequenceRequest(name, np.array(list(prompt), np.int64), max_tokens, frozenset(eos), GREEDY)


class Stepper:
    """Scheduler and StepRunner over a FakeRunner; holds the invariants after each step."""

    def __init__(self, runner: FakeRunner | None = None, chunk_tokens: int = 16, kv_tokens: int = 256) -> None:
        self.runner = runner or FakeRunner()
        self.limits = Limits(self.runner.spec.rows, kv_tokens, chunk_tokens, padding=0.25)
        self.scheduler = Scheduler(self.limits.rows)
        self.steps = StepRunner(self.runner, self.scheduler, FakeClock())
        self.events: list[EngineEvent] = []

    def add(self, *requests: SequenceRequest) -> None:
        """Put requests into the line."""
        for each in requests:
            self.scheduler.enqueue(Sequence(each))

    def step(self) -> None:
        """Plan and run one step."""
        try:
            self.steps.run(plan_step(self.scheduler.view(), self.limits), lambda: None)
        finally:
            self.events += self.steps.take_events()
        assert violations(self.scheduler, self.limits) == []

    def run(self, limit_steps: int = 500) -> None:
        """Step until nobody is left."""
        for _ in range(limit_steps):
            if self.scheduler.is_idle:
                return
            self.step()
        raise AssertionError(f"not idle after {limit_steps} steps")

    def tokens(self, name: str) -> list[int]:
        """What was emitted for a sequence."""
        return [event.token_id for event in self.events if isinstance(event, Emitted) and event.sequence_id == name]

    def ends(self, name: str) -> list[Ended]:
        """How a sequence ended; one entry if all is well."""
        return [event for event in self.events if isinstance(event, Ended) and event.sequence_id == name]

    def progress(self, name: str) -> list[int]:
        """Prefilled positions, as told after each chunk."""
        return [each.done_tokens for each in self.events if isinstance(each, Prefilled) and each.sequence_id == name]

    def admitted(self) -> list[str]:
        """Who got a row, in order."""
        return [event.sequence_id for event in self.events if isinstance(event, Admitted)]
