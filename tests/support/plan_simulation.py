"""An engine without a model: plans are carried out on counts alone, so thousands of steps cost nothing."""

from dataclasses import dataclass, field

from autoglmd.engine.plan import EngineView, Limits, StepPlan, Waiting, plan_step


@dataclass
class Running:
    """A sequence with a row: prompt tokens left to prefill, output tokens left to draw."""

    entry: Waiting
    prefill_left: int
    output_left: int


@dataclass
class Simulation:
    """Steps as the engine makes them. Attributes show what a step did, for judging."""

    limits: Limits
    line: list[Waiting] = field(default_factory=list)
    decoding: list[Running] = field(default_factory=list)
    chunked: Running | None = None

    @property
    def view(self) -> EngineView:
        """What planning sees."""
        running = [*self.decoding, *([self.chunked] if self.chunked else [])]
        return EngineView(
            waiting=tuple(self.line),
            decoding=len(self.decoding),
            chunked_left=self.chunked.prefill_left if self.chunked else None,
            promised_tokens=sum(each.entry.promised for each in running),
        )

    def step(self) -> StepPlan:
        """Plan, and do as planned: prefill with a first token, decode everyone once, let go of who is done."""
        plan = plan_step(self.view, self.limits)
        taken = {each.sequence_id: each for each in self.line if each.sequence_id in plan.admitted}
        self.line = [each for each in self.line if each.sequence_id not in taken]
        if plan.start_chunked:
            self.chunked = _running(taken[plan.start_chunked])
        started = [_running(taken[entry]) for batch in plan.batches for entry in batch]
        for each in started:
            each.output_left -= 1
        self.decoding += started
        self._compute(plan.chunk)
        for each in self.decoding:
            each.output_left -= 1
        self.decoding = [each for each in self.decoding if each.output_left > 0]
        return plan

    def _compute(self, chunk: int) -> None:
        if self.chunked is None:
            return
        self.chunked.prefill_left -= chunk
        if self.chunked.prefill_left == 0:
            self.chunked.output_left -= 1
            self.decoding.append(self.chunked)
            self.chunked = None


def _running(entry: Waiting) -> Running:
    return Running(entry, entry.prefill, entry.promised - entry.prefill)
