"""The rooms below the edge, as a script that each test writes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from autoglmd.errors.request import ModelNotFoundError
from autoglmd.messages.generation import (
    ChatPrompt,
    Finished,
    FinishReason,
    GenerationRequest,
    ResumptionRequest,
    Started,
    StreamEvent,
    TextPrompt,
    Timings,
    Tokens,
    TokenText,
    Usage,
)
from autoglmd.messages.sessions import CacheReport
from autoglmd.messages.status import DaemonState, DaemonStatus, EngineStats, ModelInfo, ModelState
from autoglmd.telemetry.scope import current_scope

MODEL = ModelInfo(name="glm-small", state=ModelState.READY, is_default=True, rows=8, context_tokens=4096)


def finished(reason: FinishReason = FinishReason.STOP, error: Exception | None = None) -> Finished:
    """An end with figures that no default has."""
    return Finished(reason, Usage(5, 2, 3), Timings(0.01, 0.02, 0.03, 0.06), error=error)


class FakeGateway:
    """Implements `GatewayPort`.

    Attributes:
        refusal: raised before the first event.
        cache: what Started says of it.
        texts: streamed after Started, one event each.
        script: streamed after Started instead of all else, if it is not empty.
        hold: the stream waits here before Finished; set at first, so it does not wait.
        end: the last event; `None` breaks the contract on purpose.
        requests: every request that came through.
        resumptions: every call to take an answer up.
        closed: set when a stream was closed or cancelled before its end.
        streaming: set when a stream waits at `hold`.
        scopes: the log scope in which each stream ended, however it did.
    """

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.cache = CacheReport(2)
        self.texts: list[str] = ["你", "好"]
        self.script: list[StreamEvent] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.end: StreamEvent | None = finished()
        self.requests: list[GenerationRequest] = []
        self.closed = asyncio.Event()
        self.streaming = asyncio.Event()
        self.scopes: list[dict[str, str]] = []
        self.resumptions: list[ResumptionRequest] = []
        self.cancelled: list[str] = []
        self.tokenized: list[tuple[str, TextPrompt | ChatPrompt]] = []

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream the script."""
        self.requests.append(request)
        async with contextlib.aclosing(self._stream(request.request_id, request.trace_id)) as events:
            async for event in events:
                yield event

    async def resume(self, asked: ResumptionRequest) -> AsyncGenerator[StreamEvent, None]:
        """Stream the script, of a request that was first."""
        self.resumptions.append(asked)
        async with contextlib.aclosing(self._stream(asked.request_id or "first", asked.trace_id)) as events:
            async for event in events:
                yield event

    async def _stream(self, request_id: str, trace_id: str) -> AsyncGenerator[StreamEvent, None]:
        if self.refusal is not None:
            raise self.refusal
        try:
            yield Started(request_id, "glm-small", "v1", 5, self.cache, 7, trace_id)
            for event in self.script or [TokenText(text, (1,)) for text in self.texts]:
                yield event
            self.streaming.set()
            await self.hold.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.closed.set()
            raise
        finally:
            self.scopes.append(current_scope().fields)
        if self.end is not None and not self.script:
            yield self.end

    def cancel(self, request_id: str, tenant: str | None) -> bool:
        """True for a request that came through."""
        self.cancelled.append(request_id)
        return any(request.request_id == request_id for request in self.requests)

    async def tokenize(self, model: str, prompt: TextPrompt | ChatPrompt) -> Tokens:
        """Two tokens, whatever is asked."""
        self.tokenized.append((model, prompt))
        if self.refusal is not None:
            raise self.refusal
        return Tokens((1, 2), ("你", "好"))

    def models(self) -> tuple[ModelInfo, ...]:
        """The one model."""
        return (MODEL,)

    def model(self, name: str) -> ModelInfo:
        """The one model, by its name or none."""
        if name not in ("", MODEL.name):
            raise ModelNotFoundError(name, (MODEL.name,))
        return MODEL

    def status(self) -> DaemonStatus:
        """A daemon that serves."""
        return DaemonStatus(
            version="0.1.0",
            state=DaemonState.SERVING,
            uptime=12.5,
            pid=42,
            resident_bytes=1 << 20,
            onnxruntime_version="1.31.1",
            available_providers=("CPUExecutionProvider",),
            models=(MODEL,),
            engines=(EngineStats(model=MODEL.name, rows=8, rows_in_use=1, steps=9),),
            open_streams=1,
            refused=3,
        )
