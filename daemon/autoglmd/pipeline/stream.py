"""One request's stream: from what the engine says to what the client sees.

It starts with Started and ends with exactly one Finished, whichever of model, stop string, limit, cancel, deadline,
error or shutdown comes first; what the engine says afterwards is not heard.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

from autoglmd.engine.sequence import Admitted, Emitted, Ended, EngineEvent, Prefilled
from autoglmd.errors.availability import DrainingError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import (
    Finished,
    FinishReason,
    GenerationRequest,
    PrefillProgress,
    Started,
    StreamEvent,
    Timings,
    Usage,
)
from autoglmd.messages.sessions import CacheReport
from autoglmd.model.tokenizer import Tokenizer
from autoglmd.pipeline.answer import AnswerText
from autoglmd.pipeline.preparation import Prepared

# A client's clock runs out a little before ours: its timeout is rounded up on the wire, by at most a hundredth, and
# takes a moment to arrive.
_DEADLINE_ROUNDING = 0.01
_DEADLINE_TRAVEL_SECONDS = 0.01
# Of a long deadline a hundredth is time enough to cancel in.
_DEADLINE_MARGIN_SECONDS = 0.1

Item = Prepared | Exception | EngineEvent


class AnswerStream:
    """Lives on the event loop."""

    def __init__(
        self, request: GenerationRequest, model: str, version: str, tokenizer: Tokenizer, clock: Clock
    ) -> None:
        self._request = request
        self._model = model
        self._version = version
        self._tokenizer = tokenizer
        self._text = AnswerText(tokenizer, request.stop)
        self._clock = clock
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._in_line = True
        self._prompt_tokens = 0
        self._cache = CacheReport()
        self._dropped = 0
        self._output_tokens = 0
        self._admitted_at: float | None = None
        self._first_at: float | None = None
        self.row_seconds: float | None = None
        """How long a whole answer took its row; `None` before, for one that ended in any other way, and for the rest of
        one that was taken up."""
        self._refused = False
        self._is_taken_up = False
        self._after_token = 0
        self._ended_before: FinishReason | None = None
        self._broken: Exception | None = None
        self._finished: Finished | None = None
        # After a stop string the stream is finished and the engine does not know yet.
        self.engine_ended = False

    def ends(self) -> Sequence[int]:
        """See AnswerText.ends."""
        return self._text.ends

    def put(self, item: Item) -> None:
        """On the loop: what the request became, then what the engine says of it."""
        self._in_line = False
        self._items.put_nowait(item)

    def end_in_line(self, reason: FinishReason) -> None:
        """On the loop: end a request that nobody has looked at yet. One that the engine knows, the engine ends."""
        if self._in_line:
            self.put(Ended("", reason, self._clock.monotonic()))

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """The stream. Raises, before its first event, why the request cannot be served."""
        item = await self._items.get()
        if isinstance(item, Exception):
            self._refused = self.engine_ended = True
            raise item
        try:
            yield self._started(item)
            while True:
                for event in self._heard(item):
                    yield event
                if self._finished is not None:
                    return
                item = await self._items.get()
        except Exception as error:
            # A defect of ours. Who leaves comes as GeneratorExit or CancelledError, which are none of these.
            self._broken = error
            raise

    def close(self) -> Finished | None:
        """How it ended, also where nobody is there to hear it. `None`: it was refused, and never began."""
        if self._finished is None and not self._refused:
            now = self._clock.monotonic()
            reason = self._reason_to_leave(now) if self._broken is None else FinishReason.ERROR
            self._finish(reason, now, self._broken)
        return self._finished

    def _reason_to_leave(self, now: float) -> FinishReason:
        """What made the client vanish. At its deadline gRPC leaves at once, and the engine looks at its next step."""
        deadline, arrived = self._request.deadline, self._request.arrived
        if deadline is None:
            return FinishReason.CANCELLED
        margin = min(_DEADLINE_ROUNDING * (deadline - arrived) + _DEADLINE_TRAVEL_SECONDS, _DEADLINE_MARGIN_SECONDS)
        return FinishReason.DEADLINE if now >= deadline - margin else FinishReason.CANCELLED

    def _started(self, item: Prepared | EngineEvent) -> Started:
        seed = self._request.sampling.seed or 0
        if isinstance(item, Prepared):  # else it ended in the line: no tokens, and no seed was drawn
            self._prompt_tokens, seed = len(item.sequence.prompt_ids), item.sequence.sampling.seed
            self._cache = item.cache
            self._dropped = item.dropped
            if item.taken_up is not None:
                self._is_taken_up = True
                self._request, self._ended_before = item.taken_up.request, item.taken_up.end
                self._after_token = item.taken_up.after_token
            self._text = AnswerText(self._tokenizer, self._request.stop, item.continued_ids)
        return Started(
            request_id=self._request.request_id,
            model=self._model,
            model_version=self._version,
            prompt_tokens=self._prompt_tokens,
            cache=self._cache,
            seed=seed,
            trace_id=self._request.trace_id,
            dropped_messages=self._dropped,
        )

    def _heard(self, item: Item) -> Iterator[StreamEvent]:
        match item:
            case Admitted():
                self._admitted_at = item.at
            case Prefilled():
                if item.done_tokens < item.total_tokens:
                    yield PrefillProgress(item.done_tokens, item.total_tokens)
            case Emitted():
                yield from self._token(item)
            case Ended():
                yield from self._end(item)

    def _token(self, item: Emitted) -> Iterator[StreamEvent]:
        self._first_at = item.at if self._first_at is None else self._first_at
        self._output_tokens += 1
        shown = self._text.push(item.token_id, item.logprobs)
        if shown is not None:
            yield shown
        if self._text.stop:
            yield self._finish(FinishReason.STOP, item.at, None)

    def _end(self, item: Ended) -> Iterator[StreamEvent]:
        self.engine_ended = True
        # What is held back of an answer that broke off may become something else when it is taken up.
        shown = self._text.flush() if item.reason.is_for_good else None
        if shown is not None:
            yield shown
        # The engine was asked for no more than had come.
        ended = (self._ended_before or item.reason) if item.reason is FinishReason.LENGTH else item.reason
        reason = FinishReason.STOP if self._text.stop else ended
        error = _cut_off() if reason is FinishReason.SHUTDOWN else item.error
        yield self._finish(reason, item.at, None if self._text.stop else error)

    def _finish(self, reason: FinishReason, at: float, error: Exception | None) -> Finished:
        if self._admitted_at is not None and reason.is_whole and not self._is_taken_up:
            self.row_seconds = at - self._admitted_at
        if reason.is_whole and self._output_tokens < self._after_token:
            reason, error = FinishReason.ERROR, _too_far(self._after_token, self._output_tokens)
        usage = Usage(self._prompt_tokens, self._cache.cached_tokens, self._output_tokens)
        self._finished = Finished(reason, usage, self._timings(at), self._text.stop, error)
        return self._finished

    def _timings(self, ended_at: float) -> Timings:
        arrived = self._request.arrived
        admitted = ended_at if self._admitted_at is None else self._admitted_at
        first = ended_at if self._first_at is None else self._first_at
        return Timings(admitted - arrived, first - admitted, ended_at - first, ended_at - arrived)


def _too_far(after_token: int, output_tokens: int) -> InvalidArgumentError:
    return InvalidArgumentError("after_token", f"is {after_token}; the answer has {output_tokens} tokens.")


def _cut_off() -> DrainingError:
    return DrainingError("The daemon stopped before this answer was complete. Ask again when it is back.")
