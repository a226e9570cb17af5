"""The engine: one thread that owns a model, its KV rows and all sequences of it.

Each turn of the loop takes the commands that came, reaps who was cancelled or is late, plans a step, runs it, and
tells what happened: after the prompts, and at its end. With nothing to do the thread sleeps in its inbox.
"""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from autoglmd.config.rooms import EngineConfig
from autoglmd.engine.inbox import Cancel, Command, Inbox, Ping, Stop, Submit
from autoglmd.engine.invariants import violations
from autoglmd.engine.plan import Limits, can_ever_fit, plan_step
from autoglmd.engine.row_contents import Content, common
from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Ended, EngineEvent, Sequence, SequenceRequest
from autoglmd.engine.step import StepRunner
from autoglmd.errors.availability import DrainingError, EngineFailedError
from autoglmd.errors.request import PromptTooLongError
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import FinishReason
from autoglmd.messages.status import EngineStats
from autoglmd.model.runner import ModelRunner, ModelSpec

log = logging.getLogger(__name__)

HOT_SECONDS = 60.0
"""How long the rows of an idle engine hold what ended in them, for the next turn."""

Emit = Callable[[tuple[EngineEvent, ...]], None]


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether the engine has work, and when it last showed life (monotonic seconds)."""

    busy: bool
    last_progress: float


def limits_of(config: EngineConfig, spec: ModelSpec) -> Limits:
    """Bounds of an engine over a loaded model."""
    all_rows = spec.rows * spec.context_tokens
    budget = config.kv_bytes // spec.kv_bytes_per_token if config.kv_bytes else all_rows
    return Limits(
        rows=spec.rows,
        kv_tokens=min(budget, all_rows),
        chunk_tokens=config.prefill_chunk_tokens,
        padding=config.prefill_padding,
    )


class Engine:
    """Runs sequences. `submit`, `cancel`, `ping` and the properties are safe from any thread."""

    def __init__(self, name: str, runner: ModelRunner, limits: Limits, clock: Clock, emit: Emit) -> None:
        """Make an engine; `start` starts its thread.

        Args:
            name: the model's name, for the thread, the log and the counters.
            runner: owned by the engine from now on.
            limits: bounds of a step.
            clock: for timings and deadlines.
            emit: called up to twice per step, with what happened, in the engine thread; after `stop`, in the thread
                that submits. Must not block.
        """
        self.name = name
        self.limits = limits
        self._runner = runner
        self._clock = clock
        self._emit = emit
        self._inbox = Inbox()
        self._scheduler = Scheduler(limits.rows)
        self._steps = StepRunner(runner, self._scheduler, clock)
        self._cancelled: dict[str, FinishReason] = {}
        self._stopping = False
        self._steps_seen = 0
        self._rest_at = math.inf
        self._thread = threading.Thread(target=self._loop, name=f"engine-{name}", daemon=True)
        # Replaced as a whole by the engine thread; readers see the old or the new value.
        self._stats = EngineStats(model=name, rows=limits.rows)
        self._pulse = Pulse(busy=False, last_progress=clock.monotonic())
        self._hot_rows: tuple[Content, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """Facts of the model."""
        return self._runner.spec

    @property
    def stats(self) -> EngineStats:
        """Counters as of the last step."""
        return self._stats

    @property
    def pulse(self) -> Pulse:
        """Signs of life as of the last turn of the loop."""
        return self._pulse

    def is_hot(self, request: SequenceRequest) -> bool:
        """Whether a row that the request may get held all that it brings, as of the last turn of the loop."""
        left = len(request.prompt_ids) - request.past_tokens
        # A short prompt gets the next row, a long one that which suits it best.
        rows = self._hot_rows if left > self.limits.chunk_tokens // 2 else self._hot_rows[:1]
        return bool(request.past) and any(common(row, request.past) == request.past_tokens for row in rows)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, request: SequenceRequest) -> None:
        """Run a sequence; its events end with exactly one Ended, which after `stop` is SHUTDOWN."""
        if not self._inbox.put(Submit(request)):
            self._tell_shutdown(request.sequence_id)

    def cancel(self, sequence_id: str, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """End a sequence within one step. Nothing happens if there is none of that id."""
        self._inbox.put(Cancel(sequence_id, reason))

    def ping(self) -> None:
        """Ask for a sign of life, which shows in `pulse`."""
        self._inbox.put(Ping())

    def stop(self, timeout_seconds: float) -> bool:
        """End all sequences with SHUTDOWN and wait for the thread; the model is freed. False: it did not end."""
        self._inbox.put(Stop())
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        try:
            while not self._stopping:
                self._live()
        finally:
            # Also if the loop itself has a defect: whoever is there, or comes later, is told.
            self._steps.abandon(DrainingError(), FinishReason.SHUTDOWN)
            self._tell(self._steps.take_events())
            for command in self._inbox.close():
                if isinstance(command, Submit):
                    self._tell_shutdown(command.request.sequence_id)
            self._runner.close()

    def _live(self) -> None:
        idle_seconds = self._rest_at - self._clock.monotonic()
        timeout = None if idle_seconds == math.inf else max(0.0, idle_seconds)
        commands = self._inbox.take(wait=self._scheduler.is_idle, timeout_seconds=timeout)
        try:
            for command in commands:
                self._obey(command)
            self._turn()
        except Exception as error:
            # Not a run that failed (StepRunner answers for those) but a defect of ours, or a row that could not
            # be moved: no row can be trusted now, so everyone ends and the next request starts clean.
            log.critical("the engine lost its state; all its requests end", exc_info=error)
            told = EngineFailedError("The engine had to give up this answer. Try again.")
            self._steps.abandon(told)
        self._publish()
        # After everybody was told, and before we sleep: nobody waits for this.
        self._rest()

    def _rest(self) -> None:
        """Give the rows' memory back when nobody has one: at once where nothing is known of any, or else later."""
        now, steps, is_idle = self._clock.monotonic(), self._steps.totals.steps, self._scheduler.is_idle
        if not is_idle or steps != self._steps_seen:
            self._steps_seen = steps
            self._rest_at = now + HOT_SECONDS
        is_due = self._rest_at <= now or not any(self._hot_rows)
        if is_idle and is_due and self._rest_at < math.inf:
            self._steps.rest()
            self._hot_rows = self._steps.hot_rows
            self._rest_at = math.inf

    def _tell_shutdown(self, sequence_id: str) -> None:
        self._tell((Ended(sequence_id, FinishReason.SHUTDOWN, self._clock.monotonic()),))

    def _obey(self, command: Command) -> None:
        match command:
            case Submit(request):
                self._take_on(Sequence(request))
            case Cancel(sequence_id, reason):
                self._cancelled[sequence_id] = reason
            case Stop():
                self._stopping = True
            case Ping():
                pass

    def _take_on(self, sequence: Sequence) -> None:
        self._stats = replace(self._stats, requests_started=self._stats.requests_started + 1)
        self._scheduler.enqueue(sequence)
        request, context = sequence.request, self.spec.context_tokens
        if not can_ever_fit(request.promised_tokens, self.limits, context):
            # It would wait for ever, and the line behind it too.
            limit = min(context, self.limits.kv_tokens)
            error = PromptTooLongError(len(request.prompt_ids), request.max_tokens, limit, "what the engine can hold")
            self._steps.end(sequence, FinishReason.ERROR, error)

    def _turn(self) -> None:
        self._reap()
        plan = plan_step(self._scheduler.view(), self.limits)
        if self._scheduler.decoding or plan.admitted or plan.chunk:
            self._steps.run(plan, self._publish)
        if plan.admitted:
            self._check()

    def _reap(self) -> None:
        now = self._clock.monotonic()
        for sequence in self._scheduler.everyone():
            reason = self._reason_to_end(sequence, now)
            if reason is not None:
                self._steps.end(sequence, reason)
        # Ids that nobody has are of sequences that have ended meanwhile.
        self._cancelled.clear()

    def _reason_to_end(self, sequence: Sequence, now: float) -> FinishReason | None:
        if self._stopping:
            return FinishReason.SHUTDOWN
        deadline = sequence.request.deadline
        if deadline is not None and deadline <= now:
            return FinishReason.DEADLINE
        return self._cancelled.get(sequence.sequence_id)

    def _check(self) -> None:
        for violation in violations(self._scheduler, self.limits):
            log.critical("engine invariant violated: %s", violation, extra={"model": self.name})

    def _publish(self) -> None:
        # First: who hears that a turn has ended may ask with the next one where its past is.
        self._hot_rows = self._steps.hot_rows
        self._tell(self._steps.take_events())
        totals = self._steps.totals
        self._stats = replace(
            self._stats,
            rows_in_use=self._scheduler.rows_in_use,
            waiting=self._scheduler.waiting_count,
            requests_finished=totals.ended,
            prompt_tokens=totals.prompt_tokens,
            output_tokens=totals.output_tokens,
            steps=totals.steps,
            prefill_seconds=totals.prefill,
            decode_seconds=totals.decode,
            decoded_tokens=totals.decoded_tokens,
        )
        self._pulse = Pulse(busy=not self._scheduler.is_idle, last_progress=self._clock.monotonic())

    def _tell(self, events: tuple[EngineEvent, ...]) -> None:
        try:
            if events:
                self._emit(events)
        except Exception:
            # A defect of the listener's; the engine of everyone else must not die of it.
            log.critical("what happened in a step could not be told", exc_info=True, extra={"model": self.name})
