"""Runs a planned step as a transaction: run, sample, then commit.

Until a run has returned, no sequence has changed. If it raises, only the sequences in it are given up; KV that it may
have written lies past everybody's length, where nobody reads it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autoglmd.engine.plan import StepPlan
from autoglmd.engine.recorded_runner import RecordedRunner
from autoglmd.engine.row_contents import Content
from autoglmd.engine.scheduler import Scheduler
from autoglmd.engine.sequence import Admitted, Emitted, Ended, EngineEvent, Kept, Prefilled, Sequence
from autoglmd.errors.availability import EngineFailedError
from autoglmd.errors.base import AutoglmError
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import FinishReason
from autoglmd.model.runner import Logits, ModelRunner
from autoglmd.model.sampler import Sampled

log = logging.getLogger(__name__)

Sequences = tuple[Sequence, ...]
_NO_LOGITS = np.empty((0, 0), np.float32)
Drawn = Sampled | AutoglmError
"""A token, or why none could be drawn."""


@dataclass(slots=True)
class Totals:
    """Sums since the engine started; times in seconds. StepRunner alone writes them.

    `output_tokens` are all that were drawn, `decoded_tokens` those of them that a decode gave.
    """

    steps: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    decoded_tokens: int = 0
    ended: int = 0
    prefill: float = 0.0
    decode: float = 0.0


class StepRunner:
    """Carries plans out. The engine thread owns it; `events` collects what a step has to tell."""

    def __init__(self, runner: ModelRunner, scheduler: Scheduler, clock: Clock) -> None:
        self._runner = RecordedRunner(runner)
        self._scheduler = scheduler
        self._clock = clock
        self._events: list[EngineEvent] = []
        self.totals = Totals()

    def run(self, plan: StepPlan, tell: Callable[[], None]) -> None:
        """Carry out one step: prompts, each of which gives its first token when it is done, then a token for all.

        Args:
            plan: what to do.
            tell: called between the two, for `take_events`: who waits for a first token does not wait for everybody's
                next one as well.
        """
        started = self._clock.monotonic()
        for batch in plan.batches:
            self._start_batch(batch)
        if plan.start_chunked:
            self._start_chunked(plan.start_chunked)
        if plan.chunk:
            self._compute_chunk(plan.chunk)
        self.totals.prefill += self._clock.monotonic() - started
        if self._events:
            tell()
        started = self._clock.monotonic()
        self._decode()
        self.totals.steps += 1
        self.totals.decode += self._clock.monotonic() - started

    def end(self, sequence: Sequence, reason: FinishReason, error: Exception | None = None) -> None:
        """Forget a sequence and close the gap that its row leaves."""
        self._keep(sequence)
        move = self._scheduler.remove(sequence)
        # Told first: whatever becomes of the move, this one has ended.
        self._tell_ended((sequence,), reason, error)
        if move is not None:
            self._runner.move(*move)

    def abandon(self, error: Exception, reason: FinishReason = FinishReason.ERROR) -> None:
        """Forget everyone, rows and all."""
        self._tell_ended(self._scheduler.clear(), reason, error)
        self._runner.forget()

    @property
    def hot_rows(self) -> tuple[Content, ...]:
        """What the free rows hold, the next one to be given away first."""
        return self._runner.contents(self._scheduler.free_rows)

    def rest(self) -> None:
        """Nobody has a row: give back what keys and values took."""
        self._runner.rest()

    def _keep(self, sequence: Sequence) -> None:
        """Tell what the row of a sequence holds, if that is wanted. Without, it ends all the same."""
        row, cuts = self._scheduler.row_of(sequence), sequence.kept_cuts
        if row is None or not cuts:
            return
        try:
            blocks = self._runner.read_kv(row, cuts)
        except Exception:
            log.exception("keys and values cannot be kept", extra=sequence.request.log_fields)
            return
        self._events += [Kept(sequence.sequence_id, block) for block in blocks]

    def take_events(self) -> tuple[EngineEvent, ...]:
        """Everything to tell since the last call, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def _admit(self, sequences: Sequences) -> None:
        now = self._clock.monotonic()
        self._events += [Admitted(each.sequence_id, now) for each in sequences]

    def _start_chunked(self, sequence_id: str) -> None:
        """Give a long prompt a row: the one that holds the most of what it brings, else the last."""
        sequence = self._scheduler.start_chunked(sequence_id)
        self._admit((sequence,))
        rows, past = (self._scheduler.chunked_row, *self._scheduler.free_rows), sequence.request.past
        self._scheduler.seat_chunked(max(rows, key=lambda row: self._runner.held(row, past)))

    def _start_batch(self, sequence_ids: tuple[str, ...]) -> None:
        move = self._scheduler.make_room(len(sequence_ids))
        if move is not None:
            self._runner.move(*move)
        first_row = len(self._scheduler.decoding)
        # From here on they are in rows: whatever raises, the scheduler knows whom it concerns.
        sequences = tuple(self._scheduler.start_decoding(sequence_ids))
        self._admit(sequences)
        if not sequences[0].prefill_left:
            self._take_up(first_row, sequences[0])
            return
        drawn = self._attempt(lambda: self._prefill_whole(first_row, sequences), sequences)
        if drawn is not None:
            for each in sequences:
                self.totals.prompt_tokens += each.prefill_left
                each.computed = each.prefill_total
            self._commit(sequences, drawn)

    def _take_up(self, row: int, sequence: Sequence) -> None:
        """Go on with an answer whose prompt is known: put its past into the row, and tell the tokens which that has.

        The next decode feeds the last of them.
        """
        request = sequence.request
        if self._attempt(lambda: self._write_past(row, sequence), (sequence,)) is None:
            return
        told = request.past_tokens - sequence.prefill_total + 1
        ends = [self._take(sequence, Sampled(token, None)) for token in request.drawn_ids[:told]]
        reason, error = ends[-1]
        if reason is not None:
            self.end(sequence, reason, error)

    def _write_past(self, row: int, sequence: Sequence) -> Logits:
        self._runner.write_kv(row, sequence.request.past)
        return _NO_LOGITS

    def _prefill_whole(self, first_row: int, sequences: Sequences) -> Logits:
        """All that is left of these prompts: of several fresh ones, or of one that is taken up again."""
        if sequences[0].computed:
            return self._prefill_rest(first_row, sequences[0], sequences[0].prefill_left)
        lengths = np.array([each.prefill_total for each in sequences], np.int64)
        ids = np.zeros((len(sequences), int(lengths.max())), np.int64)
        for row, each in zip(ids, sequences, strict=True):
            row[: each.prefill_total] = each.request.prompt_ids
        return self._runner.prefill_fresh(first_row, ids, lengths)

    def _prefill_rest(self, row: int, sequence: Sequence, count: int) -> Logits:
        """The next tokens of one prompt. Before the first, the row is given what is known of it and it has no more."""
        request, past = sequence.request, sequence.computed
        if past and past == request.past_tokens:
            self._runner.write_kv(row, request.past)
        ids = request.prompt_ids[past : past + count]
        return self._runner.prefill(row, ids, past, final=count == sequence.prefill_left)

    def _compute_chunk(self, count: int) -> None:
        sequence = self._scheduler.chunked
        if sequence is None:
            return
        row, final = self._scheduler.chunked_row, count == sequence.prefill_left
        drawn = self._attempt(lambda: self._prefill_rest(row, sequence, count), (sequence,))
        if drawn is None:
            return
        sequence.computed += count
        self.totals.prompt_tokens += count
        self._events.append(Prefilled(sequence.sequence_id, sequence.computed, sequence.prefill_total))
        if final:
            move = self._scheduler.promote_chunked()
            if move is not None:
                self._runner.move(*move)
            self._commit((sequence,), drawn)

    def _decode(self) -> None:
        sequences = self._scheduler.decoding
        if not sequences:
            return
        ids = np.array([each.next_input for each in sequences], np.int64)
        lengths = np.array([each.computed for each in sequences], np.int64)
        drawn = self._attempt(lambda: self._runner.decode(ids, lengths), sequences)
        if drawn is not None:
            for each in sequences:
                each.computed += 1
            before = self.totals.output_tokens
            self._commit(sequences, drawn)
            self.totals.decoded_tokens += self.totals.output_tokens - before

    def _attempt(self, run: Callable[[], Logits], sequences: Sequences) -> list[Drawn] | None:
        """Run the model and draw from what it gives; if it raises, give up these sequences and nobody else."""
        try:
            # A chunk in the middle of a prompt gives no logits, and nothing is drawn.
            return [_draw(each, row) for each, row in zip(sequences, run(), strict=False)]
        except Exception:
            # Whatever the runtime raises, the others go on.
            for each in sequences:
                log.exception("a run failed; this request ends", extra=each.request.log_fields)
            self._scheduler.discard(sequences)
            told = EngineFailedError("The model failed while computing this answer. Try again; the log says why.")
            self._tell_ended(sequences, FinishReason.ERROR, told)
            return None

    def _commit(self, sequences: Sequences, drawn: list[Drawn]) -> None:
        """Take each sequence's result, then let go of those that are over."""
        ends = [self._take(each, token) for each, token in zip(sequences, drawn, strict=True)]
        # Only now: should a row not be moved, everybody's token has been told.
        for each, (reason, error) in zip(sequences, ends, strict=True):
            if reason is not None:
                self.end(each, reason, error)

    def _take(self, sequence: Sequence, drawn: Drawn) -> tuple[FinishReason | None, AutoglmError | None]:
        """Take a sequence's result. Returns why it is over, if it is."""
        if isinstance(drawn, AutoglmError):
            return FinishReason.ERROR, drawn
        # What was drawn before its answer broke off was counted then.
        held, is_new = len(sequence.output_ids), sequence.settled_id is None
        reason = sequence.advance(drawn)
        if len(sequence.output_ids) > held:
            now = self._clock.monotonic()
            self._events.append(Emitted(sequence.sequence_id, drawn.token_id, drawn.logprobs, now))
            self.totals.output_tokens += is_new
        return reason, None

    def _tell_ended(self, sequences: Sequences, reason: FinishReason, error: Exception | None) -> None:
        now = self._clock.monotonic()
        ended = [Ended(each.sequence_id, reason, now, error) for each in sequences]
        self.totals.ended += len(ended)
        self._events += ended


def _draw(sequence: Sequence, logits: np.ndarray) -> Drawn:
    settled = sequence.settled_id
    try:
        if settled is not None:
            return sequence.sampler.settle(logits, settled)
        return sequence.sampler.draw(logits, len(sequence.output_ids))
    except AutoglmError as error:
        return error
    except Exception:
        # A setting that nobody foresaw must not take the answers of the same run along.
        log.exception("a draw failed; one request ends", extra=sequence.request.log_fields)
        return EngineFailedError("No token could be drawn with these sampling settings; this answer cannot go on.")
