"""An answer while it comes, for the asyncio client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from openglm._cancellation import CANCELLED_HERE, typed_cancellation
from openglm._errors import OpenGLMError, RequestCancelledError
from openglm._events import CompletionBuilder, StreamState
from openglm._models import Completion, Event, Token


class AsyncCompletionStream(AsyncIterator[Event]):
    """The events of one answer: Started, PrefillProgress on long prompts, Token, and one Finished.

    Where the daemon ends it by an error or a deadline, Finished comes first, and the error after it. Leaving it as an
    async context manager, `cancel`, or cancelling the task that reads it ends the generation in the daemon within one
    step. The call is made at the first `anext`.

    Iterating raises OpenGLMError subclasses; RequestCancelledError after `cancel`.
    """

    def __init__(
        self,
        open_call: Callable[[float | None], Any],
        state: StreamState,
        to_error: Callable[[grpc.RpcError], OpenGLMError],
        sleep: Callable[[float], Awaitable[object]] | None,
    ) -> None:
        self._open_call = open_call
        self._state = state
        self._to_error = to_error
        self._sleep = sleep
        self._call: Any = None
        self._cancelled = asyncio.Event()

    async def __anext__(self) -> Event:
        event = None
        while event is None:
            try:
                event = await self._read()
                continue
            except grpc.RpcError as failure:
                error = self._to_error(failure)
            event = self._state.cut_off(error)
            if event is not None:
                break
            # Outside of `except`: the typed error says it all, and gRPC's own would bury it in the traceback.
            await (self._sleep or self._wait_cancelled)(self._state.delay_after(error))
            self._call = None
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the generation, if it still runs. For the event loop's own thread."""
        self._cancelled.set()
        if self._call is not None:
            self._call.cancel()

    async def texts(self) -> AsyncIterator[str]:
        """The pieces of text alone, as they come."""
        async for event in self:
            if isinstance(event, Token):
                yield event.text

    async def completion(self) -> Completion:
        """Read to the end and return the answer of all events that this call read."""
        builder = CompletionBuilder()
        async for event in self:
            builder.add(event)
        return builder.build()

    async def _read(self) -> Event | None:
        if self._cancelled.is_set():
            raise RequestCancelledError(CANCELLED_HERE)
        if self._call is None:
            self._call = self._open_call(self._state.remaining())
        with typed_cancellation(self._call):
            message = await self._call.read()
        if message is grpc.aio.EOF:
            self._state.check_end()
            raise StopAsyncIteration
        return self._state.read(message)

    async def _wait_cancelled(self, limit_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._cancelled.wait()
