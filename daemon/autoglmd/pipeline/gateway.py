"""What the edge talks to: opens streams, closes them, and counts them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from autoglmd.engine.sequence import SequenceRequest
from autoglmd.host.clock import Clock
from autoglmd.messages import (
    ChatPrompt,
    DaemonStatus,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    StreamEvent,
    TextPrompt,
    Tokens,
)
from autoglmd.pipeline.admission import Admission
from autoglmd.pipeline.catalog import Catalog
from autoglmd.pipeline.prefetch import Job
from autoglmd.pipeline.prompts import to_tokens
from autoglmd.pipeline.router import Router
from autoglmd.pipeline.served import ServedModel
from autoglmd.pipeline.stream import AnswerStream


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A running request: whom to tell when it is to end."""

    job: Job
    served: ServedModel
    stream: AnswerStream


class Gateway:
    """Implements `edge.port.GatewayPort`. Lives on the event loop."""

    def __init__(
        self, catalog: Catalog, router: Router, clock: Clock, describe: Callable[["Gateway"], DaemonStatus]
    ) -> None:
        self.catalog = catalog
        self.admission = Admission()
        self._router = router
        self._clock = clock
        self._describe = describe
        self._open: dict[str, OpenRequest] = {}
        self._numbers = itertools.count()
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def open_streams(self) -> int:
        """How many requests are running or waiting."""
        return len(self._open)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """See GatewayPort.generate."""
        served = self.catalog.serving(request.model)
        self.admission.enter(request.request_id, served.line)
        entry = self._start(request, served)
        try:
            async with contextlib.aclosing(entry.stream.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._close(entry)

    def cancel(self, request_id: str) -> bool:
        """See GatewayPort.cancel."""
        entry = self._open.get(request_id)
        if entry is not None:
            self._end(entry, FinishReason.CANCELLED)
        return entry is not None

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt) -> Tokens:
        """See GatewayPort.tokenize."""
        rules = self.catalog.serving(model).rules
        # All of it in a thread: a prompt of megabytes must not hold up everybody's streams.
        return await asyncio.to_thread(to_tokens, prompt, rules)

    def models(self) -> tuple[ModelInfo, ...]:
        """See GatewayPort.models."""
        return self.catalog.infos()

    def model(self, name: str) -> ModelInfo:
        """See GatewayPort.model."""
        return self.catalog.info(name)

    def status(self) -> DaemonStatus:
        """See GatewayPort.status."""
        return self._describe(self)

    async def drain(self, limit_seconds: float) -> int:
        """Let nobody in, let running streams finish, and end the rest with SHUTDOWN. Returns how many that were."""
        self.admission.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), limit_seconds)
        late = tuple(self._open.values())
        for entry in late:
            self._end(entry, FinishReason.SHUTDOWN)
        return len(late)

    def _start(self, request: GenerationRequest, served: ServedModel) -> OpenRequest:
        stream = AnswerStream(request, served.info.name, served.info.version, served.rules.tokenizer, self._clock)

        def answer(result: SequenceRequest | Exception) -> None:
            self._router.call(lambda: stream.put(result))

        job = Job(request, f"{request.request_id}#{next(self._numbers)}", answer)
        entry = OpenRequest(job, served, stream)
        self._open[request.request_id] = entry
        self._all_closed.clear()
        self._router.listen(job.sequence_id, stream.put)
        served.prefetcher.put(job)
        return entry

    def _end(self, entry: OpenRequest, reason: FinishReason) -> None:
        # In this order: a prefetch thread that submits in between looks at the job again afterwards.
        entry.job.cancelled = reason
        entry.served.engine.cancel(entry.job.sequence_id, reason)
        entry.stream.end_in_line(reason)

    def _close(self, entry: OpenRequest) -> None:
        """Runs on every path: the stream ended, the client vanished, or the request was refused."""
        request = entry.job.request
        entry.served.prefetcher.discard(entry.job)
        if not entry.stream.engine_ended:
            self._end(entry, FinishReason.CANCELLED)
        self._router.forget(entry.job.sequence_id)
        self.admission.leave(request.request_id, entry.served.line, self._clock.monotonic() - request.arrived)
        del self._open[request.request_id]
        if not self._open:
            self._all_closed.set()
