"""What the edge talks to: lets requests in, opens their streams and closes them, and finds answers that broke off."""

import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from autoglmd.engine.sequence import Ended, EngineEvent
from autoglmd.errors.availability import DrainingError, UnavailableError
from autoglmd.errors.session import SessionBusyError, SessionError
from autoglmd.host.clock import Clock
from autoglmd.messages.generation import (
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    ResumptionRequest,
    SamplingParams,
    Started,
    StreamEvent,
    TextPrompt,
    TokenPrompt,
    Tokens,
)
from autoglmd.messages.status import DaemonStatus, ModelInfo, SessionsStats
from autoglmd.pipeline.admission import Admission, OpenRequest
from autoglmd.pipeline.cache_counts import CacheCounts
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.disk_calls import DiskCalls
from autoglmd.pipeline.job import Job
from autoglmd.pipeline.preparation import Prepared
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.pipeline.stream import AnswerStream
from autoglmd.pipeline.taking_up import Rest, TakingUp, asked_answer
from autoglmd.pipeline.tokenizing import Tokenizing
from autoglmd.pipeline.turn import OpenTurn
from autoglmd.sessions.answer import Answer

log = logging.getLogger(__name__)


class Gateway:
    """Implements `edge.port.GatewayPort`. Lives on the event loop."""

    def __init__(
        self,
        catalog: Catalog,
        book: SessionBook,
        router: Router,
        clock: Clock,
        describe: Callable[["Gateway"], DaemonStatus],
    ) -> None:
        self.catalog = catalog
        self._book = book
        self.admission = Admission()
        self._router = router
        self._clock = clock
        self._describe = describe
        self._tokenizing = Tokenizing()
        self._cache_counts = CacheCounts()
        self._disk_calls = DiskCalls(lambda: book.recall_seconds)
        self._numbers = itertools.count()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """See GatewayPort.generate."""
        entry = self._entry(request, self.catalog.serving(request.model))
        async with contextlib.aclosing(self._events(entry)) as events:
            async for event in events:
                yield event

    async def resume(self, asked: ResumptionRequest) -> AsyncGenerator[StreamEvent, None]:
        """See GatewayPort.resume."""
        if self.admission.is_draining:
            raise DrainingError
        self._book.check_open()
        taking_up = TakingUp(asked.after_token, asked.request_id, self._book.answers.find)
        request = await self._request_of(asked, taking_up)
        entry = self._entry(request, self.catalog.serving(request.model))
        entry.job.taking_up = taking_up
        entry.place = f"{request.request_id} {next(self._numbers)}"
        rest = Rest(asked.after_token)
        # They lose it once this one is let in, and not before: it might be the line that is full.
        before = self.admission.readers(asked)
        async with contextlib.aclosing(self._events(entry, lambda: self._hand_over(before))) as events:
            async for event in events:
                if rest.has(event):
                    yield event

    async def _request_of(self, asked: ResumptionRequest, taking_up: TakingUp) -> GenerationRequest:
        """What is known of the request before it is its turn: its id, and its model."""
        readers = self.admission.readers(asked)
        if readers:
            request_id, model = readers[-1].request_id, readers[-1].served.info.name
        else:
            answer = await self._last_answer(asked, taking_up)
            request_id, model = answer.request_id, answer.model.name
        call = (asked.deadline, asked.arrived, asked.trace_id, asked.session)
        return GenerationRequest(request_id, model, TokenPrompt(()), SamplingParams(), None, (), False, *call)

    async def _last_answer(self, asked: ResumptionRequest, taking_up: TakingUp) -> Answer:
        """As of now. Raises UnavailableError where the disk does not say, and what `asked_answer` does."""
        known = self._book.answers.known(asked.session)
        if known is not None:
            return asked_answer(replace(taking_up, find=lambda _: known), asked.session)
        try:
            return await self._disk_calls.in_time("find-answer", lambda: asked_answer(taking_up, asked.session))
        except SessionError as error:
            raise UnavailableError(error.message) from error

    def _hand_over(self, readers: tuple[OpenRequest, ...]) -> None:
        """Whoever asks has lost the answer: the call that it was lost on is of no use, though it may not know yet."""
        for reader in readers:
            self._end(reader, FinishReason.CANCELLED)
            if reader.turn is not None:
                reader.turn.hand_over(reader.stream.ends)

    async def _events(
        self, entry: OpenRequest, let_in: Callable[[], None] = lambda: None
    ) -> AsyncGenerator[StreamEvent, None]:
        self.admission.enter(entry)
        try:
            let_in()
            self._begin(entry)
            async with contextlib.aclosing(entry.stream.events()) as events:
                async for event in events:
                    if entry.turn is not None:
                        entry.turn.sent(event)
                    yield self._with_what_disks_do(event, entry)
        finally:
            self._close(entry)

    def _with_what_disks_do(self, event: StreamEvent, entry: OpenRequest) -> StreamEvent:
        """Who begins a turn learns whether it can be kept now."""
        if entry.turn is None or not isinstance(event, Started):
            return event
        return replace(event, unsaved_seconds=self._book.refused_seconds)

    def cancel(self, request_id: str, tenant: str | None) -> bool:
        """See GatewayPort.cancel."""
        entry = self.admission.find(request_id, tenant)
        if entry is not None:
            self._end(entry, FinishReason.CANCELLED)
        return entry is not None

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt) -> Tokens:
        """See GatewayPort.tokenize."""
        rules = self.catalog.serving(model).rules
        if self.admission.is_draining:
            raise DrainingError
        return await self._tokenizing.tokens(prompt, rules)

    def models(self) -> tuple[ModelInfo, ...]:
        """See GatewayPort.models."""
        return self.catalog.infos()

    def model(self, name: str) -> ModelInfo:
        """See GatewayPort.model."""
        return self.catalog.info(name)

    def status(self) -> DaemonStatus:
        """See GatewayPort.status."""
        return self._describe(self)

    def sessions(self) -> SessionsStats:
        """What is kept of conversations, and what requests found of them."""
        return self._cache_counts.told_in(self._book.stats)

    async def drain(self, limit_seconds: float) -> int:
        """Let nobody in, let running streams finish, and end the rest with SHUTDOWN. Returns how many that were."""
        late = await self.admission.drain(limit_seconds)
        self.end_all()
        return len(late)

    def end_all(self) -> None:
        """End every stream with SHUTDOWN, without waiting for any limit."""
        for entry in self.admission.everyone:
            self._end(entry, FinishReason.SHUTDOWN)

    def _entry(self, request: GenerationRequest, served: ServedModel) -> OpenRequest:
        stream = AnswerStream(request, served.info.name, served.info.version, served.rules.tokenizer, self._clock)

        turn = None
        if request.session is not None:
            self._book.check_open()
            turn = OpenTurn(self._book, request.session, served.rules.tokenizer, self._clock.wall)

        def answer(result: Prepared | Exception) -> None:
            self._router.call(lambda: self._answered(entry, result))

        entry = OpenRequest(Job(request, f"{request.request_id}#{next(self._numbers)}", answer), served, stream, turn)
        return entry

    def _begin(self, entry: OpenRequest) -> None:
        """Send a request on its way, when its session is free if it has one."""
        if entry.turn is None:
            self._send(entry)
            return
        try:
            patient = entry.job.taking_up is not None
            entry.turn.wait(lambda: self._send(entry), entry.stream.put, patient=patient)
        except (SessionBusyError, UnavailableError) as error:
            entry.stream.put(error)

    def _send(self, entry: OpenRequest) -> None:
        sequence_id = entry.job.sequence_id

        def heard(event: EngineEvent) -> None:
            if isinstance(event, Ended):
                self._router.forget(sequence_id)
            entry.heard(event)

        self._router.listen(sequence_id, heard)
        entry.sent_on = True
        entry.served.prefetcher.put(entry.job)

    def _answered(self, entry: OpenRequest, result: Prepared | Exception) -> None:
        if isinstance(result, Exception):
            self._router.forget(entry.job.sequence_id)
        else:
            self._cache_counts.count(result.cache)
            if result.taken_up is not None:
                self._cache_counts.count_resumed()
        entry.answered(result)

    def _end(self, entry: OpenRequest, reason: FinishReason) -> None:
        # In this order: a prefetch thread that submits in between looks at the job again afterwards.
        entry.job.cancelled = reason
        entry.served.engine.cancel(entry.job.sequence_id, reason)
        entry.stream.end_in_line(reason)

    def _close(self, entry: OpenRequest) -> None:
        """Runs on every path: the stream ended, the client vanished, or the request was refused."""
        discarded = entry.served.prefetcher.discard(entry.job)
        finished = entry.stream.close()
        if not entry.stream.engine_ended:
            self._end(entry, FinishReason.CANCELLED)
        nothing_comes = discarded or not entry.sent_on
        if entry.turn is None or nothing_comes:
            self._router.forget(entry.job.sequence_id)
        self.admission.leave(entry)
        if entry.turn is not None:
            entry.turn.client_left(entry.stream.ends)
            if nothing_comes:
                entry.turn.nothing_comes()
        if finished is not None:
            log.info("finished", extra={"model": entry.served.info.name} | _figures(finished))


def _figures(finished: Finished) -> dict[str, object]:
    return {
        "reason": finished.reason.value,
        "prompt_tokens": finished.usage.prompt_tokens,
        "cached_tokens": finished.usage.cached_tokens,
        "output_tokens": finished.usage.output_tokens,
        "queue_ms": round(finished.timings.queue * 1e3, 3),
        "prefill_ms": round(finished.timings.prefill * 1e3, 3),
        "decode_ms": round(finished.timings.decode * 1e3, 3),
        "total_ms": round(finished.timings.total * 1e3, 3),
    }
